"""A benchmark asks the right queries of the right vectors, compares with the truth, and tells all of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from html.parser import HTMLParser

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsearch.ann.threads import threads
from vecsearch.ann.truth import leave_out
from vecsearch.bench import bench
from vecsearch.bench.bench import Point, latencies_ms, pareto
from vecsearch.bench.curves import write_report
from vecsearch.bench.workload import open_workload
from vecsearch.errors import VectorsError
from vecsearch.metric import Metric, normalise
from vecsearch.vectors.annbench import read_annbench, write_annbench

ROWS, DIM = 300, 8


def vectors_of(seed: int, rows: int = ROWS) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((rows, DIM)) * rng.uniform(0.5, 2, (rows, 1))).astype(np.float32)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "v.npy"
    np.save(path, vectors_of(0))
    return path


@pytest.fixture
def opened(tmp_path):
    """Opens a workload with its files in a folder of its own."""

    def run(source, **options):
        folder = tmp_path / "base"
        folder.mkdir(exist_ok=True)
        return open_workload(source, folder, rng=np.random.default_rng(0), **options)

    return run


@pytest.fixture
def index(table, tmp_path, vecsearch):
    assert vecsearch("build", "--vectors", table, "-o", tmp_path / "index").code == 0
    return tmp_path / "index"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(bench, "BATCH_S", 0)
    monkeypatch.setattr(bench, "BATCH_ROUNDS", 1)


def reference(base, queries, metric, k):
    """Scores and rows of the k best, from all scores in float64."""
    if metric is Metric.COSINE:
        base, queries = normalise(base), normalise(queries)
    scores = queries.astype(np.float64) @ base.T.astype(np.float64)
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, rows, axis=1), rows


# -- what is asked of what ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", list(Metric))
def test_rows_held_out_of_vectors(opened, table, metric):
    workload = opened(table, k=5, number=40, metric=metric)
    both = np.concatenate([workload.base.vectors, workload.queries])
    assert workload.queries.shape == (40, DIM) and workload.own_rows is None
    assert sorted(both.tolist()) == sorted(vectors_of(0).tolist())
    scores, rows = reference(workload.base.vectors, workload.queries, metric, 5)
    assert np.array_equal(workload.truth_rows, rows) and np.allclose(workload.truth_scores, scores, atol=1e-5)


def test_rows_of_an_index_do_not_find_themselves(opened, index):
    workload = opened(index, k=5, number=40)
    assert np.array_equal(workload.base.vectors, vectors_of(0)) and len(set(workload.own_rows)) == 40
    assert np.array_equal(workload.queries, workload.base.vectors[workload.own_rows])
    _, rows = reference(workload.base.vectors, workload.queries, Metric.COSINE, 6)
    assert np.array_equal(rows[:, 0], workload.own_rows) and np.array_equal(workload.truth_rows, rows[:, 1:])


@pytest.mark.parametrize("which", ["table", "index"])
def test_queries_of_a_file(opened, request, tmp_path, which):
    np.save(tmp_path / "q.npy", vectors_of(1, 30))
    workload = opened(request.getfixturevalue(which), k=5, number=20, queries=tmp_path / "q.npy")
    assert len(workload.base.vectors) == ROWS and workload.own_rows is None
    asked = set(map(tuple, workload.queries.tolist()))
    assert len(asked) == 20 and asked < set(map(tuple, vectors_of(1, 30).tolist()))


def annbench_file(path, *, neighbors_k: int, metric=Metric.COSINE, truth_metric=None):
    base, queries = vectors_of(0), vectors_of(1, 25)
    scores, rows = reference(base, queries, truth_metric or metric, neighbors_k)
    write_annbench(path, base, queries, rows, -scores, metric=metric)
    return path


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("neighbors_k", [3, 5, 8])
def test_a_data_set_of_ann_benchmarks(opened, tmp_path, metric, neighbors_k):
    workload = opened(annbench_file(tmp_path / "a.hdf5", neighbors_k=neighbors_k, metric=metric), k=5)
    scores, rows = reference(vectors_of(0), vectors_of(1, 25), metric, 5)
    assert workload.base.metric is metric and np.array_equal(workload.queries, vectors_of(1, 25))
    assert np.array_equal(workload.truth_rows, rows) and np.allclose(workload.truth_scores, scores, atol=1e-5)


def test_neighbors_by_another_distance_are_refused(opened, tmp_path):
    path = annbench_file(tmp_path / "a.hdf5", neighbors_k=5, metric=Metric.INNER_PRODUCT, truth_metric=Metric.COSINE)
    with pytest.raises(VectorsError, match=r'"neighbors" holds \d+\.\d% of the nearest of 25 queries'):
        opened(path, k=5)


@given(data=st.data(), n=st.integers(1, 6), k=st.integers(1, 8), has_own=st.booleans())
def test_leave_out(data, n, k, has_own):
    rows = np.array([data.draw(st.permutations(range(n))) for _ in range(3)])[:, : k + 1]
    scores = -np.arange(rows.shape[1], dtype=np.float32) * np.ones((3, 1), np.float32)
    own = np.array(data.draw(st.lists(st.integers(0, n), min_size=3, max_size=3))) if has_own else None
    left_scores, left_rows = leave_out(scores, rows, own, k)
    for query in range(3):
        expected = [
            (row, score)
            for row, score in zip(rows[query].tolist(), scores[query].tolist(), strict=True)
            if own is None or row != own[query]
        ]
        found = list(zip(left_rows[query].tolist(), left_scores[query].tolist(), strict=True))
        assert [hit for hit in found if hit[0] >= 0] == expected[:k]
        assert all(hit == (-1, -np.inf) for hit in found[len(expected[:k]) :])


# -- measuring ---------------------------------------------------------------------------------------------------------


def point(recall: float, qps: float, **facts) -> Point:
    latencies = {"p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0, "single_queries": 100, "threads": 1}
    given = {"kind": "HNSW32", "search_parameters": {"efSearch": 8}, "stored": False}
    given |= {"recall_low": recall, "recall_high": recall}
    return Point(**given | latencies | {"recall": recall, "qps": qps} | facts)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6)), min_size=1, max_size=12))
def test_the_frontier_is_what_nothing_beats(pairs):
    points = [point(recall / 5, qps) for recall, qps in pairs]
    best = {
        (a.recall, a.qps)
        for a in points
        if not any(b.recall >= a.recall and b.qps >= a.qps and (b.recall, b.qps) != (a.recall, a.qps) for b in points)
    }
    frontier = [(p.recall, p.qps) for p in pareto(points)]
    assert frontier == sorted(best)


def test_a_slow_kind_is_asked_fewer_single_queries():
    asked = []
    singles = latencies_ms(lambda queries, k: asked.append(len(queries)), np.zeros((150, 2)), 1, seconds=0)
    assert len(singles) == bench.LEAST_SINGLES and asked == [1] * 2 * bench.LEAST_SINGLES
    assert len(latencies_ms(lambda queries, k: None, np.zeros((7, 2)), 1)) == 7


def test_threads_are_given_back():
    before = faiss.omp_get_max_threads()
    with pytest.raises(ValueError), threads(before + 1):
        assert faiss.omp_get_max_threads() == before + 1
        raise ValueError
    assert faiss.omp_get_max_threads() == before


OWN_ROWS = "the queries are rows of the index"
"""A note, where a kind of index is measured on queries that it has seen."""


def measured(ran) -> tuple[dict, list[dict], list[dict]]:
    records = [json.loads(line) for line in ran.out.splitlines()]
    assert ran.code == 0 and records[0]["record"] == "run", ran.err
    return records[0], *([r for r in records if r["record"] == name] for name in ("cost", "point"))


def test_an_index_with_another_kind(vecsearch, index):
    ran = vecsearch("bench", index, "--spec", "HNSW8", "--number", 50, "-k", 5)
    run, costs, points = measured(ran)
    assert OWN_ROWS in ran.err
    assert (run["rows"], run["dim"], run["k"], run["queries"], run["threads"]) == (ROWS, DIM, 5, 50, 1)
    assert [cost["kind"] for cost in costs] == ["exact", "HNSW8"]
    assert costs[0]["build_s"] is None and costs[1]["build_s"] > 0 and costs[1]["size_bytes"] > 4 * ROWS
    assert all(cost[name] > 0 for cost in costs for name in ("open_cold_ms", "first_query_ms"))
    assert [p["stored"] for p in points] == [True] + [False] * (len(points) - 1) and points[0]["recall"] == 1
    assert max(p["recall"] for p in points[1:]) > 0.95
    for p in points:
        assert p["recall_low"] <= p["recall"] <= p["recall_high"] and p["p50_ms"] <= p["p95_ms"] <= p["p99_ms"]
        assert p["qps"] > 0 and p["single_queries"] == 50


@pytest.mark.parametrize("spec", ["HNSW8", "IVF4x2,PQ4x4fsr", "SQ8"])
def test_an_approximate_index_as_it_is(vecsearch, table, tmp_path, spec):
    folder = tmp_path / "index"
    assert vecsearch("build", "--vectors", table, "-o", folder, "--spec", spec, "--recall", 0.5).code == 0
    facts = json.loads(vecsearch("info", folder, "--json").out)
    _, costs, points = measured(vecsearch("bench", folder, "--number", 50))
    assert [(cost["kind"], cost["build_s"]) for cost in costs] == [("exact", None), (spec, None)]
    assert [(p["kind"], p["search_parameters"]) for p in points if p["stored"]] == [(spec, facts["search_parameters"])]
    assert [p["kind"] for p in points].count(spec) > 1 and points[-1]["recall"] > 0.9


def test_queries_of_their_own_need_no_note(vecsearch, index, tmp_path):
    np.save(tmp_path / "q.npy", vectors_of(1, 30))
    assert OWN_ROWS not in vecsearch("bench", index, "--number", 50, "--spec", "HNSW8", "--queries", tmp_path / "q.npy").err


def test_a_table_and_the_files(vecsearch, table, tmp_path):
    out = tmp_path / "new" / "out"
    ran = vecsearch("bench", table, "--spec", "HNSW8", "--number", 500, "--table", "-o", out)
    assert ran.code == 0 and "note: 150 queries, not the 500 of --number" in ran.err
    assert ran.out.startswith("kind ") and "\nkind " in ran.out and "efSearch" in ran.out
    records = [json.loads(line) for line in (out / "bench.jsonl").read_text().splitlines()]
    assert [r["record"] for r in records[:4]] == ["run", "cost", "point", "cost"] and records[0]["data"] == "v.npy"
    assert sorted(path.name for path in out.iterdir()) == ["bench.html", "bench.jsonl", "bench.png"]


def test_what_is_exported_is_what_was_measured(vecsearch, table, tmp_path):
    exported = tmp_path / "e.hdf5"
    exact = measured(vecsearch("bench", table, "--number", 30, "-k", 4, "--metric", "ip", "--export", exported))[2]
    data = read_annbench(exported)
    scores, rows = reference(data.train, data.test, Metric.INNER_PRODUCT, 4)
    assert data.metric is Metric.INNER_PRODUCT and np.array_equal(data.neighbors, rows)
    assert np.allclose(data.distances, -scores, atol=1e-5) and (len(data.train), len(data.test)) == (ROWS - 30, 30)
    run, _, again = measured(vecsearch("bench", exported, "-k", 4, "--spec", "exact"))
    assert run["metric"] == "ip" and again[0]["recall"] == exact[0]["recall"] == 1


def test_an_index_is_exported_without_its_queries(vecsearch, index, tmp_path):
    ran = vecsearch("bench", index, "--number", 30, "--export", tmp_path / "e.hdf5")
    measured(ran)
    assert OWN_ROWS not in ran.err  # exact search alone is measured
    data = read_annbench(tmp_path / "e.hdf5")
    assert len(data.train) == ROWS - 30
    assert sorted(np.concatenate([data.train, data.test]).tolist()) == sorted(vectors_of(0).tolist())
    assert np.array_equal(data.neighbors, reference(data.train, data.test, Metric.COSINE, 10)[1])


# -- the picture and the page ------------------------------------------------------------------------------------------

RUN = {"data": "<b>$x_1$ & {y}.npy", "rows": 1000, "dim": 8, "metric": "cosine", "k": 10, "queries": 100, "threads": 2}


class Page(HTMLParser):
    """What a page loads, which elements are open at its end, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loaded, self.open, self.text = [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.loaded += [value for name, value in attrs if name in ("src", "href", "xlink:href") and not value.startswith("#")]
        self.loaded += [tag] if tag in ("script", "link", "iframe", "img") else []
        self.open += [tag] if tag != "meta" else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_is_whole_by_itself(tmp_path):
    from matplotlib.image import imread

    points = [point(1.0, 50.0, kind="exact", search_parameters={}), point(0.9, 900.0, stored=True), point(0.0, 800.0)]
    costs = [bench.Cost("HNSW32", 1.25, 2, 5_000_000, 6_000_000, 7.5, 8.5)]
    write_report(tmp_path, RUN | {"vectors_bytes": 32_000}, [*costs, *points])
    page = Page((tmp_path / "bench.html").read_text(encoding="utf-8"))
    assert (page.loaded, page.open) == ([], [])
    for shown in (
        RUN["data"],
        "1,000 vectors of length 8",
        "2 threads",
        "efSearch 8 ★",
        "0.9000",
        "900",
        "1.2",
        "32,000 bytes",
    ):
        assert shown in page.text
    assert "url(" not in page.text.replace("url(#", "")
    picture = imread(tmp_path / "bench.png")
    assert picture.shape[1] > 1000 and picture.std() > 0.05


# -- what does not go --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["v.npy"], 2, "v.npy holds vectors: say with --spec"),
        (["v.npy", "--spec", "NOSUCH"], 2, "FAISS does not accept the spec 'NOSUCH'"),
        (["v.npy", "--spec", "HNSW8", "-k", 0], 2, "k is 0"),
        (["v.npy", "--spec", "HNSW8", "--number", 0], 2, "the number of queries 0"),
        (["v.npy", "--spec", "HNSW8", "--queries", "a.hdf5", "-o", "v.npy/x"], 5, "v.npy/x"),
        (["nothing.npy", "--spec", "HNSW8"], 3, "nothing.npy does not exist"),
        (["one.npy", "--spec", "HNSW8"], 3, "one.npy has 1 vector"),
        (["v.npy", "--spec", "HNSW8", "--queries", "one.npy"], 3, "one.npy has queries of length 3, the vectors have 8"),
        (["a.hdf5", "--spec", "HNSW8", "--queries", "v.npy"], 2, "a.hdf5 has its queries"),
        (["a.hdf5", "--spec", "HNSW8", "--metric", "ip"], 2, "a.hdf5 has its metric"),
        (["index", "--metric", "ip"], 2, "index has its metric"),
        (["index", "--number", 300, "--export", "e.hdf5"], 2, "all 300 rows are queries"),
        (["."], 4, "is not an index"),
    ],
)
def test_what_is_refused(vecsearch, index, table, tmp_path, monkeypatch, arguments, code, problem):
    monkeypatch.chdir(tmp_path)
    np.save("one.npy", np.ones((1, 3), np.float32))
    annbench_file(tmp_path / "a.hdf5", neighbors_k=10)
    ran = vecsearch("bench", *arguments)
    assert (ran.code, ran.out) == (code, "") and problem in ran.err and ran.err.count("\n") == 1


def test_pictures_are_drawn_without_a_word_where_there_is_no_home():
    draw = "from vecsearch.drawing import new_figure; new_figure(1, 1).savefig(__import__('io').BytesIO(), format='svg')"
    places = {"MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"}
    without = {name: value for name, value in os.environ.items() if name not in places}
    ran = subprocess.run([sys.executable, "-c", draw], env=without | {"HOME": "/proc/x"}, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
