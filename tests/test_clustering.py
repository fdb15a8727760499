"""Clusters: each way against a reference, the same every time, kept with the index through all its changes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import documents, made_vectors
from hypothesis import example, given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from vecsearch import clustering
from vecsearch.clustering.criterion import chosen_k
from vecsearch.clustering.describe import silhouette
from vecsearch.clustering.graph import ROUNDING, alike, neighbors
from vecsearch.clustering.kmeans import Fit, assign, kmeans
from vecsearch.clustering.points import Points
from vecsearch.corpus.document import Document
from vecsearch.corpus.passages import Chunks
from vecsearch.errors import UsageError
from vecsearch.index import update as updating
from vecsearch.index.build import Options
from vecsearch.index.compact import compact
from vecsearch.index.index import Index
from vecsearch.metric import Metric, normalise
from vecsearch.store.alive import alive_blocks, free_cluster_field
from vecsearch.store.snapshot import open_snapshot, read_manifest

WAYS = pytest.mark.parametrize("way", clustering.WAYS)


def blobs(n: int, dim: int, count: int, *, spread: float = 0.05, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (n, dim) float32 in `count` heaps far from each other, and which heap each is in."""
    rng = np.random.default_rng(seed)
    middles = normalise(rng.standard_normal((count, dim)).astype(np.float32))
    heap = rng.integers(0, count, n)
    return (middles[heap] + spread * rng.standard_normal((n, dim))).astype(np.float32), heap


def index_of(folder, vectors: np.ndarray, *, texts=None, metric=Metric.COSINE, fields=None, **options) -> Index:
    texts = texts or [f"text {i}" for i in range(len(vectors))]
    rows = [Document(f"d{i}", text, {} if fields is None else fields[i]) for i, text in enumerate(texts)]
    return Index.build(folder, rows, vectors=[vectors], options=Options(metric, **options))


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two labelings put the same together, whatever the numbers; −1 is nothing's number."""
    pairs = set(zip(a.tolist(), b.tolist(), strict=True))
    return len(pairs) == len({x for x, _ in pairs}) == len({y for _, y in pairs}) and all((x < 0) == (y < 0) for x, y in pairs)


# -- k-means -----------------------------------------------------------------------------------------------------------


def fit(points: np.ndarray, k: int, *, spherical: bool = False, seed: int = 0, threads: int | None = None) -> Fit:
    return kmeans(points.__getitem__, len(points), k, spherical=spherical, seed=seed, threads=threads)


@given(
    kind=st.sampled_from(["gaussian", "clustered", "lognormal", "anisotropic"]),
    n=st.integers(1, 400),
    dim=st.integers(1, 12),
    share=st.floats(0, 1),
    spherical=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=40)
@example(kind="clustered", n=4, dim=1, share=0.0, spherical=True, seed=0)  # two points and their opposites
def test_every_point_is_with_its_nearest_centre_and_the_inertia_is_what_it_says(kind, n, dim, share, spherical, seed):
    points = made_vectors(kind, n, dim, seed)
    points = normalise(points) if spherical else points
    k = max(1, round(share * n))
    found = fit(points, k, spherical=spherical, seed=seed)
    assert len(found.centres) <= k and set(found.labels) == set(range(len(found.centres)))
    distances = np.square(points[:, None].astype(np.float64) - found.centres[None]).sum(axis=2)
    own = distances[np.arange(n), found.labels]
    assert (own <= distances.min(axis=1) + 1e-5 * np.square(points).sum(axis=1).max()).all()
    assert math.isclose(found.inertia, own.sum(), rel_tol=1e-4, abs_tol=1e-5 * n)
    if spherical:
        np.testing.assert_allclose(np.linalg.norm(found.centres, axis=1), 1, rtol=1e-5)


def test_it_finds_what_scikit_learn_finds():
    from sklearn.cluster import KMeans

    points, heap = blobs(3000, 20, 12)
    assert same_partition(fit(points, 12).labels, heap)
    mixed = made_vectors("anisotropic", 4000, 24, 1)
    theirs = min(KMeans(30, n_init=1, random_state=seed).fit(mixed).inertia_ for seed in range(3))
    assert fit(mixed, 30).inertia < 1.02 * theirs


