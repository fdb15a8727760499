"""From labelled pairs and the features of several encoders to one model, compared with each encoder alone on held-out pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vecsearch import checks
from vecsearch.errors import UsageError
from vecsearch.evaluation.intervals import Drawn
from vecsearch.matching.classifiers import CLASSIFIERS, SEED, Classifier
from vecsearch.matching.cross_validation import folds, worth
from vecsearch.matching.fused_model import FusedEncoder, FusedModel
from vecsearch.matching.labelled import Labelled
from vecsearch.matching.probability import Reliability, bounds
from vecsearch.matching.threshold import BEST_F1, Ranked, Rule, check_reachable
from vecsearch.metric import Metric
from vecsearch.progress import SILENT, Progress, check_progress

REPEATS = 5
"""How often a feature's values are shuffled, in each fold, to see what it is worth."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Figures of scores on held-out pairs, by the names of FIGURES; for probabilities also how reliable they are."""

    figures: dict[str, Drawn]
    reliability: Reliability | None


@dataclass(frozen=True, slots=True)
class Importance:
    """How much average precision falls on held-out pairs when a feature's values are shuffled: mean and deviation over folds
    and repeats. `weight` is the logistic model's, of the feature in its standard deviations; None for trees."""

    feature: str
    mean: float
    deviation: float
    weight: float | None


@dataclass(frozen=True, slots=True)
class FusionReport:
    """The model that is kept, and what it was compared with."""

    fusion: FusedModel
    single: dict[str, Judged]
    """Each encoder's cosine alone."""
    models: dict[str, Judged]
    importances: list[Importance]
    """Of the model that is kept, the greatest first."""

    @property
    def best_single(self) -> str:
        return max(self.single, key=lambda name: self.single[name].figures["average_precision"].value)

    def gain(self, measure: str) -> Drawn:
        """The kept model less the best single encoder, the same pairs drawn for both."""
        return self.models[self.fusion.name].figures[measure] - self.single[self.best_single].figures[measure]


def fuse(
    pairs: Labelled,
    columns: Mapping[str, np.ndarray],
    encoders: Mapping[str, FusedEncoder],
    *,
    rule: Rule = BEST_F1,
    model: str = "best",
    progress: Progress = SILENT,
) -> FusionReport:
    """A model that predicts from the features of n pairs, `columns` (n,) float64 each, whether they match. For each of the
    `encoders` there is a column "NAME cosine".

    Each kind of model is trained on four folds and judged on the fifth, in turn. The `model` to keep, with "best" that of the
    highest average precision, is then trained on all pairs. `progress` is called with the number of models trained.

    Raises: UsageError for a precision that no threshold reaches; CorpusError where there are too few groups.
    """
    checks.instance("pairs", pairs, Labelled, give="what read_labelled returned")
    checks.instance("rule", rule, Rule, give='Rule("precision", 0.9)')
    model = checks.one_of("model", model, ["best", *CLASSIFIERS])
    check_progress(progress)
    columns = _checked_columns(columns, encoders, len(pairs.matches))
    split = folds(pairs)
    features = np.column_stack(list(columns.values()))
    tried = CLASSIFIERS if model == "best" else {model: CLASSIFIERS[model]}
    learnt: dict[str, list[Classifier]] = {}
    probabilities = {name: np.empty(len(features)) for name in tried}
    for number, (name, make) in enumerate(tried.items()):
        learnt[name] = []
        for fold, (learn, held) in enumerate(split, 1):
            learnt[name].append(fitted := make().fit(features[learn], pairs.matches[learn]))
            probabilities[name][held] = fitted.predict_proba(features[held])[:, 1]
            done = number * len(split) + fold
            progress.step("models", done, len(tried) * len(split))
    limits = bounds(pairs.matches)
    models = {
        name: Judged(worth(pairs, its, rule, split), Reliability.of(np.clip(its, *limits), pairs.matches))
        for name, its in probabilities.items()
    }
    single = {name: Judged(worth(pairs, columns[f"{name} {Metric.COSINE}"], rule, split), None) for name in encoders}
    kept = max(models, key=lambda name: models[name].figures["average_precision"].value)
    check_reachable(Ranked(probabilities[kept], pairs.matches).curve(), rule)
    final = CLASSIFIERS[kept]().fit(features, pairs.matches)
    fusion = FusedModel(
        name=kept,
        encoders=dict(encoders),
        features=list(columns),
        threshold=models[kept].figures["threshold"].value,
        model=final,
        predict=lambda rows: final.predict_proba(rows)[:, 1],
    )
    return FusionReport(fusion, single, models, _importances(learnt[kept], features, pairs, split, list(columns), final))


def _checked_columns(columns: Any, encoders: Any, pairs: int) -> dict[str, np.ndarray]:
    """The features by name, a finite number for each pair. Raises TypeError for no numbers, UsageError without an encoder's."""
    checks.instance("columns", columns, Mapping, give="a dict of arrays by name")
    checks.instance("encoders", encoders, Mapping, give="a dict of FusedEncoder by name")
    found = {name: checks.array(f"columns[{name!r}]", column, np.float64) for name, column in columns.items()}
    for name, its in encoders.items():
        checks.instance(f"encoders[{name!r}]", its, FusedEncoder, give="FusedEncoder(named, fingerprint)")
        if f"{name} {Metric.COSINE}" not in found:
            raise UsageError(f"columns has no {name} {Metric.COSINE!s}; give that of each encoder")
    if not encoders or any(column.shape != (pairs,) or not np.isfinite(column).all() for column in found.values()):
        raise UsageError(f"columns are to have a finite number for each of the {pairs:,} pairs, and encoders are to be named")
    return found


def _importances(
    learnt: list[Classifier], features: np.ndarray, pairs: Labelled, split: list, names: list[str], final: Classifier
) -> list[Importance]:
    """Source: Breiman 2001, Random forests; on held-out pairs, by scikit-learn."""
    from sklearn.inspection import permutation_importance

    drops = [
        permutation_importance(
            model, features[held], pairs.matches[held], scoring="average_precision", n_repeats=REPEATS, random_state=SEED
        ).importances
        for model, (_, held) in zip(learnt, split, strict=True)
    ]
    drops = np.concatenate(drops, axis=1)
    line = getattr(final, "named_steps", {}).get("logisticregression")
    weights = [None] * len(names) if line is None else line.coef_[0].tolist()
    found = [
        Importance(name, float(its.mean()), float(its.std()), weight)
        for name, its, weight in zip(names, drops, weights, strict=True)
    ]
    return sorted(found, key=lambda its: -its.mean)
