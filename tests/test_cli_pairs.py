"""`vecsearch similarity --pairs`: what is written, counted and refused."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
from conftest import refused

from vecsearch.encoders import UlmfitEncoder
from vecsearch.metric import Metric, pair_scores

PAIRS = [
    ("the king", "the queen"),
    ("the king", "a tomato"),
    ("a river", "the bank of the river"),
    ("a river", "a film of love"),
    ("war in the city", "the city is in war"),
    ("war in the city", "a heist"),
]


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps({"n": n, "query": a, "result": b}) + "\n" for n, (a, b) in enumerate(PAIRS)))
    return path


@pytest.fixture
def run(vecsearch, tiny_folder, pairs):
    return lambda *options, of=pairs: vecsearch("similarity", "--pairs", of, "--encoder", tiny_folder(), *options)


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_stdout_has_each_record_with_its_scores(run, tiny_folder):
    ran = run()
    found = [json.loads(line) for line in ran.out.splitlines()]
    vectors = [UlmfitEncoder(tiny_folder()).encode(list(side)) for side in zip(*PAIRS, strict=True)]
    for metric in Metric:
        expected = pair_scores(*vectors, metric)
        assert [row[metric] for row in found] == pytest.approx(expected, abs=1e-5)
    assert [(row["n"], row["query"], row["result"]) for row in found] == [(n, *pair) for n, pair in enumerate(PAIRS)]
    assert all(0 <= row["cosine_percentile"] <= 100 and 0 <= row["ip_percentile"] <= 100 for row in found)
    table = run("--table").out.splitlines()
    assert len(table) == 7 and table[0].split()[:4] == ["n", "query", "result", "cosine"]


@pytest.mark.parametrize("by", ["cosine", "ip", "cosine_percentile", "ip_percentile"])
def test_a_threshold_splits_by_its_column(run, tmp_path, by):
    values = sorted(json.loads(line)[by] for line in run().out.splitlines())
    threshold = (values[2] + values[3]) / 2
    ran = run("--threshold", threshold, "--by", by, "--kept", tmp_path / "k.jsonl", "--dropped", tmp_path / "d.jsonl")
    kept, dropped = rows(tmp_path / "k.jsonl"), rows(tmp_path / "d.jsonl")
    assert min(row[by] for row in kept) >= threshold > max(row[by] for row in dropped)
    assert sorted(row["n"] for row in kept + dropped) == list(range(6))
    told = [json.loads(line) for line in ran.out.splitlines()]
    assert told == [
        {"file": str(tmp_path / f"{name[0]}.jsonl"), "pairs": len(its)} for name, its in (("k", kept), ("d", dropped))
    ]
    assert "6 pairs scored, 9 texts encoded" in ran.err
    assert [json.loads(line)["n"] for line in run("--threshold", threshold, "--by", by).out.splitlines()] == [
        row["n"] for row in kept
    ]


def test_a_calibration_adds_a_probability_and_has_a_threshold(run, vecsearch, tmp_path, tiny_folder, monkeypatch):
    monkeypatch.setattr("vecsearch.evaluation.intervals.DRAWS", 50)
    labelled = tmp_path / "labelled.jsonl"
    numbered = [(n, i, a, b) for n in range(7) for i, (a, b) in enumerate(PAIRS)]
    records = [{"a": f"{a} {'the ' * n}", "b": f"{b} {'a ' * n}", "label": (n + i) % 2} for n, i, a, b in numbered]
    labelled.write_text("".join(json.dumps(record) + "\n" for record in records))
    vecsearch("calibrate", labelled, "--encoder", tiny_folder(), "-o", tmp_path / "c.json")
    threshold = json.loads((tmp_path / "c.json").read_text())["figures"]["threshold"]["value"]
    options = ("--calibration", tmp_path / "c.json", "--kept", tmp_path / "k.jsonl", "--dropped", tmp_path / "d.jsonl")
    # Its own encoder is taken where none is named.
    assert vecsearch("similarity", "--pairs", tmp_path / "pairs.jsonl", *options).code == 0
    kept, dropped = rows(tmp_path / "k.jsonl"), rows(tmp_path / "d.jsonl")
    assert all(row["match"] and row["cosine"] >= threshold - 1e-6 and 0 < row["probability"] < 1 for row in kept)
    assert not any(row["match"] for row in dropped) and len(kept) + len(dropped) == 6
    refused(run(*options, "--replace", "--by", "ip"), 2, "the threshold that is known is for cosine, not for ip")
    other = tiny_folder(dims=(6, 9))
    ran = vecsearch("similarity", "--pairs", tmp_path / "pairs.jsonl", "--encoder", other, "--calibration", tmp_path / "c.json")
    refused(ran, 2, "the calibration is for scores of the encoder")


def test_columns_formats_and_bad_records(run, tmp_path):
    path = tmp_path / "p.data"
    path.write_text("x\ty\na king\ta queen\n\n")
    refused(run(of=path), 2, "unknown suffix of", "--format")
    refused(run("--format", "tsv", of=path), 3, "has no two columns of texts", "there are: x, y", "--columns")
    refused(run("--format", "tsv", "--columns", "x,z", of=path), 3, "has no column 'z'")
    refused(run("--format", "tsv", "--columns", "x", of=path), 2, "--columns x: name two")
    assert len(run("--format", "tsv", "--columns", "x,y", of=path).out.splitlines()) == 1
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"a": "the king", "b": "the queen"}\n{"a": 1, "b": "x"}\n{"a": "x", "b": "y"}\n')
    refused(run(of=bad), 3, f'{bad}, line 2: "a" is 1, not a text', "--skip-bad")
    ran = run("--skip-bad", "-o", tmp_path / "o.csv", of=bad)
    assert ran.code == 0 and "skipped 1 bad records" in ran.err and "line 2" in ran.err
    assert len((tmp_path / "o.csv").read_text().splitlines()) == 3
    (tmp_path / "none.jsonl").write_text("")
    refused(run(of=tmp_path / "none.jsonl"), 3, "holds no pairs")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--kept", "k.csv"], "--threshold, --calibration or --fusion"),
        (["--by", "ip"], "--threshold"),
        (["--threshold", "1", "--by", "probability"], "--by probability: the pairs get no such number, but cosine"),
        (["--resume"], "-o, --kept or --dropped"),
        (["-o", "k.csv", "--resume", "--replace"], "--replace"),
        (["-o", "k.csv", "--kept", "k.csv", "--threshold", "1"], "are to be different files"),
        (["-o", "k.txt"], "written to .jsonl, .csv, .tsv"),
        (["-o", "k.csv", "--resume"], "nothing to resume"),
        (["--index", "x"], "--index"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together(run, options, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(run(*options), 2, said)
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.jsonl"]


def test_two_texts_or_a_file_of_pairs(vecsearch, pairs):
    refused(vecsearch("similarity", "a"), 2, "takes two texts, or --pairs FILE and none; 1 were given")
    refused(vecsearch("similarity"), 2, "0 were given")
    refused(vecsearch("similarity", "a", "b", "--pairs", pairs), 2, "2 were given")
    refused(vecsearch("similarity", "a", "b", "--skip-bad"), 2, "--skip-bad", "--pairs")
    refused(vecsearch("similarity", "a", "b", "--threshold", 0), 2, "--threshold", "--pairs")


@pytest.fixture
def many(pairs):
    """Two files in a folder, of which the second has a bad record."""
    folder = pairs.parent / "many"
    folder.mkdir()
    (folder / "one.jsonl").write_bytes(pairs.read_bytes())
    (folder / "two.csv").write_text("query,result\nthe king,the unknowable queen\na river\n")
    return folder


def test_many_files_go_into_folders(run, tmp_path, pairs, many):
    values = sorted(json.loads(line)["cosine"] for line in run().out.splitlines())
    threshold = (values[2] + values[3]) / 2
    split = ("--threshold", threshold, "--skip-bad", "--kept", tmp_path / "k", "--dropped", tmp_path / "d")
    ran = run(*split, of=many)
    assert ran.code == 0, ran.err
    told = [json.loads(line) for line in ran.out.splitlines()]
    assert [(row["folder"], row["files"]) for row in told] == [(str(tmp_path / name), 2) for name in "kd"]
    assert sum(row["pairs"] for row in told) == 7 and min(row["pairs"] for row in told) > 0
    assert "7 pairs of 2 files scored, 11 texts encoded" in ran.err and "words are unknown to the model" in ran.err
    assert f"skipped 1 bad records of 2 files; the first: {many}/two.csv, line 3" in ran.err
    alone = run("--threshold", threshold, "--kept", tmp_path / "k.jsonl", "--dropped", tmp_path / "d.jsonl")
    assert alone.code == 0
    for name in "kd":
        assert (tmp_path / name / "one.jsonl").read_bytes() == (tmp_path / f"{name}.jsonl").read_bytes()
        assert (tmp_path / name / "two.csv").read_text().startswith("query,result,cosine,")
    again = run(*split, "--resume", of=many / "*")
    assert again.out == ran.out and "2 files with 7 pairs were scored before\n0 pairs of 0 files scored" in again.err
    assert "skipped 1 bad records" in again.err
    refused(run(*split, of=many), 2, "one.jsonl: continue with --resume, or start again with --replace")
    refused(run("--resume", "-o", tmp_path / "k", of=many), 2, "one.jsonl was started with rule ['cosine', ", "not None")
    refused(run("-o", tmp_path / "o", of=many), 3, f"{many}/two.csv, line 3", "--skip-bad")
    assert [path.name for path in (tmp_path / "o").glob("[!.]*")] == ["one.jsonl"]


def test_workers_write_what_one_process_writes(run, tmp_path, many):
    for name, options in (("one", ()), ("two", ("--workers", 2))):
        assert run("--skip-bad", "-o", tmp_path / name, *options, of=many).code == 0
    for name in ("one.jsonl", "two.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    ran = run("-o", tmp_path / "single", "--workers", 1, of=many / "one.jsonl")
    assert ran.code == 0 and (tmp_path / "single" / "one.jsonl").exists()


def test_many_files_need_folders(run, vecsearch, tmp_path, many):
    (tmp_path / "file.jsonl").write_text("")
    refused(run(of=many), 2, "are scored into folders: give -o, or --kept and --dropped")
    refused(run("--workers", 2), 2, "are scored into folders: give -o")
    refused(run("-o", tmp_path / "file.jsonl", of=many), 2, "file.jsonl is a file; the outputs of many files go into a folder")
    refused(run("-o", many, of=many), 2, f"{many} is read, and would be written")
    refused(vecsearch("similarity", "a", "b", "--workers", 2), 2, "--workers", "--pairs")


def test_interrupted_it_says_how_it_goes_on_and_does(tmp_path, tiny_folder):
    path, out = tmp_path / "many.jsonl", tmp_path / "out.jsonl"
    # Ever other texts, so that it takes a while.
    path.write_text(
        "".join(json.dumps({"a": f"{'the ' * 30} {n}", "b": f"king {n} {'of ' * 30}"}) + "\n" for n in range(25_000))
    )
    command = [sys.executable, "-m", "vecsearch.cli", "similarity", "--pairs", path, "--encoder", tiny_folder(), "-o", out]
    # Tests that a shell runs in the background inherit that interruptions are ignored.
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ, preexec_fn=heeding)
    progress = tmp_path / ".out.jsonl.progress"
    while not progress.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    begun = json.loads(progress.read_text())["done"]["pairs"]
    assert process.returncode == 130 and not out.exists() and 0 < begun < 25_000
    assert f"note: {begun:,} pairs are scored: the same command with --resume continues after them" in err
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 2 and "is unfinished: continue with --resume" in again.stderr
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True)
    assert done.returncode == 0 and f"{25_000 - begun:,} pairs scored" in done.stderr
    assert [row["a"].split()[-1] for row in rows(out)] == [str(n) for n in range(25_000)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["many.jsonl", "out.jsonl"]
