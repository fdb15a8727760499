"""Maps: places by neighbors or main components, the same every time, kept with the index through all its changes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import documents
from threadpoolctl import threadpool_limits

from vecsearch import clustering
from vecsearch.clustering.areas import cluster_places, densest, named_areas
from vecsearch.clustering.map import kept_map, make_map
from vecsearch.clustering.page import map_page
from vecsearch.corpus.document import Document
from vecsearch.corpus.passages import Chunks
from vecsearch.errors import DamagedIndexError, UsageError
from vecsearch.index.build import Options
from vecsearch.index.index import Index
from vecsearch.metric import normalise

WAYS = pytest.mark.parametrize("way", ["tsne", "pca"])


def needs(way: str) -> None:
    if way == "tsne":
        pytest.importorskip("openTSNE", reason="openTSNE is not installed")


def heaps(count: int, *, parts: int = 3, seed: int = 0) -> np.ndarray:
    """Vectors (count, 6) in `parts` heaps, by turns."""
    rng = np.random.default_rng(seed)
    return (np.eye(parts, 6)[np.arange(count) % parts] + 0.05 * rng.standard_normal((count, 6))).astype(np.float32)


def build(folder, count: int = 60, **options) -> Index:
    texts = ("the cat purrs on a mat", "a rocket flies to Mars", "bread and butter for tea")
    rows = [Document(f"d{i}", f"{texts[i % 3]} {i}") for i in range(count)]
    return Index.build(folder, rows, vectors=[heaps(count)], options=Options(**options))


# -- places ------------------------------------------------------------------------------------------------------------


def test_places_are_the_main_components(tmp_path):
    with build(tmp_path / "i") as index:
        made = make_map(index, way="pca")
        points = normalise(index.vectors(range(60)))
        centred = points - points.mean(axis=0)
        expected = centred @ np.linalg.svd(centred.astype(np.float64))[2][:2].T
        for axis in range(2):
            assert abs(np.corrcoef(made.places[:, axis], expected[:, axis])[0, 1]) > 0.9999
        assert made.places.min() >= 0 and made.places.max() <= 1


@WAYS
@pytest.mark.parametrize("most", [200, 100])
def test_the_number_of_threads_changes_nothing_and_heaps_stay_apart(tmp_path, way, most):
    needs(way)
    with build(tmp_path / "i", 200) as index:
        with threadpool_limits(1):
            made = make_map(index, way=way, most=most)
        again = make_map(index, way=way, most=most)
        np.testing.assert_array_equal(made.places, again.places)
        assert made.areas == again.areas and len(made.documents) == most
        own = [made.places[[int(document.id[1:]) % 3 == part for document in made.documents]] for part in range(3)]
        middles = np.array([places.mean(axis=0) for places in own])
        apart = min(np.linalg.norm(middles[a] - middles[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
        spreads = [np.linalg.norm(places - middle, axis=1).mean() for places, middle in zip(own, middles, strict=True)]
        assert max(spreads) < apart / 2


def test_tsne_keeps_more_neighbors_than_two_components(tmp_path):
    needs("tsne")
    vectors = normalise(np.random.default_rng(0).standard_normal((250, 10)).astype(np.float32))
    rows = [Document(str(i), "") for i in range(250)]
    with Index.build(tmp_path / "i", rows, vectors=[vectors]) as index:
        kept = {way: share_kept(vectors, make_map(index, way=way).places) for way in ("tsne", "pca")}
    assert kept["tsne"] > 2 * kept["pca"]


def share_kept(vectors: np.ndarray, places: np.ndarray, k: int = 15) -> float:
    def nearest(points: np.ndarray) -> np.ndarray:
        distances = np.square(points[:, None] - points[None]).sum(axis=2)
        np.fill_diagonal(distances, np.inf)
        return np.argsort(distances, axis=1)[:, :k]

    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(nearest(vectors), nearest(places), strict=True)]))


@WAYS
@pytest.mark.parametrize(
    ("rows", "dim", "equal"), [(1, 1, True), (2, 1, False), (2, 2, False), (13, 1, False), (13, 3, True), (13, 3, False)]
)
def test_few_documents_of_few_dimensions(tmp_path, way, rows, dim, equal):
    needs(way)
    vectors = np.ones((rows, dim)) if equal else np.arange(1, rows * dim + 1).reshape(rows, dim)
    some = [Document(str(i), "") for i in range(rows)]
    with Index.build(tmp_path / "i", some, vectors=[vectors.astype(np.float32)]) as index:
        made = make_map(index, way=way)
        assert made.places.shape == (rows, 2) and ((made.places >= 0) & (made.places <= 1)).all()
        titles = json.dumps([document.id for document in some], separators=(",", ":"))
        assert f'"title":{titles}' in map_page(index, "few").html.decode()


def test_of_more_documents_than_it_shows_it_takes_an_even_sample(tmp_path):
    with build(tmp_path / "i") as index:
        made = make_map(index, way="pca", most=20, keep=True)
        assert [document.id for document in made.documents] == [f"d{i}" for i in range(0, 60, 3)]
        kept = kept_map(index)
        assert [document.id for document in kept.documents] == [f"d{i}" for i in range(0, 60, 3)] and kept.waiting == 0
        assert b"20 documents of 60, an even sample, placed by" in map_page(index, "some").html
        index.delete(where="id is not null")
        with pytest.raises(UsageError, match="no document"):
            make_map(index)


def test_tsne_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openTSNE", None)
    with build(tmp_path / "i") as index, pytest.raises(UsageError, match=r"pip install 'vecsearch\[map\]'"):
        make_map(index, way="tsne")


# -- kept with the index -----------------------------------------------------------------------------------------------


@WAYS
def test_a_map_is_kept_and_read_again(tmp_path, way):
    needs(way)
    with build(tmp_path / "i", 60) as index:
        assert kept_map(index) is None and index.places is None
        made = make_map(index, way=way, keep=True)
        assert index.manifest.generation == 2 and index.manifest.map["way"] == way
    with Index.open(tmp_path / "i") as index:
        kept = kept_map(index)
        np.testing.assert_array_equal(kept.places, made.places)
        assert (kept.areas, kept.way, kept.of, kept.waiting) == (made.areas, way, 60, 0)
        assert kept.documents == made.documents
        clustering.cluster(index, clustering.Settings(k=3))  # clusters come and go beside it
        np.testing.assert_array_equal(kept_map(index).places, made.places)
    assert Index.verify(tmp_path / "i").problems == [] == Index.verify(tmp_path / "i").notes


def test_a_map_lives_through_every_change(tmp_path):
    with build(tmp_path / "i", keep=9) as index:
        made = make_map(index, way="pca", keep=True)
        by_id = {document.id: tuple(place) for document, place in zip(made.documents, made.places.tolist(), strict=True)}
        index.delete(["d0", "d7", "d50"])
        index.add([Document(f"e{i}", "more") for i in range(5)], vectors=[heaps(5, seed=1)])

        def check() -> None:
            kept = kept_map(index)
            found = {document.id: tuple(place) for document, place in zip(kept.documents, kept.places.tolist(), strict=True)}
            assert found == {id: place for id, place in by_id.items() if id not in ("d0", "d7", "d50")}
            assert (kept.of, kept.waiting) == (62, 5)
            assert b"5 came later and have no place yet" in map_page(index, "later").html

        check()
        index.compact()
        check()
        index.rebuild()
        check()
        index.collect(9)
        make_map(index, way="pca", keep=True)
        assert (kept_map(index).waiting, len(kept_map(index).documents)) == (0, 62)
        index.rollback(2)
        np.testing.assert_array_equal(kept_map(index).places, made.places)
        index.rollback(1)
        assert kept_map(index) is None
        index.delete(where="id is not null")
        index.compact()
        assert kept_map(index) is None


def test_a_document_that_was_split_has_one_place(tmp_path, axis):
    texts = ["a a a a " * 9 + "b", "b b b b " * 9, "a a a " * 9, "b b b a " * 9] * 5
    with Index.build(tmp_path / "i", documents(*texts), axis, options=Options(chunks=Chunks(10, 2))) as index:
        made = make_map(index, way="pca", keep=True)
        assert len(made.documents) == 20 == len(kept_map(index).documents) < index.manifest.rows
        np.testing.assert_array_equal(kept_map(index).places, made.places)
        starts = index.document_rows()
        for start, stop in zip(starts, [*starts[1:], index.manifest.rows], strict=True):
            assert len(np.unique(index.places.places[start:stop], axis=0)) == 1


def test_a_change_meanwhile_is_noticed(tmp_path):
    with build(tmp_path / "i") as index, Index.open(tmp_path / "i") as other:
        other.delete(["d3"])
        other.compact()
        with pytest.raises(UsageError, match="was changed while its map was made"):
            make_map(index, way="pca", keep=True)
        assert other.places is None


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [("areas-000002.json", b"documents", b"dokuments"), ("places-000002.npy", b"NUMPY", b"NUMPI")],
)
def test_a_damaged_map_is_named(tmp_path, name, old, new):
    with build(tmp_path / "i", 1000) as index:
        make_map(index, way="pca", keep=True)
    path = tmp_path / "i" / name
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(DamagedIndexError, match=f"{name} has sha256"):
        Index.open(tmp_path / "i")
    with pytest.raises(DamagedIndexError, match=name):
        Index.open(tmp_path / "i", check=False)
    (problem,) = Index.verify(tmp_path / "i").problems
    assert name in problem
    with Index.open(tmp_path / "i", generation=1) as index:
        assert kept_map(index) is None


# -- areas -------------------------------------------------------------------------------------------------------------


def test_areas_are_named_by_what_sets_them_apart(tmp_path):
    rng = np.random.default_rng(0)
    words = ["cats", "rockets", "bread", "rivers", "chess"]
    at = rng.random((5, 2)) * 0.8 + 0.1
    kind = rng.integers(0, 5, 2000)
    places = (at[kind] + 0.01 * rng.standard_normal((2000, 2))).astype(np.float32)
    texts = [Document(str(i), f"something about {words[k]} and other things") for i, k in enumerate(kind)]
    areas = named_areas(places, texts, "en", 0)
    assert [area.documents for area in areas] == sorted((area.documents for area in areas), reverse=True)
    assert len({area.name for area in areas}) == len(areas) >= 5
    for area in areas:
        nearest = words[int(np.linalg.norm(at - [area.x, area.y], axis=1).argmin())]
        assert area.name == nearest or set(words).isdisjoint(area.name.split(", "))
    assert {area.name for area in areas} >= set(words)


def test_areas_of_a_vocabulary_are_named_by_words_in_their_middle():
    rng = np.random.default_rng(0)
    places = rng.random((900, 2)).astype(np.float32)
    areas = named_areas(places, [Document(f"w{i}", f"w{i}") for i in range(900)], None, 0)
    assert len(areas) > 2
    for area in areas:
        assert np.linalg.norm(places[int(area.name[1:])] - [area.x, area.y]) < 0.1


def test_the_densest_place():
    rng = np.random.default_rng(0)
    places = np.concatenate([rng.random((50, 2)), 0.7 + 0.01 * rng.standard_normal((30, 2))])
    assert np.allclose(densest(places), 0.7, atol=0.03)
    assert densest(np.array([[1.0, 0.0]])) == (1.0, 0.0)
    found = cluster_places(np.array([1] * 80 + [-1]), np.concatenate([places, [[0, 0]]]), 3)
    np.testing.assert_array_equal(found[[0, 2]], 0.5)
    assert np.allclose(found[1], 0.7, atol=0.03)
