"""The commands that change an index, and those that ask it by words and fields: what they print, and how they refuse."""

import fcntl
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import refused, rows

from vecsearch.corpus.readers import read_corpus
from vecsearch.encoders import UlmfitEncoder
from vecsearch.index.index import Index

TEXTS = ["the king of the city", "a film of war", "he sat on the bank of the river", "tomato in love", "queen XK-47 , queen !"]
RECORDS = [{"id": f"d{i}", "text": text, "year": 1900 + i, "genre": "war" if i % 2 else "noir"} for i, text in enumerate(TEXTS)]
OLD = Path(__file__).parent / "indexes" / "format-2" / "exact"


def jsonl(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def ids(ran):
    return [row["id"] for row in rows(ran)]


@pytest.fixture
def corpus(tmp_path):
    return jsonl(tmp_path / "corpus.jsonl", RECORDS)


@pytest.fixture(scope="module")
def built(tmp_path_factory, tiny_folder):
    folder = tmp_path_factory.mktemp("built")
    corpus = read_corpus(jsonl(folder / "corpus.jsonl", RECORDS))
    Index.build(folder / "index", corpus, UlmfitEncoder(tiny_folder())).close()
    return folder / "index"


@pytest.fixture
def index(built, tmp_path):
    return shutil.copytree(built, tmp_path / "index")


@pytest.fixture
def ready(vecsearch, tmp_path):
    """An index of 200 ready vectors, and their file."""
    path, folder = tmp_path / "vectors.npy", tmp_path / "ready"
    np.save(path, np.random.default_rng(0).standard_normal((200, 8)).astype(np.float32))
    rows(vecsearch("build", "--vectors", path, "-o", folder))
    return folder


def info(vecsearch, folder):
    return rows(vecsearch("info", folder))[0]


# -- add ---------------------------------------------------------------------------------------------------------------


def test_add_tells_new_from_changed_from_unchanged(vecsearch, index, tmp_path):
    changed = RECORDS[1] | {"year": 1}
    more = jsonl(tmp_path / "more.jsonl", [{"id": "new", "text": "a heist in the city"}, changed, RECORDS[2]])
    ran = vecsearch("add", index, more)
    expected = {"index": str(index), "added": 1, "replaced": 1, "unchanged": 1, "documents": 6, "generation": 2}
    assert rows(ran) == [expected]
    assert ran.err.startswith("1 documents added, 1 replaced, 1 unchanged in ")
    assert ids(vecsearch("query", index, "king", "--where", "year = 1")) == ["d1"]
    ran = vecsearch("add", index, more)
    assert rows(ran)[0] | {"unchanged": 3, "added": 0, "replaced": 0} == rows(ran)[0]
    assert rows(ran)[0]["generation"] == 2


def test_add_reads_as_build_does(vecsearch, index, tmp_path):
    path = tmp_path / "more.csv"
    path.write_text("name,words,year\nx,the king,1950\ny,a queen,1951\n")
    (row,) = rows(vecsearch("add", index, path, "--text-field", "words", "--id-field", "name"))
    assert (row["added"], row["documents"]) == (2, 7)
    assert ids(vecsearch("query", index, "king", "--where", "year >= 1950")) in (["x", "y"], ["y", "x"])


def test_add_skips_what_is_bad_when_told_to(vecsearch, index, tmp_path):
    path = tmp_path / "more.jsonl"
    path.write_text('{"id": "x", "text": "a king"}\nnot json\n')
    refused(vecsearch("add", index, path), 3, "more.jsonl, line 2")
    ran = vecsearch("add", index, path, "--skip-bad")
    assert rows(ran)[0]["added"] == 1
    assert "note: 1 bad records were skipped" in ran.err


def test_add_of_ready_vectors(vecsearch, ready, tmp_path):
    more = tmp_path / "more.npy"
    np.save(more, np.eye(3, 8, dtype=np.float32))
    (names := tmp_path / "names.txt").write_text("x\ny\n199\n")
    (row,) = rows(vecsearch("add", ready, "--vectors", more, "--ids", names))
    assert (row["added"], row["replaced"], row["documents"]) == (2, 1, 202)
    assert rows(vecsearch("query", ready, "--vectors", more, "-k", 1))[0]["id"] == "x"
    corpus = jsonl(tmp_path / "three.jsonl", [{"id": f"t{i}", "text": "x"} for i in range(3)])
    assert rows(vecsearch("add", ready, corpus, "--vectors", more))[0]["added"] == 3


def test_many_segments_are_noted(vecsearch, ready, tmp_path):
    for n in range(9):
        np.save(tmp_path / "one.npy", np.full((1, 8), n + 1, np.float32))
        (tmp_path / "one.txt").write_text(f"n{n}\n")
        ran = vecsearch("add", ready, "--vectors", tmp_path / "one.npy", "--ids", tmp_path / "one.txt")
        assert ("10 segments, each searched by itself: vecsearch compact merges them" in ran.err) == (n == 8)


def test_add_refuses(vecsearch, index, ready, tmp_path, corpus):
    refused(vecsearch("add", index), 2, "CORPUS", "--vectors")
    refused(vecsearch("add", index, corpus, "--ids", corpus), 2, "--ids", "--vectors")
    refused(vecsearch("add", ready, corpus, "--vectors", corpus, "--ids", corpus), 2, "--ids", "CORPUS")
    refused(vecsearch("add", ready, "--vectors", corpus, "--skip-bad"), 2, "--skip-bad", "CORPUS")
    refused(vecsearch("add", tmp_path / "nowhere", corpus), 4, "there is no index at", "no such folder")
    refused(vecsearch("add", index, tmp_path / "nowhere.jsonl"), 3, "nowhere.jsonl")
    refused(vecsearch("add", ready, corpus), 2, "was built from ready vectors and carries no encoder")
    np.save(tmp_path / "wide.npy", np.ones((2, 9), np.float32))
    refused(vecsearch("add", ready, "--vectors", tmp_path / "wide.npy"), 2, "holds vectors of length 9, the index of length 8")
    np.save(tmp_path / "bad.npy", np.full((2, 8), np.nan, np.float32))
    refused(vecsearch("add", ready, "--vectors", tmp_path / "bad.npy"), 3, "bad.npy")
    (tmp_path / "short.txt").write_text("x\n")
    np.save(tmp_path / "two.npy", np.ones((2, 8), np.float32))
    refused(
        vecsearch("add", ready, "--vectors", tmp_path / "two.npy", "--ids", tmp_path / "short.txt"), 3, "1 ids for 2 vectors"
    )
    twice = jsonl(tmp_path / "twice.jsonl", [{"id": "x", "text": "a"}, {"id": "x", "text": "b"}])
    refused(vecsearch("add", index, twice), 3, "'x'")
    assert info(vecsearch, index)["generation"] == info(vecsearch, ready)["generation"] == 1


# -- delete ------------------------------------------------------------------------------------------------------------


def test_delete_by_id_and_by_condition(vecsearch, index):
    assert rows(vecsearch("delete", index, "d0", "d0")) == [
        {"index": str(index), "deleted": 1, "documents": 4, "generation": 2}
    ]
    assert rows(vecsearch("delete", index, "d1", "--where", "year >= 1904"))[0]["deleted"] == 2
    assert sorted(ids(vecsearch("query", index, "king"))) == ["d2", "d3"]
    assert rows(vecsearch("delete", index, "--where", "year > 3000"))[0] | {"deleted": 0} == {
        "index": str(index), "deleted": 0, "documents": 2, "generation": 3,
    }  # fmt: skip
    assert rows(vecsearch("delete", index, "--where", "id is not null"))[0]["documents"] == 0
    ran = vecsearch("query", index, "king")
    assert (ran.code, ran.out) == (0, "")


def test_delete_refuses(vecsearch, index, tmp_path):
    refused(vecsearch("delete", index), 2, "IDS", "--where")
    refused(vecsearch("delete", index, "d0", "nope"), 2, "no document with the id 'nope'; nothing was deleted")
    refused(vecsearch("delete", index, "--where", "yaer > 1"), 2, "names 'yaer', which no document has; there are: ")
    refused(vecsearch("delete", index, "--where", '"yaer" > 1'), 2, "names 'yaer'", "texts stand in single quotes")
    refused(vecsearch("delete", index, "--where", "year >"), 2, "is not understood")
    refused(vecsearch("delete", index, "--where", ""), 2, "is not understood")
    refused(vecsearch("delete", index, "--where", "1; drop table documents"), 2, "is not understood")
    refused(vecsearch("delete", tmp_path / "nowhere", "d0"), 4, "no such folder")
    assert info(vecsearch, index)["documents"] == 5
    assert info(vecsearch, index)["generation"] == 1


# -- compact, rebuild ----------------------------------------------------------------------------------------------------


def test_compact_leaves_one_segment_of_what_is_there(vecsearch, index, tmp_path):
    rows(vecsearch("add", index, jsonl(tmp_path / "more.jsonl", [{"id": "new", "text": "a king"}, RECORDS[0] | {"year": 1}])))
    rows(vecsearch("delete", index, "d1"))
    before = vecsearch("query", index, "king of the city").out
    (row,) = rows(vecsearch("compact", index))
    assert row == {"index": str(index), "rows": 5, "dim": 7, "metric": "cosine", "spec": "exact", "generation": 4}
    told = info(vecsearch, index)
    assert (told["segments"], told["deleted_rows"], told["drift"]) == (1, 0, None)
    assert [json.loads(line)["id"] for line in before.splitlines()] == ids(vecsearch("query", index, "king of the city"))


def test_an_index_of_which_nothing_is_left(vecsearch, index, tmp_path, corpus):
    rows(vecsearch("delete", index, "--where", "1"))
    assert rows(vecsearch("compact", index))[0]["rows"] == 0
    ran = vecsearch("query", index, "king")
    assert (ran.code, ran.out) == (0, "")
    assert info(vecsearch, index)["documents"] == 0
    assert rows(vecsearch("add", index, corpus))[0]["added"] == 5
    assert sorted(ids(vecsearch("query", index, "king", "--hybrid"))) == [f"d{i}" for i in range(5)]
    assert vecsearch("verify", index).code == 0


def test_rebuild_makes_another_kind_and_back(vecsearch, ready, tmp_path):
    before = ids(vecsearch("query", ready, "--vectors", tmp_path / "vectors.npy", "-k", 1))
    (row,) = rows(vecsearch("rebuild", ready, "--spec", "IVF4,Flat"))
    assert (row["spec"], row["generation"], row["rows"]) == ("IVF4,Flat", 2, 200)
    assert ids(vecsearch("query", ready, "--vectors", tmp_path / "vectors.npy", "-k", 1)) == before
    assert rows(vecsearch("rebuild", ready, "--recall", "1"))[0]["spec"] == "exact"
    (row,) = rows(vecsearch("rebuild", ready))
    assert (row["spec"], row["generation"]) == ("exact", 4)


def test_rebuild_says_when_the_recall_is_not_reached(vecsearch, ready):
    ran = vecsearch("rebuild", ready, "--spec", "PQ1x4fs", "--recall", "0.999")
    assert ran.code in (0, 1)
    if ran.code == 1:
        assert "the recall of 0.999 is not reached; the index is kept as it is" in ran.err
    assert json.loads(ran.out)["spec"] == "PQ1x4fs"


def test_rebuild_and_compact_refuse(vecsearch, ready, index, tmp_path):
    refused(vecsearch("rebuild", ready, "--memory", "1GB"), 2, "--memory", "--recall", "--spec")
    refused(vecsearch("rebuild", ready, "-k", "5"), 2, "-k", "--recall", "--spec")
    refused(vecsearch("rebuild", ready, "--spec", "IVF0,Flat"), 2, "the spec 'IVF0,Flat'")
    refused(vecsearch("rebuild", ready, "--spec", "nonsense"), 2, "FAISS does not accept the spec 'nonsense'")
    refused(vecsearch("rebuild", ready, "--recall", "2"), 2, "'2' must be greater than 0 and at most 1")
    refused(vecsearch("rebuild", tmp_path / "nowhere"), 4, "no such folder")
    refused(vecsearch("compact", tmp_path / "nowhere"), 4, "no such folder")
    refused(vecsearch("compact", tmp_path), 4, "is not an index")
    texts = tmp_path / "queries.txt"
    texts.write_text("a king\n")
    refused(vecsearch("rebuild", ready, "--spec", "HNSW8", "--queries", texts), 2, "queries for ready vectors are vectors")
    path = next(ready.glob("segments/*/vectors.npy"))
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    for command in ("rebuild", "compact"):
        refused(vecsearch(command, ready), 4, str(path), "sha256")
    assert info(vecsearch, ready)["generation"] == 1


# -- generations ---------------------------------------------------------------------------------------------------------


def test_rollback_and_older_generations(vecsearch, index):
    rows(vecsearch("delete", index, "d0"))
    rows(vecsearch("delete", index, "d1"))
    assert info(vecsearch, index)["kept_generations"] == [3, 2, 1]
    for generation, count in ((1, 5), (2, 4), (3, 3)):
        assert len(ids(vecsearch("query", index, "king", "--generation", generation))) == count
    assert rows(vecsearch("rollback", index, 1)) == [{"index": str(index), "restored": 1, "generation": 4}]
    assert info(vecsearch, index)["kept_generations"] == [4, 3, 2]
    assert info(vecsearch, index)["documents"] == 5
    assert info(vecsearch, index)["provenance"]["rollback"] == 1
    assert len(ids(vecsearch("query", index, "king"))) == 5


def test_rollback_refuses(vecsearch, index, tmp_path):
    refused(vecsearch("rollback", index, 1), 2, "cannot go back to generation 1; it is at 1 and keeps none")
    rows(vecsearch("delete", index, "d0"))
    refused(vecsearch("rollback", index, 7), 2, "cannot go back to generation 7; it is at 2 and keeps 1")
    refused(vecsearch("rollback", index, 0), 2, "GENERATION")
    refused(vecsearch("rollback", tmp_path / "nowhere", 1), 4, "no such folder")
    refused(vecsearch("query", index, "king", "--generation", 9), 2, "does not keep generation 9; it keeps 2, 1")
    refused(vecsearch("query", index, "king", "--generation", 0), 2, "--generation")
    (index / "manifest-000001.json").write_bytes(b"{}")
    refused(vecsearch("rollback", index, 1), 4, "manifest-000001.json", "sha256")
    assert info(vecsearch, index)["kept_generations"] == [2]
    assert len(ids(vecsearch("query", index, "king"))) == 4


def test_gc_keeps_as_many_generations_as_it_is_told(vecsearch, index):
    for id in ("d0", "d1"):
        rows(vecsearch("delete", index, id))
    size = sum(path.stat().st_size for path in index.rglob("*") if path.is_file())
    rows(vecsearch("gc", index, "--keep", 2))
    assert info(vecsearch, index)["kept_generations"] == [3, 2]
    (row,) = rows(vecsearch("gc", index))
    assert info(vecsearch, index)["kept_generations"] == [3]
    assert row["removed_files"] == 2
    assert 0 < row["freed_bytes"] < size
    assert rows(vecsearch("gc", index)) == [{"index": str(index), "removed_files": 0, "freed_bytes": 0}]
    refused(vecsearch("query", index, "king", "--generation", 2), 2, "it keeps 3")
    refused(vecsearch("gc", index, "--keep", 0), 2, "--keep")
    assert len(ids(vecsearch("query", index, "king"))) == 3


def test_gc_removes_what_an_interrupted_add_left(vecsearch, index, tmp_path):
    path = tmp_path / "more.jsonl"
    path.write_text('{"id": "x", "text": "a king"}\n' * 1 + "not json\n")
    refused(vecsearch("add", index, path), 3, "line 2")
    rows(vecsearch("gc", index))
    assert len(list((index / "segments").iterdir())) == 1


def test_build_keeps_as_many_generations_as_asked(vecsearch, corpus, tmp_path, tiny_folder):
    folder = tmp_path / "kept"
    rows(vecsearch("build", corpus, "-o", folder, "--encoder", tiny_folder(), "--keep", 2))
    for id in ("d0", "d1", "d2"):
        rows(vecsearch("delete", folder, id))
    assert info(vecsearch, folder)["kept_generations"] == [4, 3]
    refused(vecsearch("build", corpus, "-o", tmp_path / "x", "--keep", 0), 2, "--keep")


@pytest.mark.parametrize("command", [["add", "CORPUS"], ["delete", "d0"], ["compact"], ["rebuild"], ["rollback", "1"], ["gc"]])
def test_a_second_writer_is_told_of_the_first(vecsearch, index, corpus, command):
    arguments = [corpus if part == "CORPUS" else part for part in command[1:]]
    with (index / "LOCK").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused(vecsearch(command[0], index, *arguments), 5, "is being written by process")
    assert vecsearch("query", index, "king").code == 0


# -- info ----------------------------------------------------------------------------------------------------------------


def test_info_says_when_the_measured_recall_is_no_longer_that_of_the_index(vecsearch, tmp_path):
    np.save(tmp_path / "many.npy", np.random.default_rng(0).standard_normal((1000, 8)).astype(np.float32))
    np.save(tmp_path / "more.npy", np.random.default_rng(1).standard_normal((100, 8)).astype(np.float32))
    (tmp_path / "names.txt").write_text("".join(f"m{i}\n" for i in range(100)))
    folder = tmp_path / "drifting"
    assert (
        vecsearch("build", "--vectors", tmp_path / "many.npy", "-o", folder, "--spec", "IVF8,Flat", "--recall", "0.5").code == 0
    )
    assert info(vecsearch, folder)["recall"]["target"] == 0.5
    assert info(vecsearch, folder)["drift"] is None
    rows(vecsearch("add", folder, "--vectors", tmp_path / "more.npy", "--ids", tmp_path / "names.txt"))
    rows(vecsearch("delete", folder, *range(50)))
    told = info(vecsearch, folder)
    assert (told["rows"], told["documents"], told["deleted_rows"], told["segments"]) == (1100, 1050, 50, 2)
    since = "since then 100 were added and 50 deleted (15%): vecsearch compact measures it again"
    drift = f"the recall was measured over 1,000 rows; {since}"
    assert told["drift"] == drift
    assert drift in vecsearch("info", folder, "--table").out
    assert vecsearch("compact", folder).code == 0
    told = info(vecsearch, folder)
    assert (told["drift"], told["rows"], told["recall"]["target"]) == (None, 1050, 0.5)


# -- query ---------------------------------------------------------------------------------------------------------------


def test_query_by_fields(vecsearch, index):
    assert sorted(ids(vecsearch("query", index, "king", "--where", "genre = 'war' and year > 1900"))) == ["d1", "d3"]
    ran = vecsearch("query", index, "king", "--where", "year > 3000")
    assert (ran.code, ran.out) == (0, "")
    assert "nothing is found for 'king': no document meets the condition" in ran.err
    refused(vecsearch("query", index, "king", "--where", "yaer > 1"), 2, "names 'yaer', which no document has")
    refused(vecsearch("query", index, "king", "--where", "random() > 0"), 2, "does more than look at the fields")


def test_query_by_words(vecsearch, index):
    assert ids(vecsearch("query", index, "xk-47", "--keywords")) == ["d4"]
    assert ids(vecsearch("query", index, '"bank of the river"', "--keywords")) == ["d2"]
    assert ids(vecsearch("query", index, "king film", "--keywords", "--where", "genre = 'war'")) == ["d1"]
    ran = vecsearch("query", index, "zeppelin", "--keywords")
    assert (ran.code, ran.out) == (0, "")
    assert "nothing is found for 'zeppelin': no document has a word of it" in ran.err
    ran = vecsearch("query", index, "AND * ^ (", "--keywords")
    assert (ran.code, ran.out) == (0, "")


def test_query_by_both(vecsearch, index):
    found = rows(vecsearch("query", index, "XK-47", "--hybrid", "--weights", 0, 1))
    assert (found[0]["id"], found[0]["score"]) == ("d4", 1)
    found = rows(vecsearch("query", index, "XK-47", "--hybrid", "--fusion", "ranks", "--weights", 0, 1))
    assert (found[0]["id"], found[0]["score"]) == ("d4", pytest.approx(1 / 61))
    assert sorted(ids(vecsearch("query", index, "king", "--hybrid"))) == [f"d{i}" for i in range(5)]
    assert ids(vecsearch("query", index, "king", "--hybrid", "--where", "year = 1903")) == ["d3"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--keywords", "--hybrid"], "--keywords --hybrid"),
        (["--meaning", "--hybrid"], "--meaning --hybrid"),
        (["--keywords", "--metric", "ip"], "--keywords --metric"),
        (["--hybrid", "--metric", "ip"], "--hybrid --metric"),
        (["--keywords", "--marked", "--exact"], "--keywords --exact --marked"),
        (["--meaning", "--weights", "1", "1"], "--weights --fusion --hybrid"),
        (["--explain", "--fusion", "ranks"], "--weights --fusion --hybrid"),
        (["--min-score", "0.5", "--weights", "1", "1"], "--weights --fusion --hybrid"),
        (["--format", "jsonl"], "--format --queries"),
        (["--hybrid", "--weights", "-1", "1"], "--weights"),
        (["--hybrid", "--weights", "1"], "--weights"),
        (["--hybrid", "--weights", "x", "1"], "--weights"),
        (["--keywords", "-k", "0"], "-k"),
    ],
)
def test_options_of_a_query_that_do_not_go_together(vecsearch, index, arguments, named):
    refused(vecsearch("query", index, "king", *arguments), 2, *named.split())


