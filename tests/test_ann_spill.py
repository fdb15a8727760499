"""Every vector in two lists: both are the right ones, and nothing is lost or found twice."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
from conftest import made_vectors, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch import ann
from vecsearch.ann import spill
from vecsearch.ann.construction import add
from vecsearch.ann.spec import lists_of
from vecsearch.errors import UsageError
from vecsearch.metric import Metric

SPECS = ["PCA8,IVF16x2,PQ4x4fs_64", "PCA8,IVF16x2,PQ4x4fsr_64"]


def members(index) -> list[np.ndarray]:
    """The rows in each list of an inverted file."""
    lists = lists_of(index).invlists
    return [faiss.rev_swig_ptr(lists.get_ids(i), lists.list_size(i)).copy() for i in range(lists.nlist)]


def best_lists(centroids: np.ndarray, point: np.ndarray) -> tuple[int, int]:
    """The nearest list of a point, and of the NEAREST ones that whose residual SOAR's loss likes best; in float64."""
    residuals = point.astype(np.float64) - centroids
    lengths = np.linalg.norm(residuals, axis=1)
    near = np.argsort(lengths)[: spill.NEAREST]
    along = residuals[near[0]] / lengths[near[0]]
    losses = {i: lengths[i] ** 2 + spill.ORTHOGONALITY * (residuals[i] @ along) ** 2 for i in near[1:]}
    return near[0], min(losses, key=losses.get)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("metric", list(Metric))
def test_each_vector_is_in_its_nearest_list_and_in_the_one_that_complements_it(metric, spec):
    source = rows_of(made_vectors("clustered", 700, 12, 0), metric)
    index = ann.construct(spec, source, np.arange(700))
    centroids = lists_of(index).quantizer.reconstruct_n(0, 16).astype(np.float64)
    points = index.chain.at(0).apply(source.points(np.arange(700)))
    found = members(index)
    if metric is Metric.COSINE or "fsr" in spec:
        for row in range(0, 700, 7):
            assert {i for i in range(16) if row in found[i]} == set(best_lists(centroids, points[row]))
    assert (np.bincount(np.concatenate(found)) == 2).all() and all(len(set(rows)) == len(rows) for rows in found)
    assert index.ntotal == lists_of(index).ntotal == 1400


@pytest.mark.parametrize("kind", ["fs", "fsr"])
@pytest.mark.parametrize("metric", list(Metric))
@given(seed=st.integers(0, 50), n=st.integers(20, 150), k=st.integers(1, 200))
@settings(max_examples=8)
def test_with_every_list_read_nothing_is_lost_and_nothing_found_twice(metric, kind, seed, n, k):
    source = rows_of(made_vectors("lognormal", n, 8, seed), metric)
    index = ann.construct(f"PCA8,IVF4x2,PQ8x4{kind}_64", source, np.arange(n))
    searcher = ann.ApproximateSearcher(index, 2, source, {"nprobe": 4, "candidates": 2 * n})
    queries = made_vectors("lognormal", 5, 8, seed + 1)
    # By inner product FAISS's fast scan leaves the very worst code out.
    k = k if metric is Metric.COSINE and kind == "fs" else min(k, n // 2)
    scores, rows = searcher.search(queries, k)
    truth, _ = ann.ExactSearcher(source.vectors, source.norms).search(queries, k, metric)
    np.testing.assert_allclose(scores, truth, rtol=1e-5, atol=1e-5 * np.abs(truth).max())
    assert all(len(set(row)) == min(k, n) for row in rows)


@pytest.mark.parametrize("spec", SPECS)
def test_vectors_added_later_are_found_with_the_others(spec):
    source = rows_of(made_vectors("gaussian", 300, 8, 0), Metric.COSINE)
    index = ann.construct(spec, source, np.arange(0, 300, 2))
    add(index, 2, source, np.arange(1, 300, 2))
    assert sorted(np.concatenate(members(index)).tolist()) == sorted([*range(300), *range(300)])
    searcher = ann.ApproximateSearcher(index, 2, source, {"nprobe": 16, "candidates": 600})
    assert searcher.search(source.vectors, 1)[1][:, 0].tolist() == list(range(300))


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("times", [1, 2])
def test_codes_of_residuals_stand_for_the_points(times, metric):
    n, source = 900, rows_of(made_vectors("clustered", 900, 12, 0), metric)
    index = ann.construct(f"PCA12,IVF8{'x2' * (times == 2)},PQ12x4fsr_32", source, np.arange(n))
    points, lists = index.chain.at(0).apply(source.points(np.arange(n))), lists_of(index)
    centroids = lists.quantizer.reconstruct_n(0, 8)
    parts = faiss.vector_to_array(lists.pq.centroids).reshape(12, 16)
    for number, rows in enumerate(members(index)):
        decoded = np.empty((len(rows), 12), np.float32)
        for offset, vector in enumerate(decoded):
            lists.reconstruct_from_offset(number, offset, faiss.swig_ptr(vector))
        nearest = np.abs((points[rows] - centroids[number])[:, :, None] - parts).argmin(axis=2)
        np.testing.assert_allclose(decoded, centroids[number] + parts[np.arange(12), nearest], atol=1e-4)
    lists.nprobe = 8
    queries = source.compared.of_queries(made_vectors("clustered", 20, 12, 1))
    products, found = index.search(queries, 10)
    truth = queries @ source.points(np.arange(n)).T
    spread = truth.max() - truth.min()
    np.testing.assert_allclose(products, np.take_along_axis(truth, found, axis=1), atol=0.1 * spread)


def test_two_of_one_list_are_refused():
    with pytest.raises(UsageError, match="two of one list"):
        ann.check_spec("IVF1x2,PQ4x4fs", 8, Metric.COSINE)
