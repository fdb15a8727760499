"""A build that is asked for a recall: what it says, proves and keeps, and what it refuses."""

import json
from pathlib import Path

import click
import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsearch import ann
from vecsearch.ann import planner
from vecsearch.cli.options import Share, Size
from vecsearch.metric import Metric, norms

ROWS, DIM = 9000, 120
UNITS = {"": 1, "B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def vectors_of(rows: int, seed: int = 1) -> np.ndarray:
    """Points around 200 places, in 12 of 120 dimensions but for a little noise."""
    rng = np.random.default_rng(seed)
    axes, places = np.random.default_rng(0).standard_normal((12, DIM)), np.random.default_rng(2).standard_normal((200, 12))
    latent = places[rng.integers(0, 200, rows)] + 0.5 * rng.standard_normal((rows, 12))
    return (latent @ axes + 0.01 * rng.standard_normal((rows, DIM))).astype(np.float32)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    assert ROWS * DIM > planner.EXACT_NUMBERS
    path = tmp_path_factory.mktemp("vectors") / "v.npy"
    np.save(path, vectors_of(ROWS))
    return path


@pytest.fixture(autouse=True)
def one_thread():
    """On a busy machine threads that wait for one another take many times as long."""
    with ann.threads(1):
        yield


def info(vecsearch, folder):
    return json.loads(vecsearch("info", folder, "--json").out)


# -- the options -------------------------------------------------------------------------------------------------------


@given(number=st.integers(1, 5000), unit=st.sampled_from(list(UNITS)), space=st.sampled_from(["", " "]))
def test_sizes(number, unit, space):
    for written in (unit, unit.lower(), unit.upper()):
        assert Size().convert(f"{number}{space}{written}", None, None) == number * UNITS[unit]


def test_a_size_with_a_fraction():
    assert Size().convert("1.5GiB", None, None) == 3 * 2**29


@pytest.mark.parametrize("text", ["", "0", "-1", "2G", "1e9", "GB", "1,000", "0.1B", "nan", "1 GB 2", "\u0661GB", "9" * 400])
def test_what_is_no_size(text):
    with pytest.raises(click.BadParameter, match="is not a size; give bytes, or a number with kB"):
        Size().convert(text, None, None)


@pytest.mark.parametrize("text", ["", "0", "-0.5", "1.01", "95", "nan", "inf", "high"])
def test_what_is_no_recall(text):
    with pytest.raises(click.BadParameter, match="must be greater than 0 and at most 1"):
        Share().convert(text, None, None)


# -- reached, not reached, refused -------------------------------------------------------------------------------------


def test_a_recall_is_reached_proved_and_shown(vecsearch, table, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")  # nothing is cut
    folder = tmp_path / "index"
    ran = vecsearch("build", "--vectors", table, "-o", folder, "--recall", "0.9", "-k", 5, "--table")
    assert ran.code == 0, ran.err
    facts = info(vecsearch, folder)
    recall = facts["recall"]
    assert (recall["k"], recall["target"]) == (5, 0.9) and 0.9 <= recall["low"] <= recall["mean"] and recall["queries"] > 250
    shown = f"@5 {recall['mean']:.3f} ("
    assert f"recall{shown}" in ran.err and f"over {recall['queries']} queries, asked 0.9\n" in ran.err
    assert facts["spec"] in ran.out.split() and facts["spec"] in {trial["spec"] for trial in facts["provenance"]["trials"]}
    text = vecsearch("info", folder, "--table").out
    set_to, names = facts["search_parameters"], ("efSearch", "nprobe", "margin", "candidates")
    said = ", ".join(f"{name} {set_to[name]}" for name in names if name in set_to)
    assert len(set_to) >= 2 and f"\nsearch_parameters {said}\n" in text
    assert f"\nrecall            {shown}" in text and text.count(" tried ") == len(facts["provenance"]["trials"]) >= 2


def test_a_recall_that_is_not_reached(vecsearch, table, tmp_path):
    folder = tmp_path / "index"
    ran = vecsearch("build", "--vectors", table, "-o", folder, "--recall", "0.9", "--spec", "PCA2,Flat")
    recall = info(vecsearch, folder)["recall"]
    assert ran.code == 1 and json.loads(ran.out)["spec"] == "PCA2,Flat" and recall["mean"] < 0.9 == recall["target"]
    assert "the recall of 0.9 is not reached; the index is kept" in ran.err and "leave --spec out or ask for less" in ran.err
    assert vecsearch("verify", folder).code == 0


def test_a_kind_is_tuned_to_the_recall_and_measured_without_one(vecsearch, table, tmp_path):
    build = ("build", "--vectors", table, "--spec", "IVF64,Flat")
    settings = []
    for number, options in enumerate([["--recall", 0.6], ["--recall", 0.95], []]):
        folder = tmp_path / str(number)
        ran = vecsearch(*build, *options, "-o", folder)
        assert ran.code == 0 and ("asked" in ran.err) == bool(options) and "recall@10 " in ran.err, ran.err
        settings.append(info(vecsearch, folder)["search_parameters"]["nprobe"])
    assert settings[0] < settings[1]


def test_little_memory_is_refused_and_the_build_resumes_with_more(vecsearch, table, tmp_path):
    folder = tmp_path / "index"
    build = ("build", "--vectors", table, "-o", folder, "--recall", "0.9")
    ran = vecsearch(*build, "--memory", "1 kB")
    assert ran.code == 2 and ran.out == "" and "give --memory" in ran.err.splitlines()[-1]
    assert f"note: {ROWS:,} documents are stored: the same command with --resume" in ran.err
    stored = next(folder.glob("segments/*/vectors.npy")).stat().st_ino
    ran = vecsearch(*build, "--resume", "--spec", "IVF64,SQ8", "-k", 3)
    assert ran.code == 0 and next(folder.glob("segments/*/vectors.npy")).stat().st_ino == stored, ran.err
    assert info(vecsearch, folder)["recall"]["k"] == 3


def test_exact_search_needs_no_proof(vecsearch, table, tmp_path):
    np.save(tmp_path / "few.npy", vectors_of(50))
    for number, options in enumerate([[tmp_path / "few.npy", "--recall", "0.95"], [table, "--recall", "1"]]):
        ran = vecsearch("build", "--vectors", *options, "-o", tmp_path / str(number))
        facts = info(vecsearch, tmp_path / str(number))
        assert ran.code == 0 and (facts["spec"], facts["search_parameters"], facts["recall"]) == ("exact", {}, None)


def test_too_few_rows_to_measure(vecsearch, tmp_path):
    np.save(tmp_path / "few.npy", vectors_of(9))
    ran = vecsearch("build", "--vectors", tmp_path / "few.npy", "--spec", "HNSW8", "-o", tmp_path / "index")
    assert (
        ran.code == 0 and "note: the recall is not known" in ran.err and info(vecsearch, tmp_path / "index")["recall"] is None
    )
    ran = vecsearch("build", "--vectors", tmp_path / "few.npy", "--spec", "HNSW8", "--recall", 0.5, "-o", tmp_path / "asked")
    assert ran.code == 1 and "note: the recall is not known" in ran.err


# -- queries of one's own ----------------------------------------------------------------------------------------------

TEXTS = [
    f"{a} {b} {c}" for a in ("king", "queen", "tomato") for b in ("bank", "river", "city") for c in ("war", "love", "film")
]


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "c.txt").write_text("\n".join(TEXTS))
    return tmp_path / "c.txt"


def test_queries_as_texts_and_as_vectors(vecsearch, corpus, tmp_path, tiny_folder):
    (tmp_path / "q.txt").write_text("\n".join(TEXTS[::2]) + "\nqwzzq\nthe [[bank]] of the river\n")
    made = vecsearch("encode", tmp_path / "q.txt", "-o", tmp_path / "q.npy", "--encoder", tiny_folder())
    assert made.code == 0
    counts = []
    for name in ("q.txt", "q.npy"):
        build = ("build", corpus, "--encoder", tiny_folder(), "--spec", "HNSW8", "--queries", tmp_path / name)
        assert vecsearch(*build, "-o", tmp_path / f"by-{name}").code == 0
        facts = info(vecsearch, tmp_path / f"by-{name}")
        counts.append(facts["counts"])
        # A third of them proves; the text without a known word asks nothing.
        assert facts["recall"]["queries"] == {"q.txt": 15, "q.npy": 16}[name] // 3
    assert counts[0] == counts[1] and counts[0]["texts"] == len(TEXTS)


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["c.txt", "--queries", "wide.npy"], 2, "the query vectors have the shape (5, 9), the index holds vectors of length 7"),
        (["c.txt", "--queries", "nan.npy"], 3, "nan.npy: row 1 holds NaN"),
        (["c.txt", "--queries", "nowhere.txt"], 3, "nowhere.txt does not exist"),
        (["-", "--queries", "-"], 2, "cannot both be read from stdin"),
    ],
)
def test_queries_that_cannot_be_used(vecsearch, corpus, tmp_path, monkeypatch, tiny_folder, arguments, code, problem):
    monkeypatch.chdir(tmp_path)
    np.save("wide.npy", np.ones((5, 9), np.float32))
    np.save("nan.npy", np.array([[1], [np.nan]], np.float32))
    ran = vecsearch("build", *arguments, "--encoder", tiny_folder(), "--spec", "HNSW8", "-o", "index")
    assert (ran.code, ran.out) == (code, "") and problem in ran.err.splitlines()[-1]


