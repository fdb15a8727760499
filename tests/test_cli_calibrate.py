"""`vecsearch calibrate` and `similarity --calibration`: rows, files, options that take effect, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import refused

from vecsearch.encoders import ConcatenatedEncoder, UlmfitEncoder
from vecsearch.matching.calibration import CalibratedEncoder, Calibration
from vecsearch.metric import Metric, pair_scores

WORDS = ["king", "queen", "river", "bank", "film", "war", "love", "city", "heist", "tomato"]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("vecsearch.evaluation.intervals.DRAWS", 50)


@pytest.fixture(scope="session")
def texts():
    """Sixty pairs of texts of their own."""
    rng = np.random.default_rng(0)
    made = [f"{' '.join(rng.choice(WORDS, 3))} . {'! ' * (i % 7)}{'the ' * (i // 7)}" for i in range(120)]
    return list(zip(made[::2], made[1::2], strict=True))


@pytest.fixture
def pairs(texts, tmp_path, tiny_folder):
    """Those of them are matches, as a rule, that score high by the tiny encoder."""
    a, b = map(UlmfitEncoder(tiny_folder()).encode, zip(*texts, strict=True))
    scores = pair_scores(a, b, Metric.COSINE)
    grades = scores + np.random.default_rng(1).normal(0, 0.5 * scores.std(), len(a))
    grades = (np.argsort(np.argsort(grades)) / 10).round(1)
    rows = [
        {"a": x, "b": y, "label": int(grade >= 3), "grade": grade} for (x, y), grade in zip(texts, grades.tolist(), strict=True)
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "pairs.jsonl"


@pytest.fixture
def run(vecsearch, pairs, tmp_path, tiny_folder):
    """Calibrates with the tiny encoder and these options: what was printed, and what was written."""

    def calibrate(*options, encoder=None, of=pairs):
        ran = vecsearch("calibrate", of, "--encoder", encoder or tiny_folder(), "-o", tmp_path / "c.json", *options)
        assert ran.code == 0, ran.err
        return ran, Calibration.load(tmp_path / "c.json")

    return calibrate


def test_what_is_printed_is_what_is_written(run, tmp_path):
    ran, made = run("--plot", tmp_path / "p.png")
    rows = [json.loads(line) for line in ran.out.splitlines()]
    figures = {row["measure"]: row for row in rows if "measure" in row}
    assert list(figures) == list(made.figures) and len(rows) == 6 + 3
    assert all(row["low"] <= row["high"] and row["value"] == made.figures[name].value for name, row in figures.items())
    assert figures["f1"]["value"] > 0.7 and 0 < figures["threshold"]["low"] < figures["threshold"]["high"] < 1
    ways = {row["probability"]: row for row in rows if "probability" in row}
    assert [name for name, row in ways.items() if row["kept"]] == [made.way] and "score" in ways
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
    assert "30 matches, 30 others, in 60 groups that share no text" in ran.err
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []


def test_the_same_input_gives_the_same_bytes(run, tmp_path):
    run()
    first = (tmp_path / "c.json").read_bytes()
    run()
    assert (tmp_path / "c.json").read_bytes() == first


def test_a_table(run):
    out = run("--table")[0].out
    assert out.startswith("measure ") and "average_precision" in out and "log_loss" in out and "yes" in out


@pytest.mark.parametrize(
    "options, took_effect",
    [
        (["--metric", "ip"], lambda made, before: made.metric == "ip" and made.threshold != before.threshold),
        (["--method", "isotonic"], lambda made, before: (made.way, before.way) == ("isotonic", "platt")),
        (["--recall", 0.4], lambda made, before: made.threshold > before.threshold and made.rule.least == 0.4),
        (["--precision", 1], lambda made, before: made.threshold > before.threshold and made.rule.measure == "precision"),
        (["--columns", "a,b,grade", "--positive", "4"], lambda made, before: made.pairs["matches"] == 20),
    ],
)
def test_options_take_effect(run, options, took_effect):
    before = run()[1]
    made = run(*options)[1]
    assert took_effect(made, before) and made != before and not took_effect(before, made)


def test_formats_and_bad_records(run, vecsearch, pairs, tmp_path):
    whole = run()[1]
    harmed = tmp_path / "harmed.txt"
    harmed.write_text(pairs.read_text() + '{"a": "king", "b": 5, "label": 1}\n')
    refused(vecsearch("calibrate", harmed, "--format", "jsonl", "-o", tmp_path / "x"), 3, "harmed.txt, line 61", "--skip-bad")
    ran, made = run("--format", "jsonl", "--skip-bad", of=harmed)
    assert "skipped 1 bad records" in ran.err and made == whole


def test_few_labels_are_said_to_be_few(run, pairs):
    pairs.write_text("".join(pairs.read_text().splitlines(keepends=True)[:45]))
    ran, made = run()
    assert "note: 45 labels are few: below 50" in ran.err and made.way == "platt"


def test_a_recall_that_does_not_hold_is_said(run):
    for least, holds in ((0.4, True), (1.0, False)):
        ran, made = run("--recall", least)
        assert (made.figures["recall"].value >= least) is holds
        assert (
            f"note: on held-out pairs the recall is {made.figures['recall'].value:.3f}, below the 1" in ran.err
        ) is not holds


@pytest.mark.parametrize(
    "options, parts",
    [
        (["--precision", "0.9", "--recall", "0.9"], ["--precision", "--recall"]),
        (["--columns", "a,b"], ["name three, the two texts and the label"]),
        (["--plot", "p.doc"], ["p.doc is no picture"]),
    ],
)
def test_options_that_make_no_sense(vecsearch, pairs, tmp_path, options, parts):
    refused(vecsearch("calibrate", pairs, "-o", tmp_path / "c.json", *options), 2, *parts)
    assert not (tmp_path / "c.json").exists()


def test_labels_that_cannot_be_used(vecsearch, pairs, tmp_path):
    lines = pairs.read_text().splitlines(keepends=True)
    for kept, options, part in (
        (lines[:19], (), "holds 19 pairs"),
        ([line for line in lines if '"label": 1' in line], (), "all 30 pairs are matches"),
        (lines, ("--columns", "a,b,grade"), "not 0 or 1; --positive"),
        (lines, ("--columns", "a,b,nosuch"), "no column 'nosuch'"),
        ([line.replace(json.loads(line)["a"], "king") for line in lines], (), "share texts with one another"),
    ):
        pairs.write_text("".join(kept))
        refused(vecsearch("calibrate", pairs, "-o", tmp_path / "c.json", *options), 3, "pairs.jsonl", part)
    refused(vecsearch("calibrate", tmp_path / "nowhere.jsonl", "-o", tmp_path / "c.json"), 3, "does not exist")


def test_a_file_that_cannot_be_written_leaves_the_one_before(run, vecsearch, pairs, tmp_path, tiny_folder):
    (tmp_path / "folder").mkdir()
    ran = vecsearch("calibrate", pairs, "--encoder", tiny_folder(), "-o", tmp_path / "folder")
    refused(ran, 5, "cannot write", "folder")
    assert (tmp_path / "folder").is_dir() and not list(tmp_path.glob(".*.tmp"))


# -- applied -----------------------------------------------------------------------------------------------------------


def test_a_similarity_becomes_a_probability(run, vecsearch, texts, tmp_path, tiny_folder):
    for encoder, options in ((tiny_folder(), ()), (f"{tiny_folder()},pooling=raw", ("--metric", "ip"))):
        made = run(*options, "--recall", 0.5, encoder=encoder)[1]
        matches = set()
        for a, b in texts[:4]:
            ran = vecsearch("similarity", a, b, "--calibration", tmp_path / "c.json")
            (row,) = map(json.loads, ran.out.splitlines())
            score = row[made.metric]
            assert row["probability"] == pytest.approx(made.probability(np.array([score]))[0])
            assert row["match"] is (score >= made.threshold)
            matches.add(row["match"])
            named = vecsearch("similarity", a, b, "--encoder", encoder)
            assert json.loads(named.out).items() <= row.items()  # its encoder and options are those of the calibration
        assert matches == {True, False}
    assert "probability  match" in vecsearch("similarity", "a", "b", "--calibration", tmp_path / "c.json", "--table").out


def test_another_encoder_is_refused(run, vecsearch, tmp_path, tiny_folder):
    run()
    given = ("similarity", "king", "queen", "--calibration", tmp_path / "c.json")
    assert vecsearch(*given, "--encoder", tiny_folder()).code == 0
    for other in (tiny_folder(seed=1), f"{tiny_folder()},pooling=max", f"{tiny_folder()},max_tokens=1"):
        refused(vecsearch(*given, "--encoder", other), 2, "the calibration is for scores of the encoder")


@pytest.mark.parametrize("weights", [[], [1.0, 3.0]], ids=["alike", "weighted"])
def test_a_calibration_of_several_encoders_that_an_earlier_version_made_opens(run, vecsearch, tmp_path, tiny_folder, weights):
    parts = [tiny_folder(), tiny_folder(seed=1)]
    own = ConcatenatedEncoder([UlmfitEncoder(part, pooling="raw") for part in parts], weights or None)
    made = run()[1]
    named = CalibratedEncoder(own.fingerprint, list(map(str, parts)), weights, {"pooling": "raw"})
    replace(made, encoder=named).save(tmp_path / "c.json")
    ran = vecsearch("similarity", "--pairs", tmp_path / "pairs.jsonl", "--calibration", tmp_path / "c.json")
    row = json.loads(ran.out.splitlines()[0])
    assert row["cosine"] == pytest.approx(
        pair_scores(own.encode([row["a"]]), own.encode([row["b"]]), Metric.COSINE)[0], abs=1e-5
    )


def test_an_index_has_to_be_of_the_same_encoder(run, vecsearch, tmp_path, tiny_folder, texts):
    run()
    (tmp_path / "t.txt").write_text("\n".join(a for a, _ in texts[:10]) + "\n")
    for seed, name in ((0, "same"), (1, "other")):
        assert vecsearch("build", tmp_path / "t.txt", "--encoder", tiny_folder(seed=seed), "-o", tmp_path / name).code == 0
    given = ("similarity", "1", "2", "--calibration", tmp_path / "c.json", "--index")
    assert 0 < json.loads(vecsearch(*given, tmp_path / "same").out)["probability"] < 1
    refused(vecsearch(*given, tmp_path / "other"), 2, "the calibration is for scores of the encoder")


def test_a_damaged_calibration_is_refused(run, vecsearch, tmp_path):
    run()
    (tmp_path / "c.json").write_bytes((tmp_path / "c.json").read_bytes()[:-9])
    refused(
        vecsearch("similarity", "a", "b", "--calibration", tmp_path / "c.json"), 3, "c.json cannot be read", "make it again"
    )
    refused(vecsearch("similarity", "a", "b", "--calibration", tmp_path / "no"), 3, "does not exist")
