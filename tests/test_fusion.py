"""Features by hand and by properties; models kept and read again; files that are damaged, foreign or meant to harm."""

import json
import os
import pickle
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import AxisEncoder
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.metrics import average_precision_score

from vecsearch.errors import CheckpointError, UsageError
from vecsearch.matching.classifiers import CLASSIFIERS, read_model, require_skops, write_model
from vecsearch.matching.cross_validation import folds
from vecsearch.matching.features import PairFeatures, text_columns
from vecsearch.matching.fuse import fuse
from vecsearch.matching.fused_model import FusedEncoder, FusedModel
from vecsearch.matching.labelled import Labelled
from vecsearch.matching.threshold import Rule

TEXTS = st.text(alphabet="abc DE.é", max_size=12)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), max_size=8)


class Worded(AxisEncoder):
    """Knows two words."""

    fingerprint = "worded-1"
    words = ("aa", "b")


def few(monkeypatch):
    monkeypatch.setattr("vecsearch.evaluation.intervals.DRAWS", 50)
    monkeypatch.setattr("vecsearch.matching.classifiers.TREES", 10)
    monkeypatch.setattr("vecsearch.matching.fuse.REPEATS", 1)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    few(monkeypatch)


# -- features ----------------------------------------------------------------------------------------------------------


def test_features_are_those_that_a_hand_counts():
    found = PairFeatures({"one": AxisEncoder(), "two": Worded()}).columns(["aa B", "", "c"], ["a b x Y", "b", ""])
    expected = {
        "one cosine": [2 / np.sqrt(4 * 2), 0, 0],  # a capital is another letter to this encoder
        "one ip": [2, 0, 0],
        "two unknown": [3 / 6, 0, 1],
        "words of the shorter": [2, 0, 0],
        "words of the longer": [4, 1, 1],
        "length ratio": [2 / 4, 0, 0],
        "words in common": [1 / 5, 0, 0],
        "trigrams in common": [1 / 6, 0, 0],
    }
    assert {name: found[name] for name in expected} == {name: pytest.approx(its) for name, its in expected.items()}
    assert "one unknown" not in found and list(found) == PairFeatures({"one": AxisEncoder(), "two": Worded()}).names


@given(PAIRS)
def test_features_do_not_depend_on_order_or_company(pairs):
    a, b = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    features = PairFeatures({"worded": Worded()})
    whole, turned = features.columns(a, b), features.columns(b, a)
    for name, column in whole.items():
        assert column.shape == (len(pairs),) and column.dtype == np.float64 and np.isfinite(column).all()
        assert turned[name] == pytest.approx(column)
        alone = [PairFeatures({"worded": Worded()}).columns([x], [y])[name][0] for x, y in pairs]
        assert column == pytest.approx(alone)
        if name.endswith("common") or name.endswith("unknown") or name == "length ratio":
            assert ((column >= 0) & (column <= 1)).all()


@given(TEXTS)
def test_a_text_has_everything_in_common_with_itself(text):
    found = text_columns([text], [text])
    assert found["words in common"][0] == bool(re.findall(r"\w+", text)) and found["trigrams in common"][0] == (len(text) > 2)
    assert found["words of the shorter"] == found["words of the longer"]


# -- learning ----------------------------------------------------------------------------------------------------------


def made(n=200, seed=0):
    """Pairs that match where two encoders' cosines have a high sum: neither alone tells; a third column is noise."""
    rng = np.random.default_rng(seed)
    one, two, noise = rng.normal(size=(3, n))
    matches = one + two + rng.normal(0, 0.3, n) > 0
    texts = [str(i) for i in range(n)]
    pairs = Labelled("made", texts, [f"{text}b" for text in texts], matches, np.arange(n))
    return pairs, {"one cosine": one, "two cosine": two, "noise": noise}


ENCODERS = {"one": FusedEncoder("one", "1"), "two": FusedEncoder("two", "2")}


def test_a_fused_model_beats_each_encoder_where_both_are_needed():
    pairs, columns = made()
    found = fuse(pairs, columns, ENCODERS)
    gain = found.gain("average_precision")
    assert gain.interval[0] > 0 and gain.p < 0.05
    assert found.best_single == max(
        ENCODERS, key=lambda name: average_precision_score(pairs.matches, columns[f"{name} cosine"])
    )
    assert set(found.models) == set(CLASSIFIERS) and found.fusion.name == max(
        CLASSIFIERS, key=lambda name: found.models[name].figures["average_precision"].value
    )
    assert {its.feature for its in found.importances[:2]} == {"one cosine", "two cosine"}
    assert found.importances[2].mean < 0.05 < found.importances[1].mean


