"""Exact top-k, the truth that every other kind of index is measured against."""

from __future__ import annotations

import numpy as np

from vecsearch.metric import Metric, normalise

BLOCK_BYTES = 64 << 20
"""Vectors read from disk at a time: a search needs no more memory than this, whatever the size of the index."""
KEPT_BYTES = 256 << 20
"""Unit vectors up to so many bytes are kept after the first cosine search, which then costs what an inner product costs."""


class ExactSearcher:
    """Exact search over stored vectors (n, d) float32, by either metric; `norms` (n,) float32 are their lengths."""

    def __init__(self, vectors: np.ndarray, norms: np.ndarray) -> None:
        self._vectors, self._norms = vectors, norms
        self._unit: np.ndarray | None = None

    def search(self, queries: np.ndarray, k: int, metric: Metric) -> tuple[np.ndarray, np.ndarray]:
        """Scores (q, min(k, n)) float32, best first, and rows int64 for queries (q, d) float32; equal scores by row."""
        if metric is Metric.COSINE:
            queries = normalise(queries)
        rows_per_block = max(1, BLOCK_BYTES // (4 * self._vectors.shape[1]))
        best_scores = np.empty((len(queries), 0), np.float32)
        best_rows = np.empty((len(queries), 0), np.int64)
        for first in range(0, len(self._vectors), rows_per_block):
            block = self._block(first, first + rows_per_block, metric)
            scores, rows = _knn(queries, block, min(k, len(block)))
            best_scores, best_rows = merge((best_scores, scores), (best_rows, rows + first), k)
        return best_scores, best_rows

    def _block(self, start: int, stop: int, metric: Metric) -> np.ndarray:
        if metric is Metric.INNER_PRODUCT:
            return self._vectors[start:stop]
        if self._vectors.nbytes > KEPT_BYTES:
            return unit_rows(self._vectors[start:stop], self._norms[start:stop])
        if self._unit is None:
            self._unit = unit_rows(self._vectors, self._norms)
        return self._unit[start:stop]


def unit_rows(vectors: np.ndarray, norms: np.ndarray) -> np.ndarray:
    """Rows divided by their lengths `norms` (n,), a new (n, d) float32; a zero row stays zero."""
    return np.divide(vectors, norms[:, None], out=np.zeros(vectors.shape, np.float32), where=norms[:, None] > 0)


def merge(
    scores: tuple[np.ndarray, np.ndarray], rows: tuple[np.ndarray, np.ndarray], k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k best of two lists of hits per query, each (q, any): scores best first, equal scores by row."""
    all_scores, all_rows = np.concatenate(scores, axis=1), np.concatenate(rows, axis=1)
    order = np.lexsort((all_rows, -all_scores), axis=1)[:, :k]
    return np.take_along_axis(all_scores, order, axis=1), np.take_along_axis(all_rows, order, axis=1)


def _knn(queries: np.ndarray, block: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    import faiss

    return faiss.knn(np.ascontiguousarray(queries), np.ascontiguousarray(block), k, metric=faiss.METRIC_INNER_PRODUCT)
