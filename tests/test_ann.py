"""Search against the plainest reference there is: every score in float64, sorted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import faiss
import numpy as np
import pytest
from conftest import rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch import ann
from vecsearch.ann import exact
from vecsearch.errors import DamagedIndexError, UnsupportedIndexError, UsageError
from vecsearch.metric import Metric, normalise, norms, pair_scores

# Specs with what FAISS must have made of them, so that no two of these tests run the same index.
SPECS = {
    "Flat": faiss.IndexFlat,
    "SQ8": faiss.IndexScalarQuantizer,
    "HNSW16": faiss.IndexHNSWFlat,
    "HNSW16,SQ8": faiss.IndexHNSWSQ,
    "IVF16,Flat": faiss.IndexIVFFlat,
    "IVF16,PQ8x4fs": faiss.IndexIVFPQFastScan,
    "IVF8x2,PQ16x4fsr": faiss.IndexIVFPQFastScan,
    "PCA8,HNSW16": faiss.IndexPreTransform,
}


def reference(vectors: np.ndarray, queries: np.ndarray, metric: Metric) -> np.ndarray:
    """Scores (q, n) in float64."""
    vectors, queries = vectors.astype(np.float64), queries.astype(np.float64)
    if metric is Metric.COSINE:
        vectors, queries = (
            np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
            for rows, length in ((rows, np.linalg.norm(rows, axis=1, keepdims=True)) for rows in (vectors, queries))
        )
    return queries @ vectors.T


def vectors_of(seed: int, n: int, dim: int, *, scale: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, dim)) * rng.uniform(0.1, 10, (n, 1)) * scale
    if n > 3:
        rows[n // 2] = rows[0]  # a tie
        rows[n // 3] = 0  # a zero vector
    return rows.astype(np.float32)


@contextmanager
def in_parts(few, **sizes):
    """Exact search that takes fewer queries than `few` one by one, and looks at parts of these sizes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "FEW_CORES", 1 << 20)
        patch.setattr(exact, "CACHED", 0)
        patch.setattr(exact, "FEW_QUERIES", few)
        for name, size in sizes.items():
            patch.setattr(exact, name, size)
        yield


WAYS = pytest.mark.parametrize("few", [1, 1000], ids=["together", "one by one"])
SIZES = st.fixed_dictionaries(
    {"FIRST_ROWS": st.integers(1, 9), "SCORES": st.integers(1, 40), "MANY_QUERIES": st.integers(1, 9)}
)


@WAYS
@pytest.mark.parametrize("metric", list(Metric))
@given(
    seed=st.integers(0, 1000),
    n=st.integers(1, 60),
    dim=st.integers(1, 9),
    k=st.integers(1, 70),
    queries=st.integers(1, 9),
    block=st.integers(1, 70),
    sizes=SIZES,
)
@settings(max_examples=60)
def test_exact_search_is_the_reference(few, metric, seed, n, dim, k, queries, block, sizes):
    vectors, asked = vectors_of(seed, n, dim), vectors_of(seed + 1, queries, dim)
    with in_parts(few, BLOCK_BYTES=4 * dim * block, **sizes):
        scores, rows = ann.ExactSearcher(vectors, norms(vectors)).search(asked, k, metric)
    truth = reference(vectors, asked, metric)
    assert scores.shape == rows.shape == (queries, min(k, n))
    best = -np.sort(-truth, axis=1)[:, : min(k, n)]
    tolerance = 1e-5 * max(1.0, float(np.abs(truth).max()))
    np.testing.assert_allclose(scores, best, atol=tolerance)
    np.testing.assert_allclose(np.take_along_axis(truth, rows, axis=1), scores, atol=tolerance)
    for found, found_scores in zip(rows, scores, strict=True):
        assert len(set(found.tolist())) == len(found)
        assert list(zip(-found_scores, found, strict=True)) == sorted(zip(-found_scores, found, strict=True))


def searcher_of(spec: str, vectors: np.ndarray, metric: Metric, path: Path, **parameters: int) -> ann.ApproximateSearcher:
    """A searcher by an index of all the vectors, written and read again."""
    source = rows_of(vectors, metric)
    ann.write(ann.construct(spec, source, np.arange(len(vectors))), path)
    return ann.open_searcher(path, spec, source, {"candidates": 40} | parameters)


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("spec", SPECS)
def test_a_spec_becomes_that_index_and_its_hits_carry_exact_scores(tmp_path, spec, metric):
    vectors = vectors_of(3, 1500, 32)
    parameters = {"nprobe": 8} if "IVF" in spec else {"efSearch": 128} if "HNSW" in spec else {}
    searcher = searcher_of(spec, vectors, metric, tmp_path / "i", **parameters)
    read = faiss.read_index(str(tmp_path / "i"))  # what is inside of it lives as long as it does
    index = faiss.downcast_index(read)
    assert isinstance(faiss.downcast_index(index.index) if isinstance(index, faiss.IndexIDMap) else index, SPECS[spec])
    queries = vectors[5:25] + np.float32(0.01)
    scores, rows = searcher.search(queries, 10)
    truth = reference(vectors, queries, metric)
    found = rows >= 0
    np.testing.assert_allclose(scores[found], np.take_along_axis(truth, rows, axis=1)[found], rtol=1e-4, atol=1e-4)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert (rows[:, 0] == truth.argmax(axis=1)).mean() > 0.5


