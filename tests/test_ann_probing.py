"""Which lists of residuals a query reads: those within the margin, and no other; the same whatever the query's length."""

from __future__ import annotations

import math

import faiss
import numpy as np
import pytest
from conftest import made_vectors, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch import ann
from vecsearch.ann.probing import MOST, READ, Probing, reading, without_margin
from vecsearch.ann.questions import Sample
from vecsearch.ann.spec import lists_of, set_parameters, usual_parameters
from vecsearch.ann.tuner import on_average, tune
from vecsearch.errors import UsageError
from vecsearch.metric import Metric

LISTS, N, DIM = 16, 900, 12
METRICS = pytest.mark.parametrize("metric", list(Metric))


@pytest.fixture(scope="module")
def made():
    """An index over clustered vectors for each metric, with its source."""

    def make(metric, block=64):
        if (metric, block) not in found:
            source = rows_of(made_vectors("clustered", N, DIM, 0), metric)
            found[metric, block] = ann.construct(f"PCA8,IVF{LISTS}x2,PQ8x4fsr_{block}", source, np.arange(N)), source
        return found[metric, block]

    found = {}
    return make


def within(index, points: np.ndarray, nprobe: int, margin: float) -> np.ndarray:
    """Which lists (q, lists) bool points should read, in float64."""
    centroids = lists_of(index).quantizer.reconstruct_n(0, LISTS).astype(np.float64)
    moved = index.chain.at(0).apply(points).astype(np.float64) / np.linalg.norm(points, axis=1, keepdims=True)
    products = moved @ centroids.T
    rank = np.argsort(np.argsort(-products, axis=1), axis=1)
    return (rank < nprobe) & (products.max(axis=1, keepdims=True) - products <= margin)


@METRICS
@pytest.mark.parametrize("block", [32, 64])
@given(seed=st.integers(0, 99), nprobe=st.integers(1, LISTS), margin=st.floats(0, 3), length=st.sampled_from([1e-3, 1.0, 50.0]))
@settings(max_examples=40)
def test_a_query_reads_the_lists_within_the_margin_and_no_other(made, metric, block, seed, nprobe, margin, length):
    index, source = made(metric, block)
    queries = made_vectors("clustered", 6, DIM, seed) * np.float32(length)
    points = source.compared.of_queries(queries)
    set_parameters(index, {"nprobe": nprobe, "margin": margin, "candidates": N})
    rows = Probing.of(index, metric).search(points, 2 * N, margin, None)
    inner = lists_of(index).invlists
    members = [set(faiss.rev_swig_ptr(inner.get_ids(i), inner.list_size(i)).tolist()) for i in range(LISTS)]
    surely, perhaps = within(index, points, nprobe, margin - 1e-5), within(index, points, nprobe, margin + 1e-5)
    for found, least, most in zip(rows, surely, perhaps, strict=True):
        found = set(found[found >= 0].tolist())
        # FAISS's fast scan leaves the very worst code out.
        assert len(set().union(*(members[i] for i in np.flatnonzero(least))) - found) <= 1
        assert found <= set().union(*(members[i] for i in np.flatnonzero(most)))


@METRICS
def test_without_a_margin_it_finds_what_faiss_finds(made, metric):
    index, source = made(metric)
    points = source.compared.of_queries(made_vectors("clustered", 30, DIM, 7))
    set_parameters(index, {"nprobe": 5, "candidates": 20})
    expected = index.search(points, 20)[1]
    for size in (1, 30):
        found = Probing.of(index, metric).search(points[:size], 20, math.inf, None)
        np.testing.assert_array_equal(found, expected[:size])


def test_only_lists_of_residuals_have_a_margin():
    source = rows_of(made_vectors("clustered", N, DIM, 0), Metric.COSINE)
    for spec in ("IVF16,PQ12x4fs", "IVF16,Flat", "HNSW8", "SQ8"):
        index = ann.construct(spec, source, np.arange(N))
        assert Probing.of(index, Metric.COSINE) is None
        searcher = ann.ApproximateSearcher(index, 1, source, usual_parameters(index, 10))
        assert searcher.gaps(source.vectors) is None
        with pytest.raises(UsageError, match="margin"):
            searcher.set_parameters({**usual_parameters(index, 10), "margin": 0.1})


@pytest.mark.parametrize("wrong", [{"margin": -0.1}, {"nprobe": 0}, {"candidates": 0}, {"efSearch": 5}])
def test_search_parameters_that_make_no_sense_are_refused(made, wrong):
    index, _ = made(Metric.COSINE)
    with pytest.raises(UsageError, match=next(iter(wrong))):
        set_parameters(index, {"nprobe": 4, "margin": 0.1, "candidates": 10} | wrong)


@METRICS
def test_gaps_are_those_of_queries_of_length_1(made, metric):
    index, source = made(metric)
    queries = made_vectors("clustered", 40, DIM, 3)
    points = source.compared.of_queries(queries)
    centroids = lists_of(index).quantizer.reconstruct_n(0, LISTS)
    products = np.sort(index.chain.at(0).apply(points) @ centroids.T / np.linalg.norm(points, axis=1, keepdims=True))[:, ::-1]
    np.testing.assert_allclose(Probing.of(index, metric).gaps(points), products[:, :1] - products, atol=1e-4)


@given(st.integers(1, 40), st.integers(0, 99))
def test_a_margin_reads_its_share_of_the_lists(value, seed):
    gaps = np.sort(np.random.default_rng(seed).exponential(size=(200, 30)), axis=1).astype(np.float32)
    gaps -= gaps[:, :1]
    found = reading(value, gaps)
    if value >= 30:
        assert found == {"nprobe": value}
        return
    assert found["nprobe"] == min(30, math.ceil(MOST * value))
    read = (gaps[:, : found["nprobe"]] <= found["margin"] * 1.001).sum(axis=1).mean()
    assert read == pytest.approx(max(1.0, READ * value), rel=0.05)


@given(st.integers(1, 28), st.integers(0, 99))
def test_without_a_margin_as_many_lists_are_read_as_it_was_made_for(value, seed):
    gaps = np.sort(np.random.default_rng(seed).exponential(size=(200, 60)), axis=1).astype(np.float32)
    assert without_margin({**reading(value, gaps), "candidates": 9}) == {"nprobe": value, "candidates": 9}
    assert without_margin({"nprobe": value, "candidates": 9}) == {"nprobe": value, "candidates": 9}


@METRICS
def test_it_is_tuned_to_the_recall(metric):
    source = rows_of(made_vectors("clustered", 4000, DIM, 0), metric)
    index = ann.construct("PCA12,IVF64x2,PQ12x4fsr_64", source, np.arange(4000))
    queries = made_vectors("clustered", 600, DIM, 5)
    searcher = ann.ApproximateSearcher(index, 2, source, usual_parameters(index, 10))
    sample = Sample(queries, source.truth(np.arange(4000), queries, 10))
    for target in (0.9, 0.99):
        tuned, reached = tune(searcher, sample, target, enough=on_average)
        assert reached and tuned.recall.mean >= target - 0.002  # equal codes in another order
        assert tuned.search_parameters == searcher.search_parameters
        assert "margin" in tuned.search_parameters or tuned.search_parameters["nprobe"] == 64
