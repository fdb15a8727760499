"""Queries with their exact answers: what an index is tuned with and proved by.

Rows of the corpus that serve as queries are left out of the index until it is measured: a graph finds the neighbors of a row
of its own more easily than those of a new query. Questions are made of the documents of these rows, where there are texts: what
users ask is short, and is found less easily than a document.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vecsearch.ann.recall import Recall
from vecsearch.ann.source import Kept, Source

QUERIES = 4_000
"""Queries of either kind to tune with, as many to prove with, and as many again should the first proof fail."""
LEAST_KEPT = 0.9
"""Share of the rows that stay in the index while it is measured, at least."""
ROWS, QUESTIONS = "rows", "questions"
"""What the two kinds of queries are called in a manifest."""

Ask = Callable[[np.ndarray], np.ndarray | None]
"""Vectors of questions, a new (r, d) float32: of one that the document at each of the rows (r,) int64 answers, and the zero
vector where none can be made of it; None where none can be made at all."""


@dataclass(frozen=True)
class Sample:
    """Queries (q, d) float32 with the k best exact scores of each, (q, k) float32, among the vectors of an index.

    `made` (q,) bool are those that are questions made of documents, none where it is left out. They count apart: a recall that
    is reached on average over both kinds may be missed by one.
    """

    queries: np.ndarray
    truth: np.ndarray
    made: np.ndarray | None = None

    @property
    def k(self) -> int:
        """Hits of each query."""
        return self.truth.shape[1]

    @cached_property
    def kinds(self) -> dict[str, np.ndarray]:
        """Which of the queries (m,) are of each kind that is there."""
        return kinds(np.zeros(len(self.queries), bool) if self.made is None else self.made)

    def recall(self, per_query: np.ndarray) -> Recall:
        """The recall of both kinds of queries, of those of each (q,)."""
        return Recall.least({kind: Recall.of(per_query[which], self.k) for kind, which in self.kinds.items()})

    def first(self, count: int) -> Sample:
        """The first `count` queries of each kind."""
        few = np.sort(np.concatenate([which[:count] for which in self.kinds.values()]))
        return Sample(self.queries[few], self.truth[few], None if self.made is None else self.made[few])

    def joined(self, other: Sample) -> Sample:
        """Both samples as one."""
        made = None if self.made is None or other.made is None else np.concatenate([self.made, other.made])
        return Sample(np.concatenate([self.queries, other.queries]), np.concatenate([self.truth, other.truth]), made)


def kinds(made: np.ndarray) -> dict[str, np.ndarray]:
    """Which queries are of each kind that is there, where some, (q,) bool, are questions made of documents."""
    found = {ROWS: np.flatnonzero(~made), QUESTIONS: np.flatnonzero(made)}
    return {kind: which for kind, which in found.items() if len(which)}


class Questions:
    """Three samples of queries for an index over `source`: held-out rows of its own, with questions that `ask` makes of their
    documents, or some of `queries` (q, d) float32."""

    def __init__(self, source: Source, queries: np.ndarray | None, k: int, ask: Ask | None = None) -> None:
        rng = np.random.default_rng(0)
        self._ask: Ask | None = None
        if queries is None:
            self.size = min(QUERIES, int((1 - LEAST_KEPT) * len(source) / 3))
            self._chosen = rng.choice(len(source), 3 * self.size, replace=False)
            self.held_out = np.sort(self._chosen)
            self._rows, _ = source.stored(self._chosen)
            self._ask = ask
        else:
            self.size = min(QUERIES, len(queries) // 3)
            self.held_out = np.empty(0, np.int64)
            self._rows = queries[rng.permutation(len(queries))[: 3 * self.size]]
        self.kept = Kept(len(source), self.held_out)
        self.k = min(k, len(self.kept))
        self._source = source
        self._samples: dict[int, Sample] = {}

    @cached_property
    def _asked(self) -> np.ndarray | None:
        """Questions of all held-out rows, in the order in which these were chosen, if there are any; made when they are first
        asked for."""
        return self._ask(self._chosen) if self._ask and self.size else None

    @cached_property
    def fewest(self) -> int:
        """How many queries there are of a kind in a sample, at the least."""
        return min(len(which) for number in range(3) for which in kinds(self.made(number)).values()) if self.size else 0

    def sample(self, number: int) -> Sample:
        """Sample 0, 1 or 2, answered from all rows that are kept."""
        if number not in self._samples:  # each kind that is built is asked the same
            queries = self.queries(number)
            self._samples[number] = Sample(queries, self._source.truth(self.kept, queries, self.k), self.made(number))
        return self._samples[number]

    def queries(self, number: int) -> np.ndarray:
        """The queries of sample 0, 1 or 2: (q, d) float32, of which the first ones are of both kinds as well."""
        return self._drawn(number)[0]

    def made(self, number: int) -> np.ndarray:
        """Which queries of sample 0, 1 or 2 are questions made of documents: (q,) bool."""
        return self._drawn(number)[1]

    def _drawn(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        part = slice(number * self.size, (number + 1) * self.size)
        rows = self._rows[part]
        if self._asked is None:
            return rows, np.zeros(len(rows), bool)
        # A question stands behind the row of its document.
        both = np.stack([rows, self._asked[part]], axis=1).reshape(-1, rows.shape[1])
        made = np.arange(len(both)) % 2 == 1
        there = ~made | both.any(axis=1)
        return both[there], made[there]