def test_what_faiss_did_not_find_is_marked_and_last(tmp_path):
    vectors = vectors_of(0, 200, 8)
    searcher = searcher_of("IVF64,Flat", vectors, Metric.COSINE, tmp_path / "i", nprobe=1)
    scores, rows = searcher.search(vectors[:1], 150)
    missing = rows[0] < 0
    assert missing.any() and not missing[0]
    assert np.isneginf(scores[0][missing]).all() and np.isfinite(scores[0][~missing]).all()
    assert not missing[: np.argmax(missing)].any() and missing[np.argmax(missing) :].all()


@pytest.mark.parametrize("spec", ["NOPE", "", "PQ7", "IVF,Flat", "IVF16x2,Flat"])
def test_a_spec_that_faiss_does_not_accept_is_named(spec):
    with pytest.raises(UsageError) as refused:
        ann.check_spec(spec, 64, Metric.COSINE)
    assert repr(spec) in str(refused.value) and "length 64" in str(refused.value) and "HNSW32" in str(refused.value)


@pytest.mark.parametrize("spec", ["HNSW0", "HNSW1,SQ8", "NSG32", "IVF1x2,PQ8x4fs", "RR0,Flat", "IVF0,Flat", "PCA0,Flat"])
def test_a_spec_with_which_faiss_would_crash_is_refused(spec):
    with pytest.raises(UsageError, match=f"{spec!r}.*try HNSW32"):
        ann.check_spec(spec, 64, Metric.COSINE)


@pytest.mark.parametrize("block", [16, 100, 192, 256])
@pytest.mark.parametrize("spec", ["PQ8x4fs_{}", "PCA32,IVF16x2,PQ16x4fs_{}", "IVF16,PQ8x4fsr_{}"])
def test_blocks_of_codes_that_faiss_cannot_search_are_refused(spec, block):
    with pytest.raises(UsageError, match=rf"blocks of {block}\b.*32, 64, 96, 128, 160"):
        ann.check_spec(spec.format(block), 64, Metric.COSINE)


def test_residuals_that_an_earlier_version_compared_by_distance_are_searched(tmp_path):
    vectors, spec = vectors_of(0, 2_000, 16), "IVF8,PQ8x4fsr"
    index = faiss.index_factory(16, spec, faiss.METRIC_L2)
    index.train(normalise(vectors))
    index.add(normalise(vectors))
    ann.write(index, tmp_path / "i")
    searcher = ann.open_searcher(tmp_path / "i", spec, rows_of(vectors, Metric.COSINE), {"candidates": 40, "nprobe": 8})
    assert (searcher.search(vectors, 1)[1][:, 0] == np.arange(2_000)).mean() > 0.99
    with pytest.raises(UnsupportedIndexError, match="rebuild"):
        ann.open_searcher(tmp_path / "i", spec, rows_of(vectors, Metric.INNER_PRODUCT), {"candidates": 40, "nprobe": 8})


@pytest.mark.parametrize("block", [32, 64, 96, 128, 160])
def test_other_blocks_of_codes_are_searched(block, tmp_path):
    vectors = vectors_of(0, 2_000, 16)
    searcher = searcher_of(f"IVF8,PQ8x4fs_{block}", vectors, Metric.COSINE, tmp_path / "i", nprobe=8)
    _, rows = searcher.search(vectors, 1)
    assert (rows[:, 0] == np.arange(2_000)).mean() > 0.99


@pytest.mark.parametrize("spec", ["HNSW10", "IVF100,Flat", "PCA20,HNSW16_SQ8", "PCA10,Flat"])
def test_a_zero_at_the_end_of_a_number_is_no_zero(spec):
    ann.check_spec(spec, 64, Metric.COSINE)


def test_too_few_vectors_to_train_on_are_named():
    with pytest.raises(UsageError, match=r"'IVF64,Flat' cannot be built over 20 vectors: Number of training points \(20\)"):
        ann.construct("IVF64,Flat", rows_of(vectors_of(0, 20, 8), Metric.COSINE), np.arange(20))


