"""Queries with their exact answers: what an index is tuned with and proved by.

Rows of the corpus that serve as queries are left out of the index until it is measured: a graph finds the neighbors of a row
of its own more easily than those of a new query.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vecsearch.ann.source import Kept, Source

QUERIES = 4_000
"""Queries to tune with, as many to prove with, and as many again should the first proof fail."""
LEAST_KEPT = 0.9
"""Share of the rows that stay in the index while it is measured, at least."""


@dataclass(frozen=True)
class Sample:
    """Queries (q, d) float32 with the k best exact scores of each, (q, k) float32, among the vectors of an index."""

    queries: np.ndarray
    truth: np.ndarray

    @property
    def k(self) -> int:
        """Hits of each query."""
        return self.truth.shape[1]

    def joined(self, other: Sample) -> Sample:
        """Both samples as one."""
        return Sample(np.concatenate([self.queries, other.queries]), np.concatenate([self.truth, other.truth]))


class Questions:
    """Three samples of queries for an index over `source`: held-out rows of its own, or some of `queries` (q, d) float32."""

    def __init__(self, source: Source, queries: np.ndarray | None, k: int) -> None:
        rng = np.random.default_rng(0)
        if queries is None:
            self.size = min(QUERIES, int((1 - LEAST_KEPT) * len(source) / 3))
            chosen = rng.choice(len(source), 3 * self.size, replace=False)
            self.held_out = np.sort(chosen)
            self._queries, _ = source.stored(chosen)
        else:
            self.size = min(QUERIES, len(queries) // 3)
            self.held_out = np.empty(0, np.int64)
            self._queries = queries[rng.permutation(len(queries))[: 3 * self.size]]
        self.kept = Kept(len(source), self.held_out)
        self.k = min(k, len(self.kept))
        self._source = source
        self._samples: dict[int, Sample] = {}

    def sample(self, number: int) -> Sample:
        """Sample 0, 1 or 2, answered from all rows that are kept."""
        if number not in self._samples:  # each kind that is built is asked the same
            queries = self.queries(number)
            self._samples[number] = Sample(queries, self._source.truth(self.kept, queries, self.k))
        return self._samples[number]

    def queries(self, number: int) -> np.ndarray:
        """The queries of sample 0, 1 or 2: (size, d) float32."""
        return self._queries[number * self.size : (number + 1) * self.size]
