"""Confidence intervals of a measured value, and of a difference of two, by the bootstrap: items are drawn with replacement.

Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap; percentile intervals. Two encoders are drawn the same items
each time, so that what is hard for both does not hide which is better: Koehn 2004, Statistical significance tests for machine
translation evaluation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vecsearch.evaluation.measures import correlations, ranks

DRAWS = 2_000
"""Samples with replacement; the least p that they can show is 0.001."""
COVER = 95
"""Percent of the samples that an interval holds."""
SEED = 0
"""The same draws each time: an interval does not change between two looks, and two encoders can be compared."""
VALUES = 2_000_000
"""Values drawn at a time: what bounds the memory."""

Statistic = Callable[[np.ndarray], np.ndarray]
"""From the items of samples (m, n) to their values (m,)."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A value, and what it was in each of DRAWS samples: (DRAWS,) float64."""

    value: float
    samples: np.ndarray

    @property
    def interval(self) -> tuple[float, float]:
        """Where COVER percent of the samples lie."""
        low, high = np.percentile(self.samples, [(100 - COVER) / 2, (100 + COVER) / 2])
        return float(low), float(high)

    @property
    def p(self) -> float:
        """How likely a value as far from 0, on either side, would be if it were 0: twice the share of samples beyond 0."""
        beyond = min((self.samples <= 0).sum(), (self.samples >= 0).sum())
        return min(1.0, float(2 * (beyond + 1) / (len(self.samples) + 1)))

    def __sub__(self, other: Drawn) -> Drawn:
        return Drawn(self.value - other.value, self.samples - other.samples)


def draw(statistic: Statistic, n: int) -> Drawn:
    """A statistic of n items, and of DRAWS samples of them; equal n draw equal items."""
    rng = np.random.default_rng(SEED)
    step = max(1, VALUES // n)
    parts = [statistic(rng.integers(0, n, (min(step, DRAWS - first), n))) for first in range(0, DRAWS, step)]
    return Drawn(float(statistic(np.arange(n)[None])[0]), np.concatenate(parts))


def draw_mean(values: np.ndarray) -> Drawn:
    """The mean of a value for each query or question: (n,)."""
    return draw(lambda chosen: values[chosen].mean(axis=1, dtype=np.float64), len(values))


def draw_pearson(scores: np.ndarray, truth: np.ndarray) -> Drawn:
    """Pearson's correlation of scores with the truth, each (n,)."""
    return draw(lambda chosen: correlations(scores[chosen], truth[chosen]), len(truth))


def draw_spearman(scores: np.ndarray, truth: np.ndarray) -> Drawn:
    """Spearman's correlation of scores with the truth, each (n,): ranked again in each sample."""
    return draw(lambda chosen: correlations(ranks(scores[chosen]), ranks(truth[chosen])), len(truth))
