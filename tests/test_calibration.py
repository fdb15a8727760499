"""Thresholds against brute force and scikit-learn; probabilities that never fall; folds that do not leak; the file."""

import json
from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import average_precision_score, precision_recall_curve, precision_recall_fscore_support, roc_auc_score

from vecsearch.errors import CheckpointError, CorpusError, UsageError
from vecsearch.matching.calibrate import FEW, calibrate
from vecsearch.matching.calibration import POINTS, CalibratedEncoder, Calibration
from vecsearch.matching.cross_validation import FOLDS, folds
from vecsearch.matching.labelled import Labelled, grouped, read_labelled
from vecsearch.matching.probability import METHODS, Reliability, bounds
from vecsearch.matching.threshold import Ranked, Rule
from vecsearch.metric import Metric

AXIS = CalibratedEncoder("axis-1", ["axis"], [], {})
SCORED = st.lists(st.tuples(st.integers(-4, 4), st.booleans(), st.integers(0, 3)), min_size=2, max_size=30)


def arrays(scored):
    scores, matches, weights = map(np.array, zip(*scored, strict=True))
    matches = matches.astype(bool)
    assume(0 < weights[matches].sum() < weights.sum())
    return (scores / 4).astype(np.float32), matches, weights


def made(n, seed=0, slope=6.0):
    """Pairs of texts of their own whose probability of a match is known: `slope` · score − 3."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0, 1, n).astype(np.float32)
    matches = rng.random(n) < expit(slope * scores - 3)
    texts = [str(i) for i in range(n)]
    return Labelled("made", texts, [f"{text}b" for text in texts], matches, np.arange(n)), scores


@pytest.fixture
def quick(monkeypatch):
    """Few samples, where intervals are not what is tested."""
    monkeypatch.setattr("vecsearch.evaluation.intervals.DRAWS", 20)


# -- thresholds --------------------------------------------------------------------------------------------------------


@given(SCORED)
@settings(max_examples=200)
def test_curves_are_those_of_sklearn(scored):
    scores, matches, weights = arrays(scored)
    curve = Ranked(scores, matches).curve(weights)
    counted = weights > 0
    theirs = precision_recall_curve(matches[counted], scores[counted], sample_weight=weights[counted])
    n = len(curve.thresholds)
    assert curve.thresholds[::-1] == pytest.approx(theirs[2][-n:])
    for own, their in zip((curve.precision, curve.recall), theirs[:2], strict=True):
        assert own[::-1] == pytest.approx(their[:-1])
    assert curve.average_precision == pytest.approx(average_precision_score(matches, scores, sample_weight=weights))
    assert curve.roc_auc == pytest.approx(roc_auc_score(matches, scores, sample_weight=weights))


@given(SCORED, st.sampled_from([0.25, 0.5, 0.75, 0.9, 1.0]))
@settings(max_examples=200)
def test_a_threshold_is_the_one_that_brute_force_finds(scored, least):
    scores, matches, _ = arrays(scored)
    curve = Ranked(scores, matches).curve()
    tried = {}
    for threshold in sorted(set(scores.tolist())):
        chosen = scores >= threshold
        found = (chosen & matches).sum()
        tried[threshold] = found / chosen.sum(), found / matches.sum(), 2 * found / (chosen.sum() + matches.sum())
    best = {rule.measure: curve.thresholds[curve.place(rule)] for rule in (Rule(), Rule("recall", least))}
    assert tried[best["f1"]][2] == pytest.approx(max(f1 for _, _, f1 in tried.values()))
    assert best["recall"] == max(threshold for threshold, (_, recall, _) in tried.items() if recall >= least)
    reached = [threshold for threshold, (precision, _, _) in tried.items() if precision >= least]
    most = max(precision for precision, _, _ in tried.values())
    lowest = min(reached or [threshold for threshold, (precision, _, _) in tried.items() if precision == most])
    assert curve.thresholds[curve.place(Rule("precision", least))] == lowest


def test_precision_recall_and_f1_are_of_pairs_that_did_not_choose_the_threshold(quick):
    pairs, scores = made(300)
    found = calibrate(pairs, scores, Metric.COSINE, AXIS)
    chosen = np.empty(300, bool)
    for learnt, held in folds(pairs):
        curve = Ranked(scores[learnt], pairs.matches[learnt]).curve()
        chosen[held] = scores[held] >= curve.thresholds[curve.f1.argmax()]
    theirs = precision_recall_fscore_support(pairs.matches, chosen, average="binary")[:3]
    assert [found.figures[name].value for name in ("precision", "recall", "f1")] == pytest.approx(list(theirs))
    assert found.pairs == {"matches": pairs.matches.sum(), "others": (~pairs.matches).sum(), "groups": 300}


def test_intervals_are_wider_where_pairs_share_texts():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 20)
    matches = groups % 2 == 0
    scores = (0.3 * matches + 0.3 * rng.standard_normal(30)[groups] + 0.01 * rng.standard_normal(600)).astype(np.float32)
    widths = []
    for own in (np.arange(600), groups):
        figure = calibrate(Labelled("x", [""] * 600, [""] * 600, matches, own), scores, Metric.COSINE, AXIS).figures["roc_auc"]
        assert figure.low < figure.value < figure.high
        widths.append(figure.high - figure.low)
    assert widths[1] > 3 * widths[0]


def test_a_precision_that_cannot_be_reached_is_refused_with_the_best_one(quick):
    pairs, scores = made(200)
    pairs.matches[np.argmax(scores)] = False
    best = Ranked(scores, pairs.matches).curve().precision.max()
    with pytest.raises(UsageError, match=f"no threshold has the precision 0.999: the highest is {best:.3f}, at "):
        calibrate(pairs, scores, Metric.COSINE, AXIS, rule=Rule("precision", 0.999))
    low, high = (calibrate(pairs, scores, Metric.COSINE, AXIS, rule=Rule("precision", p)).threshold for p in (0.7, 0.8))
    assert low < high
    recalls = [calibrate(pairs, scores, Metric.COSINE, AXIS, rule=Rule("recall", r)).threshold for r in (0.5, 0.9, 1.0)]
    assert recalls == sorted(recalls, reverse=True) and recalls[-1] == scores[pairs.matches].min()


# -- probabilities -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@given(scored=SCORED, scale=st.sampled_from([1e-3, 1.0, 1e4]), asked=st.lists(st.floats(-1e5, 1e5), min_size=2))
@settings(max_examples=60)
def test_a_probability_never_falls_and_is_never_0_or_1(method, scored, scale, asked):
    scores, matches, _ = arrays(scored)
    fitted = METHODS[method].fit(scores * np.float32(scale), matches)
    found = fitted(np.sort([*asked, *(scores * scale)]))
    assert (np.diff(found) >= -1e-12).all()
    least, most = bounds(matches)
    assert least - 1e-12 <= found.min() and found.max() <= most + 1e-12 and 0 < least <= most < 1


@given(SCORED)
@settings(max_examples=60)
def test_isotonic_is_that_of_sklearn(scored):
    scores, matches, _ = arrays(scored)
    least, most = bounds(matches)
    theirs = IsotonicRegression(y_min=least, y_max=most, out_of_bounds="clip").fit(scores, matches.astype(float))
    asked = np.linspace(-2, 2, 101)
    assert METHODS["isotonic"].fit(scores, matches)(asked) == pytest.approx(theirs.predict(asked), abs=1e-6)


@pytest.mark.parametrize("scale", [0.01, 1.0, 1000.0])
def test_platt_is_where_its_loss_is_least(scale):
    pairs, scores = made(500)
    scores = scores * np.float32(scale)
    fitted = METHODS["platt"].fit(scores, pairs.matches)
    least, most = bounds(pairs.matches)
    wrong = expit(fitted.slope * scores.astype(float) + fitted.intercept) - np.where(pairs.matches, most, least)
    # The loss is convex, and these are its derivatives.
    assert wrong.mean() == pytest.approx(0, abs=1e-5) and (wrong * scores).mean() / scale == pytest.approx(0, abs=1e-5)
    assert fitted.slope * scale == pytest.approx(6, rel=0.25)


@pytest.mark.parametrize("method", METHODS)
def test_known_probabilities_are_found(method, quick):
    pairs, scores = made(6000)
    found = calibrate(pairs, scores, Metric.COSINE, AXIS, method=method)
    assert found.way == method
    asked = np.linspace(0.05, 0.95, 50)
    assert np.abs(found.probability(asked) - expit(6 * asked - 3)).mean() < 0.03
    assert found.reliability[method].ece < 0.03 < found.reliability["score"].ece
    truth = expit(6 * scores - 3)
    assert found.reliability[method].log_loss == pytest.approx(Reliability.of(truth, pairs.matches).log_loss, abs=0.01)


def test_figures_of_probabilities_by_hand():
    found = Reliability.of(np.array([0.1, 0.3, 0.32, 0.9]), np.array([False, True, False, True]))
    assert found.brier == pytest.approx((0.01 + 0.49 + 0.1024 + 0.01) / 4)
    assert found.log_loss == pytest.approx(-np.log([0.9, 0.3, 0.68, 0.9]).mean())
    assert found.ece == pytest.approx((0.1 + 2 * abs(0.31 - 0.5) + 0.1) / 4)
    assert found.bins == ((1, 0.1, 0.0), (2, pytest.approx(0.31), 0.5), (1, 0.9, 1.0))


def test_best_is_what_has_less_log_loss_and_platt_where_labels_are_few(quick):
    ways = set()
    for seed in range(6):
        pairs, scores = made(400, seed)
        if seed % 2:
            pairs = Labelled("step", pairs.a, pairs.b, (scores > 0.4) & (np.arange(400) % 10 > 0), pairs.groups)
        found = calibrate(pairs, scores, Metric.COSINE, AXIS)
        assert found.way == min(METHODS, key=lambda name: found.reliability[name].log_loss)
        ways.add(found.way)
    assert ways == set(METHODS)
    few, scores = made(FEW - 1)
    few = Labelled("few", few.a, few.b, scores > 0.5, few.groups)
    found = calibrate(few, scores, Metric.INNER_PRODUCT, AXIS)
    assert found.way == "platt" and "score" not in found.reliability
    assert calibrate(few, scores, Metric.COSINE, AXIS, method="isotonic").way == "isotonic"


# -- folds -------------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), min_size=1, max_size=20))
def test_pairs_are_of_one_group_when_texts_lead_from_one_to_the_other(edges):
    a, b = ([str(side) for side in sides] for sides in zip(*edges, strict=True))
    sets = [{x, y} for x, y in zip(a, b, strict=True)]
    while touching := next(((s, t) for s, t in combinations(sets, 2) if s & t), None):
        sets = [s for s in sets if s is not touching[0] and s is not touching[1]] + [touching[0] | touching[1]]
    where = [next(i for i, s in enumerate(sets) if text in s) for text in a]
    groups = grouped(a, b)
    assert [[g == h for h in groups] for g in groups] == [[g == h for h in where] for g in where]
    assert set(groups.tolist()) == set(range(len(sets)))


@given(st.integers(0, 2**32), st.integers(30, 120))
@settings(max_examples=20)
def test_a_text_is_never_on_both_sides_of_a_fold(seed, n):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, n, n).astype(str).tolist(), rng.integers(n, 3 * n, n).astype(str).tolist()
    pairs = Labelled("random", a, b, rng.random(n) < 0.5, grouped(a, b))
    try:
        split = folds(pairs)
    except CorpusError as error:
        assert "share texts with one another" in str(error)
        return
    assert sorted(np.concatenate([held for _, held in split]).tolist()) == list(range(n)) and len(split) == FOLDS
    for learnt, held in split:
        sides = [{text for row in rows for text in (a[row], b[row])} for rows in (learnt, held)]
        assert not sides[0] & sides[1] and 0 < pairs.matches[learnt].sum() < len(learnt)


def test_what_is_known_of_a_text_does_not_help_with_it(quick):
    """Twenty equal pairs in each of few groups, with scores that say nothing: what is learnt is of these pairs alone."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(16), 20)
    matches, scores = (np.arange(16) % 2 == 0)[groups], rng.random(16).astype(np.float32)[groups]
    texts = [str(group) for group in groups]
    losses = []
    for own in (grouped(texts, texts), np.arange(320)):
        found = calibrate(Labelled("copies", texts, texts, matches, own), scores, Metric.COSINE, AXIS)
        losses.append(found.reliability["isotonic"].log_loss)
    assert losses[0] > 0.69 > 0.65 > losses[1]  # as good as tossing a coin, at the best; and what a leak would look like