def test_words_are_for_texts(vecsearch, index, ready, tmp_path):
    for way in ("--keywords", "--hybrid"):
        ran = vecsearch("query", ready, "--vectors", tmp_path / "vectors.npy", way)
        refused(ran, 2, way, "--vectors")
    refused(vecsearch("query", ready, "--vectors", tmp_path / "vectors.npy", "--weights", 1, 1), 2, "--weights", "--hybrid")
    # Words need no encoder; their ids are the texts of ready vectors.
    assert ids(vecsearch("query", ready, "17", "--keywords")) == ["17"]
    refused(vecsearch("query", ready, "17", "--hybrid"), 2, "carries no encoder")


def test_an_index_of_an_earlier_version(vecsearch, tmp_path):
    folder = tmp_path / "old"
    shutil.copytree(OLD, folder)
    refused(
        vecsearch("query", folder, "x", "--keywords"), 2, "made by an earlier vecsearch, without keywords: vecsearch compact"
    )
    # Its documents have fields all the same.
    assert rows(vecsearch("delete", folder, "--where", "id = 'nothing'"))[0]["deleted"] == 0
    assert vecsearch("compact", folder).code == 0
    assert vecsearch("query", folder, "x", "--keywords").code == 0
    assert rows(vecsearch("delete", folder, "--where", "id = 'nothing'"))[0]["deleted"] == 0


