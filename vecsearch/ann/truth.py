"""Ground truth: the exact neighbors of queries, computed in one pass over data of any size."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from vecsearch.ann.exact import nearest
from vecsearch.metric import Metric

Blocks = Iterable[tuple[np.ndarray, np.ndarray]]
"""Vectors (b, d) float32 with their lengths (b,) float32, from the first row to the last."""


def ground_truth(
    blocks: Blocks, queries: np.ndarray, k: int, metric: Metric, *, own_rows: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (q, k') float32, best first, and rows int64 of the k exact nearest neighbors; equal scores by row.

    `blocks` are read once. `own_rows` (q,) int64 are the rows that the queries are themselves: each is left out of its own
    neighbors, its duplicates are not. k' is k, or the number of rows that are left where that is less.
    """
    more = own_rows is not None
    scores, rows = nearest(blocks, queries, k + more, metric)
    return leave_out(scores, rows, own_rows, max(0, rows.shape[1] - more))


def leave_out(scores: np.ndarray, rows: np.ndarray, own_rows: np.ndarray | None, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best hits of each query, of scores and rows (q, any), without the query's own row where it has one."""
    if own_rows is None:
        return scores[:, :k], rows[:, :k]
    own = rows == own_rows[:, None]
    order = np.argsort(own, axis=1, kind="stable")[:, :k]
    scores, rows = np.where(own, -np.inf, scores).astype(np.float32), np.where(own, -1, rows)
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)
