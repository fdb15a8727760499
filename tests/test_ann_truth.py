"""Ground truth against every score sorted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch.ann import exact
from vecsearch.ann.truth import ground_truth
from vecsearch.metric import Metric, normalise, norms


def vectors_of(seed: int, n: int, dim: int, metric: Metric) -> np.ndarray:
    """Vectors, zeros and duplicates among them, whose scores float32 holds exactly, so that equal ones are equal."""
    rng = np.random.default_rng(seed)
    if metric is Metric.INNER_PRODUCT:
        return rng.integers(-2, 3, (n, dim)).astype(np.float32)
    axes = np.eye(dim, dtype=np.float32)[rng.integers(0, dim, n)]
    return axes * rng.choice(np.array([-4, -1, 0, 0.5, 2], np.float32), (n, 1))


def blocks_of(vectors: np.ndarray, size: int):
    for first in range(0, len(vectors), size):
        yield vectors[first : first + size], norms(vectors[first : first + size])


def reference(vectors, queries, k, metric, own_rows):
    """All rows sorted by their scores in float64, each query's own row taken out."""
    if metric is Metric.COSINE:
        vectors, queries = normalise(vectors), normalise(queries)
    scores = queries.astype(np.float64) @ vectors.T.astype(np.float64)
    rows = np.argsort(-scores, axis=1, kind="stable")
    if own_rows is not None:
        rows = np.array([row[row != own] for row, own in zip(rows, own_rows, strict=True)], np.int64)
    rows = rows.reshape(len(queries), -1)[:, :k]
    return np.take_along_axis(scores, rows, axis=1), rows


def check(few, metric, seed, n, dim, k, block, queries, own):
    vectors = vectors_of(seed, n, dim, metric)
    own_rows = np.random.default_rng(seed).integers(0, n, queries) if own and n else None
    asked = vectors_of(seed + 1, queries, dim, metric) if own_rows is None else vectors[own_rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "FEW_CORES", 1 << 20)
        patch.setattr(exact, "CACHED", 0)
        patch.setattr(exact, "FEW_QUERIES", few)
        patch.setattr(exact, "FIRST_ROWS", 1 + seed % 7)
        patch.setattr(exact, "SCORES", 1 + seed % 500)
        scores, rows = ground_truth(blocks_of(vectors, block), asked, k, metric, own_rows=own_rows)
    expected_scores, expected_rows = reference(vectors, asked, k, metric, own_rows)
    assert (scores.dtype, rows.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_array_equal(scores, expected_scores)


@pytest.mark.parametrize("few", [1, 1000], ids=["together", "one by one"])
@pytest.mark.parametrize("metric", list(Metric))
@given(
    seed=st.integers(0, 1000),
    n=st.one_of(st.integers(0, 2), st.integers(0, 60)),
    dim=st.integers(1, 6),
    k=st.integers(1, 70),
    block=st.integers(1, 70),
    queries=st.integers(1, 5),
    own=st.booleans(),
)
@settings(max_examples=100)
def test_ground_truth_is_every_score_sorted(few, metric, seed, n, dim, k, block, queries, own):
    check(few, metric, seed, n, dim, k, block, queries, own)


@pytest.mark.parametrize("few", [1, 1000], ids=["together", "one by one"])
@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize(("n", "dim", "k", "block", "queries"), [(900, 3, 150, 400, 40), (3_000, 2_000, 20, 1_000, 30)])
def test_ground_truth_of_more_rows_is_every_score_sorted(few, metric, n, dim, k, block, queries):
    check(few, metric, 7, n, dim, k, block, queries, own=True)


@pytest.mark.parametrize("few", [1, 1000], ids=["together", "one by one"])
def test_a_query_leaves_out_itself_and_not_its_duplicates(few, monkeypatch):
    monkeypatch.setattr(exact, "FEW_QUERIES", few)
    vectors = np.ones((50, 3), np.float32)
    own = np.array([0, 3, 49])
    _, rows = ground_truth(blocks_of(vectors, 20), vectors[own], 4, Metric.COSINE, own_rows=own)
    assert rows.tolist() == [[1, 2, 3, 4], [0, 1, 2, 4], [0, 1, 2, 3]]


@pytest.mark.parametrize("own_rows", [None, np.empty(0, np.int64)])
def test_no_queries_have_no_neighbors(own_rows):
    vectors = np.ones((5, 3), np.float32)
    scores, rows = ground_truth(blocks_of(vectors, 2), vectors[:0], 2, Metric.COSINE, own_rows=own_rows)
    assert scores.shape == rows.shape and len(rows) == 0
