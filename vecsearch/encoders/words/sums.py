"""Sums of many rows of a table, without a copy of all of them."""

from __future__ import annotations

import numpy as np

GATHERED_ROWS = 4_096
"""Rows that are gathered at a time: they stay in the cache."""


def sums(table: np.ndarray, rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The sums of rows of a table (t, d): of the first counts[0] of `rows`, of the next counts[1] … : (n, d) float32."""
    totals = np.zeros((len(counts), table.shape[1]), np.float32)
    stops = np.cumsum(counts)
    first = 0
    while first < len(counts):
        start = stops[first] - counts[first]
        last = max(first + 1, int(np.searchsorted(stops, start + GATHERED_ROWS, side="right")))
        some = np.flatnonzero(counts[first:last]) + first
        if len(some):
            gathered = table[rows[start : stops[last - 1]]].astype(np.float32, copy=False)
            totals[some] = np.add.reduceat(gathered, stops[some] - counts[some] - start, axis=0)
        first = last
    return totals
