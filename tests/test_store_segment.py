"""Segments: what is appended, in whatever blocks and with whatever interruptions, is what is read."""

import errno
import io
import threading
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from faults import failing, trace
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from store_builds import QUICK_DISK

from vecsearch import metric
from vecsearch.corpus.document import Document
from vecsearch.errors import CorpusError, DamagedIndexError, ResourceError, UsageError, VectorsError
from vecsearch.files import npy_header
from vecsearch.store.documents_writer import DocumentsWriter
from vecsearch.store.segment import Segment, SegmentWriter

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUE = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
FIELDS = st.dictionaries(TEXT, VALUE | st.lists(VALUE, max_size=2), max_size=2)
DOCUMENTS = st.lists(st.builds(Document, TEXT, TEXT, FIELDS, TEXT), max_size=12, unique_by=lambda document: document.id)


@st.composite
def rows(draw):
    documents = draw(DOCUMENTS)
    shape = len(documents), draw(st.integers(1, 5))
    # Components whose squares neither overflow nor vanish, so that the reference in float64 agrees.
    vectors = draw(arrays(np.float32, shape, elements=st.just(0.0) | st.floats(2**-20, 2**20, width=32)))
    return documents, vectors


def fill(folder, documents, vectors, cuts=(), *, reopen=False) -> SegmentWriter:
    writer = SegmentWriter(folder, vectors.shape[1])
    for start, stop in pairwise([0, *sorted(cuts), len(documents)]):
        if reopen:
            writer.close()
            writer = SegmentWriter(folder, vectors.shape[1])
        writer.append(documents[start:stop], vectors[start:stop], counts={"read": stop})
    return writer


@settings(max_examples=40)
@given(rows(), st.data())
def test_round_trip_in_blocks_and_after_interruptions(content, data):
    documents, vectors = content
    cuts = data.draw(st.lists(st.integers(0, len(documents)), max_size=3))
    with TemporaryDirectory(dir=QUICK_DISK) as name:
        path = Path(name)
        (path / "a").mkdir()
        (path / "b").mkdir()
        whole = fill(path / "a", documents, vectors)
        pieces = fill(path / "b", documents, vectors, cuts, reopen=True)
        assert pieces.progress == whole.progress
        assert whole.finish() == pieces.finish() == len(documents)
        for file in ("vectors.npy", "norms.npy"):
            assert (path / "a" / file).read_bytes() == (path / "b" / file).read_bytes()
        segment = Segment(path / "b", rows=len(documents), dim=vectors.shape[1])
        np.testing.assert_array_equal(segment.vectors, vectors)
        np.testing.assert_array_equal(np.load(path / "b" / "vectors.npy"), vectors)
        np.testing.assert_array_equal(np.load(path / "b" / "norms.npy"), segment.norms)
        np.testing.assert_array_equal(segment.norms, metric.norms(vectors))
        assert segment.documents.get(range(len(documents))) == documents
        assert segment.documents.known([*(document.id for document in documents), "\ud800"]) == {
            document.id: row for row, document in enumerate(documents)
        }
        assert segment.documents.problems() == [] and len(segment.documents) == len(documents)
        segment.close()


@given(st.integers(0, 10**15), st.none() | st.integers(1, 10**6))
def test_header_is_numpys(n, dim):
    shape = (n,) if dim is None else (n, dim)
    buffer = io.BytesIO(npy_header(shape))
    assert np.lib.format.read_magic(buffer) == (1, 0)
    assert np.lib.format.read_array_header_1_0(buffer) == (shape, False, np.dtype("<f4"))
    assert buffer.tell() == 128


def some(count, start=0):
    return [Document(f"id{i}", f"text {i}", {}, f"a.txt, line {i + 1}") for i in range(start, start + count)]


def ones(count):
    return np.ones((count, 2), np.float32)


@pytest.fixture
def writer(tmp_path):
    writer = SegmentWriter(tmp_path, 2)
    writer.append(some(5), ones(5))
    yield writer
    writer.close()


def test_what_was_not_committed_is_forgotten(tmp_path, writer):
    writer.close()
    for name, rows in (("vectors.npy", ones(3)), ("norms.npy", np.ones(1, np.float32))):
        with (tmp_path / name).open("ab") as file:
            file.write(rows.tobytes())
    again = SegmentWriter(tmp_path, 2)
    again.append(some(1, 5), 2 * ones(1))
    assert again.finish() == again.finish() == 6
    np.testing.assert_array_equal(Segment(tmp_path, rows=6, dim=2).vectors, [[1, 1]] * 5 + [[2, 2]])


@pytest.mark.parametrize("at", range(4))
def test_a_refused_append_can_be_repeated(tmp_path, writer, at):
    with pytest.raises(ResourceError, match="free some space"), failing(errno.ENOSPC, at):
        writer.append(some(3, 5), 3 * ones(3))
    writer.append(some(2, 5), 2 * ones(2))
    assert writer.finish() == 7
    np.testing.assert_array_equal(Segment(tmp_path, rows=7, dim=2).vectors, [[1, 1]] * 5 + [[2, 2]] * 2)


