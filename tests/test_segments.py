"""Segments that were made apart: adopted, compared with an index built in one go, merged to others of a stated size."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections import defaultdict
from contextlib import ExitStack, closing, nullcontext
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from conftest import Told, refused, rows
from engines import Forking, Here
from faults import killed, moments, stepping
from hypothesis import given, settings
from hypothesis import strategies as st
from store_builds import QUICK_DISK, Letters, assert_tidy, cluster, elsewhere, of, standalone

from vecsearch.corpus.document import Document
from vecsearch.corpus.passages import Chunks
from vecsearch.distributed.compacting import compact as compact_by
from vecsearch.errors import CorpusError, DamagedIndexError, UnsupportedIndexError, UsageError
from vecsearch.index import update
from vecsearch.index.adopt import adopt, from_segments
from vecsearch.index.build import Options
from vecsearch.index.compact import compact
from vecsearch.index.index import Index
from vecsearch.store.documents_writer import DocumentsWriter, Stored
from vecsearch.store.duplicates import Duplicate, duplicates
from vecsearch.store.snapshot import open_snapshot, read_manifest
from vecsearch.store.verify import Verification, verify

DIM = 5
WORDS = ["king", "kings", "queen", "the", "of", "XK-47", "boundary-layer", "C++", "e-mail", "東京都", "東京", "café", "bank"]
QUERIES = [
    "king",
    "the queen",
    '"of the king"',
    '"the king"',
    "XK-47",
    "boundary-layer",
    "C++",
    "東京",
    "東",
    "email bank",
    "e-mail",
]


def made(count: int, seed: int = 0) -> tuple[list[Document], np.ndarray]:
    """Documents of few words, with fields, and vectors (n, DIM) float32, of small whole numbers: their products are exact."""
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(WORDS, rng.integers(0, 12))) for _ in range(count)]
    documents = [
        Document(f"d{i}", text, {"year": 1950 + i % 7, "tags": [f"t{i % 3}"], **({"rare": i} if i % 5 == 0 else {})})
        for i, text in enumerate(texts)
    ]
    return documents, rng.integers(-2, 3, (count, DIM)).astype(np.float32)


def answers(index: Index) -> list:
    """What an index answers in every way it can be asked."""
    queries = np.random.default_rng(1).integers(-3, 4, (4, DIM)).astype(np.float32)
    conditions = [None, "year > 1953", "tags = 't1' or rare >= 10"]
    return [
        len(index),
        *([index.nearest(queries, 7, where=where), index.keywords(QUERIES, 9, where=where)] for where in conditions),
        [index.count(where) for where in conditions[1:]],
        index.similar(["d1"], 5),
    ]


def parts_of(total: int, cuts: list[int]) -> list[slice]:
    bounds = sorted({0, total, *(cut % total for cut in cuts)})
    return [slice(*pair) for pair in pairwise(bounds)]


# -- an index with adopted segments, against one that was built in one go ------------------------------------------------


@settings(max_examples=6)
@given(
    st.integers(6, 40),
    st.lists(st.integers(1, 1000), min_size=1, max_size=7),
    st.lists(st.booleans(), min_size=8, max_size=8),
    st.sets(st.integers(2, 1000), max_size=6),
    st.integers(2, 20),
)
def test_adopted_segments_answer_as_one_index_does(total, cuts, alone, gone, size):
    documents, vectors = made(total, total)
    gone = sorted({f"d{number % total}" for number in gone} - {"d0", "d1"})
    options = Options(metric="ip", language="en")
    with TemporaryDirectory(dir=QUICK_DISK) as name, ExitStack() as stack:
        place = Path(name)
        one = stack.enter_context(Index.build(place / "one", documents, vectors=[vectors], options=options))
        one.delete(gone)
        sources = []
        for part, by_itself in zip(parts_of(total, cuts), alone, strict=False):
            folder, here = place / f"part{part.start}", [document.id for document in documents[part] if document.id in gone]
            if by_itself and not here:
                standalone(folder, documents[part], vectors[part], language="en", metric="ip")
            else:
                with Index.build(folder, documents[part], vectors=[vectors[part]], options=options) as source:
                    source.delete(here)
            sources.append(folder)
        several = stack.enter_context(Index.from_segments(place / "several", sources[:1]))
        if sources[1:]:
            several.adopt(sources[1:])
        left_out = sum(all(document.id in gone for document in documents[part]) for part in parts_of(total, cuts))
        assert len(several.manifest.segments) == len(sources) - left_out
        if not left_out:  # a segment of which nothing is left takes its words with it
            assert answers(several) == answers(one)
        assert verify(place / "several").problems == []
        one.compact()
        several.compact(rows=size)
        assert answers(several) == answers(one)
        assert max(entry["rows"] for entry in several.manifest.segments) <= size


def test_meaning_and_words_together_rank_alike_in_any_number_of_segments(tmp_path, tiny):
    documents, _ = made(60)
    texts = [Document(document.id, document.text + " king", document.fields) for document in documents]
    options = Options(language="en")
    with Index.build(tmp_path / "one", texts, tiny, options=options) as one:
        vectors = np.concatenate([tiny.encode([document.text for document in texts])])
        made_by = {"fingerprint": tiny.fingerprint, "dtype": tiny.dtype}
        for number, part in enumerate(parts_of(60, [5, 9, 17, 30, 31, 44, 52])):
            standalone(tmp_path / f"part{number}", texts[part], vectors[part], language="en", encoder=made_by)
        with Index.from_segments(tmp_path / "all", [tmp_path / f"part{number}" for number in range(8)], tiny) as several:
            assert len(several.manifest.segments) == 8 and several.encoder.fingerprint == tiny.fingerprint
            for there, here in zip(one.hybrid(QUERIES, 8), several.hybrid(QUERIES, 8), strict=True):
                np.testing.assert_allclose([hit.score for hit in here], [hit.score for hit in there], rtol=1e-5)


def test_split_documents_stay_whole(tmp_path, tiny):
    texts = [Document(f"d{i}", " ".join(WORDS[: 3 + i % 9] * (1 + i % 4)), {"i": i}) for i in range(20)]
    options = Options(chunks=Chunks(4, 1))
    Index.build(tmp_path / "first", texts[:9], tiny, options=options).close()
    Index.build(tmp_path / "second", texts[9:], tiny, options=options).close()
    with Index.build(tmp_path / "one", texts, tiny, options=options) as one, Index.open(tmp_path / "first") as two:
        two.adopt([tmp_path / "second"])
        two.delete(["d3", "d12"])
        one.delete(["d3", "d12"])
        two.compact(rows=7)
        assert len(two.manifest.segments) > 3 and two.manifest.rows == one.manifest.rows - one.manifest.deleted
        found, expected = ({hit.id: hit.score for hit in index.query(["the king"], 18)[0]} for index in (two, one))
        assert len(found) == 18 and found == pytest.approx(expected, rel=1e-5)
        assert two.keywords(["king XK-47"], 18) != one.keywords(["king XK-47"], 18)  # what is deleted counts until it is merged
        one.compact()
        assert two.keywords(["king XK-47"], 18) == one.keywords(["king XK-47"], 18)
        assert verify(two.folder).problems == []


# -- what is refused ------------------------------------------------------------------------------------------------------


@pytest.fixture
def ready(tmp_path):
    """An index of ready vectors in English, and the documents and vectors of a segment that goes together with it."""
    documents, vectors = made(20)
    Index.build(tmp_path / "index", documents[:10], vectors=[vectors[:10]], options=Options(language="en")).close()
    return tmp_path / "index", documents[10:], vectors[10:]


@pytest.mark.parametrize(
    ("said", "both"),
    [
        ({"metric": "ip"}, ("ip", "cosine")),
        ({"language": "de"}, ("de", "en")),
        ({"chunks": {"tokens": 9, "overlap": 2}}, ("tokens 9", "overlap 2", "none")),
        ({"encoder": {"fingerprint": "f00d", "dtype": "bfloat16"}}, ("f00d", "bfloat16", "none")),
        ({"dim": DIM - 1}, (str(DIM - 1), str(DIM))),
    ],
)
def test_what_was_made_otherwise_is_refused_with_both_values(ready, tmp_path, said, both):
    folder, documents, vectors = ready
    vectors = vectors[:, : said.pop("dim", DIM)]
    standalone(tmp_path / "good", documents[:3], vectors[:3, :].repeat(2, 1)[:, :DIM], language="en")
    standalone(tmp_path / "other", documents[3:], vectors[3:], **{"language": "en"} | said)
    before = read_manifest(folder)
    with pytest.raises(UsageError) as error:
        adopt(folder, [tmp_path / "good", tmp_path / "other"])
    assert [value for value in (str(tmp_path / "other"), *both) if value not in str(error.value)] == []
    assert read_manifest(folder) == before
    assert_tidy(folder)


def test_an_encoder_of_the_same_weights_in_another_precision_is_another(tmp_path):
    Index.build(tmp_path / "index", of({"a": "a"}), Letters()).close()
    vectors = np.ones((1, 3), np.float32)
    standalone(tmp_path / "s", of({"b": "b"}), vectors, encoder={"fingerprint": "letters", "dtype": "bfloat16"})
    with pytest.raises(UsageError, match=r"bfloat16.*float32"):
        adopt(tmp_path / "index", [tmp_path / "s"])


def test_ids_that_come_twice(ready, tmp_path):
    folder, documents, vectors = ready
    with Index.open(folder) as index:
        texts = {hit.id: hit.text for hit in index.nearest(np.ones((1, DIM), np.float32), 100)[0]}
    again = [Document(f"d{number}", f"new {number}") for number in range(7)]
    standalone(tmp_path / "again", again, vectors[:7], language="en")
    standalone(tmp_path / "new", documents, vectors, language="en")
    shutil.copytree(tmp_path / "new", tmp_path / "copy")
    with pytest.raises(
        CorpusError, match=r"^7 ids come twice \('d0' in .*/index/segments/000001-0 and .*/again; .*'d4'.*; …\)"
    ):
        adopt(folder, [tmp_path / "again", tmp_path / "new"])
    for replace in (False, True):
        with pytest.raises(CorpusError, match=r"^10 ids come twice \('d10' in .*/copy and .*/new;"):
            adopt(folder, [tmp_path / "copy", tmp_path / "new"], replace=replace)
    assert_tidy(folder)
    made = adopt(folder, [tmp_path / "again", tmp_path / "new"], replace=True)
    assert (made.segments, made.documents, made.replaced) == (2, 17, 7)
    with Index.open(folder) as index:
        hits = {hit.id: hit.text for hit in index.nearest(np.ones((1, DIM), np.float32), 100)[0]}
        assert hits == texts | {document.id: document.text for document in (*again, *documents)}
        # Of what is deleted an id is free again.
        index.delete([document.id for document in documents])
        assert index.adopt([tmp_path / "copy"]).replaced == 0
        assert len(index) == 20
    assert verify(folder).problems == []


@pytest.mark.parametrize("name", ["vectors.npy", "norms.npy", "documents.sqlite", "segment.json"])
@pytest.mark.parametrize("how", ["flipped", "cut", "gone"])
def test_a_damaged_segment_is_named_and_left_as_it_is(ready, tmp_path, name, how):
    folder, documents, vectors = ready
    standalone(tmp_path / "s", documents, vectors, language="en")
    path = tmp_path / "s" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= how == "flipped"
    path.unlink() if how == "gone" else path.write_bytes(data if how == "flipped" else data[:-2])
    held = {path: path.read_bytes() for path in (tmp_path / "s").iterdir()}
    expected = UnsupportedIndexError if (name, how) == ("segment.json", "gone") else DamagedIndexError
    before = read_manifest(folder)
    with pytest.raises(expected, match=str(tmp_path / "s")):
        adopt(folder, [tmp_path / "s"])
    assert read_manifest(folder) == before and {path: path.read_bytes() for path in (tmp_path / "s").iterdir()} == held
    assert_tidy(folder)


def test_a_new_index_that_is_refused_leaves_nothing(tmp_path):
    with pytest.raises(UnsupportedIndexError, match="nowhere"):
        Index.from_segments(tmp_path / "index", [tmp_path / "nowhere"])
    vectors = np.ones((1, 3), np.float32)
    standalone(tmp_path / "s", of({"b": "b"}), vectors, encoder={"fingerprint": "letters", "dtype": "float32"})
    with pytest.raises(UsageError, match=r"letters.*--encoder"):
        Index.from_segments(tmp_path / "index", [tmp_path / "s"])
    assert not (tmp_path / "index").exists()
    with Index.from_segments(tmp_path / "index", [tmp_path / "s"], Letters()) as index:
        assert index.query(["b"], 1)[0][0].id == "b"


def test_killed_anywhere_there_is_no_new_index_or_all_of_it():
    with TemporaryDirectory(dir=QUICK_DISK) as name:
        place = Path(name)
        Index.build(place / "source", of({"a": "x a", "b": "x b"}), Letters()).close()

        def work():
            from_segments(place / "index", [place / "source", elsewhere()])

        was = set()
        for at, half in moments(work)[::3]:
            shutil.rmtree(place / "index")
            killed(work, at, half=half)
            was.add(whole := (place / "index" / "CURRENT").exists())
            if not whole:
                work()
            update.collect(place / "index", 1)
            assert verify(place / "index") == Verification([], [])
            assert len(everything(place / "index", clusters=1)) == 5
            assert_tidy(place / "index")
        assert was == {False, True}


# -- an index of FAISS comes along where it is what the index is built for -----------------------------------------------


@pytest.mark.parametrize(("spec", "kept"), [("HNSW8", True), ("HNSW16", False), ("exact", False)])
def test_a_segment_keeps_its_index_where_that_fits(tmp_path, spec, kept):
    vectors = np.random.default_rng(0).standard_normal((600, 8)).astype(np.float32)
    documents = [Document(str(i), "") for i in range(600)]
    options = {name: Options(spec=name, language="none") for name in (spec, "HNSW8")}
    Index.build(tmp_path / "index", documents[:200], vectors=[vectors[:200]], options=options[spec]).close()
    with Index.build(tmp_path / "other", documents[200:], vectors=[vectors[200:]], options=options["HNSW8"]) as other:
        own = other.manifest.segments[0]
    with Index.open(tmp_path / "index") as index:
        index.adopt([tmp_path / "other"])
        *_, adopted = index.manifest.segments
        hashes = {
            folder: {
                entry["sha256"] for path, entry in read_manifest(tmp_path / folder).files.items() if path.endswith("faiss")
            }
            for folder in ("index", "other")
        }
        assert bool(hashes["other"] & hashes["index"]) == kept
        # Otherwise it is as an add has it: exact here, for it is small.
        assert {**own, "name": adopted["name"], "faiss": adopted["faiss"]} == adopted if kept else adopted["spec"] == "exact"
        (found,), (exact,) = (index.nearest(vectors[300:301], 5, exact=exact) for exact in (False, True))
        assert [hit.id for hit in found] == [hit.id for hit in exact]
    assert verify(tmp_path / "index").problems == []


# -- ids that come twice, in any number of segments -----------------------------------------------------------------------

IDS = st.text(st.sampled_from("ab0é\0𝄞"), max_size=4) | st.sampled_from(["x" * 100, "x" * 101, "x" * 3000, "a" * 64 + "b"])


@settings(max_examples=40)
@given(st.lists(st.sets(IDS, max_size=12), min_size=1, max_size=5), st.integers(1, 9), st.booleans(), st.data())
def test_duplicates_are_those_of_a_dictionary(segments, run, collide, data):
    gone = [{id for id in sorted(ids) if data.draw(st.integers(0, 3)) == 0} for ids in segments]
    places = defaultdict(list)
    with TemporaryDirectory(dir=QUICK_DISK) as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr("vecsearch.store.duplicates.RUN_IDS", run)
        patch.setattr("vecsearch.store.duplicates._READ_IDS", 1 + run // 3)
        if collide:
            patch.setattr("vecsearch.store.duplicates._BASE", np.uint64(0))  # of which only the first eight bytes count
        folders, alive = [], []
        for part, ids in enumerate(segments):
            folders.append(Path(name) / str(part))
            folders[-1].mkdir()
            with closing(DocumentsWriter(folders[-1] / "documents.sqlite")) as writer:
                writer.append([(id, "", "{}") for id in sorted(ids)], None, Stored(), Stored(documents=len(ids)))
            alive.append(np.array([id not in gone[part] for id in sorted(ids)], bool) if gone[part] else None)
            for number, id in enumerate(sorted(ids)):
                if id not in gone[part]:
                    places[id].append((part, number))
        expected = [
            Duplicate(id, own[0], later)
            for id, own in sorted(places.items(), key=lambda item: item[0].encode())
            for later in own[1:]
        ]
        told = Told()
        assert list(duplicates(folders, alive, progress=told)) == expected
        assert told.steps["ids"][-1] == sum(map(len, segments))


# -- segments of a stated size --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """An index of nine segments of 2 to 12 rows, with clusters and some deletes."""
    place = tmp_path_factory.mktemp("many")
    documents = of({f"d{i}": f"{'a' * (i % 5)}{'b' * (i % 3)}c" for i in range(54)})
    vectors = Letters().encode([document.text for document in documents])
    made_by, bounds = {"fingerprint": "letters", "dtype": "float32"}, np.cumsum([0, 12, 2, 3, 10, 2, 2, 12, 8, 3]).tolist()
    for start, stop in pairwise(bounds):
        standalone(place / str(start), documents[start:stop], vectors[start:stop], encoder=made_by)
    Index.from_segments(place / "index", [place / str(start) for start in bounds[:-1]], Letters()).close()
    cluster(place / "index")
    with Index.open(place / "index", encoder=Letters(), check=False) as index:
        index.delete(["d13", "d40", "d41"])
    return place / "index"


@pytest.fixture
def many(original, tmp_path):
    return shutil.copytree(original, tmp_path / "many")


def everything(folder: Path, *, clusters: int = 2) -> dict:
    """Texts and clusters of all documents, by id."""
    with Index.open(folder, encoder=Letters()) as index:
        hits = index.nearest(np.array([[3, 2, 1]], np.float32), 100, exact=True)[0]
        assert len({hit.cluster for hit in hits}) == clusters
        return {hit.id: (hit.text, hit.cluster) for hit in hits}


def test_what_has_the_size_and_no_deletes_stays_byte_for_byte(many):
    before, held = read_manifest(many), everything(many)
    compact(many, rows=12)
    after = read_manifest(many)
    # Of 12, 2 − 1, 3, 10, 2, 2, 12 − 2, 8 and 3 rows, the 14 in the middle become two segments.
    assert [entry["rows"] for entry in after.segments] == [12, 1, 3, 10, 7, 7, 8, 3]
    names = [entry["name"] for entry in before.segments]
    stayed = [entry for entry in after.segments if entry["name"] in names]
    assert [names.index(entry["name"]) for entry in stayed] == [0, 2, 3, 7, 8]
    for entry in stayed:
        paths = [path for path in before.files if path.startswith(f"segments/{entry['name']}/")]
        assert paths and all(after.files[path] == before.files[path] for path in paths)
    assert after.deletes is None and sum(entry["rows"] for entry in after.segments) == 51
    assert everything(many) == held
    assert verify(many).problems == []
    again = Told()
    assert compact(many, rows=12, progress=again) == after and "nothing was changed" in again.notes[0]


def test_a_segment_that_was_made_is_not_made_again(many):
    held, done = everything(many), []

    def interrupt(name, number):
        done.append(number)
        if number > 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compact(many, rows=10, language="de", progress=Told(interrupt))
    assert len(list(many.glob("segments/*/segment.json"))) == 3
    resumed = Told()
    compact(many, rows=10, language="de", progress=resumed)
    assert min(resumed.steps["documents"]) > 25
    assert everything(many) == held and [entry["rows"] for entry in read_manifest(many).segments] == [8, 9, 8, 9, 8, 9]
    assert_tidy(many)


def test_an_index_that_is_not_large_becomes_one_segment(many):
    held = everything(many)
    compact(many)
    assert [entry["rows"] for entry in read_manifest(many).segments] == [51] and everything(many) == held
    told = Told()
    assert compact(many, rows=51, progress=told) == read_manifest(many) and "nothing was changed" in told.notes[0]


# -- made by workers -------------------------------------------------------------------------------------------------------


def segments_of(folder: Path) -> list:
    """Vectors and documents of each segment, byte for byte."""
    with open_snapshot(folder) as snapshot:
        return [
            (segment.vectors.tobytes(), segment.documents.get(range(len(segment.documents)))) for segment in snapshot.segments
        ]


def test_workers_make_the_segments_that_one_process_makes(many, tmp_path):
    one = shutil.copytree(many, tmp_path / "one")
    compact(one, rows=10)
    told = Told()
    compact_by(many, engine=Here(3), rows=10, progress=told)
    assert segments_of(many) == segments_of(one) and everything(many) == everything(one)
    assert told.steps["documents"] == sorted(told.steps["documents"])
    assert verify(many) == verify(one)
    assert_tidy(many)


class Killing(Forking):
    """Every other task ends the process that does it, each time a few steps later; the numbers of those that did are kept."""

    def __init__(self) -> None:
        super().__init__(self.killing)
        self.calls = 0

    def call(self, function, arguments):
        self.calls += 1
        return super().call(function, arguments)

    def killing(self, work):
        def step(number, name, arguments):
            if number == 4 * self.calls:
                os.kill(os.getpid(), signal.SIGKILL)

        with stepping(step) if self.calls % 2 else nullcontext():
            return work()


def test_what_killed_workers_made_is_made_by_others(many):
    held, engine, told = everything(many), Killing(), Told()
    compact_by(many, engine=engine, rows=10, language="de", progress=told)
    assert everything(many) == held and len(read_manifest(many).segments) == 6
    assert engine.calls >= 10 and len(told.notes) >= 4
    assert verify(many).problems == []
    assert_tidy(many)


def test_segments_that_workers_made_are_not_made_again(many):
    def interrupt(name, number):
        if number > 25:
            raise KeyboardInterrupt

    held = everything(many)
    with pytest.raises(KeyboardInterrupt):
        compact_by(many, engine=Here(1), rows=10, language="de", progress=Told(interrupt))
    told = Told()
    compact(many, rows=10, language="de", progress=told)
    assert min(told.steps["documents"]) > 25 and everything(many) == held
    assert_tidy(many)


# -- the command ----------------------------------------------------------------------------------------------------------


def test_adopt_on_the_command_line(tmp_path, vecsearch, tiny_folder):
    for name in ("one", "two"):
        lines = [json.dumps({"id": f"{name}-{i}", "text": f"the king {i}"}) for i in range(3)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
        assert vecsearch("build", tmp_path / f"{name}.jsonl", "-o", tmp_path / name, "--encoder", tiny_folder()).code == 0
    ran = vecsearch("adopt", tmp_path / "new", tmp_path / "one", "--json")
    assert rows(ran) == [
        {"index": str(tmp_path / "new"), "segments": 1, "documents": 3, "replaced": 0, "rows": 3, "generation": 1}
    ]
    assert "MB linked" in ran.err
    assert rows(vecsearch("adopt", tmp_path / "new", tmp_path / "two"))[0]["rows"] == 6
    refused(vecsearch("adopt", tmp_path / "new", tmp_path / "two"), 3, "3 ids come twice", "--replace")
    assert rows(vecsearch("adopt", tmp_path / "new", tmp_path / "two", "--replace"))[0]["replaced"] == 3
    assert len(rows(vecsearch("query", tmp_path / "new", "king", "-k", "9"))) == 6
    refused(vecsearch("adopt", tmp_path / "new", tmp_path / "new"), 2, "itself")
    refused(vecsearch("adopt", tmp_path / "other", tmp_path / "one", "--replace"), 2, "no index")
    refused(vecsearch("adopt", tmp_path / "new", tmp_path / "one", "--encoder", "english"), 2, "--encoder")
    assert rows(vecsearch("compact", tmp_path / "new", "--rows", "2"))[0]["rows"] == 6


@pytest.mark.parametrize("gone", [["d0", "d1"], ["d2", "d3"], ["d4", "d5"]])
def test_a_segment_that_holds_nothing_any_more_is_merged_away(tmp_path, gone):
    documents, vectors = made(6)
    with Index.build(tmp_path / "own", documents[:2], vectors=[vectors[:2]]) as index:
        for first in (2, 4):
            index.add(documents[first : first + 2], vectors=[vectors[first : first + 2]])
        index.delete(gone)
        for rows in (4, 2):
            index.compact(rows=rows)
            left = [document for document in documents if document.id not in gone]
            assert index.documents(range(len(left))) == left and len(index) == 4
            assert [entry["rows"] for entry in index.manifest.segments] == [rows] * (4 // rows)