# -- the file ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=METHODS)
def learnt(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vecsearch.evaluation.intervals.DRAWS", 20)
        return calibrate(*made(200), Metric.COSINE, AXIS, method=request.param, rule=Rule("recall", 0.9))


@pytest.fixture
def saved(learnt, tmp_path):
    learnt.save(tmp_path / "calibration.json")
    return tmp_path / "calibration.json", learnt


def test_a_file_holds_all_and_the_same_input_gives_the_same_bytes(saved, quick):
    path, found = saved
    loaded = Calibration.load(path)
    assert loaded == found and loaded.to_bytes() == path.read_bytes() == found.to_bytes()
    asked = np.linspace(-1, 2, 50)
    assert (loaded.probability(asked) == found.probability(asked)).all()
    assert 2 <= len(loaded.curve["recall"]) <= POINTS < 200
    again = calibrate(*made(200), Metric.COSINE, AXIS, method=found.way, rule=Rule("recall", 0.9))
    assert again.to_bytes() == found.to_bytes()


def places(value, path=()):
    """The path of every key and element of a JSON document; of a list its first."""
    children = value.items() if isinstance(value, dict) else list(enumerate(value))[:1] if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


def test_a_file_in_which_anything_is_missing_or_of_another_type_is_refused(saved, tmp_path):
    path, _ = saved
    text = path.read_text()
    tried = list(places(json.loads(text)))
    assert ("figures", "f1", "low") in tried and ("curve", "recall", 0) in tried and len(tried) > 50
    for *parents, key in tried:
        for harm in ("delete", {}, float("nan")):
            values = json.loads(text)
            place = values
            for parent in parents:
                place = place[parent]
            if harm == "delete":
                if isinstance(place, list) or (key == "score" and parents == ["reliability"]):
                    continue  # a file without it can be right
                del place[key]
            elif harm == place[key]:
                continue
            else:
                place[key] = harm
            path.write_text(json.dumps(values))
            with pytest.raises(CheckpointError, match=r"calibration\.json cannot be read as a calibration \("):
                Calibration.load(path)


@pytest.mark.parametrize(
    "place, value",
    [
        (("metric",), "l2"),
        (("format",), 0),
        (("format",), True),
        (("extra",), 1),
        (("pairs", "others"), 0),
        (("rule", "measure"), "accuracy"),
        (("rule", "least"), 1.5),
        (("figures", "f1", "low"), 0.999),
        (("figures", "recall", "high"), 1.5),
        (("encoder", "names"), []),
        (("encoder", "options"), {"pooling": 3}),
        (("encoder", "options"), {"path": "x"}),
        (("method", "name"), "forest"),
        (("curve", "precision"), []),
        (("reliability", "platt", "brier"), -0.1),
    ],
)
def test_values_that_cannot_be_are_refused(saved, place, value):
    path, _ = saved
    values = json.loads(path.read_text())
    at = values
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    path.write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=r"calibration\.json cannot be read as a calibration \("):
        Calibration.load(path)