def test_texts_ask_nothing_of_vectors_without_an_encoder(vecsearch, corpus, table, tmp_path):
    ran = vecsearch("build", "--vectors", table, "--spec", "HNSW8", "--queries", corpus, "-o", tmp_path / "index")
    assert ran.code == 2 and "c.txt: queries for ready vectors are vectors" in ran.err


# -- the plan ----------------------------------------------------------------------------------------------------------


def plan(ran):
    return {row["kind"]: row for row in map(json.loads, ran.out.splitlines())}


def test_the_plan_of_ready_vectors(vecsearch, table, tmp_path):
    folder = tmp_path / "index"
    ran = vecsearch("build", "--vectors", table, "-o", folder, "--recall", "0.9", "--dry-run")
    kinds = plan(ran)
    assert ran.code == 0 and not folder.exists() and f"{ROWS:,} documents, vectors of length {DIM}" in ran.err
    assert len(kinds) > 3 and all(row["fits"] and row["encode_s"] == 0 for row in kinds.values())
    for spec in list(kinds)[1:]:
        assert vecsearch("build", "--vectors", table, "-o", tmp_path / spec, "--spec", spec).code == 0
        assert info(vecsearch, tmp_path / spec)["size_bytes"] == pytest.approx(kinds[spec]["disk_bytes"], rel=0.05)


