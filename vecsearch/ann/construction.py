"""Training and filling a FAISS index over stored vectors, block by block, and writing it to disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch.ann.points import Points
from vecsearch.ann.spec import copies, lists_of, new_index, reason
from vecsearch.ann.spill import add_twice
from vecsearch.errors import ResourceError, UsageError
from vecsearch.files import release
from vecsearch.forks import library_code
from vecsearch.metric import Metric
from vecsearch.progress import SILENT, Progress

TRAINING_ROWS = 65_536
"""Vectors that transforms and quantisers are trained on at the most, spread evenly over the index."""
ROWS_PER_LIST = 128
"""Vectors for each list of an inverted file that its centroids are trained on: FAISS asks for 39, and takes up to 256."""
BLOCK_ROWS = 16_384
LONGEST = 1e15
"""FAISS sums squares of lengths in float32, and ends the process where they overflow."""


Read = Callable[[np.ndarray], np.ndarray]
"""The vectors at rows (r,) int64: a new (r, d) float32."""


class Rows:
    """Stored vectors (n, d) float32, not scaled, with their lengths (n,), as the points that FAISS indexes.

    `read` gives the vectors at rows (r,) int64 without `vectors` being touched: for one row that is touched the system may map
    megabytes of a file, so that resident memory soon holds all of it.
    """

    def __init__(self, vectors: np.ndarray, norms: np.ndarray, metric: Metric, *, read: Read | None = None) -> None:
        self.vectors, self.norms, self.metric, self.read = vectors, norms, metric, read
        self.compared = Points(norms, metric)

    def __len__(self) -> int:
        return len(self.vectors)

    def at(self, rows: np.ndarray) -> np.ndarray:
        """The vectors at `rows`, a new (r, d) float32; memory-mapped ones do not stay in memory."""
        if self.read:
            return self.read(rows)
        found = self.vectors[rows]
        release(self.vectors)
        return found

    def points(self, rows: np.ndarray) -> np.ndarray:
        """The points of the vectors at `rows`, a new (r, d) float32."""
        return self.compared.of(self.at(rows), rows)

    def blocks(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Parts of `rows` (ascending) with their points."""
        for part in self._parts(rows):
            yield part, self.points(part)

    def stored_blocks(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The vectors at `rows` (ascending) with their lengths, part by part."""
        for part in self._parts(rows):
            yield self.at(part), self.norms[part]

    def _parts(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        for first in range(0, len(rows), BLOCK_ROWS):
            yield rows[first : first + BLOCK_ROWS]


def construct(spec: str, source: Rows, rows: np.ndarray, *, progress: Progress = SILENT) -> Any:
    """A trained FAISS index of the factory string `spec` that holds the vectors at `rows` (ascending) under these numbers.

    `progress` is told how many were added. Raises UsageError when the spec does not fit the vectors: their length, or too few
    of them to train on.
    """
    longest = float(source.norms.max(initial=0))
    if source.metric is Metric.INNER_PRODUCT and longest > LONGEST:
        raise UsageError(
            f"a vector of length {longest:.3g} is too long for the spec {spec!r} by inner product, which takes {LONGEST:.0e} "
            "at the most; scale the vectors, compare by cosine, or use exact"
        )
    index = _numbered(spec, source)
    try:
        if not index.is_trained:
            with library_code:
                _train(index, source, rows)
        add(index, copies(spec), source, rows, progress=progress)
    except RuntimeError as error:
        raise UsageError(f"the spec {spec!r} cannot be built over {len(rows):,} vectors: {reason(error)}") from None
    return index


def _train(index: Any, source: Rows, rows: np.ndarray) -> None:
    """Train the parts of an index one after the other: an inverted file needs many vectors, its transform far fewer, and
    transformed they take less memory."""
    import faiss

    inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexIDMap) else index
    core, transforms = inner, []
    if isinstance(inner, faiss.IndexPreTransform):
        core = faiss.downcast_index(inner.index)
        for transform in map(inner.chain.at, range(inner.chain.size())):
            if not transform.is_trained:
                sample = _spread(source, rows, TRAINING_ROWS, transforms)
                # With its mirror image a sample has the mean 0: to move the origin would change inner products.
                transform.train(sample if source.compared.euclidean else np.concatenate([sample, -sample]))
            transforms.append(transform)
    if not core.is_trained:
        lists = lists_of(core)
        core.train(_spread(source, rows, max(TRAINING_ROWS, ROWS_PER_LIST * lists.nlist if lists else 0), transforms))
    inner.is_trained = index.is_trained = True


def _spread(source: Rows, rows: np.ndarray, count: int, transforms: list[Any]) -> np.ndarray:
    """At most `count` points, evenly spread over `rows`, and transformed: (c, d) float32."""
    sample = rows[:: -(-len(rows) // count)]
    out = None
    for first in range(0, len(sample), BLOCK_ROWS):
        block = source.points(sample[first : first + BLOCK_ROWS])
        for transform in transforms:
            block = transform.apply(block)
        out = np.empty((len(sample), block.shape[1]), np.float32) if out is None else out
        out[first : first + len(block)] = block
    return out


def _numbered(spec: str, source: Rows) -> Any:
    """An empty index of `spec` that takes row numbers: an inverted file does by itself, a graph counts from 0."""
    import faiss

    index = new_index(spec, source.vectors.shape[1], euclidean=source.compared.euclidean)
    if lists_of(index):
        return index
    numbered = faiss.IndexIDMap(index)
    numbered.own_fields = True
    index.this.disown()
    return numbered


def add(index: Any, times: int, source: Rows, rows: np.ndarray, *, progress: Progress = SILENT) -> None:
    """Add the vectors at `rows` (ascending) to a trained index, once or twice each."""
    added = 0
    for part, block in source.blocks(rows):
        with library_code:
            if times == 2:
                add_twice(index, block, part)
            else:
                index.add_with_ids(block, part)
        added += len(part)
        progress.step("vectors", added, len(rows))


def write(index: Any, path: Path) -> None:
    """Write a FAISS index to `path`. Raises ResourceError when the disk refuses."""
    import faiss

    try:
        with library_code:
            faiss.write_index(index, str(path))
    except RuntimeError as error:  # FAISS's writer raises no OSError
        raise ResourceError(f"cannot write {path}: {reason(error)}; free some space") from error


def read(path: Path) -> Any:
    """The FAISS index that was written to `path`, in memory, so that more can be added."""
    import faiss

    with library_code:
        return faiss.read_index(str(path))
