"""The builder from vectors to a file: what it promises holds on other queries, and what it cannot do it says."""

from __future__ import annotations

import re

import numpy as np
import pytest
from conftest import Told, made_vectors, rows_of

from vecsearch import ann
from vecsearch.ann import builder as builder_module
from vecsearch.ann import planner, trials, tuner
from vecsearch.ann import spec as spec_module
from vecsearch.ann.recall import Recall, recalls
from vecsearch.errors import DamagedIndexError, UsageError, VecsearchError
from vecsearch.metric import Metric
from vecsearch.progress import SILENT

DIM = 16
SPECS = ["HNSW32", "PCA8,HNSW32,SQ8", "IVF16,Flat", "PCA8,IVF16x2,PQ4x4fsr_64", "SQ8"]


@pytest.fixture(autouse=True)
def one_thread():
    """So little work is done sooner by one."""
    with ann.threads(1):
        yield


METRICS = [Metric.COSINE, pytest.param(Metric.INNER_PRODUCT, marks=pytest.mark.slow)]


@pytest.fixture
def quick(monkeypatch):
    """Trials over few vectors, for the defaults are for a million."""
    monkeypatch.setattr(builder_module, "EXACT_NUMBERS", 0)
    monkeypatch.setattr(trials, "LEAST_ROWS", 1_000)
    monkeypatch.setattr(trials, "QUERIES", 60)
    monkeypatch.setattr(spec_module, "PQ_ROUNDS", 2)
    monkeypatch.setattr(tuner, "TIMED_QUERIES", 20)
    monkeypatch.setattr(planner, "REDUCTIONS", (8, 12))


def builder(source, goal, *, queries=None, progress=SILENT, **options) -> ann.Builder:
    return ann.Builder(source, goal, queries=queries, progress=progress, **options)


def searcher_of(source, path, outcome):
    """What an index of this outcome is searched with: by two arguments, queries and k."""
    if outcome.spec == ann.EXACT:
        exact = ann.ExactSearcher(source.vectors, source.norms)
        return lambda queries, k: exact.search(queries, k, source.metric)
    return ann.open_searcher(path, outcome.spec, source, outcome.search_parameters).search


def recall_of(source, path, outcome, queries, k) -> Recall:
    """Recall@k on these queries over the whole index, by exact search."""
    truth, _ = ann.ExactSearcher(source.vectors, source.norms).search(queries, k, source.metric)
    return Recall.of(recalls(truth, searcher_of(source, path, outcome)(queries, k)[0]), k)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["gaussian", "clustered", "lognormal", "anisotropic"])
def test_the_recall_asked_for_is_reached_on_other_queries_as_well(quick, tmp_path, kind, metric):
    source = rows_of(made_vectors(kind, 4_000, DIM, 0), metric)
    outcome = builder(source, ann.Goal(0.9, 10)).build(tmp_path / "i")
    assert outcome.reached
    measured = recall_of(source, tmp_path / "i", outcome, made_vectors(kind, 300, DIM, 1), 10)
    if outcome.recall:
        assert outcome.recall.low >= 0.9 and outcome.recall.queries == 133 and outcome.trials
        # Two samples of the same recall: their intervals overlap.
        assert measured.high >= outcome.recall.low and measured.low <= outcome.recall.high
    assert measured.high >= 0.9


def test_queries_from_another_distribution_are_what_it_is_proved_by(quick, tmp_path):
    source = rows_of(made_vectors("clustered", 3_000, DIM, 0), Metric.COSINE)
    queries = made_vectors("gaussian", 900, DIM, 1)
    outcome = builder(source, ann.Goal(0.9, 10), queries=queries[:600]).build(tmp_path / "i")
    assert outcome.reached and (outcome.recall is None or outcome.recall.queries == 200)
    assert recall_of(source, tmp_path / "i", outcome, queries[600:], 10).high >= 0.9


def test_a_recall_that_no_kind_reaches_is_left_to_exact_search(quick, tmp_path):
    heard = Told()
    source = rows_of(made_vectors("gaussian", 2_000, DIM, 0), Metric.COSINE)
    misses = builder(source, ann.Goal(0.8, 10), progress=heard, judge=lambda *_: (Recall(10, 9, 0.5, 0.4, 0.6), False, 1.0))
    outcome = misses.build(tmp_path / "i")
    assert (outcome.spec, outcome.search_parameters, outcome.recall, outcome.reached) == ("exact", {}, None, True)
    assert (
        outcome.trials and heard.notes[-1] == "exact search: no other kind reaches the recall" and not (tmp_path / "i").exists()
    )


