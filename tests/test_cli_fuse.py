"""`vecsearch fuse` and `similarity --fusion`: rows, files, options that take effect, and what is refused."""

import json
import pickle

import numpy as np
import pytest
from conftest import refused

from vecsearch.encoders import UlmfitEncoder
from vecsearch.matching.fused_model import FusedModel
from vecsearch.matching.judges import FusedJudge
from vecsearch.matching.scoring_files import score_files
from vecsearch.matching.scoring_plan import Scoring
from vecsearch.metric import Metric, pair_scores

WORDS = ["king", "queen", "river", "bank", "film", "war", "love", "city", "heist", "tomato"]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("vecsearch.evaluation.intervals.DRAWS", 50)
    monkeypatch.setattr("vecsearch.matching.classifiers.TREES", 5)
    monkeypatch.setattr("vecsearch.matching.fuse.REPEATS", 1)


@pytest.fixture
def encoders(tiny_folder):
    """Of two tiny models, as options."""
    return "--encoder", f"one={tiny_folder()}", "--encoder", f"two={tiny_folder(dims=(6, 9))},pooling=raw"


@pytest.fixture
def pairs(tmp_path, tiny_folder):
    """Sixty pairs of texts of their own; matches score high by both encoders together."""
    rng = np.random.default_rng(0)
    made = [f"{' '.join(rng.choice(WORDS, 3))} . {'! ' * (i % 7)}{'the ' * (i // 7)}" for i in range(120)]
    texts = made[::2], made[1::2]
    opened = UlmfitEncoder(tiny_folder()), UlmfitEncoder(tiny_folder(dims=(6, 9)), pooling="raw")
    scores = [pair_scores(*map(encoder.encode, texts), Metric.COSINE) for encoder in opened]
    total = sum((its - its.mean()) / its.std() for its in scores) + rng.normal(0, 1, 60)
    grades = (np.argsort(np.argsort(total)) / 10).round(1).tolist()
    rows = [{"a": x, "b": y, "label": int(grade >= 3), "grade": grade} for x, y, grade in zip(*texts, grades, strict=True)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "pairs.jsonl"


@pytest.fixture
def run(vecsearch, pairs, tmp_path, encoders):
    """Fuses with these options: what was printed, in its three tables, and the folder."""
    made = []

    def fuse(*options):
        folder = tmp_path / f"fused{len(made)}"
        made.append(folder)
        ran = vecsearch("fuse", pairs, *encoders, "-o", folder, *options)
        assert ran.code == 0, ran.err
        rows = [json.loads(line) for line in ran.out.splitlines()]
        return ran, [[row for row in rows if key in row] for key in ("scores", "difference", "feature")], folder

    return fuse


def test_what_is_printed_is_what_is_kept(run, tmp_path):
    ran, (compared, gains, importances), folder = run("--plot", tmp_path / "p.png")
    assert [row["scores"] for row in compared] == ["one", "two", "logistic", "forest", "boosting"]
    assert all(row["low"] <= row["average_precision"] <= row["high"] and row["f1_low"] <= row["f1_high"] for row in compared)
    assert [row["ece"] is None for row in compared] == [True, True, False, False, False]
    best = max(compared[2:], key=lambda row: row["average_precision"])
    single = max(compared[:2], key=lambda row: row["average_precision"])
    assert [(row["model"], row["than"], row["measure"]) for row in gains] == [
        (best["scores"], single["scores"], measure) for measure in ("average_precision", "f1")
    ]
    assert gains[0]["difference"] == pytest.approx(best["average_precision"] - single["average_precision"])
    kept = json.loads((folder / "fusion.json").read_text())
    assert (kept["model"], kept["compared"], kept["importances"]) == (best["scores"], compared, importances)
    assert {row["feature"] for row in importances} == set(kept["features"]) and len(kept["features"]) == 11
    assert "30 matches, 30 others, in 60 groups that share no text" in ran.err
    assert ("is not shown to be better than" in ran.err) == (gains[0]["low"] <= 0)
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("model", ["logistic", "forest", "boosting"])
def test_a_stream_is_judged_by_a_kept_model(run, vecsearch, tmp_path, tiny_folder, encoders, model):
    _, (compared, _, _), folder = run("--model", model)
    assert [row["scores"] for row in compared][2:] == [model]
    stream = tmp_path / "stream.jsonl"
    texts = [(f"the {x} and the {y}", f"a {y} {x}") for x in WORDS[:4] for y in WORDS[4:]]
    stream.write_text("".join(json.dumps({"a": a, "b": b, "n": n}) + "\n" for n, (a, b) in enumerate(texts)))
    options = ("--pairs", stream, "--fusion", folder, "--kept", tmp_path / "k.jsonl", "--dropped", tmp_path / "d.jsonl")
    ran = vecsearch("similarity", *options)  # its own encoders are taken where none is named
    assert ran.code == 0, ran.err
    kept, dropped = ([json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()] for name in "kd")
    fusion = FusedModel.load(folder)
    assert sorted(row["n"] for row in kept + dropped) == list(range(len(texts)))
    assert all(row["match"] and row["probability"] >= fusion.threshold - 1e-6 for row in kept)
    assert not any(row["match"] or row["probability"] > fusion.threshold for row in dropped)
    told = vecsearch("similarity", *texts[0], "--fusion", folder, *encoders)
    (row,) = [json.loads(line) for line in told.out.splitlines()]
    (same,) = [its for its in kept + dropped if its["n"] == 0]
    assert row["probability"] == pytest.approx(same["probability"], abs=1e-5) and row["match"] == same["match"]
    by = ("--threshold", 0.9, "--by", "one cosine")
    rows = [json.loads(line) for line in vecsearch("similarity", "--pairs", stream, "--fusion", folder, *by).out.splitlines()]
    assert [row["n"] for row in rows] == sorted(row["n"] for row in kept + dropped if row["one cosine"] >= 0.9)
    ran = vecsearch("similarity", "--pairs", stream, "--fusion", folder, "--threshold", 2)
    assert (ran.code, ran.out) == (0, "")
    # In other processes as well, to which it is sent as a pickle.
    two = UlmfitEncoder(tiny_folder(dims=(6, 9)), pooling="raw")
    judge = pickle.loads(pickle.dumps(FusedJudge(fusion, {"one": UlmfitEncoder(tiny_folder()), "two": two})))
    score_files([stream], judge, Scoring(kept=tmp_path / "k", dropped=tmp_path / "d", threshold=judge.threshold))
    assert all((tmp_path / name / "stream.jsonl").read_bytes() == (tmp_path / f"{name}.jsonl").read_bytes() for name in "kd")


def test_every_option_takes_effect(run, tmp_path):
    def of(*options):
        _, (compared, _, _), folder = run("--model", "logistic", *options)
        return compared[-1], json.loads((folder / "fusion.json").read_text())

    plain, kept = of()
    precise, recalled = (of(*option)[1]["threshold"] for option in (("--precision", 0.97), ("--recall", 0.97)))
    assert recalled < kept["threshold"] < precise
    graded, other = of("--positive", 4, "--columns", "a,b,grade")
    assert other["pairs"] == {"matches": 20, "others": 40} != kept["pairs"] and graded != plain


def test_what_is_refused(run, vecsearch, pairs, tmp_path, encoders, tiny_folder):
    _, _, folder = run("--model", "logistic")
    fuse = lambda *options, of=pairs, to="new": vecsearch("fuse", of, "-o", tmp_path / to, *options)  # noqa: E731
    refused(fuse(*encoders, to=folder.name), 2, "exists")
    refused(fuse(*encoders, "--plot", tmp_path / "p.bmp"), 2, ".png")
    refused(fuse(*encoders, "--precision", 0.9, "--recall", 0.9), 2, "--precision", "--recall")
    refused(fuse(*encoders, *encoders), 2, "two encoders are called one")
    refused(fuse("--encoder", tmp_path / "none"), 3, "none")
    few = tmp_path / "few.jsonl"
    few.write_text("".join(pairs.read_text().splitlines(keepends=True)[:9]))
    refused(fuse(*encoders, of=few), 3, "holds 9 pairs; at least 20")
    one = tmp_path / "one.jsonl"
    one.write_text("".join(line for line in pairs.read_text().splitlines(keepends=True) if '"label": 1' in line))
    refused(fuse(*encoders, of=one), 3, "all 30 pairs are matches")
    assert not (tmp_path / "new").exists()
    similarity = lambda *options: vecsearch("similarity", "a", "b", *options)  # noqa: E731
    refused(similarity("--fusion", tmp_path / "none"), 3, "holds no fusion.json")
    refused(similarity("--fusion", folder, "--calibration", folder), 2, "--fusion", "--calibration")
    refused(similarity("--fusion", folder, "--index", folder), 2, "--index", "--fusion")
    refused(similarity("--fusion", folder, *encoders[:2]), 2, "is of the encoders one, two, not of one")
    other = ("--encoder", f"one={tiny_folder(seed=1)}", *encoders[2:])
    refused(similarity("--fusion", folder, *other), 2, "the encoder one is not the one that the fused model learnt from")
    by = vecsearch("similarity", "--pairs", pairs, "--fusion", folder, "--by", "ip", "--threshold", 1)
    refused(by, 2, "--by ip: the pairs get no such number, but probability, one cosine, two cosine")


def test_a_stream_is_not_gone_on_with_by_another_model(run, vecsearch, pairs, tmp_path):
    _, _, first = run("--model", "logistic")
    _, _, second = run("--model", "logistic", "--recall", 0.99)
    (tmp_path / "bad.jsonl").write_text('{"a": "the king", "b": "the queen"}\n' * 8192 + '{"a": 1, "b": "x"}\n')
    options = ("--pairs", tmp_path / "bad.jsonl", "-o", tmp_path / "o.jsonl")
    assert vecsearch("similarity", *options, "--fusion", first).code == 3
    refused(vecsearch("similarity", *options, "--fusion", second, "--resume"), 2, "cannot resume: ", "fused model")
    assert "line 8193" in vecsearch("similarity", *options, "--fusion", first, "--resume").err