def test_a_method_that_falls_is_refused(saved):
    path, found = saved
    values = json.loads(path.read_text())
    if found.way == "platt":
        values["method"]["slope"] = -1.0
    else:
        values["method"]["probabilities"].reverse()
    path.write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="method"):
        Calibration.load(path)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"format": 1}'])
def test_what_is_no_calibration_is_refused(tmp_path, data):
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"x\.json cannot be read as a calibration"):
        Calibration.load(tmp_path / "x.json")
    with pytest.raises(CheckpointError, match="nowhere does not exist"):
        Calibration.load(tmp_path / "nowhere")


def test_a_newer_format_is_refused_by_its_name(saved):
    path, _ = saved
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    with pytest.raises(CheckpointError, match=r"calibration\.json has a newer format than 1"):
        Calibration.load(path)


def test_another_encoder_is_refused(saved, axis, tiny):
    saved[1].check_encoder(axis)
    with pytest.raises(UsageError, match=f"axis-1.*this one is {tiny.fingerprint}"):
        saved[1].check_encoder(tiny)


# -- labelled pairs ----------------------------------------------------------------------------------------------------


def written(tmp_path, rows):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(dict(zip(("a", "b", "score"), row, strict=False))) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    "rows, positive, message",
    [
        ([(f"a{i}", f"b{i}", i % 2) for i in range(19)], None, "holds 19 pairs; at least 20 are needed"),
        ([(f"a{i}", f"b{i}", 1) for i in range(30)], None, "all 30 pairs are matches; label some of both"),
        ([(f"a{i}", f"b{i}", 0) for i in range(30)], None, "all 30 pairs are non-matches; label some of both"),
        (
            [(f"a{i}", f"b{i}", i) for i in range(30)],
            99,
            "all 30 pairs are non-matches; choose another score than --positive 99",
        ),
        ([(f"a{i}", f"b{i}", i) for i in range(30)], None, "pair 3: the label is 2, not 0 or 1; --positive"),
        ([(f"a{i}", f"b{i}") for i in range(30)], None, "pair 1 has no label; name the columns"),
    ],
)
def test_labels_that_cannot_be_used(tmp_path, rows, positive, message):
    with pytest.raises(CorpusError, match=rf"pairs\.jsonl.*{message}"):
        read_labelled(written(tmp_path, rows), positive=positive)


def test_graded_scores_are_matches_from_a_score_on(tmp_path):
    pairs = read_labelled(written(tmp_path, [(f"a{i}", f"b{i}", i / 10) for i in range(30)]), positive=2.0)
    assert pairs.matches.tolist() == [i >= 20 for i in range(30)]


@pytest.mark.parametrize("label, what", [(1, "matches"), (0, "non-matches")])
def test_too_few_groups_are_refused(tmp_path, label, what):
    rows = [("hub", f"b{i}", label) for i in range(20)] + [(f"a{i}", f"c{i}", 1 - label) for i in range(20)]
    rows += [(f"x{i}", f"y{i}", label) for i in range(FOLDS - 2)]
    pairs = read_labelled(written(tmp_path, rows))
    with pytest.raises(CorpusError, match=f"all {what} share texts with one another, but for {FOLDS - 1} groups"):
        folds(pairs)
    assert len(folds(read_labelled(written(tmp_path, [*rows, ("more", "still", label)])))) == FOLDS