def test_the_number_of_threads_changes_nothing():
    points = made_vectors("clustered", 20_000, 33, 0)
    expected = fit(points, 40)
    for threads in (1, 3):
        with threadpool_limits(threads):
            found = fit(points, 40, threads=threads)
        np.testing.assert_array_equal(found.centres, expected.centres)
        np.testing.assert_array_equal(found.labels, expected.labels)


def test_another_seed_begins_elsewhere():
    points = made_vectors("gaussian", 2000, 16, 0)
    assert not np.array_equal(fit(points, 20, seed=0).centres, fit(points, 20, seed=1).centres)


@given(
    n=st.integers(1, 1500), part=st.integers(1, 60), dim=st.integers(1, 40), k=st.integers(1, 150), seed=st.integers(0, 99),
    spherical=st.booleans(),
)  # fmt: skip
@settings(max_examples=40)
@example(n=114, part=1, dim=1, k=56, seed=1, spherical=False)  # two centres are equally near to a point in float32
def test_a_points_cluster_does_not_depend_on_what_is_asked_with_it(n, part, dim, k, seed, spherical):
    points, centres = made_vectors("gaussian", n, dim, seed), made_vectors("gaussian", k, dim, seed + 1)
    labels, products = assign(points, centres, spherical=spherical)
    exact = points.astype(np.float64) @ centres.T - (0 if spherical else np.square(centres.astype(np.float64)).sum(axis=1) / 2)
    best = np.sort(np.pad(exact, ((0, 0), (1, 0)), constant_values=-np.inf), axis=1)
    clear = best[:, -1] - best[:, -2] > 1e-4
    order = np.random.default_rng(seed).permutation(len(centres))
    turned, own = assign(points, centres[order], spherical=spherical)
    alone, apart = assign(points[-part:], centres, spherical=spherical)
    for found, its, which in ((order[turned], own, slice(None)), (alone, apart, slice(-part, None))):
        np.testing.assert_array_equal(found[clear[which]], labels[which][clear[which]])
        np.testing.assert_allclose(its[clear[which]], products[which][clear[which]], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(labels[clear], exact.argmax(axis=1)[clear])


def test_rare_points_among_many_equal_ones_are_found():
    points = np.zeros((30_000, 3), np.float32)
    points[::600] = np.random.default_rng(0).standard_normal((50, 3))
    assert len(fit(points, 51).centres) == 51


@pytest.mark.parametrize("rows", [1, 2, 5000])
def test_equal_points_are_one_cluster(rows):
    found = fit(np.ones((rows, 3), np.float32), min(rows, 4))
    assert len(found.centres) == 1 and not found.labels.any() and found.inertia == pytest.approx(0, abs=1e-3)


def test_the_number_of_clusters_is_the_one_with_the_best_silhouette(tmp_path):
    vectors, _ = blobs(600, 16, 7)
    with index_of(tmp_path / "i", vectors) as index:
        k, tried = chosen_k(Points(index), seed=0)
        assert 2 in tried and len(tried) > 5 and tried[k] == max(tried.values())
        assert abs(k - 7) <= 2


# -- the graph, communities, density, duplicates ----------------------------------------------------------------------


@pytest.mark.parametrize("metric", list(Metric))
def test_neighbors_and_the_like_are_those_of_all_pairs(tmp_path, metric):
    vectors, _ = blobs(200, 6, 5, spread=0.2)
    vectors[[7, 8, 9]] = vectors[6]
    vectors[11] = 0
    with index_of(tmp_path / "i", vectors, metric=metric) as index:
        points = Points(index)
        cosines = normalise(vectors).astype(np.float64) @ normalise(vectors).T
        np.fill_diagonal(cosines, -np.inf)
        found, scores = neighbors(points, np.arange(200), 9)
        np.testing.assert_allclose(scores, -np.sort(-cosines, axis=1)[:, :9], atol=1e-5)
        assert not (found == np.arange(200)[:, None]).any()
        near = alike(points, 0.9, first=3)
        for number in range(200):
            expected = set() if number == 11 else set(np.flatnonzero(cosines[number] >= 0.9))
            assert set(near.to(number).tolist()) == expected
        assert np.diff(near.starts).max() > 3 and near.crowded == 0


def greedy(cosines: np.ndarray, threshold: float, size: int) -> list[set[int]]:
    """The communities: again and again the point with the most free others like it, and these."""
    free, found = set(range(len(cosines))), []
    while free:
        sizes = {i: {j for j in free if j == i or cosines[i, j] >= threshold} for i in free}
        best = max(sizes, key=lambda i: (len(sizes[i]), -i))
        if len(sizes[best]) < size:
            break
        found.append(sizes[best])
        free -= sizes[best]
    return found


def test_communities_are_those_of_the_greedy_algorithm(tmp_path):
    vectors, heap = blobs(150, 8, 9, spread=0.03)
    vectors[heap == 8] = made_vectors("gaussian", int((heap == 8).sum()), 8, 5)
    with index_of(tmp_path / "i", vectors) as index:
        made = clustering.cluster(index, clustering.Settings("communities", threshold=0.9, size=6))
        cosines = normalise(vectors).astype(np.float64) @ normalise(vectors).T
        expected = greedy(cosines, 0.9, 6)
        assert {frozenset(np.flatnonzero(made.labels == c).tolist()) for c in range(len(made.clusters))} == set(
            map(frozenset, expected)
        )
        assert len(expected) == 8 and (made.labels == -1).any()
        for cluster in made.clusters:
            own = made.labels == cluster.number
            assert (normalise(vectors[own]) @ made.centres[cluster.number] >= 0.9 - 1e-6).all()


@pytest.mark.parametrize("spec", ["HNSW32", "IVF4,Flat"])
@pytest.mark.parametrize("way", ["communities", "density"])
def test_the_graph_is_what_the_indexs_own_search_finds(tmp_path, spec, way, monkeypatch):
    vectors, heap = blobs(400, 32, 5, spread=0.05)
    searched = []
    with index_of(tmp_path / "i", vectors, spec=spec) as index:
        real = type(index).search
        monkeypatch.setattr(
            type(index), "search", lambda *given, **options: searched.append(options) or real(*given, **options)
        )
        made = clustering.cluster(index, clustering.Settings(way, threshold=0.8 if way == "communities" else None))
    assert searched and not any(options.get("exact") for options in searched)
    assert same_partition(made.labels[made.labels >= 0], heap[made.labels >= 0]) and (made.labels >= 0).mean() > 0.9


def test_density_clusters_are_scikit_learns(tmp_path):
    from sklearn.cluster import HDBSCAN

    vectors, _ = blobs(120, 6, 4, spread=0.08)
    vectors[::12] = made_vectors("gaussian", 10, 6, 3)
    with index_of(tmp_path / "i", vectors) as index:
        made = clustering.cluster(index, clustering.Settings("density", size=8))
    theirs = HDBSCAN(min_cluster_size=8, copy=True).fit(normalise(vectors)).labels_
    # Their graph has all pairs, ours the 30 nearest: what is far from everything may hang otherwise.
    agree = [same_partition(made.labels[some], theirs[some]) for some in (np.flatnonzero((made.labels >= 0) & (theirs >= 0)),)]
    assert all(agree) and ((made.labels >= 0) == (theirs >= 0)).mean() > 0.95
    assert len(made.clusters) == 4


def test_parts_of_the_graph_without_an_edge_between_them_are_apart(tmp_path):
    vectors, heap = blobs(400, 5, 4, spread=0.001)
    with index_of(tmp_path / "i", vectors) as index:
        made = clustering.cluster(index, clustering.Settings("density", size=10))
        assert same_partition(made.labels[made.labels >= 0], heap[made.labels >= 0])
        assert (made.labels >= 0).mean() > 0.9


@pytest.mark.parametrize("threshold", [0.5, 0.95, 1.0])
def test_duplicates_are_all_pairs_above_the_threshold(tmp_path, threshold):
    vectors, _ = blobs(90, 6, 6, spread=0.1)
    vectors[[20, 21]] = vectors[19]
    vectors[[30, 31]] = 0
    with index_of(tmp_path / "i", vectors) as index:
        pairs, crowded = clustering.duplicates(index, threshold)
        cosines = normalise(vectors) @ normalise(vectors).T
        expected = {(f"d{i}", f"d{j}") for i, j in zip(*np.nonzero(np.triu(cosines, 1) >= threshold - ROUNDING), strict=True)}
        assert {(pair.a.id, pair.b.id) for pair in pairs} == expected >= {("d19", "d20"), ("d19", "d21"), ("d20", "d21")}
        assert [pair.score for pair in pairs] == sorted((pair.score for pair in pairs), reverse=True) and crowded == 0


# -- what is said of them ----------------------------------------------------------------------------------------------


def test_medoid_cohesion_and_figures(tmp_path):
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score

    vectors, heap = blobs(300, 8, 5, spread=0.2)
    fields = [{"heap": f"h{number}", "listed": [f"h{number}", "x"]} for number in heap]
    with index_of(tmp_path / "i", vectors, fields=fields) as index:
        made = clustering.cluster(index, clustering.Settings(k=5), labels="listed")
        points = normalise(vectors).astype(np.float64)
        for cluster in made.clusters:
            own = np.flatnonzero(made.labels == cluster.number)
            assert cluster.documents == len(own)
            centre = points[own].mean(axis=0)
            assert cluster.cohesion == pytest.approx(float(np.mean(points[own] @ centre / np.linalg.norm(centre))), abs=1e-5)
            likeness = (points[own] @ points[own].T).sum(axis=1)
            assert cluster.medoid == f"d{own[likeness.argmax()]}" == cluster.typical[0] and len(cluster.typical) == 5
        assert [cluster.documents for cluster in made.clusters] == sorted(np.bincount(made.labels), reverse=True)
        quality = made.quality
        assert quality["ari"] == pytest.approx(adjusted_rand_score(heap, made.labels), abs=1e-6)
        assert quality["nmi"] == pytest.approx(normalized_mutual_info_score(heap, made.labels), abs=1e-6)
        assert quality["silhouette"] == pytest.approx(silhouette_score(points, made.labels), abs=1e-5)
        means = np.array([points[made.labels == c].mean(axis=0) for c in range(5)])
        assert quality["inertia"] == pytest.approx(np.square(points - means[made.labels]).sum(), rel=1e-4)
        assert silhouette(Points(index), np.full(300, -1), 0) is None
        with pytest.raises(UsageError, match="'nothing'"):
            clustering.cluster(index, clustering.Settings(k=5), labels="nothing")


# -- kept with the index -----------------------------------------------------------------------------------------------


def settings_of(way: str) -> clustering.Settings:
    return clustering.Settings(way, k=5 if way == "kmeans" else None, threshold=0.8 if way == "communities" else None, size=5)


@WAYS
def test_the_same_index_gives_the_same_clusters_and_keeps_them(tmp_path, way):
    vectors, _ = blobs(300, 8, 5, spread=0.1)
    for name in ("one", "other"):
        index_of(tmp_path / name, vectors).close()
        with Index.open(tmp_path / name) as index:
            made = clustering.cluster(index, settings_of(way))
            assert index.manifest.generation == 2 and index.clustering is not None
    with Index.open(tmp_path / "one") as index:
        kept = index.clustering
        assert kept.summary() == made.summary() and kept.way == way and len(kept.clusters) >= 3
        np.testing.assert_array_equal(kept.labels, made.labels)
        np.testing.assert_array_equal(kept.centres, made.centres)


@WAYS
def test_documents_get_the_cluster_that_fitting_gave(tmp_path, way):
    vectors, _ = blobs(300, 8, 6, spread=0.25)
    vectors[17] = 0
    with index_of(tmp_path / "i", vectors) as index:
        made = clustering.cluster(index, settings_of(way))
        assert made.labels[17] == -1 and (made.labels >= 0).sum() > 100
        np.testing.assert_array_equal(clustering.nearest_clusters(index, vectors), made.labels)
        for row in range(0, 300, 29):
            assert clustering.nearest_clusters(index, vectors[row : row + 1])[0] == made.labels[row]


@WAYS
def test_clusters_live_through_every_change(tmp_path, way):
    vectors, _ = blobs(240, 8, 5, spread=0.1)
    with index_of(tmp_path / "i", vectors[:200], keep=9) as index:
        first = clustering.cluster(index, settings_of(way)).labels
        by_id = {f"d{i}": int(label) for i, label in enumerate(first)}
        index.delete(["d0", "d7", "d100"])
        more = [Document(f"e{i}", "more") for i in range(200, 240)]
        index.add(more, vectors=[vectors[200:]])
        counts, without, waiting = clustering.sizes(index)
        assert waiting == 40 and sum(counts) + without == 197
        assert clustering.assign(index) == 40
        expected = clustering.nearest_clusters(index, vectors[200:])
        by_id |= {f"e{200 + i}": int(label) for i, label in enumerate(expected)}
        assert clustering.sizes(index)[2] == 0 and clustering.assign(index) == 0
        generation = index.manifest.generation
        index.compact()
        updating.rebuild(index.folder)
        index.refresh()
        rows = index.document_rows()
        for document, label in zip(index.documents(rows.tolist()), index.clustering.labels[rows], strict=True):
            assert by_id[document.id] == label, document.id
        index.rollback(2)
        np.testing.assert_array_equal(index.clustering.labels, first)
        index.rollback(1)
        assert index.clustering is None
        assert index.manifest.generation > generation


def test_a_document_that_was_split_is_in_one_cluster(tmp_path, axis):
    texts = ["a a a a " * 9 + "b", "b b b b " * 9, "a a a " * 9, "b b b a " * 9] * 5
    with Index.build(tmp_path / "i", documents(*texts), axis, options=Options(chunks=Chunks(10, 2))) as index:
        made = clustering.cluster(index, clustering.Settings(k=2))
        starts = index.document_rows()
        ends = [*starts[1:], index.manifest.rows]
        labels = [set(made.labels[start:stop].tolist()) for start, stop in zip(starts, ends, strict=True)]
        assert all(len(found) == 1 for found in labels) and max(ends - starts) > 3
        kinds = made.labels[starts]
        assert same_partition(kinds, np.array([0, 1, 0, 1] * 5))
        found = index.nearest(np.eye(3, dtype=np.float32)[:1], 20, where=f"cluster = {kinds[0]}")[0]
        assert {hit.id for hit in found} == {f"d{i}" for i in range(0, 20, 2)} and {hit.cluster for hit in found} == {kinds[0]}


@pytest.mark.parametrize("spec", ["exact", "HNSW8"])
def test_the_cluster_is_a_field_for_conditions(tmp_path, spec):
    vectors, _ = blobs(300, 8, 4)
    with index_of(tmp_path / "i", vectors, fields=[{"n": i} for i in range(300)], spec=spec) as index:
        query = vectors[:1]
        with pytest.raises(UsageError, match="names 'cluster', which no document has"):
            index.nearest(query, 300, where="cluster = 1")
        made = clustering.cluster(index, clustering.Settings(k=4))
        for number in range(4):
            expected = {f"d{i}" for i in np.flatnonzero(made.labels[:200] == number)}
            for name in ("cluster", "document.cluster"):
                hits = index.nearest(query, 300, where=f"{name} = {number} and n < 200")[0]
                assert {hit.id for hit in hits} == expected and {hit.cluster for hit in hits} == {number}
        updating.delete(index.folder, where="cluster = 2")
        index.refresh()
        assert clustering.sizes(index)[0][2] == 0
        assert len(index.nearest(query, 300, where="cluster is null")[0]) == 0
        assert index.keywords(["text"], 300)[0][0].cluster is not None


def test_a_field_that_is_called_cluster_stays_one(tmp_path):
    """Before and after there are clusters, and beside those in an export."""
    vectors, _ = blobs(60, 8, 4)
    fields = [{"cluster": "theirs" if i % 2 else i} for i in range(60)]
    with index_of(tmp_path / "i", vectors, fields=fields) as index:
        for _ in range(2):
            assert len(index.nearest(vectors[:1], 60, where="cluster = 'theirs'")[0]) == 30
            assert len(index.nearest(vectors[:1], 60, where="cluster >= 30")[0]) == 15
            made = clustering.cluster(index, clustering.Settings(k=4))
        assert index.remarks("cluster = 'theirs'") == [
            "cluster is the documents' field 'cluster' here; document.cluster is their own"
        ]
        own = index.nearest(vectors[:1], 60, where="document.cluster = 1 and fields.cluster = 'theirs'")[0]
        assert {hit.id for hit in own} == {f"d{i}" for i in np.flatnonzero(made.labels == 1) if i % 2}
    with open_snapshot(tmp_path / "i") as snapshot:
        name = free_cluster_field(snapshot)
        written = [document.fields for block in alive_blocks(snapshot, 16, cluster_field=name) for document in block[0]]
    assert written == [own | {"cluster_": int(label)} for own, label in zip(fields, made.labels, strict=True)]


def test_a_change_meanwhile_is_noticed(tmp_path):
    vectors, _ = blobs(60, 4, 3)
    with index_of(tmp_path / "i", vectors) as index:
        before = read_manifest(index.folder)
        made = clustering.cluster(index, clustering.Settings(k=3))
        updating.delete(index.folder, ids=["d3"])
        compact(index.folder)
        with pytest.raises(UsageError, match="was changed while"):
            updating.cluster(index.folder, made, before)


@WAYS
@pytest.mark.parametrize("rows", [1, 2, 12])
def test_equal_vectors_and_few_documents(tmp_path, way, rows):
    with index_of(tmp_path / "i", np.ones((rows, 3), np.float32)) as index:
        made = clustering.cluster(index, clustering.Settings(way, size=2))
        labels = set(made.labels.tolist())
        assert labels <= {0, -1} and len(made.clusters) == int(0 in labels)
        if way == "kmeans" or (way == "communities" and rows > 1):
            assert labels == {0} and made.clusters[0].cohesion == pytest.approx(1)


def test_an_index_without_vectors_to_compare(tmp_path):
    with index_of(tmp_path / "i", np.zeros((5, 3), np.float32)) as index:
        with pytest.raises(UsageError, match="no document"):
            clustering.cluster(index)
        pairs, _ = clustering.duplicates(index, 0.9)
        assert pairs == []


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"k": 0}, "k is 0.*1 to 20"),
        ({"k": 21}, "k is 21.*20 documents"),
        ({"way": "magic"}, "no way 'magic'.*kmeans, communities, density"),
        ({"way": "communities", "threshold": 1.5}, "threshold is 1.5"),
        ({"way": "density", "size": 1}, "at least 2"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path, asked, message):
    with index_of(tmp_path / "i", blobs(20, 4, 2)[0]) as index:
        with pytest.raises(UsageError, match=message):
            clustering.cluster(index, clustering.Settings(**asked))
        assert index.clustering is None
        with pytest.raises(UsageError, match="no clusters: vecsearch cluster"):
            clustering.assign(index)


@given(seed=st.integers(0, 99))
@settings(max_examples=5)
def test_one_cluster_is_allowed(tmp_path_factory, seed):
    with index_of(tmp_path_factory.mktemp("c") / "i", made_vectors("gaussian", 30, 4, seed)) as index:
        made = clustering.cluster(index, clustering.Settings(k=1))
        assert not made.labels.any() and made.quality["silhouette"] is None
