"""From labelled pairs and their scores to a calibration, with what it is worth on pairs that were held out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vecsearch import checks
from vecsearch.errors import UsageError
from vecsearch.evaluation.intervals import Drawn, draw
from vecsearch.matching.calibration import CURVE, FIGURES, POINTS, Calibration, Estimate, Scorer
from vecsearch.matching.labelled import Labelled, folds
from vecsearch.matching.probability import METHODS, Reliability, bounds
from vecsearch.matching.threshold import Curve, Ranked, Rule
from vecsearch.metric import Metric

FEW = 50
"""Pairs below which isotonic regression, which has no form of its own, follows chance."""
BEST_F1 = Rule()
Split = list[tuple[np.ndarray, np.ndarray]]
"""Places of pairs to learn from, and of those held out."""


def calibrate(
    pairs: Labelled,
    scores: np.ndarray,
    metric: Metric | str,
    encoder: Scorer,
    *,
    rule: Rule = BEST_F1,
    method: str = "best",
) -> Calibration:
    """A threshold by the `rule`, and probabilities by "platt", "isotonic", or what has less log loss: the "best".

    `scores` (n,) float32 are those of the `pairs` by the `metric`. Precision, recall and F1 are those of thresholds chosen on
    the other folds; all intervals come of drawing groups of pairs that share texts, as such pairs are not independent.

    Raises: UsageError for a precision that no threshold reaches; CorpusError where there are too few groups.
    """
    checks.instance("pairs", pairs, Labelled, give="what read_labelled returned")
    checks.instance("encoder", encoder, Scorer, give="Scorer(fingerprint, names, weights, options)")
    checks.instance("rule", rule, Rule, give='Rule("precision", 0.9)')
    method = checks.one_of("method", method, ["best", *METHODS])
    metric, scores = Metric(metric), checks.array("scores", scores)
    if scores.shape != (len(pairs.matches),) or not np.isfinite(scores).all():
        raise UsageError(
            f"the scores have the shape {scores.shape}; give a finite one for each of {len(pairs.matches):,} pairs"
        )
    split = folds(pairs)
    whole = Ranked(scores, pairs.matches).curve()
    check_reachable(whole, rule)
    reliability = _reliability(pairs, scores, metric, split)
    if method == "best":
        few = len(scores) < FEW
        method = "platt" if few else min(METHODS, key=lambda name: reliability[name].log_loss)
    shown = np.unique(np.linspace(0, len(whole.thresholds) - 1, POINTS).astype(np.int64))
    columns = whole.thresholds, whole.precision, whole.recall
    figures = worth(pairs, scores, rule, split)
    matches = int(pairs.matches.sum())
    return Calibration(
        metric=metric,
        encoder=encoder,
        pairs={"matches": matches, "others": len(scores) - matches, "groups": len(np.unique(pairs.groups))},
        rule=rule,
        figures={name: estimate(its) for name, its in figures.items()},
        method=METHODS[method].fit(scores, pairs.matches),
        reliability=reliability,
        curve={name: column[shown].tolist() for name, column in zip(CURVE, columns, strict=True)},
    )


def check_reachable(curve: Curve, rule: Rule) -> None:
    """Raise UsageError, with the highest that there is, where the rule asks for a precision that no threshold has."""
    place = curve.place(rule)
    if rule.measure == "precision" and curve.precision[place] < rule.least:
        raise UsageError(
            f"no threshold has the precision {rule.least:g}: the highest is {curve.precision[place]:.3f}, "
            f"at {curve.thresholds[place]:.3f} with a recall of {curve.recall[place]:.3f}; ask for less, or label more pairs"
        )


def worth(pairs: Labelled, scores: np.ndarray, rule: Rule, split: Split) -> dict[str, Drawn]:
    """What scores (n,) are worth: figures by the names of FIGURES, drawn by groups; equal pairs draw equal groups."""
    ranked = Ranked(scores, pairs.matches)
    found = _of_curves(pairs, ranked, rule) | _held_out(pairs, scores, rule, split)
    return {name: found[name] for name in FIGURES}


def _of_curves(pairs: Labelled, ranked: Ranked, rule: Rule) -> dict[str, Drawn]:
    """What is read off the curve of all pairs: the threshold, average precision, area under the ROC curve."""
    groups = int(pairs.groups.max()) + 1

    def drawn(read: Callable[[Curve], float]) -> Drawn:
        def of_samples(chosen: np.ndarray) -> np.ndarray:
            counts = (np.bincount(groups_drawn, minlength=groups) for groups_drawn in chosen)
            return np.array([read(ranked.curve(count[pairs.groups])) for count in counts])

        return draw(of_samples, groups)

    return {
        "threshold": drawn(lambda curve: float(curve.thresholds[curve.place(rule)])),
        "average_precision": drawn(lambda curve: curve.average_precision),
        "roc_auc": drawn(lambda curve: curve.roc_auc),
    }


def _held_out(pairs: Labelled, scores: np.ndarray, rule: Rule, split: Split) -> dict[str, Drawn]:
    """Precision, recall and F1 where each pair is judged by a threshold that was chosen without its fold."""
    chosen = np.empty(len(scores), bool)
    for learnt, held in split:
        curve = Ranked(scores[learnt], pairs.matches[learnt]).curve()
        chosen[held] = scores[held] >= curve.thresholds[curve.place(rule)]
    kinds = np.stack([chosen & pairs.matches, chosen, pairs.matches], axis=1)
    sums = np.zeros((int(pairs.groups.max()) + 1, 3))
    np.add.at(sums, pairs.groups, kinds)

    def drawn(measure: Callable[..., np.ndarray]) -> Drawn:
        return draw(lambda groups: measure(*sums[groups].sum(axis=1).T), len(sums))

    return {
        "precision": drawn(lambda found, chosen, matches: found / np.maximum(1, chosen)),
        "recall": drawn(lambda found, chosen, matches: found / np.maximum(1, matches)),
        "f1": drawn(lambda found, chosen, matches: 2 * found / np.maximum(1, chosen + matches)),
    }


def _reliability(pairs: Labelled, scores: np.ndarray, metric: Metric, split: Split) -> dict[str, Reliability]:
    """Each way to a probability on the folds it was not learnt from; beside them a cosine taken for a probability."""
    found = {}
    if metric is Metric.COSINE:
        found["score"] = Reliability.of(np.clip(scores.astype(np.float64), *bounds(pairs.matches)), pairs.matches)
    for name, kind in METHODS.items():
        probabilities = np.empty(len(scores))
        for learnt, held in split:
            probabilities[held] = kind.fit(scores[learnt], pairs.matches[learnt])(scores[held])
        found[name] = Reliability.of(probabilities, pairs.matches)
    return found


def estimate(drawn: Drawn) -> Estimate:
    """The value with its interval."""
    return Estimate(drawn.value, *drawn.interval)