@pytest.mark.parametrize(
    ("n", "recall", "why"), [(300, 0.95, "9 queries are too few"), (4_000, 1.0, "133 queries are too few")]
)
def test_too_few_queries_to_prove_the_recall_leave_exact_search(quick, tmp_path, n, recall, why):
    heard = Told()
    source = rows_of(made_vectors("gaussian", n, DIM, 0), Metric.COSINE)
    assert builder(source, ann.Goal(recall), progress=heard).build(tmp_path / "i").spec == "exact"
    assert why in heard.notes[0]


@pytest.mark.parametrize(("growth", "large"), [(-9, True), (9, False)])
def test_a_graph_is_tried_among_many_where_it_may_be_worth_building(quick, monkeypatch, tmp_path, growth, large):
    monkeypatch.setattr(trials, "MUCH_SLOWER", 1e9)
    monkeypatch.setattr(trials, "LEAST_GROWTH", growth)
    source = rows_of(made_vectors("clustered", 4_000, DIM, 0), Metric.COSINE)
    tried = builder(source, ann.Goal(0.9)).build(tmp_path / "i").trials
    rows = {"HNSW" in trial["spec"]: trial["rows"] for trial in tried}
    assert (rows[True] == rows[False]) == large and rows[False] > 1_000


@pytest.mark.parametrize(
    ("rows", "indexes", "block"), [(100_000, 1, 64), (1_000_000, 1, 32), (1_000_000, 10, 64), (10_000_000, 10, 32)]
)
def test_codes_that_are_not_cached_are_compared_with_several_queries_at_a_time(rows, indexes, block):
    (fast, _), _ = planner.kinds(rows, 256, 224, indexes=indexes)
    assert fast.spec.endswith(f"x4fsr_{block}")


def test_few_vectors_are_searched_exactly(tmp_path):
    source = rows_of(made_vectors("gaussian", 4_000, DIM, 0), Metric.COSINE)
    outcome = builder(source, ann.Goal(0.9)).build(tmp_path / "i")
    assert outcome.spec == "exact" and outcome.trials == []


def test_what_does_not_fit_the_memory_is_not_built(quick, tmp_path):
    source = rows_of(made_vectors("anisotropic", 4_000, DIM, 0), Metric.COSINE)
    outcome = builder(source, ann.Goal(0.5, 10, memory=100_000)).build(tmp_path / "i")
    assert outcome.reached and 0 < (tmp_path / "i").stat().st_size <= 120_000


