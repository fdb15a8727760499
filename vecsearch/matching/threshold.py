"""What a threshold on scores finds and what it costs: curves, and the threshold that is best by a rule."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vecsearch import checks
from vecsearch.errors import UsageError


@dataclass(frozen=True, slots=True)
class Rule:
    """How a threshold is chosen: for the best "f1", or for a "precision" or "recall" of at `least` so much."""

    measure: str = "f1"
    least: float | None = None

    def __post_init__(self) -> None:
        """Raises: TypeError: the measure is not a text, or `least` not a number. UsageError: an unknown measure, or a value of
        `least` outside of 0 to 1."""
        object.__setattr__(self, "measure", checks.one_of("measure", self.measure, ("f1", "precision", "recall")))
        if self.measure == "f1" and self.least is not None:
            raise UsageError(f"a rule for the best f1 takes no least value: leave out {self.least!r}")
        if self.measure != "f1":
            object.__setattr__(self, "least", checks.number("least", self.least, 0, 1))
            if not self.least:
                raise UsageError("least is 0; it must be greater than 0 and at most 1")


BEST_F1 = Rule()


@dataclass(frozen=True)
class Curve:
    """For each of t thresholds, falling: the matches that score at least as much, and the others, (t,) float64 each."""

    thresholds: np.ndarray
    found: np.ndarray
    wrong: np.ndarray

    @cached_property
    def precision(self) -> np.ndarray:
        """The share of matches in what scores at least as much."""
        return self.found / (self.found + self.wrong)

    @cached_property
    def recall(self) -> np.ndarray:
        """The share of all matches that score at least as much; 0 where there are none."""
        return self.found / max(1.0, self.found[-1])

    @cached_property
    def f1(self) -> np.ndarray:
        """The harmonic mean of precision and recall."""
        return 2 * self.found / (self.found + self.wrong + max(1.0, self.found[-1]))

    @property
    def average_precision(self) -> float:
        """The mean of the precisions at which matches are found, as scikit-learn has it."""
        return float((np.diff(self.recall, prepend=0) * self.precision).sum())

    @property
    def roc_auc(self) -> float:
        """How often a match scores more than another pair; equal scores count half. 0 where there is only one of them."""
        area = np.trapezoid(np.r_[0, self.found], np.r_[0, self.wrong])
        return float(area / max(1.0, self.found[-1] * self.wrong[-1]))

    def place(self, rule: Rule) -> int:
        """The threshold's place: of the best F1, the lowest that has the precision, or the highest that has the recall.

        Of equal ones the highest. Where none has the precision it is the lowest of those that have most.
        """
        if rule.measure == "precision":
            return int(np.flatnonzero(self.precision >= min(rule.least, self.precision.max()))[-1])
        return int((self.recall >= rule.least if rule.measure == "recall" else self.f1).argmax())


class Ranked:
    """Scores (n,), and which are of matches, (n,) bool, sorted once for many curves."""

    def __init__(self, scores: np.ndarray, matches: np.ndarray) -> None:
        self._order = np.argsort(-scores, kind="stable")
        ranked = scores[self._order].astype(np.float64)
        self._last = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True])
        self._thresholds = ranked[self._last]
        self._matches = matches[self._order]

    def curve(self, weights: np.ndarray | None = None) -> Curve:
        """The curve, each pair counted so often as `weights` (n,) say; thresholds are scores of pairs that count."""
        each = np.ones(len(self._order)) if weights is None else weights[self._order].astype(np.float64)
        found, wrong = (np.cumsum(each * side)[self._last] for side in (self._matches, ~self._matches))
        there = np.diff(found + wrong, prepend=0) > 0
        return Curve(self._thresholds[there], found[there], wrong[there])


def check_reachable(curve: Curve, rule: Rule) -> None:
    """Raise UsageError, with the highest that there is, where the rule asks for a precision that no threshold has."""
    place = curve.place(rule)
    if rule.measure == "precision" and curve.precision[place] < rule.least:
        raise UsageError(
            f"no threshold has the precision {rule.least:g}: the highest is {curve.precision[place]:.3f}, "
            f"at {curve.thresholds[place]:.3f} with a recall of {curve.recall[place]:.3f}; ask for less, or label more pairs"
        )
