"""Exact top-k, the truth that every other kind of index is measured against."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from vecsearch.files import physical_memory, release
from vecsearch.forks import library_code
from vecsearch.metric import Metric, normalise

BLOCK_BYTES = 64 << 20
"""Vectors, or scores, in memory at a time, whatever the size of the index."""
FEW_QUERIES = 20
"""Below so many queries FAISS takes them one by one, on one thread each; numpy's product uses every core, and needs no copy of
the vectors scaled to length 1."""


class ExactSearcher:
    """Exact search over stored vectors (n, d) float32, by either metric; `norms` (n,) float32 are their lengths."""

    def __init__(self, vectors: np.ndarray, norms: np.ndarray) -> None:
        self._vectors, self._norms = vectors, norms

    def search(
        self, queries: np.ndarray, k: int, metric: Metric, among: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores (q, min(k, n)) float32, best first, and rows int64 for queries (q, d) float32; equal scores by row.

        `among` are the rows that may be found, (n,) int64, rising; without it all may.
        """
        if among is None:
            return nearest(self._blocks(len(queries)), queries, k, metric)
        scores, places = nearest(self._blocks(len(queries), among), queries, k, metric)
        return scores, among[places]

    def _blocks(self, queries: int, among: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        step = rows_per_block(self._vectors.shape[1], queries)
        # They would push out of memory what others need there.
        many = self._vectors.nbytes > physical_memory() // 2
        for first in range(0, len(self._vectors if among is None else among), step):
            part = slice(first, first + step) if among is None else among[first : first + step]
            yield self._vectors[part], self._norms[part]
            if many:
                release(self._vectors)


def rows_per_block(dim: int, queries: int) -> int:
    """Number of rows of length `dim` to look at together, so that neither they nor their scores take more than BLOCK_BYTES."""
    return max(1, BLOCK_BYTES // (4 * max(dim, min(queries, FEW_QUERIES))))


def nearest(
    blocks: Iterable[tuple[np.ndarray, np.ndarray]], queries: np.ndarray, k: int, metric: Metric
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (q, min(k, n)) float32, best first, and rows int64 of n vectors that stream by once; equal scores by row.

    `blocks` are pairs of vectors (b, d) float32 and their lengths (b,) float32, from the first row to the last.
    """
    if metric is Metric.COSINE:
        queries = normalise(queries)
    top = _numpy_top if len(queries) < FEW_QUERIES else _faiss_top
    best_scores = np.empty((len(queries), 0), np.float32)
    best_rows = np.empty((len(queries), 0), np.int64)
    first = 0
    for vectors, norms in blocks:
        with library_code:
            scores, rows = top(queries, vectors, norms if metric is Metric.COSINE else None, k)
        best_scores, best_rows = merge((best_scores, scores), (best_rows, rows + first), k)
        first += len(vectors)
    return best_scores, best_rows


def _faiss_top(queries: np.ndarray, block: np.ndarray, norms: np.ndarray | None, k: int) -> tuple[np.ndarray, np.ndarray]:
    import faiss

    rows = np.ascontiguousarray(block) if norms is None else normalise(block, norms)
    scores, found = faiss.knn(np.ascontiguousarray(queries), rows, min(k + 1, len(rows)), metric=faiss.METRIC_INNER_PRODUCT)
    if k >= len(rows):
        return scores, found
    # Of rows that are equal at the k-th place FAISS keeps any.
    tied = np.flatnonzero(scores[:, k - 1] == scores[:, k])
    scores, found = scores[:, :k], found[:, :k]
    step = max(1, BLOCK_BYTES // (4 * len(rows)))
    for part in (tied[first : first + step] for first in range(0, len(tied), step)):
        scores[part], found[part] = _best(scores_of(queries[part], rows, None), k)
    return scores, found


def _numpy_top(queries: np.ndarray, block: np.ndarray, norms: np.ndarray | None, k: int) -> tuple[np.ndarray, np.ndarray]:
    return _best(scores_of(queries, block, norms), k)


def _best(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k highest of each query's `scores` (q, b), of equal ones the first, with their rows, in no order."""
    rows = np.array([_best_rows(row, k) for row in scores], np.int64).reshape(len(scores), min(k, scores.shape[1]))
    return np.take_along_axis(scores, rows, axis=1), rows


def _best_rows(scores: np.ndarray, k: int) -> np.ndarray:
    """Positions of the k highest of `scores` (b,), of equal ones the first, in no order."""
    if k >= len(scores):
        return np.arange(len(scores))
    kth = np.partition(scores, len(scores) - k)[len(scores) - k]
    above = np.flatnonzero(scores > kth)
    return np.concatenate([above, np.flatnonzero(scores == kth)[: k - len(above)]])


def scores_of(queries: np.ndarray, rows: np.ndarray, norms: np.ndarray | None) -> np.ndarray:
    """Inner products of queries (q, d) with rows (b, d), divided by the rows' `norms` (b,) where given: (q, b) float32."""
    scores = queries @ rows.T
    # The score of a zero vector is 0 already.
    return scores if norms is None else np.divide(scores, norms, out=scores, where=norms > 0)


def merge(scores: tuple[np.ndarray, np.ndarray], rows: tuple[np.ndarray, np.ndarray], k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best of two lists of hits per query, each (q, any): scores best first, equal scores by row."""
    all_scores, all_rows = np.concatenate(scores, axis=1), np.concatenate(rows, axis=1)
    order = np.lexsort((all_rows, -all_scores), axis=1)[:, :k]
    return np.take_along_axis(all_scores, order, axis=1), np.take_along_axis(all_rows, order, axis=1)
