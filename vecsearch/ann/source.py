"""Vectors as what is built over them sees them: by row, wherever they lie, and as the points that FAISS compares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import numpy as np

from vecsearch.ann.points import Points
from vecsearch.ann.truth import ground_truth
from vecsearch.files import release
from vecsearch.metric import Metric

BLOCK_ROWS = 16_384

Read = Callable[[np.ndarray], np.ndarray]
"""The vectors at rows (r,) int64: a new (r, d) float32."""


class Kept:
    """The rows 0 … `rows` - 1 of a source but for those that are `held_out` (m,) int64, rising. A slice of them is an array, so
    that memory does not grow with their number."""

    def __init__(self, rows: int, held_out: np.ndarray) -> None:
        self.held_out, self._count = held_out, rows - len(held_out)
        self._before = held_out - np.arange(len(held_out))
        """How many are kept before each of those that are not."""

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, part: slice) -> np.ndarray:
        places = np.arange(*part.indices(self._count))
        return places + np.searchsorted(self._before, places, side="right")


Numbers = np.ndarray | Kept
"""Numbers of rows, rising."""


class Source(ABC):
    """Vectors of length `dim`, not scaled, with the row numbers from 0 on, as the points that FAISS compares."""

    dim: int
    metric: Metric
    compared: Points
    parts = 1
    """In how many indexes its rows are, each of which is searched."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def stored(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The vectors at `rows`, a new (r, d) float32, with their lengths (r,) float32."""

    @abstractmethod
    def drawn(self, rows: np.ndarray) -> tuple[Rows, np.ndarray]:
        """What has the vectors at `rows` (rising) at hand, to be read often, and the numbers that they have there."""

    def truth(self, rows: Numbers, queries: np.ndarray, k: int) -> np.ndarray:
        """The k best exact scores of each query (q, d) float32 among `rows`, best first: (q, k) float32."""
        return ground_truth(self.stored_blocks(rows), queries, k, self.metric)[0]

    def points(self, rows: np.ndarray) -> np.ndarray:
        """The points of the vectors at `rows`, a new (r, d) float32."""
        return self.compared.of(*self.stored(rows))

    def blocks(self, rows: Numbers) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Parts of `rows` with their points."""
        for part in self._parts(rows):
            yield part, self.points(part)

    def stored_blocks(self, rows: Numbers) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The vectors at `rows` with their lengths, part by part."""
        for part in self._parts(rows):
            yield self.stored(part)

    def _parts(self, rows: Numbers) -> Iterator[np.ndarray]:
        for first in range(0, len(rows), BLOCK_ROWS):
            yield rows[first : first + BLOCK_ROWS]


class Rows(Source):
    """Vectors (n, d) float32 in one array, with their lengths (n,).

    `read` gives the vectors at rows (r,) int64 without `vectors` being touched: for one row that is touched the system may map
    megabytes of a file, so that resident memory soon holds all of it. `euclidean` says how they are compared where they are
    part of more, see `Points`.
    """

    def __init__(
        self,
        vectors: np.ndarray,
        norms: np.ndarray,
        metric: Metric,
        *,
        read: Read | None = None,
        euclidean: bool | None = None,
    ) -> None:
        self.vectors, self.norms, self.metric, self.read = vectors, norms, metric, read
        self.dim, self.compared = vectors.shape[1], Points(norms, metric, euclidean=euclidean)

    def __len__(self) -> int:
        return len(self.vectors)

    def stored(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.at(rows), self.norms[rows]

    def at(self, rows: np.ndarray) -> np.ndarray:
        """The vectors at `rows`, a new (r, d) float32; memory-mapped ones do not stay in memory."""
        if self.read:
            return self.read(rows)
        found = self.vectors[rows]
        release(self.vectors)
        return found

    def drawn(self, rows: np.ndarray) -> tuple[Rows, np.ndarray]:
        return self, rows

    def by_inner_product(self) -> Rows:
        """The same, compared by inner product whatever their lengths are."""
        return Rows(self.vectors, self.norms, self.metric, read=self.read, euclidean=False)
