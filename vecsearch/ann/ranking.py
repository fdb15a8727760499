"""Candidates of a FAISS index, ranked again by their exact scores: the k best, each row once."""

from __future__ import annotations

import numpy as np


def exact_scores(queries: np.ndarray, rows: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Inner products of each query (q, d) with the vectors (n, d) at its `rows` (q, c) int64: (q, c) float32, -inf for row -1,
    which is how FAISS marks a missing hit. To be called within `library_code`."""
    import faiss

    queries = np.ascontiguousarray(queries)
    scores = np.full(rows.shape, -np.inf, np.float32)
    pointers = map(faiss.swig_ptr, (scores, queries, vectors, rows))
    faiss.fvec_inner_products_by_idx(*pointers, vectors.shape[1], *rows.shape)
    return scores


def best_of_one(scores: np.ndarray, rows: np.ndarray, k: int, times: int) -> tuple[np.ndarray, np.ndarray]:
    """`best` for a single query, (1, c) both: to sort all its hits takes less time than to find the best of them first."""
    scores, rows = scores[0], rows[0]
    order = np.lexsort((rows, -scores))
    if times > 1:
        ranked = rows[order]
        first = np.empty(len(ranked), bool)
        first[0] = True
        np.not_equal(ranked[1:], ranked[:-1], out=first[1:])  # equal rows have equal scores: they are neighbors
        order = order[first]
    order = order[:k]
    if len(order) < k:
        return _padded(scores[order], rows[order], np.array([len(order)]), k)
    return scores[order][None], rows[order][None]


def best(scores: np.ndarray, rows: np.ndarray, k: int, times: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best of each query's hits (q, c), best first, equal scores by row, each row once of the `times` it occurs."""
    # Positions in the flattened arrays: numpy takes those several times faster than positions along an axis.
    if (width := scores.shape[1]) > times * k:
        highest = np.argpartition(scores, width - times * k, axis=1)[:, width - times * k :] + _starts(scores)
        scores, rows = scores.take(highest), rows.take(highest)
    order = np.lexsort((rows, -scores), axis=1) + _starts(scores)
    if times > 1:
        ranked = rows.take(order)
        first = np.empty(ranked.shape, bool)
        first[:, 0] = True
        np.not_equal(ranked[:, 1:], ranked[:, :-1], out=first[:, 1:])
        first &= first.cumsum(axis=1) <= k
        chosen = order[first]
        if chosen.size < len(scores) * k:
            return _padded(scores.take(chosen), rows.take(chosen), first.sum(axis=1), k)
        order = chosen.reshape(len(scores), k)
    order = order[:, :k]
    return scores.take(order), rows.take(order)


def _padded(scores: np.ndarray, rows: np.ndarray, counts: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Hits one query after the other, `counts` (q,) of each, as tables (q, k) that end in row -1 with score -inf."""
    shape = (len(counts), k)
    padded = np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int64)
    here = np.arange(k) < counts[:, None]
    padded[0][here], padded[1][here] = scores, rows
    return padded


def repeated(rows: np.ndarray) -> np.ndarray:
    """Which of the rows (q, c) stand in the same query before: (q, c) bool."""
    order = np.argsort(rows, axis=1, kind="stable")
    ascending = np.take_along_axis(rows, order, axis=1)
    again = np.zeros(rows.shape, bool)
    np.put_along_axis(again, order[:, 1:], ascending[:, 1:] == ascending[:, :-1], axis=1)
    return again


def _starts(table: np.ndarray) -> np.ndarray:
    return np.arange(0, table.size, max(1, table.shape[1]))[:, None]
