"""Cross-validation over labelled pairs: folds that keep related pairs together, and figures on the pairs held out."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from vecsearch.errors import CorpusError
from vecsearch.evaluation.intervals import Drawn, draw
from vecsearch.matching.labelled import Labelled
from vecsearch.matching.threshold import Curve, Ranked, Rule

FOLDS = 5
SEED = 0
"""The same folds each time."""
FIGURES = ("threshold", "precision", "recall", "f1", "average_precision", "roc_auc")
Split = list[tuple[np.ndarray, np.ndarray]]
"""Places of pairs to learn from, and of those held out."""


def folds(pairs: Labelled) -> Split:
    """Places of the pairs to learn from, and of those held out, FOLDS times; a group is never in both.

    Raises CorpusError where matches, or non-matches, are in too few groups for each fold to be trained with both.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    for what, label in (("matches", True), ("non-matches", False)):
        if (there := len(np.unique(pairs.groups[pairs.matches == label]))) < FOLDS:
            raise CorpusError(
                f"{pairs.name}: all {what} share texts with one another, but for {there} groups of them; "
                f"{FOLDS} are needed to hold some out: label pairs of other texts"
            )
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of fewer pairs than folds, which the groups have ruled out
        return list(splitter.split(pairs.matches, pairs.matches, pairs.groups))


def worth(pairs: Labelled, scores: np.ndarray, rule: Rule, split: Split) -> dict[str, Drawn]:
    """How good scores (n,) are: figures by the names of FIGURES, with samples drawn by groups; the same for equal pairs."""
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
