"""From a score to the probability of a match, never falling as the score rises: two ways, and how well they do.

Neither gives 0 or 1. From n others one cannot know that a match never scores so low, so probabilities keep to the targets by
which Platt 1999 replaces the labels: 1 / (others + 2) and (matches + 1) / (matches + 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BINS = 10
"""Parts of equal width into which probabilities are put to be compared with what came true."""


def bounds(matches: np.ndarray) -> tuple[float, float]:
    """The least and the highest probability that labels, (n,) bool, can show."""
    positive = int(matches.sum())
    return 1 / (len(matches) - positive + 2), (positive + 1) / (positive + 2)


@dataclass(frozen=True, slots=True)
class Platt:
    """1 / (1 + exp(-(slope · score + intercept))), not below `least` nor above `most`.

    Source: Platt 1999, Probabilistic outputs for support vector machines, with its smoothed targets.
    """

    slope: float
    intercept: float
    least: float
    most: float

    @classmethod
    def fit(cls, scores: np.ndarray, matches: np.ndarray) -> Platt:
        """From scores (n,) and labels (n,) bool. Where matches do not score higher, all have the same probability."""
        from scipy.special import logit
        from sklearn.linear_model import LogisticRegression

        least, most = bounds(matches)
        targets = np.where(matches, most, least)
        middle, spread = scores.mean(dtype=np.float64), scores.std(dtype=np.float64) or 1.0
        scaled = np.tile((scores - middle) / spread, 2)[:, None]
        # A target between 0 and 1 is a pair of both classes, each with its weight.
        both = np.repeat([1, 0], len(scores))
        fitted = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(scaled, both, np.r_[targets, 1 - targets])
        slope, intercept = float(fitted.coef_[0, 0] / spread), float(fitted.intercept_[0])
        if slope <= 0:
            return cls(0.0, float(logit(targets.mean())), least, most)
        return cls(slope, float(intercept - slope * middle), least, most)

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities of scores: (n,) -> (n,) float64."""
        from scipy.special import expit

        return np.clip(expit(self.slope * np.asarray(scores, np.float64) + self.intercept), self.least, self.most)


@dataclass(frozen=True, slots=True)
class Isotonic:
    """Straight lines between points, `scores` rising and `probabilities` never falling; level beyond the first and the last.

    Source: Zadrozny and Elkan 2002, Transforming classifier scores into accurate multiclass probability estimates.
    """

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]

    @classmethod
    def fit(cls, scores: np.ndarray, matches: np.ndarray) -> Isotonic:
        """From scores (n,) and labels (n,) bool."""
        from sklearn.isotonic import IsotonicRegression

        least, most = bounds(matches)
        fitted = IsotonicRegression(y_min=least, y_max=most, out_of_bounds="clip")
        fitted.fit(scores.astype(np.float64), matches.astype(np.float64))
        return cls(tuple(fitted.X_thresholds_.tolist()), tuple(fitted.y_thresholds_.tolist()))

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities of scores: (n,) -> (n,) float64."""
        return np.interp(np.asarray(scores, np.float64), self.scores, self.probabilities)


Method = Platt | Isotonic
METHODS: dict[str, type[Platt] | type[Isotonic]] = {"platt": Platt, "isotonic": Isotonic}


@dataclass(frozen=True, slots=True)
class Reliability:
    """How well probabilities agree with what came true; lower is better in all three.

    `log_loss` in nats; `brier`, the mean squared difference (Brier 1950); `ece`, the expected calibration error: how far mean
    probability and share of matches are apart in each of BINS bins, weighted by its pairs (Naeini et al. 2015). `bins` has
    for each that is not empty its pairs, mean probability and share of matches.
    """

    log_loss: float
    brier: float
    ece: float
    bins: tuple[tuple[int, float, float], ...]

    @classmethod
    def of(cls, probabilities: np.ndarray, matches: np.ndarray) -> Reliability:
        """From probabilities (n,) between 0 and 1, neither included, and labels (n,) bool."""
        bins = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
        sizes = np.bincount(bins, minlength=BINS)
        kept = sizes > 0
        means, shares = (np.bincount(bins, side, BINS)[kept] / sizes[kept] for side in (probabilities, matches))
        return cls(
            log_loss=float(-np.log(np.where(matches, probabilities, 1 - probabilities)).mean()),
            brier=float(((probabilities - matches) ** 2).mean()),
            ece=float(np.abs(means - shares) @ sizes[kept] / len(matches)),
            bins=tuple(zip(sizes[kept].tolist(), means.tolist(), shares.tolist(), strict=True)),
        )
