"""Recall@k: the share of the true nearest neighbors that a search has found, and how sure its mean over queries is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

TOLERANCE = 2.0**-24 * math.sqrt(2_000)
"""Relative difference (2.7e-6) within which two float32 scores may be one: rounding errors of a sum of d products grow like
the square root of d (Higham and Mary 2019, A new approach to probabilistic rounding error analysis), here for d = 2,000."""
LEVEL = 0.95
_FIGURES = ("queries", "mean", "low", "high")
DRAWS = 10_000
"""Random weightings behind an interval: its ends are off by about 0.03 of their standard error."""


def reaches(truth_scores: np.ndarray, found_scores: np.ndarray) -> np.ndarray:
    """Which hits count as true ones, (q, k') bool: those whose score is as good as the k-th best.

    `truth_scores` (q, k) float32 are the k best, `found_scores` (q, k') float32 the exact scores of the distinct rows found;
    -inf stands for no row. The k-th true score is reached give or take TOLERANCE of the query's largest one: which of equal
    rows were found does not matter.
    """
    true = truth_scores > -np.inf
    last = np.where(true, truth_scores, np.inf).min(axis=1, initial=np.inf)
    largest = np.abs(truth_scores, where=true, out=np.zeros_like(truth_scores)).max(axis=1, initial=0)
    return found_scores >= (last - TOLERANCE * largest)[:, None]


def recalls(truth_scores: np.ndarray, found_scores: np.ndarray) -> np.ndarray:
    """Recall of each query, (q,) float64 in 0 to 1: the hits that count, of the true ones; 1 where there is none."""
    wanted = (truth_scores > -np.inf).sum(axis=1)
    counts = reaches(truth_scores, found_scores).sum(axis=1)
    return np.where(wanted > 0, np.minimum(counts, wanted) / np.maximum(wanted, 1), 1.0)


@dataclass(frozen=True)
class Recall:
    """Mean recall@k over a number of queries, and the ends of its two-sided 95 % confidence interval.

    Where several kinds of queries were asked, it is that of the kind that gets the least, and `by` has each by its name.
    """

    k: int
    queries: int
    mean: float
    low: float
    high: float
    by: dict[str, Recall] = field(default_factory=dict)

    @classmethod
    def of(cls, per_query: np.ndarray, k: int) -> Recall:
        """The mean of `per_query` (q,), the recall@k of each query, with its interval.

        Queries are the sample, not neighbors, which are found or missed together. The interval of Gaffke (2005, Three test
        statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative variable; Learned-Miller and Thomas
        2019, A new confidence interval for the mean of a bounded random variable): quantiles of the mean under random weights,
        with one more query of recall 0 for the lower end and of recall 1 for the upper. It asks nothing of the distribution, so
        rare failures that the sample may not contain are allowed for; where recalls are 0 or 1 it is Clopper and Pearson's.
        """
        if not len(per_query):
            raise ValueError("the recall of no queries")
        values, counts = np.unique(per_query, return_counts=True)
        # Always the same draws: a recall that is measured again is the same.
        rng = np.random.default_rng(0)
        weights = rng.standard_gamma(counts, (DRAWS, len(counts)))  # the sum of a weight, exponential, for each query
        one_more = rng.standard_exponential(DRAWS)
        total, part = weights.sum(axis=1) + one_more, weights @ values
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(part / total, tail), np.quantile((part + one_more) / total, 1 - tail)
        return cls(k, len(per_query), float(np.mean(per_query)), float(low), min(1.0, float(high)))

    @classmethod
    def least(cls, by: Mapping[str, Recall]) -> Recall:
        """That of the kind of queries whose interval begins the lowest, of one or more."""
        found = min(by.values(), key=lambda recall: recall.low)
        return replace(found, by=dict(by)) if len(by) > 1 else found

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recall:
        """The recall that `as_dict` made these values of; others among them are passed over."""
        by = {kind: cls(values["k"], *(its[name] for name in _FIGURES)) for kind, its in values.get("by", {}).items()}
        return cls(values["k"], *(values[name] for name in _FIGURES), by)

    def as_dict(self) -> dict[str, Any]:
        """Its fields, ready for JSON; `by` only where there are several kinds of queries."""
        by = {kind: {name: getattr(its, name) for name in _FIGURES} for kind, its in self.by.items()}
        return {name: getattr(self, name) for name in ("k", *_FIGURES)} | ({"by": by} if by else {})

    def __str__(self) -> str:
        if self.by:
            return "; ".join(f"{kind} {recall}" for kind, recall in sorted(self.by.items()))
        low, high = math.floor(self.low * 1000) / 1000, math.ceil(self.high * 1000) / 1000
        return f"{self.mean:.3f} ({low:.3f}–{high:.3f}) over {self.queries:,} queries"


def most_provable(queries: int) -> float:
    """The lower end of the interval where each of so many queries has a recall of 1."""
    return ((1 - LEVEL) / 2) ** (1 / queries) if queries else 0.0
