"""cluster, clusters, assign, map and query --cluster, from options to exit codes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import documents, rows

from vecsearch.corpus.document import Document
from vecsearch.index.index import Index

TEXTS = [text for text in ("the cat purrs", "a rocket flies", "bread and butter") for _ in range(12)]


@pytest.fixture
def index(tmp_path):
    """Three heaps of twelve documents, whose texts say which."""
    rng = np.random.default_rng(0)
    heaps = np.eye(3, 6).repeat(12, axis=0) + 0.05 * rng.standard_normal((36, 6))
    rows = [Document(f"d{i}", text, {"kind": text.split()[1], "n": i}) for i, text in enumerate(TEXTS)]
    Index.build(tmp_path / "i", rows, vectors=[heaps.astype(np.float32)]).close()
    return tmp_path / "i"


def test_clusters_are_made_kept_shown_and_asked_within(vecsearch, index):
    made = vecsearch("cluster", index, "--labels", "kind")
    found = rows(made)
    assert [row["documents"] for row in found] == [12, 12, 12] and {row["name"] for row in found} == {
        "cat purrs",
        "rocket flies",
        "bread, butter",
    }
    assert "3 clusters have the highest silhouette" in made.err
    assert "note: 3 clusters by kmeans of 36 documents, 0 in none; silhouette" in made.err
    assert "by kind ARI 1.000, NMI 1.000" in made.err
    assert rows(vecsearch("clusters", index)) == found
    told = json.loads(vecsearch("info", index, "--json").out)["clusters"]
    assert (told["way"], told["count"], told["k"], told["ari"]) == ("kmeans", 3, 3, 1.0) and "2" in told["silhouettes"]
    table = vecsearch("clusters", index, "--table").out.splitlines()
    assert table[0].split() == ["cluster", "documents", "cohesion", "name", "medoid"] and len(table) == 4
    number = next(row["cluster"] for row in found if row["name"] == "rocket flies")
    np.save(index.parent / "q.npy", np.ones((1, 6), np.float32))
    hits = rows(vecsearch("query", index, "--vectors", index.parent / "q.npy", "--cluster", number, "-k", "99"))
    assert {hit["id"] for hit in hits} == {f"d{i}" for i in range(12, 24)} and {hit["cluster"] for hit in hits} == {number}
    hits = rows(vecsearch("query", index, "rocket", "--keywords", "--cluster", number, "--where", "n < 14 -- first"))
    assert {hit["id"] for hit in hits} == {"d12", "d13"}


@pytest.mark.parametrize(
    ("options", "way", "said"),
    [
        (["-k", "2"], "kmeans", "2 clusters by kmeans of 36 documents, 0 in none"),
        (["--threshold", "0.9"], "communities", "3 clusters by communities of 36"),
        (["--by", "communities", "--min-size", "20"], "communities", "the threshold is"),
        (["--by", "density", "--min-size", "5"], "density", "clusters by density"),
        (["-k", "36", "--seed", "3"], "kmeans", "36 clusters by kmeans"),
    ],
)
def test_each_way_and_its_options(vecsearch, index, options, way, said):
    ran = vecsearch("cluster", index, *options)
    assert ran.code == 0 and said in ran.err
    told = json.loads(vecsearch("info", index, "--json").out)["clusters"]
    assert told["way"] == way
    given = dict(zip(options[::2], options[1::2], strict=True))
    for option, name in (("-k", "k"), ("--threshold", "threshold"), ("--min-size", "size"), ("--seed", "seed")):
        if option in given:
            assert told[name] == float(given[option])


def test_new_documents_are_assigned(vecsearch, index):
    rows(vecsearch("cluster", index, "-k", "3"))
    more = index.parent / "more.jsonl"
    more.write_text("".join(json.dumps({"id": f"e{i}", "text": "new"}) + "\n" for i in range(3)))
    np.save(index.parent / "more.npy", np.eye(3, 6, dtype=np.float32))
    assert vecsearch("add", index, more, "--vectors", index.parent / "more.npy").code == 0
    assert "3 documents were added since: vecsearch assign" in vecsearch("clusters", index).err
    (told,) = rows(vecsearch("assign", index))
    assert told["assigned"] == 3
    assert [row["documents"] for row in rows(vecsearch("clusters", index))] == [13, 13, 13]
    assert rows(vecsearch("assign", index))[0] == told | {"assigned": 0}


def test_texts_are_assigned_without_being_stored(vecsearch, tmp_path, tiny_folder):
    (tmp_path / "c.txt").write_text("the king sat\nthe queen sat\na film\nwar and love\na city\nriver bank\n")
    assert vecsearch("build", tmp_path / "c.txt", "--encoder", tiny_folder(), "-o", tmp_path / "i").code == 0
    rows(vecsearch("cluster", tmp_path / "i", "-k", "2"))
    with Index.open(tmp_path / "i") as index:
        labels, generation = index.clustering.labels, index.manifest.generation
    found = rows(vecsearch("assign", tmp_path / "i", "a film", "the king sat", "zzz"))
    assert [row["cluster"] for row in found] == [labels[2], labels[0], None] and found[2]["name"] is None
    with Index.open(tmp_path / "i") as index:
        assert index.manifest.generation == generation


def test_clusters_are_exported_as_a_field_that_a_build_reads(vecsearch, index):
    refused = vecsearch("export", index, "-o", index.parent / "out.jsonl", "--clusters")
    assert refused.code == 2 and "has no clusters" in refused.err and not (index.parent / "out.jsonl").exists()
    rows(vecsearch("cluster", index, "-k", "3"))
    assert vecsearch("export", index, "-o", index.parent / "out.jsonl", "--clusters").code == 0
    found = [json.loads(line) for line in (index.parent / "out.jsonl").read_text().splitlines()]
    with Index.open(index) as opened:
        assert [row["cluster"] for row in found] == opened.clustering.labels.tolist()
    assert [row["kind"] for row in found] == [text.split()[1] for text in TEXTS]


def test_duplicates_are_listed_and_nothing_is_kept(vecsearch, tmp_path):
    vectors = np.array([[1, 0], [1, 0.01], [0, 1], [0.7, 0.7]], np.float32)
    Index.build(tmp_path / "i", documents("a", "A", "b", "c"), vectors=[vectors]).close()
    (pair,) = rows(vecsearch("cluster", tmp_path / "i", "--duplicates", "0.95"))
    assert (pair["a"], pair["b"], pair["text_a"], pair["text_b"]) == ("d0", "d1", "a", "A") and pair["score"] > 0.999
    none = vecsearch("cluster", tmp_path / "i", "--duplicates", "1")
    assert none.out == "" and none.code == 0 and "no two documents are so alike" in none.err
    assert json.loads(vecsearch("info", tmp_path / "i", "--json").out)["clusters"] is None


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["cluster", "I", "-k", "0"], "k is 0"),
        (["cluster", "I", "-k", "37"], "k is 37, and 36 documents have a vector: ask for 1 to 36"),
        (["cluster", "I", "-k", "3", "--by", "density"], "--by density"),
        (["cluster", "I", "-k", "3", "--threshold", "0.5"], "--by communities"),
        (["cluster", "I", "--min-size", "3"], "--by kmeans"),
        (["cluster", "I", "--threshold", "2"], "threshold is 2.0; a cosine is from −1 to 1"),
        (["cluster", "I", "--by", "density", "--min-size", "1"], "smallest cluster has 1 documents"),
        (["cluster", "I", "--duplicates", "0"], "threshold is 0.0"),
        (["cluster", "I", "--duplicates", "0.9", "-k", "3"], "--duplicates"),
        (["cluster", "I", "-k", "3", "--labels", "nothing"], "no document has the field 'nothing'"),
        (["clusters", "I"], "I has no clusters: vecsearch cluster makes them"),
        (["assign", "I"], "no clusters: vecsearch cluster makes them"),
        (["query", "I", "x", "--cluster", "0", "--keywords"], "no clusters: vecsearch cluster makes them"),
        (["map", "I", "-o", "map.gif"], "map.gif is neither a page nor a picture"),
        (["map", "I", "-o", "no/such/map.html"], "cannot write no/such/map.html"),
        (["map", "I", "--title", "x"], "--title"),
    ],
)
def test_what_makes_no_sense_is_refused(vecsearch, index, monkeypatch, command, message):
    monkeypatch.chdir(index.parent)
    index.rename(index.parent / "I")
    ran = vecsearch(*command)
    assert ran.code == (5 if "cannot write" in message else 2) and ran.out == "" and message in ran.err
    assert "Traceback" not in ran.err
    assert json.loads(vecsearch("info", "I", "--json").out)["clusters"] is None


def test_a_cluster_that_there_is_not(vecsearch, index):
    rows(vecsearch("cluster", index, "-k", "3"))
    ran = vecsearch("query", index, "cat", "--keywords", "--cluster", "3")
    assert ran.code == 2 and "there is no cluster 3; the index has 3, counted from 0: vecsearch clusters" in ran.err


def test_damaged_clusters_are_named(vecsearch, index):
    rows(vecsearch("cluster", index, "-k", "3"))
    path = index / "clusters-000002.json"
    path.write_bytes(path.read_bytes().replace(b"rocket", b"racket"))
    for command in ("clusters", "query"):
        ran = vecsearch(command, index, *(["cat", "--keywords"] if command == "query" else []))
        assert ran.code == 4 and str(path) in ran.err and "has sha256" in ran.err
    assert vecsearch("query", index, "cat", "--keywords", "--generation", "1").code == 0
    assert vecsearch("verify", index).code == 1


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_picture(vecsearch, index, suffix):
    path = index.parent / f"map{suffix}"
    ran = vecsearch("map", index, "-o", path, "--by", "pca")
    (told,) = rows(ran)
    assert told == {"map": str(path), "documents": 36, "clusters": 0, "areas": 0, "way": "pca"}
    assert "so all is of one colour" in ran.err
    one_colour = path.read_bytes()
    assert one_colour.startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix])
    rows(vecsearch("cluster", index, "-k", "3"))
    assert rows(vecsearch("map", index, "-o", path, "--by", "pca", "--title", "a $title$ of <b>"))[0]["clusters"] == 3
    assert path.read_bytes() != one_colour


def test_a_map_is_kept_and_then_written(vecsearch, index):
    path = index.parent / "map.html"
    (told,) = rows(vecsearch("map", index, "--by", "pca"))
    assert told == {"index": str(index), "documents": 36, "clusters": 0, "areas": 0, "way": "pca", "generation": 2}
    assert json.loads(vecsearch("info", index, "--json").out)["map"] == {"way": "pca", "rows": 36}
    more = index.parent / "more.jsonl"
    more.write_text('{"id": "new", "text": "new"}\n')
    np.save(index.parent / "more.npy", np.ones((1, 6), np.float32))
    assert vecsearch("add", index, more, "--vectors", index.parent / "more.npy").code == 0
    kept = vecsearch("map", index, "-o", path)
    assert rows(kept)[0]["documents"] == 36 and "1 documents came after the map was made" in kept.err
    assert "1 came later and have no place yet" in path.read_text()
    # Another way or seed makes another map, and keeps the one there is.
    assert rows(vecsearch("map", index, "-o", path, "--by", "pca", "--seed", "1"))[0]["documents"] == 37
    with Index.open(index) as opened:
        assert opened.manifest.generation == 3 and opened.places.way == "pca"
    assert rows(vecsearch("map", index, "--by", "pca"))[0] == told | {"documents": 37, "generation": 4}


def test_tsne_without_its_package(vecsearch, index, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openTSNE", None)
    ran = vecsearch("map", index, "-o", index.parent / "m.html", "--by", "tsne")
    assert ran.code == 2 and "pip install 'vecsearch[map]'" in ran.err and not (index.parent / "m.html").exists()
    assert rows(vecsearch("map", index, "-o", index.parent / "m.html"))[0]["way"] == "pca"
