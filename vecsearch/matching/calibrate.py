"""From labelled pairs and their scores to a calibration, with its figures on pairs that were held out."""

from __future__ import annotations

import numpy as np

from vecsearch import checks
from vecsearch.errors import UsageError
from vecsearch.matching.calibration import CURVE, POINTS, CalibratedEncoder, Calibration, Estimate
from vecsearch.matching.cross_validation import Split, folds, worth
from vecsearch.matching.labelled import Labelled
from vecsearch.matching.probability import METHODS, Reliability, bounds
from vecsearch.matching.threshold import BEST_F1, Ranked, Rule, check_reachable
from vecsearch.metric import Metric

FEW = 50
"""Fewer pairs than these are calibrated by Platt's method: isotonic regression, which assumes no shape, would overfit them."""


def calibrate(
    pairs: Labelled,
    scores: np.ndarray,
    metric: Metric | str,
    encoder: CalibratedEncoder,
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
    checks.instance("encoder", encoder, CalibratedEncoder, give="CalibratedEncoder(fingerprint, names, weights, options)")
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
        figures={name: Estimate(its.value, *its.interval) for name, its in figures.items()},
        method=METHODS[method].fit(scores, pairs.matches),
        reliability=reliability,
        curve={name: column[shown].tolist() for name, column in zip(CURVE, columns, strict=True)},
    )


def _reliability(pairs: Labelled, scores: np.ndarray, metric: Metric, split: Split) -> dict[str, Reliability]:
    """Of each method, on the folds that it was not fitted to; and of the cosine itself, taken for a probability."""
    found = {}
    if metric is Metric.COSINE:
        found["score"] = Reliability.of(np.clip(scores.astype(np.float64), *bounds(pairs.matches)), pairs.matches)
    for name, kind in METHODS.items():
        probabilities = np.empty(len(scores))
        for learnt, held in split:
            probabilities[held] = kind.fit(scores[learnt], pairs.matches[learnt])(scores[held])
        found[name] = Reliability.of(probabilities, pairs.matches)
    return found
