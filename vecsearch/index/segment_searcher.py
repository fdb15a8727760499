"""One segment of an index, searched exactly or by its FAISS index, whichever takes less time."""

from __future__ import annotations

from typing import Any

import numpy as np

from vecsearch import ann
from vecsearch.metric import Metric
from vecsearch.store.segment import Segment

FEW_NUMBERS = 1 << 21
"""Numbers in all vectors that may be found up to which each is looked at: an index would look at more to find these."""


class SegmentSearcher:
    """Searches a segment; `entry` is what the manifest says of it. With `little` memory, the vectors that are ranked again do
    not stay there."""

    def __init__(self, segment: Segment, entry: dict[str, Any], metric: Metric, *, little: bool) -> None:
        self._segment = segment
        self._exact = ann.ExactSearcher(segment.vectors, segment.norms, little=little)
        self.approximate = None
        """What searches its FAISS index, where it has one."""
        if segment.index_path:
            source = ann.Rows(segment.vectors, segment.norms, metric, read=segment.read if little else None)
            self.approximate = ann.open_searcher(segment.index_path, entry["spec"], source, entry["effort"])

    def search(
        self, queries: np.ndarray, k: int, metric: Metric, mask: np.ndarray | None, *, exact: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores and rows, as `ann` gives them, of the best rows that the mask leaves."""
        approximate = None if exact else self.approximate
        if mask is None:
            return approximate.search(queries, k) if approximate else self._exact.search(queries, k, metric)
        rows, found = np.flatnonzero(mask), None
        if approximate and len(rows) * self._segment.dim > FEW_NUMBERS:
            found = approximate.search_among(queries, k, mask)
        if found is None:
            return self._exact.search(queries, k, metric, rows)
        scores, best = found
        # What may be found can lie far from where the index looks for a query.
        if len(short := np.flatnonzero((best < 0).any(axis=1))):
            scores[short], best[short] = self._exact.search(queries[short], best.shape[1], metric, rows)
        return scores, best