@pytest.mark.parametrize("model", CLASSIFIERS)
def test_figures_are_of_pairs_that_the_model_did_not_see(model):
    pairs, columns = made()
    found = fuse(pairs, columns, ENCODERS, model=model)
    assert set(found.models) == {model} == {found.fusion.name}
    features = np.column_stack(list(columns.values()))
    held_out = np.empty(len(features))
    for learn, held in folds(pairs):
        held_out[held] = CLASSIFIERS[model]().fit(features[learn], pairs.matches[learn]).predict_proba(features[held])[:, 1]
    value = found.models[model].figures["average_precision"].value
    assert value == pytest.approx(average_precision_score(pairs.matches, held_out))
    assert (found.importances[0].weight is None) == (model != "logistic")
    assert found.fusion.predict(features) == pytest.approx(
        CLASSIFIERS[model]().fit(features, pairs.matches).predict_proba(features)[:, 1]
    )


def test_labels_that_no_feature_knows_bring_no_gain():
    """A forest knows its own pairs by heart: judged by them it would be perfect."""
    pairs, columns = made()
    shuffled = np.random.default_rng(1).permutation(pairs.matches)
    found = fuse(Labelled("x", pairs.a, pairs.b, shuffled, pairs.groups), columns, ENCODERS, model="forest")
    assert found.models["forest"].figures["average_precision"].value < 0.65
    assert found.gain("average_precision").interval[0] < 0


def test_a_gain_is_of_the_same_samples():
    pairs, columns = made()
    found = fuse(pairs, columns, ENCODERS, model="logistic")
    both = [found.models["logistic"].figures["f1"], found.single[found.best_single].figures["f1"]]
    assert found.gain("f1").samples == pytest.approx(both[0].samples - both[1].samples)
    assert np.std(found.gain("f1").samples) < np.hypot(*(np.std(its.samples) for its in both))


def test_rules_of_the_threshold():
    pairs, columns = made()
    thresholds = [
        fuse(pairs, columns, ENCODERS, model="logistic", rule=rule).fusion.threshold
        for rule in (Rule("recall", 0.99), Rule(), Rule("precision", 0.99))
    ]
    assert thresholds == sorted(thresholds) and len(set(thresholds)) == 3
    noise = {name: np.random.default_rng(3).normal(size=200) for name in columns}
    with pytest.raises(UsageError, match="no threshold has the precision 1"):
        fuse(pairs, noise, ENCODERS, model="logistic", rule=Rule("precision", 1.0))


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=CLASSIFIERS)
def learnt(request, tmp_path_factory):
    """A folder of each kind, its fusion as it was learnt, its encoders, and pairs."""
    encoders = {"one": AxisEncoder(), "two": Worded()}
    rng = np.random.default_rng(0)
    a, b = (["".join(rng.choice(list("abc "), 9)) + f" {i}" for i in range(120)] for _ in "ab")
    columns = PairFeatures(encoders).columns(a, b)
    matches = columns["one cosine"] + rng.normal(0, 0.1, 120) > np.median(columns["one cosine"])
    known = {name: FusedEncoder(name, encoder.fingerprint) for name, encoder in encoders.items()}
    with pytest.MonkeyPatch.context() as patch:
        few(patch)
        found = fuse(Labelled("x", a, b, matches, np.arange(120)), columns, known, model=request.param)
    folder = tmp_path_factory.mktemp("learnt") / "fused"
    found.fusion.save(folder, {"note": "for people"})
    return folder, found.fusion, encoders, (a, b)


@pytest.fixture
def kept(learnt, tmp_path):
    """The same, the folder a copy."""
    return Path(shutil.copytree(learnt[0], tmp_path / "fused")), *learnt[1:]


def test_what_is_read_again_gives_the_same_probabilities(kept):
    folder, fusion, encoders, (a, b) = kept
    read = FusedModel.load(folder)
    assert (read.name, read.encoders, read.features, read.threshold) == (
        fusion.name,
        fusion.encoders,
        fusion.features,
        fusion.threshold,
    )
    found, expected = (its.scorer(encoders).columns(a, b) for its in (read, fusion))
    assert list(found) == ["one cosine", "two cosine", "probability", "match"]
    assert found["probability"] == pytest.approx(expected["probability"], rel=1e-12)
    assert (found["match"] == (found["probability"] >= fusion.threshold)).all() and 0 < found["match"].sum() < len(a)
    assert len(read.fingerprint) == 32 and read.fingerprint == FusedModel.load(folder).fingerprint