def test_a_faiss_file_of_other_vectors_is_refused(tmp_path):
    vectors = vectors_of(0, 50, 8)
    searcher_of("Flat", vectors, Metric.COSINE, tmp_path / "i")
    with pytest.raises(DamagedIndexError, match=r"holds 50 vectors, not 49; vecsearch rebuild makes it again"):
        ann.open_searcher(tmp_path / "i", "Flat", rows_of(vectors[:49], Metric.COSINE), {"candidates": 40})
    (tmp_path / "i").write_bytes((tmp_path / "i").read_bytes()[:100])
    with pytest.raises(DamagedIndexError, match=r"FAISS cannot read .*; vecsearch rebuild makes it again"):
        ann.open_searcher(tmp_path / "i", "Flat", rows_of(vectors, Metric.COSINE), {"candidates": 40})


def test_a_faiss_file_that_compares_by_something_else_is_refused(tmp_path):
    vectors = normalise(np.abs(vectors_of(0, 50, 8)) + 1)
    index = faiss.IndexFlatIP(8)
    index.add(vectors)
    faiss.write_index(index, str(tmp_path / "i"))
    with pytest.raises(UnsupportedIndexError, match=r"before 0.2.*vecsearch rebuild makes it again"):
        ann.open_searcher(tmp_path / "i", "Flat", rows_of(vectors, Metric.COSINE), {"candidates": 40})


@given(seed=st.integers(0, 500), n=st.integers(1, 30), dim=st.integers(1, 8))
def test_metric_helpers(seed, n, dim):
    a, b = vectors_of(seed, n, dim), vectors_of(seed + 1, n, dim)
    unit = normalise(a)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), (np.linalg.norm(a, axis=1) > 0).astype(float), atol=1e-5)
    for metric in Metric:
        np.testing.assert_allclose(pair_scores(a, b, metric), np.diag(reference(b, a, metric)), rtol=1e-4, atol=1e-4)


@WAYS
@pytest.mark.parametrize("metric", list(Metric))
def test_equal_scores_come_by_row_however_many_queries_there_are(few, metric):
    vectors = np.tile(np.array([[1, 2, 2], [2, 1, 2]], np.float32), (400, 1))
    queries = np.array([[1, 2, 2], [2, 1, 2], [2, 2, 1]], np.float32)
    for sizes in ({}, {"FIRST_ROWS": 64, "SCORES": 100}):
        with in_parts(few, **sizes):
            _, rows = ann.ExactSearcher(vectors, norms(vectors)).search(queries, 30, metric)
        assert rows.tolist() == [list(range(0, 60, 2)), list(range(1, 60, 2)), list(range(30))]


@WAYS
@pytest.mark.parametrize("falling", [True, False])
@pytest.mark.parametrize("among", [None, np.arange(5, 5000, 3)], ids=["all rows", "some rows"])
def test_rows_may_come_from_the_best_to_the_worst_or_the_other_way_round(few, falling, among):
    ranks = np.arange(5000, dtype=np.float32) // 2  # each score twice
    vectors = np.stack([ranks[::-1] if falling else ranks, np.ones(5000, np.float32)], axis=1)
    queries = np.array([[n + 1, 0] for n in range(12)], np.float32)
    found = np.arange(5000) if among is None else among
    expected = found[np.argsort(-vectors[found, 0], kind="stable")[:50]]
    with in_parts(few, FIRST_ROWS=50, SCORES=3000):
        scores, rows = ann.ExactSearcher(vectors, norms(vectors)).search(queries, 50, Metric.INNER_PRODUCT, among)
    np.testing.assert_array_equal(rows, np.tile(expected, (12, 1)))
    np.testing.assert_array_equal(scores, queries[:, :1] * vectors[expected, 0])


def test_products_of_other_threads_keep_their_threads():
    from threadpoolctl import threadpool_info

    def blas():
        return [its["num_threads"] for its in threadpool_info() if its["user_api"] == "blas" and "numpy" in its["filepath"]]

    vectors = vectors_of(0, 3000, 32)
    searcher, queries = ann.ExactSearcher(vectors, norms(vectors)), vectors[:40]
    expected = searcher.search(queries, 5, Metric.COSINE)
    with ann.threads(2):
        before = blas()
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: searcher.search(queries, 5, Metric.COSINE), range(60)))
        assert blas() == before
        with ThreadPoolExecutor(4) as pool:
            searches = [pool.submit(searcher.search, queries, 5, Metric.COSINE) for _ in range(60)]
            for count in (1, 2, 1, 2):
                with ann.threads(count):
                    pass
        assert blas() == before and all(search.result() for search in searches)
    for _, rows in found:
        np.testing.assert_array_equal(rows, expected[1])


def test_lengths_do_not_overflow():
    assert norms(np.array([[3e30, 4e30]], np.float32)).tolist() == [np.float32(5e30)]
