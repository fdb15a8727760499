"""Exact search that is asked again and again, which reads bytes, beside what its first searches find."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch.ann import ExactSearcher, exact, rounded
from vecsearch.metric import Metric, norms


def vectors_of(kind: str, seed: int, n: int, dim: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, dim)).astype(np.float32)
    if kind == "equal":
        vectors = vectors[rng.integers(0, max(1, n // 20), n)]
    elif kind == "close":
        vectors = vectors[:1] + 1e-4 * vectors
    elif kind == "outliers":
        vectors[rng.integers(0, n, 5), rng.integers(0, dim, 5)] *= 1000
    elif kind == "lengths":
        vectors *= np.exp(2 * rng.standard_normal((n, 1))).astype(np.float32)
    elif kind == "huge":
        vectors *= np.float32(1e17)
    elif kind == "tiny":
        vectors *= np.float32(1e-20)
    elif kind == "zeros":
        vectors[rng.random(n) < 0.3] = 0
        vectors[:, rng.random(dim) < 0.3] = 0
    return vectors


KINDS = ["normal", "equal", "close", "outliers", "lengths", "huge", "tiny", "zeros"]


@contextmanager
def reading_bytes(block: int, odd: int = 1000) -> Iterator[None]:
    """Have it read bytes as soon as all of the few vectors of a test are rounded, `block` of them by each search."""
    with pytest.MonkeyPatch.context() as patch:
        for module, values in (
            (exact, {"CACHED": 0, "SEARCHES": 0, "FEW_CORES": 1 << 20}),
            (rounded, {"LEAST_CANDIDATES": 8, "BLOCK_ROWS": block, "MOST_ODD": odd}),
        ):
            for name, value in values.items():
                patch.setattr(module, name, value)
        yield


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("kind", KINDS)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 400),
    dim=st.sampled_from([1, 3, 16, 40]),
    k=st.integers(1, 30),
    block=st.integers(20, 400),
    odd=st.sampled_from([0, 3, 1000]),
    share=st.sampled_from([None, 0.02, 0.5, 0.9]),
)
@settings(max_examples=40)
def test_it_finds_the_same_again(kind, metric, seed, n, dim, k, block, odd, share):
    vectors = vectors_of(kind, seed, n, dim)
    rng = np.random.default_rng(seed + 1)
    queries = np.concatenate([vectors_of("normal", seed + 1, 6, dim), vectors[rng.integers(0, n, 2)]])
    among = None if share is None else np.flatnonzero(rng.random(n) < share)
    with reading_bytes(block, odd):
        plain, searcher = ExactSearcher(vectors, norms(vectors), little=True), ExactSearcher(vectors, norms(vectors))
        for query in np.tile(queries, (2 + n // block, 1)):
            expected_scores, expected_rows = plain.search(query[None], k, metric, among)
            scores, rows = searcher.search(query[None], k, metric, among)
            np.testing.assert_array_equal(rows, expected_rows)
            np.testing.assert_array_equal(scores, expected_scores)


@pytest.mark.parametrize("metric", list(Metric))
def test_queries_together_are_each_by_itself(metric):
    vectors, queries = vectors_of("lengths", 1, 5_000, 48), vectors_of("normal", 2, 40, 48)
    with reading_bytes(5_000):
        searcher = ExactSearcher(vectors, norms(vectors))
        for query in queries:
            searcher.search(query[None], 10, metric)
        scores, rows = searcher.search(queries, 10, metric)
        alone = [searcher.search(query[None], 10, metric) for query in queries]
    np.testing.assert_array_equal(rows, np.concatenate([found for _, found in alone]))
    # By BLAS where bytes leave it open.
    np.testing.assert_allclose(scores, np.concatenate([found for found, _ in alone]), rtol=1e-5)


def test_threads_may_search_while_bytes_are_made():
    vectors, queries = vectors_of("normal", 3, 20_000, 32), vectors_of("normal", 4, 200, 32)
    with reading_bytes(1_000), ThreadPoolExecutor(4) as pool:
        plain, searcher = ExactSearcher(vectors, norms(vectors), little=True), ExactSearcher(vectors, norms(vectors))
        found = list(pool.map(lambda query: searcher.search(query[None], 10, Metric.COSINE), queries))
        for query, (scores, rows) in zip(queries, found, strict=True):
            expected_scores, expected_rows = plain.search(query[None], 10, Metric.COSINE)
            np.testing.assert_array_equal(rows, expected_rows)
            np.testing.assert_array_equal(scores, expected_scores)