# -- passages ------------------------------------------------------------------------------------------------------------


def test_chunks(vecsearch, tmp_path, tiny_folder):
    long = " ".join(["he sat on the bank ."] * 20 + ["the king and the queen ."])
    corpus = jsonl(tmp_path / "long.jsonl", [{"id": "long", "text": long}, {"id": "short", "text": "tomato"}])
    folder = tmp_path / "chunked"
    (row,) = rows(vecsearch("build", corpus, "-o", folder, "--encoder", tiny_folder(), "--chunk", 12, "--overlap", 3))
    assert row["rows"] > 10
    told = info(vecsearch, folder)
    assert told["documents"] == 2
    (hit,) = rows(vecsearch("query", folder, "the king and the queen", "-k", 1, "--keywords"))
    assert hit["text"] == long
    assert "king" in hit["passage"] and len(hit["passage"].split()) <= 12
    assert sorted(ids(vecsearch("query", folder, "bank"))) == ["long", "short"]
    # What is added is split in the same way.
    more = jsonl(tmp_path / "more.jsonl", [{"id": "other", "text": long[::-1]}, {"id": "long", "text": long}])
    (added,) = rows(vecsearch("add", folder, more))
    assert (added["added"], added["unchanged"], added["documents"]) == (1, 1, 3)
    assert info(vecsearch, folder)["rows"] > row["rows"] + 5
    assert rows(vecsearch("delete", folder, "long"))[0]["documents"] == 2
    assert "long" not in ids(vecsearch("query", folder, "king", "--hybrid"))
    assert vecsearch("verify", folder).code == 0


def test_chunks_refuse(vecsearch, corpus, tmp_path, tiny_folder, ready):
    def build(*arguments):
        return vecsearch("build", *arguments, "-o", tmp_path / "x")

    model = ("--encoder", tiny_folder())
    refused(build(corpus, *model, "--overlap", 3), 2, "--overlap", "--chunk")
    refused(build(corpus, *model, "--chunk", 3, "--overlap", 3), 2, "passages of 3 tokens cannot overlap by 3")
    refused(build(corpus, *model, "--chunk", 0), 2, "--chunk")
    refused(build(corpus, *model, "--chunk", 3, "--overlap", -1), 2, "--overlap")
    refused(build("--vectors", tmp_path / "vectors.npy", "--chunk", 3), 2, "--chunk", "--vectors")
    refused(build("--vocabulary", *model, "--chunk", 3), 2, "--chunk", "--vocabulary")
    assert not (tmp_path / "x").exists()
