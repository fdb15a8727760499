"""The documents of an index as the points that are put into clusters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise

import numpy as np

from vecsearch import ann
from vecsearch.corpus.document import Document
from vecsearch.index.index import Index
from vecsearch.metric import Metric, normalise, norms

BLOCK_ROWS = 8192
"""Points in memory at a time, for each thread."""


class Points:
    """The documents of an index that are not deleted, as points of the length `dim`, numbered from 0.

    By cosine they have the length 1. A document that was split is the mean of its passages; these means are kept in memory, the
    points of other indexes are read as they are wanted.
    """

    def __init__(self, index: Index) -> None:
        self.index, self.dim = index, index.dim
        self.spherical = index.metric is Metric.COSINE
        self.rows = index.document_rows()
        """The first row of each document, (n,) int64, rising."""

    @cached_property
    def known(self) -> np.ndarray:
        """Which have another vector than zero, (n,) bool: that of a text without a known word is like none."""
        return np.concatenate([np.empty(0, bool), *(norms(block) > 0 for _, block in self.blocks())])

    def __len__(self) -> int:
        return len(self.rows)

    def stored(self, numbers: np.ndarray) -> np.ndarray:
        """The vectors of points (p,) int64, as encoded: (p, dim) float32."""
        return self.index.vectors(self.rows[numbers]) if self._means is None else self._means[numbers]

    def at(self, numbers: np.ndarray) -> np.ndarray:
        """Points (p,) int64: (p, dim) float32."""
        vectors = self.stored(numbers)
        return normalise(vectors) if self.spherical else vectors

    def documents(self, numbers: Sequence[int] | np.ndarray) -> list[Document]:
        """The documents of points (p,), in this order."""
        return self.index.documents(self.rows[np.asarray(numbers, np.int64)].tolist())

    def nearest(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k points most like each of vectors (q, dim) by cosine: their numbers, −1 for what was not found, and cosines,
        (q, k') each; k' is k, or how many there are. The index's own search finds them where it can."""
        if self._means is not None:
            return self.nearest_among(vectors, k, np.arange(len(self)))
        rows, scores = self.index.search(vectors, k, metric=Metric.COSINE)
        return np.where(rows < 0, -1, np.searchsorted(self.rows, rows)), scores

    def nearest_among(self, vectors: np.ndarray, k: int, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `nearest`, of the points `numbers` (p,) rising alone, each looked at."""
        blocks = ((block, norms(block)) for _, block in self.blocks(numbers))
        scores, places = ann.nearest(blocks, vectors, k, Metric.COSINE)
        return numbers[places], scores

    def blocks(self, numbers: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Parts of the points `numbers` (p,), or of all, with their vectors as encoded, (b, dim) float32."""
        numbers = np.arange(len(self)) if numbers is None else numbers
        for first in range(0, len(numbers), BLOCK_ROWS):
            part = numbers[first : first + BLOCK_ROWS]
            yield part, self.stored(part)

    @cached_property
    def _means(self) -> np.ndarray | None:
        """The means of split documents, (n, dim) float32; None where none is split."""
        if not self.index.manifest.chunks:
            return None
        alive = self.index.alive()
        ends = np.append(np.searchsorted(alive, self.rows), len(alive))
        means = [self.index.vectors(alive[start:stop]).mean(axis=0) for start, stop in pairwise(ends)]
        return np.array(means, np.float32).reshape(-1, self.dim)
