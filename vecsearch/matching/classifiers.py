"""The classifiers that are learnt from features of pairs, and how they are kept so that no file's code is ever run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vecsearch.errors import CheckpointError, UsageError
from vecsearch.forks import is_forked

SEED = 0
TREES = 200
SMALLEST_LEAF = 5
"""Pairs in a leaf of the forest at the least: a leaf of a single pair would only memorise it."""
TRUSTED = ("sklearn.tree._tree.Tree", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor")
"""The types that a stored model may contain in addition to those that skops trusts by itself."""


class Classifier(Protocol):
    """As scikit-learn's classifiers: features (n, f) float64; labels (n,) bool."""

    def fit(self, features: np.ndarray, matches: np.ndarray) -> Any: ...

    def predict_proba(self, features: np.ndarray) -> np.ndarray: ...


def logistic() -> Classifier:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def forest() -> Classifier:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(TREES, min_samples_leaf=SMALLEST_LEAF, n_jobs=-1, random_state=SEED)


def boosting() -> Classifier:
    from sklearn.ensemble import HistGradientBoostingClassifier

    _one_thread_in_children()
    return HistGradientBoostingClassifier(random_state=SEED)


@cache
def _one_thread_in_children() -> None:
    """Have scikit-learn compute with one thread in every process forked from now on, and in this one if it was: OpenMP would
    wait for threads that only the parent has."""
    from threadpoolctl import threadpool_limits

    os.register_at_fork(after_in_child=lambda: threadpool_limits(1, user_api="openmp"))
    if is_forked():
        threadpool_limits(1, user_api="openmp")


CLASSIFIERS: dict[str, Callable[[], Classifier]] = {"logistic": logistic, "forest": forest, "boosting": boosting}


def model_file(name: str) -> str:
    """What the file of such a model is called."""
    return "model.json" if name == "logistic" else "model.skops"


def write_model(folder: Path, model: Classifier, name: str) -> None:
    """Keep a fitted model in a folder: the logistic one as JSON to read, those of trees by skops."""
    if name == "logistic":
        scaler, line = model[0], model[-1]
        values = {"means": scaler.mean_, "scales": scaler.scale_, "weights": line.coef_[0], "intercept": line.intercept_}
        text = json.dumps({key: value.tolist() for key, value in values.items()}, indent=1)
        (folder / model_file(name)).write_text(text + "\n", encoding="utf-8")
        return
    import zipfile

    require_skops().dump(model, folder / model_file(name), compression=zipfile.ZIP_DEFLATED)


def read_model(folder: Path, name: str, features: int) -> Callable[[np.ndarray], np.ndarray]:
    """What gives probabilities (n,) float64 of features (n, f) float64. Raises CheckpointError for a damaged file, or one that
    holds anything else."""
    path = folder / model_file(name)
    try:
        predict = _logistic(path, features) if name == "logistic" else _trees(path, name, features)
        if not 0 <= predict(np.zeros((1, features)))[0] <= 1:
            raise ValueError("its output is not a probability")
        return predict
    except UsageError:
        raise
    except Exception as error:  # whatever a file of any bytes makes zipfile, skops and scikit-learn raise
        raise CheckpointError(f"{path} cannot be used ({error!r}); make it again with `vecsearch fuse`") from None


def require_skops() -> Any:
    """skops.io. Raises UsageError with the command that installs it."""
    try:
        import skops.io
    except ImportError as error:
        raise UsageError("a model of trees is kept by skops, which is missing; run: pip install 'vecsearch[fuse]'") from error
    return skops.io


def _logistic(path: Path, features: int) -> Callable[[np.ndarray], np.ndarray]:
    from scipy.special import expit

    values = {key: np.array(value, np.float64) for key, value in json.loads(path.read_bytes()).items()}
    shapes = {"means": (features,), "scales": (features,), "weights": (features,), "intercept": (1,)}
    if {key: value.shape for key, value in values.items()} != shapes or not all(np.isfinite(v).all() for v in values.values()):
        raise ValueError(f"not {features} finite means, scales and weights, and one intercept")
    if not (values["scales"] > 0).all():
        raise ValueError("a scale is not greater than 0")
    weights = values["weights"] / values["scales"]
    intercept = values["intercept"] - values["means"] @ weights
    return lambda rows: expit(rows @ weights + intercept)


def _trees(path: Path, name: str, features: int) -> Callable[[np.ndarray], np.ndarray]:
    io = require_skops()
    if strange := [kind for kind in io.get_untrusted_types(file=path) if kind not in TRUSTED]:
        raise ValueError(f"it contains {strange[0]}, which no model of ours does")
    model = io.load(path, trusted=list(TRUSTED))
    kind = type(CLASSIFIERS[name]())
    if type(model) is not kind or model.n_features_in_ != features or model.classes_.tolist() != [False, True]:
        raise ValueError(f"it is not a {kind.__name__} of {features} features")
    for left, right, feature, leaf in _trees_of(model):
        inner = np.flatnonzero(~leaf)
        for side in (left[inner].astype(np.int64), right[inner].astype(np.int64)):
            if not ((side > inner) & (side < len(left))).all():
                raise ValueError("a tree's node has a child outside of the tree, or one that leads back to it")
        if not ((feature[inner] >= 0) & (feature[inner] < features)).all():
            raise ValueError(f"a tree's node asks for a feature that is not one of the {features}")
    return lambda rows: model.predict_proba(rows)[:, 1]


def _trees_of(model: Any) -> Iterator[tuple[np.ndarray, ...]]:
    """Of each tree, (m,) by node: the left and the right child, the feature that decides, and whether it is a leaf.

    scikit-learn follows them without looking: a child out of range ends the process with a segmentation fault. A forest shows
    its trees; HistGradientBoostingClassifier has no public way to them. GradientBoostingClassifier has, but from 10,000 pairs
    of 15 features it learns in 8.9 s instead of 0.5 s, to an average precision of 0.70 instead of 0.73 (scikit-learn 1.9).
    """
    if hasattr(model, "estimators_"):
        for nodes in (tree.tree_ for tree in model.estimators_):
            yield nodes.children_left, nodes.children_right, nodes.feature, nodes.children_left == -1
        return
    for (predictor,) in model._predictors:
        nodes = predictor.nodes
        if nodes["is_categorical"].any():
            raise ValueError("a tree's node asks for a category, and features are numbers")
        yield nodes["left"], nodes["right"], nodes["feature_idx"].astype(np.int64), nodes["is_leaf"].astype(bool)