def test_memory_in_the_plan_is_that_of_a_large_index():
    """Where lists that are not full, and the PCA's matrix, no longer weigh anything."""
    vectors = np.random.default_rng(0).standard_normal((60_000, 32)).astype(np.float32)
    source = ann.Rows(vectors, norms(vectors), Metric.COSINE)
    for rows, kind in (
        (5_000, planner.graph(5_000, 32, 16)),
        (60_000, planner.lists(60_000, 32, 16, copies=1)),
        (60_000, planner.lists(60_000, 32, 16, copies=2)),
    ):
        index = ann.construct(kind.spec, source, np.arange(rows))
        assert len(faiss.serialize_index(index)) == pytest.approx(kind.memory_bytes, rel=0.2)


def test_the_plan_marks_what_fits(vecsearch, table, tmp_path):
    build = ("build", "--vectors", table, "-o", tmp_path / "index", "--recall", "0.9", "--dry-run")
    sizes = sorted(row["memory_bytes"] for row in plan(vecsearch(*build)).values())
    kinds = plan(vecsearch(*build, "--memory", sizes[2]))
    assert [row["fits"] for row in kinds.values()] == [row["memory_bytes"] <= sizes[2] for row in kinds.values()]
    ran = vecsearch(*build, "--memory", sizes[0] - 1, "--table")
    assert ran.code == 1 and "none fits" in ran.err and " no\n" in ran.out and " yes\n" not in ran.out


def test_the_plan_of_a_corpus(vecsearch, tmp_path, tiny_folder):
    pages = sorted((Path(__file__).parents[1] / "docs").glob("*.md"))
    texts = [text for page in pages for text in page.read_text(encoding="utf-8").splitlines() if text.strip()]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps({"text": text, "n": 1}) + "\n" for text in texts))
    build = ("build", tmp_path / "c.jsonl", "--encoder", tiny_folder(), "-o", tmp_path / "index", "--recall", "0.9")
    ran = vecsearch(*build, "--dry-run")
    (row,) = plan(ran).values()
    assert ran.code == 0 and f"{len(texts):,} documents, vectors of length 7; looked at 500" in ran.err
    assert row["kind"] == "exact" and row["encode_s"] > 0
    assert vecsearch(*build).code == 0
    files = (tmp_path / "index").glob("segments/*/*")
    assert sum(path.stat().st_size for path in files) == pytest.approx(row["disk_bytes"], rel=0.25)


def test_the_plan_of_a_corpus_that_cannot_be_used(vecsearch, tmp_path, tiny_folder):
    (tmp_path / "c.jsonl").write_text('{"text": "a"}\n{"text": 5}\n')
    build = ("build", tmp_path / "c.jsonl", "--encoder", tiny_folder(), "-o", tmp_path / "index", "--recall", "0.9")
    ran = vecsearch(*build, "--dry-run")
    assert (ran.code, ran.out) == (3, "") and "c.jsonl, line 2" in ran.err