@pytest.mark.parametrize("memory", [1_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_a_budget_too_small_is_refused_with_one_that_is_not(quick, tmp_path, memory):
    source = rows_of(made_vectors("gaussian", 4_000, 64, 0), Metric.COSINE)
    with pytest.raises(UsageError, match=rf"{memory:,} bytes of memory.*--memory \d+MB") as refused:
        builder(source, ann.Goal(0.95, 10, memory=memory)).build(tmp_path / "i")
    named = int(re.search(r"--memory (\d+)MB", str(refused.value))[1]) * 1_000_000
    assert builder(source, ann.Goal(0.95, 10, memory=named)).build(tmp_path / "i").reached


def test_where_exact_search_is_the_smallest_it_is_taken(quick, tmp_path):
    source = rows_of(made_vectors("gaussian", 4_000, 2, 0), Metric.COSINE)
    outcome = builder(source, ann.Goal(0.9, 10, memory=32_000)).build(tmp_path / "i")
    assert outcome.spec == "exact"


def test_a_kind_that_does_not_reach_the_recall_is_kept_and_says_so(quick, tmp_path):
    source = rows_of(made_vectors("gaussian", 3_000, DIM, 0), Metric.COSINE)
    outcome = builder(source, ann.Goal(0.98, 10)).build_kind("PCA2,HNSW8", tmp_path / "i")
    assert not outcome.reached and outcome.recall.low < 0.98
    assert recall_of(source, tmp_path / "i", outcome, source.vectors[:100], 10).mean > 0.1


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("spec", SPECS)
def test_held_out_rows_are_measured_from_outside_and_found_afterwards(tmp_path, spec, metric):
    source = rows_of(made_vectors("clustered", 600, DIM, 0), metric)
    sizes = []

    def judge(searcher, questions, target):
        sizes.append(searcher.candidates(questions.queries(0), 10_000)[1].shape[1])
        return tuner.judge(searcher, questions, target)

    outcome = builder(source, ann.Goal(None, 10), judge=judge).build_kind(spec, tmp_path / "i")
    assert sizes == [543 * ann.copies(spec)] and outcome.reached and outcome.recall.queries == 19
    parameters = outcome.search_parameters
    parameters |= {name: 600 for name in ("nprobe", "efSearch") if name in parameters} | {"candidates": 1_200}
    searcher = ann.open_searcher(tmp_path / "i", spec, source, parameters)
    scores, rows = searcher.search(source.vectors[:50], 100)
    truth, _ = ann.ExactSearcher(source.vectors, source.norms).search(source.vectors[:50], 100, metric)
    np.testing.assert_allclose(scores, truth, rtol=1e-5, atol=1e-5 * np.abs(truth).max())
    assert all(len(set(row)) == 100 for row in rows)


# -- vectors that are hard ---------------------------------------------------------------------------------------------


def hard(name: str) -> np.ndarray:
    rows = made_vectors("gaussian", 1_000, 8, 0)
    if name.isdigit():
        return rows[: int(name)]
    if name == "equal":
        rows[:] = rows[0]
    if name == "zero":
        rows[:] = 0
    if name == "one clump":
        rows[100:200] = rows[0]
    if name == "many clumps":
        rows[500:] = np.repeat(rows[:50], 10, axis=0)
    if name == "far":
        rows[:100] += 1_000
    if name == "a third zero":
        rows[::3] = 0
    return {"dimension 1": rows[:, :1].copy(), "dimension 2000": made_vectors("gaussian", 200, 2_000, 0)}.get(name, rows)


HARD = ["1", "2", "3", "equal", "zero", "one clump", "many clumps", "far", "a third zero", "dimension 1", "dimension 2000"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", HARD)
def test_hard_vectors_give_right_answers_or_a_clear_refusal(quick, tmp_path, capfd, name, metric):
    source = rows_of(hard(name), metric)
    n, dim = source.vectors.shape
    queries = np.concatenate([source.vectors[:10], made_vectors("gaussian", 5, dim, 1), np.zeros((1, dim), np.float32)])
    for spec in [None, *SPECS]:
        goal = ann.Goal(0.8 if spec is None else None, 10)
        try:
            made = builder(source, goal)
            outcome = made.build(tmp_path / "i") if spec is None else made.build_kind(spec, tmp_path / "i")
        except VecsearchError as refused:
            assert spec and repr(spec) in str(refused) and "::" not in str(refused) and ".cpp" not in str(refused)
            continue
        search = searcher_of(source, tmp_path / "i", outcome)
        for k in (1, 10, n + 5):
            scores, rows = search(queries, k)
            assert scores.shape == rows.shape == (len(queries), min(k, n)) and not np.isnan(scores).any()
            assert np.array_equal(np.isneginf(scores), rows < 0)
            truth, order = ann.ExactSearcher(source.vectors, source.norms).search(queries, n, metric)
            exact = np.take_along_axis(truth, np.argsort(order, axis=1), axis=1)
            expected = np.where(rows < 0, -np.inf, np.take_along_axis(exact, np.maximum(rows, 0), axis=1))
            np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=2e-6 * max(1, np.abs(truth).max()))
            assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in rows)
        if spec is None and outcome.recall:
            assert outcome.recall.low >= 0.8 or not outcome.reached
    heard = capfd.readouterr()
    assert heard.out == heard.err == ""


@pytest.mark.parametrize("spec", ["HNSW32", "IVF16,Flat", "PCA8,IVF16x2,PQ4x4fsr_64"])
def test_vectors_whose_products_are_beyond_float32_are_refused(tmp_path, spec):
    vectors = np.float32(1e30) * made_vectors("gaussian", 300, 8, 0)
    with pytest.raises(UsageError, match=r"length \d\.\d+e\+30 is too long.*compare by cosine, or use exact"):
        builder(rows_of(vectors, Metric.INNER_PRODUCT), ann.Goal()).build_kind(spec, tmp_path / "i")
    assert builder(rows_of(vectors, Metric.COSINE), ann.Goal()).build_kind("HNSW16", tmp_path / "i").recall.mean > 0.9


@pytest.mark.parametrize(
    "wrong", [{}, {"nprobe": 4}, {"efSearch": 16, "candidates": 40}, {"candidates": 40}, {"nprobe": 0, "candidates": 40}]
)
def test_search_parameters_that_do_not_fit_the_file_are_damage(tmp_path, wrong):
    source = rows_of(made_vectors("gaussian", 200, 8, 0), Metric.COSINE)
    builder(source, ann.Goal()).build_kind("IVF8,Flat", tmp_path / "i")
    with pytest.raises(DamagedIndexError, match=r"does not fit its manifest.*nprobe and candidates.*vecsearch rebuild"):
        ann.open_searcher(tmp_path / "i", "IVF8,Flat", source, wrong)
