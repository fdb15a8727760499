"""The index from documents to hits: what it finds, what it refuses, and what survives."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import Told, documents
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch.ann import Goal
from vecsearch.corpus.document import Document
from vecsearch.encoders import UlmfitEncoder
from vecsearch.errors import CorpusError, UsageError, VectorsError
from vecsearch.index import blocks
from vecsearch.index.analogy import analogy, odd_one_out
from vecsearch.index.build import Options
from vecsearch.index.hits import Hit
from vecsearch.index.index import Index
from vecsearch.index.percentiles import index_similarity, model_similarity, random_pairs
from vecsearch.metric import Metric
from vecsearch.store.verify import verify

OLD = Path(__file__).parent / "indexes"
"""Indexes as earlier versions wrote them, a folder for each format."""
LETTERS = documents("a", "ab", "bbb", "abc", "ccc", "cca")


@pytest.fixture
def letters(tmp_path, axis):
    with Index.build(tmp_path / "letters", LETTERS, axis) as index:
        yield index


def test_a_query_finds_documents_best_first(letters):
    hits = letters.query(["a"], k=3)[0]
    assert [hit.id for hit in hits] == ["d0", "d1", "d3"]
    np.testing.assert_allclose([hit.score for hit in hits], [1, 1 / 2**0.5, 1 / 3**0.5], rtol=1e-6)
    assert hits[1].text == "ab" and hits[1].fields == {"length": 2}


def test_the_other_metric_of_the_same_index(letters):
    by_cosine, by_product = (letters.query(["b"], k=1, metric=metric)[0][0] for metric in Metric)
    assert (by_cosine.id, by_product.id) == ("d2", "d2")
    assert (by_cosine.score, by_product.score) == (1.0, 3.0)


def test_similar_leaves_the_document_itself_out(letters):
    assert [hit.id for hit in letters.similar(["d4"], k=2)[0]] == ["d5", "d3"]


def test_k_beyond_the_index_gives_all_there_is(letters):
    assert letters.search(np.eye(3), k=100).rows.shape == (3, 6)


def test_a_text_that_says_nothing_finds_nothing(letters):
    assert letters.query(["xyz", "c"], k=1)[0] == []


def test_it_opens_again_elsewhere_with_an_encoder_of_your_own(letters, tmp_path, axis):
    (tmp_path / "letters").rename(tmp_path / "moved")
    with Index.open(tmp_path / "moved", encoder=axis) as index:
        assert index.query(["bb"], k=1)[0][0].id == "d2"


def test_another_encoder_is_refused_with_both_fingerprints(letters, tmp_path, axis):
    axis.fingerprint = "axis-2"
    with pytest.raises(UsageError, match=r"axis-1.*axis-2"):
        Index.open(tmp_path / "letters", encoder=axis)


@pytest.mark.parametrize(
    ("vectors", "k", "message"),
    [
        (np.ones((1, 4)), 1, r"shape \(1, 4\).*length 3"),
        (np.ones(3), 1, r"shape \(3,\)"),
        (np.array([[0, 0, 0], [1, np.nan, 0]]), 1, "query vector 1 holds NaN"),
        (np.full((1, 3), 3e38), 1, "query vector 0 .* too long"),
        (np.ones((1, 3)), 0, "k is 0"),
        (np.ones((1, 3)), -2, "k is -2"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(letters, vectors, k, message):
    with pytest.raises(UsageError, match=message):
        letters.search(vectors, k)


def test_an_unknown_id_is_named(letters):
    with pytest.raises(UsageError, match="'nobody'"):
        letters.similar(["d1", "nobody"])


def test_no_hit_is_no_error(letters):
    assert letters.search(np.empty((0, 3), np.float32), k=2).rows.shape == (0, 2)


# -- ready vectors -----------------------------------------------------------------------------------------------------


@given(n=st.integers(1, 30), k=st.integers(1, 35), cut=st.integers(1, 30), seed=st.integers(0, 99))
@settings(max_examples=20)
def test_ready_vectors_are_searched_as_numpy_would(tmp_path_factory, n, k, cut, seed):
    vectors = np.random.default_rng(seed).standard_normal((n, 5)).astype(np.float32)
    blocks = (vectors[i : i + cut] for i in range(0, n, cut))
    folder = tmp_path_factory.mktemp("index") / "i"
    with Index.build(
        folder, documents(*map(str, range(n))), vectors=blocks, options=Options(metric=Metric.INNER_PRODUCT)
    ) as index:
        found = index.search(vectors, k)
        truth = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
        np.testing.assert_allclose(found.scores, -np.sort(-truth, axis=1)[:, :k], atol=1e-5)
        np.testing.assert_array_equal(index.vectors(range(n)), vectors)
        with pytest.raises(UsageError, match="carries no encoder"):
            index.query(["a"])


@pytest.mark.parametrize(("rows", "message"), [(5, "5 vectors and more documents"), (7, "6 documents and more vectors")])
def test_a_document_without_a_vector_or_the_reverse_is_refused(tmp_path, rows, message):
    with pytest.raises(VectorsError, match=message):
        Index.build(tmp_path / "i", LETTERS, vectors=[np.ones((rows, 3), np.float32)])


def test_neither_an_encoder_nor_vectors_is_a_mistake_of_the_program(tmp_path):
    with pytest.raises(TypeError):
        Index.build(tmp_path / "i", LETTERS)


# -- building ----------------------------------------------------------------------------------------------------------


def test_an_interrupted_build_resumes_to_the_same_index(tmp_path, tiny_folder, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_DOCUMENTS", 3)
    corpus = documents(*["the king sat zzyzx", "a film", "love of war", "", "the river bank"] * 3)

    def interrupted():
        yield from corpus[:11]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Index.build(tmp_path / "a", interrupted(), UlmfitEncoder(tiny_folder()))
    with pytest.raises(UsageError, match="--resume"):
        Index.build(tmp_path / "a", corpus, UlmfitEncoder(tiny_folder()))
    encoder = UlmfitEncoder(tiny_folder())
    with (
        Index.build(tmp_path / "a", corpus, encoder, resume=True) as resumed,
        Index.build(tmp_path / "b", corpus, UlmfitEncoder(tiny_folder())) as whole,
    ):
        assert 0 < encoder.tally.texts < len(corpus)
        assert resumed.manifest.counts == whole.manifest.counts
        assert resumed.documents(range(15)) == whole.documents(range(15))
        np.testing.assert_array_equal(resumed.vectors(range(15)), whole.vectors(range(15)))


def test_resuming_with_another_corpus_is_refused(tmp_path, axis, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_DOCUMENTS", 2)

    def broken():
        yield from LETTERS[:4]
        raise CorpusError("line 5")

    with pytest.raises(CorpusError):
        Index.build(tmp_path / "i", broken(), axis)
    with pytest.raises(UsageError, match="corpus has changed"):
        Index.build(tmp_path / "i", [Document("x", "a"), *LETTERS[1:]], axis, resume=True)
    with pytest.raises(UsageError, match=r"dim|encoder"):
        Index.build(tmp_path / "i", LETTERS, vectors=[np.ones((6, 4), np.float32)], resume=True)


@pytest.mark.parametrize(
    ("corpus", "error"),
    [
        ([Document("a", "a"), Document("a", "b", where="line 2")], "line 2: the id 'a' is already that of document 0"),
        ([], "no document"),
    ],
)
def test_a_failed_replacement_leaves_the_old_index_whole(letters, tmp_path, axis, corpus, error):
    with pytest.raises(CorpusError, match=error):
        Index.build(tmp_path / "letters", corpus, axis, replace=True)
    assert verify(tmp_path / "letters").problems == []
    with Index.open(tmp_path / "letters", encoder=axis) as index:
        assert len(index) == 6 and index.manifest.generation == 1


@pytest.mark.parametrize("spec", ["exact", "HNSW16"])
def test_an_open_index_answers_on_after_it_is_replaced(tmp_path, tiny_folder, spec):
    texts = documents("the king sat", "a film", "love of war", "the river bank")
    Index.build(tmp_path / "i", texts, UlmfitEncoder(tiny_folder()), options=Options(spec=spec)).close()
    with Index.open(tmp_path / "i") as index:
        before = index.query(["the bank"], k=3)
        Index.build(
            tmp_path / "i", documents("war"), UlmfitEncoder(tiny_folder()), replace=True, options=Options(keep=1)
        ).close()
        assert not list((tmp_path / "i/segments").glob("000001*"))
        assert index.query(["the bank"], k=3) == before


def test_an_index_by_an_encoder_of_your_own_says_how_to_open_it(letters, tmp_path):
    with Index.open(tmp_path / "letters") as index:
        assert index.search(np.eye(3), k=1).rows[0] == 0
        with pytest.raises(UsageError, match=r"Index.open\(encoder="):
            index.query(["a"])


def test_one_encoder_may_build_two_indexes(tmp_path, tiny):
    for name in "ab":
        Index.build(tmp_path / name, documents("a film", "the king"), tiny).close()
    with Index.open(tmp_path / "a") as a, Index.open(tmp_path / "b") as b:
        assert a.manifest.counts == b.manifest.counts and a.manifest.counts["texts"] == 2


def test_a_build_resumes_only_in_its_own_precision(tmp_path, tiny_folder, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_DOCUMENTS", 1)

    def broken():
        yield from documents("a film", "the king")
        raise CorpusError("line 3")

    with pytest.raises(CorpusError):
        Index.build(tmp_path / "i", broken(), UlmfitEncoder(tiny_folder(), dtype="bfloat16"))
    with pytest.raises(UsageError, match="dtype 'bfloat16', not 'float32'"):
        Index.build(tmp_path / "i", documents("a film", "the king"), UlmfitEncoder(tiny_folder()), resume=True)


def test_a_replacement_is_seen_when_opened_again_and_an_open_reader_keeps_its_own(letters, tmp_path, axis):
    Index.build(tmp_path / "letters", documents("c"), axis, replace=True).close()
    assert letters.query(["b"], k=1)[0][0].id == "d2"
    with Index.open(tmp_path / "letters", encoder=axis) as index:
        assert len(index) == 1 and index.manifest.generation == 2


def test_vectors_that_are_not_finite_are_refused_by_document(tmp_path, axis):
    axis.encode = lambda texts: np.full((len(texts), 3), np.nan, np.float32)
    with pytest.raises(VectorsError, match=r"document 'd0'.*nan"):
        Index.build(tmp_path / "i", LETTERS, axis)


@pytest.mark.parametrize("spec", ["HNSW16", "IVF8,Flat"])
def test_an_approximate_index_says_its_recall_and_can_search_exactly(tmp_path, spec):
    vectors = np.random.default_rng(0).standard_normal((600, 12)).astype(np.float32)
    names = documents(*map(str, range(600)))
    with Index.build(tmp_path / "i", names, vectors=[vectors], options=Options(spec=spec)) as index:
        assert index.manifest.spec == spec and list((tmp_path / "i/segments").rglob("*.faiss"))
        exact, near = index.search(vectors[:50], 10, exact=True), index.search(vectors[:50], 10)
        recall = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(exact.rows, near.rows, strict=True)])
        assert index.manifest.recall["low"] - 0.1 < recall and index.manifest.recall["target"] is None
        assert set(index.manifest.search_parameters) == {"efSearch" if "HNSW" in spec else "nprobe", "candidates"}
        other = index.search(vectors[:50], 10, metric=Metric.INNER_PRODUCT)
        np.testing.assert_allclose(other.scores, -np.sort(-(vectors[:50] @ vectors.T), axis=1)[:, :10], atol=1e-4)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("kind", ["exact", "graph"])
def test_an_index_of_every_earlier_format_opens_and_can_be_changed(tmp_path, version, kind):
    shutil.copytree(OLD / f"format-{version}" / kind, tmp_path / "i")
    vectors = np.random.default_rng(0).standard_normal((60, 5)).astype(np.float32)
    with Index.open(tmp_path / "i") as index:
        assert index.manifest.format == version and index.manifest.spec == (
            "HNSW16" if (version, kind) == (2, "graph") else "exact"
        )
        found = index.search(vectors, 1)
        np.testing.assert_array_equal(found.rows[:, 0], np.arange(60))
        assert index.hits(found)[7][0] == Hit("d7", found.scores[7, 0], "text 7 é", {"year": 1907, "tags": ["a", None]})
        np.testing.assert_array_equal(index.search(vectors[5:], 1, where="year > 1904").rows[:, 0], np.arange(5, 60))
        with pytest.raises(UsageError, match="without keywords: vecsearch compact"):
            index.keywords(["text"])
        index.add([Document("new", "new")], vectors=[vectors[:1]])
        assert index.manifest.format == 3 and len(index) == 61
        index.compact()
        assert index.manifest.spec == ("exact" if kind == "exact" else "HNSW16")
        assert [hit.id for hit in index.keywords(["text"], 100)[0]] == [f"d{i}" for i in range(60)]
        np.testing.assert_array_equal(index.search(vectors[5:], 1, where="year > 1904").rows[:, 0], np.arange(5, 60))


@pytest.mark.parametrize("kind", ["exact", "graph", "clusters"])
def test_an_index_of_format_3_from_before_opens_and_lives_on(tmp_path, kind):
    shutil.copytree(OLD / "format-3" / kind, tmp_path / "i")
    vectors = np.random.default_rng(0).standard_normal((60, 5)).astype(np.float32)
    with Index.open(tmp_path / "i") as index:
        assert index.manifest.spec == ("HNSW16" if kind == "graph" else "exact") and len(index) == 60
        np.testing.assert_array_equal(index.search(vectors, 1).rows[:, 0], np.arange(60))
        assert [hit.id for hit in index.nearest(vectors[9:10], 1, where="year > 1905")[0]] == ["d9"]
        if kind == "clusters":
            clusters = [hit.cluster for (hit,) in index.nearest(vectors, 1)]
            assert set(clusters) == {0, 1, 2} == {cluster.number for cluster in index.clustering.clusters}
        else:
            assert index.clustering is None and index.manifest.deleted == 1
        index.add([Document("new", "new")], vectors=[vectors[:1]])
        index.compact()
        assert index.manifest.deletes is None and len(index) == 61
        assert [hit.id for (hit,) in index.nearest(vectors[1:], 1)] == [f"d{i}" for i in range(1, 60)]
        if kind == "clusters":
            assert [hit.cluster for (hit,) in index.nearest(vectors[1:], 1)] == clusters[1:]


def test_cells_of_an_earlier_version_mean_the_same_when_they_are_compacted(tmp_path):
    shutil.copytree(OLD / "format-3" / "cells", tmp_path / "i")
    asked = [
        "year > 1980",
        "oid = 1",
        "number = 5",
        "zip = '01234'",
        "zip = '10001'",
        "zip = 10001",
        "year = ''",
        "year = '1990'",
    ]
    with Index.open(tmp_path / "i") as index:

        def met(where):
            found = index.search(np.ones((1, 2)), 5, where=where).rows[0].tolist()
            return sorted(document.id for document in index.documents(found))

        before, heard = [met(where) for where in asked], Told()
        assert before == [["d0", "d3"], ["d3"], ["d3"], ["d0"], ["d1"], ["d1"], ["d1"], ["d0"]]
        index.compact(progress=heard)
        assert [met(where) for where in asked] == before
        assert "the fields 'number', 'oid', 'year', 'zip'" in heard.notes[0]
        fields = [document.fields for document in index.documents(index.alive())]
        assert fields[0] == {"year": 1990, "zip": "01234"} and fields[4] == {"year": "1,200"}
        index.compact(progress=heard)
        assert len(heard.notes) == 1


def test_a_recall_is_asked_for_and_kept(tmp_path):
    vectors = np.random.default_rng(0).standard_normal((600, 12)).astype(np.float32)
    names, goal, queries = documents(*map(str, range(600))), Goal(0.5, 5), vectors[::2] + np.float32(0.1)
    heard = Told()
    with Index.build(
        tmp_path / "i",
        names,
        vectors=[vectors],
        options=Options(spec="IVF8,Flat", goal=goal, queries=queries),
        progress=heard,
    ) as index:
        recall = index.manifest.recall
        assert (recall["k"], recall["queries"], recall["target"]) == (5, 100, 0.5) and recall["low"] >= 0.5
        assert heard.steps["vectors"] == [600]
    with Index.build(tmp_path / "j", names, vectors=[vectors], options=Options(goal=goal)) as index:
        assert index.manifest.spec == "exact" and index.manifest.recall is None
    with pytest.raises(UsageError, match=r"shape \(3, 4\)"):
        Index.build(tmp_path / "k", names, vectors=[vectors], options=Options(goal=goal, queries=np.ones((3, 4))))
    assert not (tmp_path / "k").exists()


def test_a_spec_that_does_not_fit_fails_before_anything_is_written(tmp_path, axis):
    with pytest.raises(UsageError, match="PQ2"):
        Index.build(tmp_path / "i", LETTERS, axis, options=Options(spec="PQ2"))
    assert not (tmp_path / "i").exists()


def test_progress_hears_the_rows_on_disk(tmp_path, axis, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_DOCUMENTS", 4)
    heard = Told()
    Index.build(tmp_path / "i", LETTERS, axis, progress=heard).close()
    assert heard.steps["documents"] == [4, 6]


def test_long_documents_end_a_block(tmp_path, axis, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_CHARACTERS", 5)
    heard = Told()
    Index.build(tmp_path / "i", documents("aaaaaa", "b", "ccccc", "a"), axis, progress=heard).close()
    assert heard.steps["documents"] == [1, 3, 4]


# -- scores and words --------------------------------------------------------------------------------------------------


@given(scores=st.lists(st.floats(-1, 1), min_size=1, max_size=9))
def test_a_percentile_is_the_share_of_random_pairs_below(scores):
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((300, 4)).astype(np.float32)
    background = random_pairs(vectors, np.random.default_rng(1))
    a, b = np.random.default_rng(2).integers(0, 300, (2, 50_000))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = np.einsum("nd,nd->n", unit[a], unit[b])[a != b]
    expected = [100 * (cosines < score).mean() for score in scores]
    np.testing.assert_allclose(background.percentile(np.array(scores), Metric.COSINE), expected, atol=1.5)


def test_similarity_of_words_says_when_it_means_nothing(tiny):
    found = model_similarity(tiny, "king", "zzyzx", np.random.default_rng(0))
    assert "'zzyzx'" in found.note and found.cosine == 0
    assert model_similarity(tiny, "king", "king", np.random.default_rng(0)).note == ""


def test_similarity_in_an_index_takes_ids_before_texts(letters):
    by_id = index_similarity(letters, "d2", "b", np.random.default_rng(0))
    assert (by_id.cosine, by_id.ip) == (1.0, 3.0) and 0 <= by_id.cosine_percentile <= 100


def test_a_single_document_has_no_percentiles(tmp_path, axis):
    with Index.build(tmp_path / "i", documents("abc"), axis) as index:
        found = index_similarity(index, "d0", "abc", np.random.default_rng(0))
        assert found.cosine_percentile is None and "no pairs" in found.note


def test_analogy_leaves_out_what_was_asked_with(tmp_path):
    words = {"king": [1, 1, 0], "man": [1, 0, 0], "woman": [0, 0, 1], "queen": [0, 1, 1], "tomato": [-1, 0, -1]}
    vectors = np.array(list(words.values()), np.float32)
    with Index.build(tmp_path / "i", [Document(w, w) for w in words], vectors=[vectors]) as index:
        hits = analogy(index, ["king", "woman"], ["man"], k=5)
        assert hits[0].id == "queen" and {hit.id for hit in hits} == {"queen", "tomato"}
        assert odd_one_out(index, ["king", "queen", "woman", "tomato"])[0].id == "tomato"
        with pytest.raises(UsageError, match="3 or more"):
            odd_one_out(index, ["king", "queen"])
        with pytest.raises(UsageError, match="at least one word"):
            analogy(index, [], ["man"])