def test_rows_reach_the_disk_before_the_documents(tmp_path, writer, monkeypatch):
    class Reached(Exception):
        pass

    def stop(*_):
        raise Reached

    def append():
        with pytest.raises(Reached):
            writer.append(some(1, 5), ones(1))

    monkeypatch.setattr(DocumentsWriter, "append", stop)
    files = [str(tmp_path / name) for name in ("vectors.npy", "norms.npy")]
    assert trace(append) == [(step, file) for file in files for step in ("pwrite", "fsync")]


def test_a_finished_segment_can_be_continued(tmp_path, writer):
    writer.finish()
    again = SegmentWriter(tmp_path, 2)
    again.append(some(1, 5), ones(1))
    again.finish()
    assert [document.id for document in Segment(tmp_path, rows=6, dim=2).documents.get([4, 5])] == ["id4", "id5"]


def test_an_unfinished_file_that_is_too_short_is_named(tmp_path, writer):
    writer.close()
    (tmp_path / "norms.npy").write_bytes(b"\0" * 140)
    with pytest.raises(DamagedIndexError, match=r"norms\.npy has 140 bytes, but the 5 rows of the unfinished build take 148"):
        SegmentWriter(tmp_path, 2)


@pytest.mark.parametrize(
    ("value", "shown"), [(np.nan, "holds nan"), (-np.inf, "holds -inf"), (3e38, "is too long for float32")]
)
def test_vectors_must_be_finite(writer, value, shown):
    vectors = ones(3)
    vectors[1] = value
    with pytest.raises(VectorsError, match=f"a.txt, line 7: the vector of 'id6' {shown}"):
        writer.append(some(3, 5), vectors)
    assert writer.rows == 5


def test_ids_must_differ(writer):
    with pytest.raises(CorpusError, match=r"a\.txt, line 3: the id 'id2' is already that of document 2 "):
        writer.append([*some(1, 5), *some(1, 2)], ones(2))
    with pytest.raises(CorpusError, match=r"a\.txt, line 6: the id 'id5' is already that of document 5 "):
        writer.append([*some(1, 5), *some(1, 5)], ones(2))
    assert writer.rows == 5
    writer.append(some(2, 5), ones(2))
    assert writer.finish() == 7


ITSELF: list = []
ITSELF.append(ITSELF)


@pytest.mark.parametrize(
    "later", [{"half": "\ud800"}, {"\udfff": 1}, {"itself": ITSELF}, {"long": 10**4300}, {"nan": float("nan")}], ids=list
)
def test_fields_that_changed_to_what_cannot_be_stored_are_refused(writer, later):
    document = Document("x", "", {}, "a.txt, line 9")
    document.fields.update(later)
    with pytest.raises(CorpusError, match=r"a\.txt, line 9: the document cannot be stored"):
        writer.append([document], ones(1))


def test_shapes_are_the_programmers_to_get_right(writer):
    with pytest.raises(ValueError, match=r"shape \(3, 2\) for 2 documents of dim 2"):
        writer.append(some(2, 5), ones(3))


def test_skip_proves_that_the_corpus_is_the_same(writer):
    stream = iter(some(8))
    writer.skip(stream)
    assert next(stream).id == "id5"
    with pytest.raises(UsageError, match="corpus has 4 documents, but 5 of it are stored already"):
        writer.skip(iter(some(4)))
    changed = [*some(4), Document("id4", "text 4", {"new": 1})]
    with pytest.raises(UsageError, match="its first 5 documents are not those that are stored already"):
        writer.skip(iter(changed))


def test_a_segment_is_what_it_is_asked_to_be(tmp_path, writer):
    writer.finish()
    for rows, dim, message in [(4, 2, "vectors.npy does not begin with the header"), (5, 3, "vectors.npy does not begin")]:
        with pytest.raises(DamagedIndexError, match=message):
            Segment(tmp_path, rows=rows, dim=dim)
    with (tmp_path / "vectors.npy").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(DamagedIndexError, match=r"vectors\.npy has 169 bytes, not 168"):
        Segment(tmp_path, rows=5, dim=2)
    (tmp_path / "vectors.npy").unlink()
    with pytest.raises(DamagedIndexError, match=r"vectors\.npy is missing"):
        Segment(tmp_path, rows=5, dim=2)


def test_vectors_are_read_only(tmp_path, writer):
    writer.finish()
    with pytest.raises(ValueError, match="read-only"):
        Segment(tmp_path, rows=5, dim=2).vectors[0] = 0


def test_rows_that_are_not_there(tmp_path, writer):
    writer.finish()
    documents = Segment(tmp_path, rows=5, dim=2).documents
    assert [document.id for document in documents.get([3, 0, 3])] == ["id3", "id0", "id3"]
    assert documents.known(["id9", "id1"]) == {"id1": 1}
    for row in (5, -1):
        with pytest.raises(IndexError, match=f"document {row} of 5"):
            documents.get([row])


def test_documents_serve_many_threads(tmp_path, writer):
    writer.finish()
    documents = Segment(tmp_path, rows=5, dim=2).documents
    expected, wrong = some(5), []

    def read():
        for _ in range(200):
            if documents.get([4, 1]) != [expected[4], expected[1]]:
                wrong.append(1)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