def test_other_encoders_are_refused(kept):
    folder, _, encoders, _ = kept
    with pytest.raises(UsageError, match="is of the encoders one, two, not of one"):
        FusedModel.load(folder).scorer({"one": encoders["one"]})
    with pytest.raises(UsageError, match=r"the encoder two is not the one .* \(worded-1; this one is axis-1\)"):
        FusedModel.load(folder).scorer({"one": encoders["one"], "two": AxisEncoder()})
    path = folder / "fusion.json"
    path.write_text(path.read_text().replace('"two unknown"', '"two known"'))
    with pytest.raises(UsageError, match="learnt from other features"):
        FusedModel.load(folder).scorer(encoders)


def test_damage_is_refused_and_never_a_traceback(kept):
    folder, _, encoders, (a, b) = kept
    rng = np.random.default_rng(0)
    refused = 0
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for _ in range(60):
            data = bytearray(whole)
            place = int(rng.integers(0, len(data)))
            if rng.random() < 0.5:
                data[place] ^= 1 << int(rng.integers(0, 8))
            else:
                del data[place:]
            path.write_bytes(data)
            try:
                FusedModel.load(folder).scorer(encoders).columns(a[:3], b[:3])
            except (CheckpointError, UsageError) as error:
                refused += 1
                assert str(folder) in str(error) or "encoder" in str(error) or "features" in str(error)
        path.write_bytes(whole)
    assert refused > 60
    assert FusedModel.load(folder).scorer(encoders).columns(a[:3], b[:3])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "newer format than 1"),
        ({"format": "1"}, "format '1'"),
        ({"model": "deep"}, "'deep' as model"),
        ({"threshold": 7}, "7 as threshold"),
        ({"encoders": {}}, "no encoders"),
        ({"encoders": {"one": {"named": "one"}}}, "missing 1 required positional argument: 'fingerprint'"),
        ({"features": [1]}, "1 as features[0]"),
    ],
)
def test_a_config_of_other_values_is_refused(kept, change, said):
    path = kept[0] / "fusion.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=re.escape(said)):
        FusedModel.load(kept[0])


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(CheckpointError, match="made by `vecsearch fuse`"):
        FusedModel.load(tmp_path)


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harmed",)


def test_no_file_runs_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.skops"
    path.write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(CheckpointError, match="cannot be used"):
        read_model(tmp_path, "forest", 3)
    schema = {"__class__": "mkdir", "__module__": "os", "__loader__": "FunctionNode", "__id__": 1, "content": "os.mkdir"}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema | {"protocol": 2, "_skops_version": "0.16.0"}))
    with pytest.raises(CheckpointError, match="which no model of ours does"):
        read_model(tmp_path, "forest", 3)
    assert not (tmp_path / "harmed").exists()


def test_models_of_another_kind_or_that_lead_astray_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    features, matches = rng.normal(size=(100, 3)), rng.random(100) < 0.5
    forest, foreign = (
        kind(3, random_state=0).fit(features, matches) for kind in (RandomForestClassifier, ExtraTreesClassifier)
    )
    for model, said in (
        (foreign, "not a RandomForestClassifier of 3 features"),
        (forest, "not a RandomForestClassifier of 4 features"),
    ):
        require_skops().dump(model, tmp_path / "model.skops")
        with pytest.raises(CheckpointError, match=said):
            read_model(tmp_path, "forest", 4 if model is forest else 3)
    for side in (0, -2, 10**6):
        forest.estimators_[0].tree_.children_left[0] = side
        write_model(tmp_path, forest, "forest")
        with pytest.raises(CheckpointError, match="a child outside"):
            read_model(tmp_path, "forest", 3)
    for field, value, said in (("left", 0, "a child outside"), ("feature_idx", 77, "not one of the 3")):
        boosting = CLASSIFIERS["boosting"]().fit(features, matches)
        nodes = boosting._predictors[0][0].nodes  # scikit-learn has no public way to them
        nodes[field][~nodes["is_leaf"].astype(bool)] = value
        write_model(tmp_path, boosting, "boosting")
        with pytest.raises(CheckpointError, match=said):
            read_model(tmp_path, "boosting", 3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scales": [0, 1, 1]}, "not greater than 0"),
        ({"weights": [1, 2]}, "not 3 finite"),
        ({"means": [0, 0, float("nan")]}, "not 3 finite"),
    ],
)
def test_a_line_of_other_numbers_is_refused(tmp_path, change, said):
    pairs, columns = made()
    write_model(tmp_path, CLASSIFIERS["logistic"]().fit(np.column_stack(list(columns.values())), pairs.matches), "logistic")
    path = tmp_path / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=said):
        read_model(tmp_path, "logistic", 3)


def test_without_skops_trees_are_refused_by_name(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "skops", None)
    monkeypatch.setitem(__import__("sys").modules, "skops.io", None)
    with pytest.raises(UsageError, match=r"pip install 'vecsearch\[fuse\]'"):
        require_skops()
