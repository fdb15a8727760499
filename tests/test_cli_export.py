"""What an index holds comes out again: in every format, from every kind of index, whole or not at all."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from errno import ENOSPC
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import Told
from faults import limited, stepping, trace
from hypothesis import given, settings
from hypothesis import strategies as st
from store_builds import QUICK_DISK

from vecsearch.cli.export import READ_ROWS
from vecsearch.corpus.document import Document
from vecsearch.corpus.passages import Chunks
from vecsearch.encoders import Encoder
from vecsearch.errors import ResourceError, VectorsError
from vecsearch.index.build import Options
from vecsearch.index.index import Index
from vecsearch.progress import SILENT
from vecsearch.store.alive import alive_blocks
from vecsearch.store.snapshot import open_snapshot
from vecsearch.vectors import export as exports
from vecsearch.vectors.export import Content, export, export_files

SUFFIXES = (".jsonl", ".npy", ".h5", ".hdf5", ".vec", ".txt", ".tsv")
OLD = Path(__file__).parent / "indexes"
DOCUMENTS = [Document(f"d{i}", f"text {i} é", {"year": 1900 + i, "tags": ["ä", None]}) for i in range(6)]
VECTORS = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)


def build(folder, documents=DOCUMENTS, vectors=VECTORS):
    Index.build(folder, documents, vectors=[vectors]).close()
    return folder


@pytest.fixture
def index(tmp_path):
    return build(tmp_path / "index")


def held(folder, **options):
    """Documents and vectors of an index that are not deleted."""
    with Index.open(folder, **options) as opened:
        return opened.documents(opened.alive()), opened.vectors(opened.alive())


def assert_holds(folder, documents, vectors):
    found, rows = held(folder)
    assert found == list(documents)
    np.testing.assert_array_equal(rows, vectors)


def lines(path):
    text = path.read_bytes().decode()
    assert text == "" or text.endswith("\n")
    return text.split("\n")[:-1]


def read_word2vec(path):
    """Words and vectors, as gensim reads them."""
    (rows, dim), *found = (line.split(" ") for line in lines(path))
    assert len(found) == int(rows) and all(len(line) == 1 + int(dim) for line in found)
    vectors = np.array([line[1:] for line in found], np.float32).reshape(int(rows), int(dim))
    return [line[0] for line in found], vectors


def read_projector(path):
    """Rows of the metadata and vectors, as the embedding projector reads them."""
    header, *metadata = ([*line.split("\t")] for line in lines(path.with_suffix(".metadata.tsv")))
    vectors = np.array([line.split("\t") for line in lines(path)], np.float32)
    return [dict(zip(header, line, strict=True)) for line in metadata], vectors


# -- round trips -------------------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
fields = st.dictionaries(
    texts.filter(lambda name: name not in ("id", "text")), values | st.lists(values, max_size=2), max_size=3
)
numbers = st.floats(-(2.0**60), 2.0**60, width=32)
ids = {
    ".jsonl": texts.filter(bool),
    ".npy": texts.filter(lambda id: id and not set(id) & set("\r\n\ufeff")),
    ".h5": texts.filter(lambda id: id and "\0" not in id),
    ".vec": texts.filter(bool),
    ".tsv": texts.filter(bool),
}


@st.composite
def corpora(draw, suffix):
    """Documents, their vectors, and how many of them are deleted."""
    names = draw(st.lists(ids[suffix], min_size=2, max_size=6, unique=True))
    documents = [Document(id, draw(texts), draw(fields)) for id in names]
    vectors = np.array([draw(st.tuples(numbers, numbers)) for _ in documents], np.float32)
    return documents, vectors, draw(st.integers(0, len(names) - 1))


@pytest.fixture
def made(vecsearch):
    """Builds an index, deletes its first documents, and exports it: what is left, and the file."""

    def make(drawn, suffix, folder, *options):
        documents, vectors, deleted = drawn
        with Index.build(folder / "index", documents, vectors=[vectors]) as opened:
            if deleted:
                opened.delete([document.id for document in documents[:deleted]])
        ran = vecsearch("export", folder / "index", "-o", folder / f"out{suffix}", "--json", *options)
        assert ran.code == 0, ran.err
        assert json.loads(ran.out)["rows"] == len(documents) - deleted
        return documents[deleted:], vectors[deleted:], folder / f"out{suffix}"

    return make


def round_trip(suffix, examples=20):
    """A test over corpora that a format can hold, each with a folder of its own."""

    def decorate(test):
        checks = settings(max_examples=examples)

        def run(made, vecsearch, drawn):
            with tempfile.TemporaryDirectory(dir=QUICK_DISK) as folder:
                test(lambda *options: made(drawn, suffix, Path(folder), *options), vecsearch, Path(folder))

        run.__name__ = test.__name__
        return checks(given(drawn=corpora(suffix))(run))

    return decorate


@round_trip(".jsonl")
def test_jsonl_and_its_vectors_build_the_same_index(export_it, vecsearch, folder):
    documents, vectors, path = export_it()
    np.save(folder / "v.npy", vectors)
    assert vecsearch("build", path, "--vectors", folder / "v.npy", "-o", folder / "again").code == 0
    assert_holds(folder / "again", documents, vectors)


@round_trip(".npy")
def test_npy_and_ids_build_the_same_index(export_it, vecsearch, folder):
    documents, vectors, path = export_it()
    ran = vecsearch("build", "--vectors", path, "--ids", folder / "out.ids.txt", "-o", folder / "again")
    assert ran.code == 0, ran.err
    assert_holds(folder / "again", [Document(document.id, document.id) for document in documents], vectors)


@round_trip(".h5")
def test_hdf5_builds_the_same_index(export_it, vecsearch, folder):
    documents, vectors, path = export_it()
    assert vecsearch("build", "--vectors", path, "-o", folder / "again").code == 0
    assert_holds(folder / "again", [Document(document.id, document.id) for document in documents], vectors)


@round_trip(".tsv")
def test_the_projector_gets_a_row_of_cells_for_each_vector(export_it, vecsearch, folder):
    documents, vectors, path = export_it()
    metadata, found = read_projector(path)
    np.testing.assert_array_equal(found, vectors)

    def cell(value):
        text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
        return " ".join((text + ".").replace("\t", "\n").splitlines())[:-1]

    names = {name for document in documents for name in document.fields}
    for document, row in zip(documents, metadata, strict=True):
        assert (row["id"], row["text"]) == (cell(document.id), cell(document.text))
        if len({*map(cell, names)} - {"id", "text"}) == len(names):
            assert row == {"id": row["id"], "text": row["text"]} | {cell(n): cell(document.fields.get(n)) for n in names}


@given(corpora(".vec"))
@settings(max_examples=100)
def test_word2vec_text_holds_every_vector_under_a_word(drawn):
    documents, vectors, _ = drawn
    words = ["".join("_" if letter.isspace() else letter for letter in document.id) for document in documents]
    told = Told()
    content = Content(lambda: [(documents, vectors, None)], len(documents), 2, False, told)
    with tempfile.TemporaryDirectory(dir=QUICK_DISK) as folder:
        path = Path(folder) / "out.vec"
        if len(set(words)) < len(words):
            with pytest.raises(VectorsError, match="are one word in word2vec text"):
                export(path, content)
            return
        export(path, content)
        found, rows = read_word2vec(path)
    assert found == words
    np.testing.assert_array_equal(rows, vectors)
    changed = sum(document.id != word for document, word in zip(documents, words, strict=True))
    assert [note.split(" ")[1] for note in told.notes] == [str(changed)] * bool(changed)


# -- what is exported --------------------------------------------------------------------------------------------------


def test_jsonl_is_a_corpus(vecsearch, tmp_path, tiny_folder):
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"_id": 7, "title": "T", "text": "the king"}\n{"_id": 8, "title": "U", "text": "a film"}\n')
    assert vecsearch("build", corpus, "-o", tmp_path / "a", "--encoder", tiny_folder()).code == 0
    assert vecsearch("export", tmp_path / "a", "-o", tmp_path / "out.jsonl").code == 0
    assert lines(tmp_path / "out.jsonl")[0] == '{"id": "7", "text": "the king", "title": "T"}'
    assert vecsearch("build", tmp_path / "out.jsonl", "-o", tmp_path / "b", "--encoder", tiny_folder()).code == 0
    assert_holds(tmp_path / "b", *held(tmp_path / "a"))


def test_jsonl_with_vectors(vecsearch, index, tmp_path):
    assert vecsearch("export", index, "-o", tmp_path / "out.jsonl", "--vectors").code == 0
    found = [json.loads(line) for line in lines(tmp_path / "out.jsonl")]
    np.testing.assert_array_equal(np.array([line.pop("vector") for line in found], np.float32), VECTORS)
    assert found[2] == {"id": "d2", "text": "text 2 é", "year": 1902, "tags": ["ä", None]}


def test_all_segments_without_what_was_deleted_or_replaced(vecsearch, index, tmp_path):
    with Index.open(index) as opened:
        opened.add([Document("d1", "new"), Document("new", "new")], vectors=[VECTORS[:2] + 1])
        opened.delete(["d0", "d5"])
    for suffix in SUFFIXES:
        assert vecsearch("export", index, "-o", tmp_path / f"new{suffix}").code == 0
        assert vecsearch("export", index, "-o", tmp_path / f"old{suffix}", "--generation", 1).code == 0
    expected = np.concatenate([VECTORS[2:5], VECTORS[:2] + 1])
    assert (tmp_path / "new.ids.txt").read_text() == "d2\nd3\nd4\nd1\nnew\n"
    np.testing.assert_array_equal(np.load(tmp_path / "new.npy"), expected)
    assert [json.loads(line)["text"] for line in lines(tmp_path / "new.jsonl")][-2:] == ["new", "new"]
    assert read_word2vec(tmp_path / "new.txt")[0] == ["d2", "d3", "d4", "d1", "new"]
    metadata, vectors = read_projector(tmp_path / "new.tsv")
    assert [(row["id"], row["year"]) for row in metadata][2:] == [("d4", "1904"), ("d1", ""), ("new", "")]
    np.testing.assert_array_equal(vectors, expected)
    for suffix in (".h5", ".hdf5"):
        with h5py.File(tmp_path / f"new{suffix}") as file:
            assert list(file["ids"].asstr()) == ["d2", "d3", "d4", "d1", "new"]
            np.testing.assert_array_equal(file["vectors"], expected)
    np.testing.assert_array_equal(np.load(tmp_path / "old.npy"), VECTORS)
    assert len(lines(tmp_path / "old.jsonl")) == 6
    ran = vecsearch("export", index, "-o", tmp_path / "x.npy", "--generation", 9)
    assert ran.code == 2 and "does not keep generation 9; it keeps 3, 2, 1" in ran.err


def test_passages(vecsearch, axis, tmp_path):
    documents = [Document("x", "a b c d", {"n": 1}), Document("y", "c"), Document("x#0", "b b b")]
    Index.build(tmp_path / "index", documents, axis, options=Options(chunks=Chunks(2))).close()
    for suffix in (".npy", ".tsv"):
        assert vecsearch("export", tmp_path / "index", "-o", tmp_path / f"out{suffix}").code == 0
    assert lines(tmp_path / "out.ids.txt") == ["x#0", "x#1", "y#0", "x#0#0", "x#0#1"]
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), [[1, 1, 0], [0, 0, 1], [0, 0, 1], [0, 2, 0], [0, 1, 0]])
    metadata, _ = read_projector(tmp_path / "out.tsv")
    assert [(row["id"], row["text"], row["n"]) for row in metadata][:3] == [
        ("x#0", "a b", "1"),
        ("x#1", "c d", "1"),
        ("y#0", "c", ""),
    ]
    assert vecsearch("export", tmp_path / "index", "-o", tmp_path / "out.jsonl").code == 0
    assert json.loads(lines(tmp_path / "out.jsonl")[0]) == {"id": "x", "text": "a b c d", "n": 1}
    assert vecsearch("export", tmp_path / "index", "-o", tmp_path / "out.jsonl", "--vectors", "--replace").code == 0
    passages = [json.loads(line)["passages"] for line in lines(tmp_path / "out.jsonl")]
    assert passages[1] == [{"start": 0, "stop": 1, "vector": [0, 0, 1]}]
    assert [len(own) for own in passages] == [2, 1, 2]


@pytest.mark.parametrize("folder", sorted(OLD.glob("*/*")), ids=lambda folder: f"{folder.parent.name}-{folder.name}")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_indexes_of_every_format(vecsearch, tmp_path, folder, suffix):
    documents, vectors = held(folder)
    ran = vecsearch("export", folder, "-o", tmp_path / f"out{suffix}")
    assert ran.code == 0 and json.loads(ran.out)["rows"] == len(documents) > 0
    if suffix == ".jsonl":
        assert [json.loads(line)["text"] for line in lines(tmp_path / "out.jsonl")] == [document.text for document in documents]
    if suffix == ".tsv":
        metadata, found = read_projector(tmp_path / "out.tsv")
        assert [row["year"] for row in metadata] == [str(document.fields.get("year", "")) for document in documents]
        np.testing.assert_array_equal(found, vectors)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_index_without_documents(vecsearch, index, tmp_path, suffix):
    with Index.open(index) as opened:
        opened.delete([document.id for document in DOCUMENTS])
        for compacted in (False, True):
            ran = vecsearch("export", index, "-o", tmp_path / f"out{suffix}", "--replace")
            assert ran.code == 0 and json.loads(ran.out)["rows"] == 0
            if not compacted:
                opened.compact()
    if suffix == ".npy":
        assert np.load(tmp_path / "out.npy").shape == (0, 3) and lines(tmp_path / "out.ids.txt") == []


@given(passages=st.lists(st.integers(1, 2 * READ_ROWS), min_size=1, max_size=12), deleted=st.sets(st.integers(0, 11)))
@settings(max_examples=15)
def test_blocks_are_small_and_hold_every_living_row_once(passages, deleted):
    class Passages(Encoder):
        dim, fingerprint = 1, "passages"

        def encode(self, texts):
            return np.array([[int(text)] for text in texts], np.float32).reshape(-1, 1)

    numbers = iter(range(sum(passages)))
    documents = [Document(f"d{i}", " ".join(str(next(numbers)) for _ in range(n))) for i, n in enumerate(passages)]
    gone = [document.id for i, document in enumerate(documents) if i in deleted]
    with tempfile.TemporaryDirectory(dir=QUICK_DISK) as folder:
        with Index.build(folder, documents, Passages(), options=Options(chunks=Chunks(1))) as opened:
            if gone:
                opened.delete(gone)
        with open_snapshot(Path(folder)) as snapshot:
            blocks = list(alive_blocks(snapshot, READ_ROWS))
    assert [document for block, _, _ in blocks for document in block] == [d for d in documents if d.id not in gone]
    for block, vectors, spans in blocks:
        assert 0 < len(vectors) < 3 * READ_ROWS + 1
        assert [float(block[place].text[start:stop]) for place, start, stop in spans] == vectors[:, 0].tolist()


# -- unusual names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "id"),
    [(".npy", "a\nb"), (".npy", "a\rb"), (".npy", "\ufeffa"), (".h5", "a\0b")],
    ids=ascii,
)
def test_an_id_that_the_format_cannot_hold(vecsearch, tmp_path, suffix, id):
    build(tmp_path / "index", [*DOCUMENTS[:5], Document(id, "text")])
    before = sorted(os.listdir(tmp_path))
    ran = vecsearch("export", tmp_path / "index", "-o", tmp_path / f"out{suffix}")
    assert ran.code == 3 and ran.err.splitlines()[-1].endswith(
        f"its format cannot hold the id {id!r}; write .jsonl, which holds any"
    )
    assert sorted(os.listdir(tmp_path)) == before
    assert vecsearch("export", tmp_path / "index", "-o", tmp_path / "out.jsonl").code == 0
    assert json.loads(lines(tmp_path / "out.jsonl")[5])["id"] == id


def test_white_space_in_words(vecsearch, tmp_path):
    build(tmp_path / "index", [Document("New York", ""), Document("a\u3000b\t", ""), Document("c_d", "")], VECTORS[:3])
    ran = vecsearch("export", tmp_path / "index", "-o", tmp_path / "out.vec")
    assert ran.code == 0 and "note: 2 ids have white space" in ran.err
    assert read_word2vec(tmp_path / "out.vec")[0] == ["New_York", "a_b_", "c_d"]


def test_words_that_would_be_one(vecsearch, tmp_path):
    build(tmp_path / "index", [Document("a", ""), Document("a_b", ""), Document("a b", "")], VECTORS[:3])
    ran = vecsearch("export", tmp_path / "index", "-o", tmp_path / "out.vec")
    assert ran.code == 3 and "the ids 'a_b' and 'a b' are one word in word2vec text" in ran.err
    assert os.listdir(tmp_path) == ["index"]


def test_fields_that_have_the_names_of_keys(vecsearch, tmp_path):
    fields = [{"id": 1, "id_": 2, "vector": 3}, {"text": "x"}, {"id": 4}]
    build(tmp_path / "index", [Document(f"d{i}", "t", field) for i, field in enumerate(fields)], VECTORS[:3])
    ran = vecsearch("export", tmp_path / "index", "-o", tmp_path / "out.jsonl")
    assert [json.loads(line) for line in lines(tmp_path / "out.jsonl")] == [
        {"id": "d0", "text": "t", "id__": 1, "id_": 2, "vector": 3},
        {"id": "d1", "text": "t", "text_": "x"},
        {"id": "d2", "text": "t", "id_": 4},
    ]
    assert 'note: 1 documents have a field "text", which means something else here: it is called "text_"' in ran.err
    vecsearch("export", tmp_path / "index", "-o", tmp_path / "with.jsonl", "--vectors")
    assert json.loads(lines(tmp_path / "with.jsonl")[0])["vector_"] == 3
    vecsearch("export", tmp_path / "index", "-o", tmp_path / "out.tsv")
    metadata, _ = read_projector(tmp_path / "out.tsv")
    assert metadata[0] == {"id": "d0", "text": "t", "id__": "1", "id_": "2", "vector": "3", "text_": ""}


def test_a_table_has_so_many_columns(vecsearch, index, tmp_path, monkeypatch):
    monkeypatch.setattr(exports, "MOST_COLUMNS", 1)
    with Index.open(index) as opened:
        opened.add([Document("more", "", {"tags": "x"})], vectors=[VECTORS[:1]])
    ran = vecsearch("export", index, "-o", tmp_path / "out.tsv")
    assert (
        ran.code == 0 and f"note: 1 fields, those that fewest documents have, are left out of {tmp_path / 'out.tsv'}" in ran.err
    )
    assert list(read_projector(tmp_path / "out.tsv")[0][0]) == ["id", "text", "tags"]


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "options", "message"),
    [
        ("out.csv", (), "out.csv: exports are written to .jsonl, .npy, .h5, .hdf5, .vec, .txt, .tsv files"),
        ("out", (), "out: exports are written to .jsonl"),
        ("out.npy", ("--vectors",), "--vectors belongs to .jsonl; in .npy the vectors are there anyway"),
        ("none/out.npy", (), "none for"),
        ("folder.npy", ("--replace",), "folder.npy is a folder; name another file"),
    ],
)
def test_what_makes_no_sense(vecsearch, index, tmp_path, output, options, message):
    (tmp_path / "folder.npy").mkdir()
    ran = vecsearch("export", index, "-o", tmp_path / output, *options)
    assert ran.code == 2 and message in ran.err


@pytest.mark.parametrize("there", ["out.npy", "out.ids.txt"])
def test_no_file_is_replaced_unasked(vecsearch, index, tmp_path, there):
    (tmp_path / there).write_text("mine")
    ran = vecsearch("export", index, "-o", tmp_path / "out.npy")
    assert ran.code == 2 and f"{tmp_path / there} is there already; name another file, or pass --replace" in ran.err
    assert (tmp_path / there).read_text() == "mine" and sorted(os.listdir(tmp_path)) == ["index", there]
    assert vecsearch("export", index, "-o", tmp_path / "out.npy", "--replace").code == 0
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), VECTORS)
    assert lines(tmp_path / "out.ids.txt") == [document.id for document in DOCUMENTS]


def test_a_damaged_index_is_not_exported(vecsearch, index, tmp_path):
    path = next(index.glob("segments/*/vectors.npy"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    ran = vecsearch("export", index, "-o", tmp_path / "out.npy")
    assert ran.code == 4 and "vectors.npy" in ran.err and os.listdir(tmp_path) == ["index"]


# -- faults ------------------------------------------------------------------------------------------------------------


def content(documents=DOCUMENTS, vectors=VECTORS, stop=None):
    """Blocks of two; `stop` is raised where the third would come."""

    def blocks():
        for first in range(0, len(documents), 2):
            if stop and first == 4:
                raise stop
            yield documents[first : first + 2], vectors[first : first + 2], None

    return Content(blocks, len(documents), vectors.shape[1], False, SILENT)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("stop", [KeyboardInterrupt(), MemoryError()], ids=repr)
def test_an_interrupted_export_leaves_nothing(tmp_path, suffix, stop):
    path = tmp_path / f"out{suffix}"
    for _ in range(2):
        before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
        with pytest.raises(type(stop)):
            export(path, content(stop=stop))
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
        export(path, content())


def refused(at):
    """While entered, the system refuses step `at`."""

    def refuse(number, name, arguments):
        if number == at:
            raise OSError(ENOSPC, os.strerror(ENOSPC))

    return stepping(refuse)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_disk_that_refuses_one_step(tmp_path, suffix):
    """Whatever step is refused, the file is not there, or what it was, or whole with what belongs to it."""
    path, old = tmp_path / f"out{suffix}", content(DOCUMENTS[:2], VECTORS[:2])
    export(path, content())
    new = [file.read_bytes() for file in export_files(path)]
    export(path, old)
    before = [file.read_bytes() for file in export_files(path)]
    steps = len(trace(lambda: export(path, content())))
    for at in range(steps):
        export(path, old)
        with refused(at), pytest.raises(ResourceError, match=r"no space left|cannot write"):
            export(path, content())
        if path.exists():
            assert [file.read_bytes() for file in export_files(path)] in (before, new), at
        assert not list(tmp_path.glob(".*")) or at == steps - 1
        for file in tmp_path.glob(".*"):
            file.unlink()


LONG = [Document(f"d{i}" * 20, "t") for i in range(100)]
"""More than a few thousand bytes in every format."""


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("size", [100, 1000, 3000])
def test_a_full_disk(tmp_path, suffix, size):
    def work():
        with pytest.raises(ResourceError, match="larger than this disk or your limits allow"):
            export(tmp_path / f"out{suffix}", content(LONG, np.ones((100, 9), np.float32)))

    assert limited(work, size, kill=False) == 0
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", [".h5", ".npy"])
def test_a_process_survives_a_full_disk(tmp_path, suffix):
    """HDF5's library, left to itself, crashes when the process ends, and whenever it reads back what it did not write."""
    build(tmp_path / "index", LONG, np.ones((100, 9), np.float32))

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    command = [sys.executable, "-m", "vecsearch.cli", "export", tmp_path / "index", "-o", tmp_path / f"out{suffix}"]
    # glibc then fills new memory with 170: what is not read back cannot look right by chance.
    environment = os.environ | {"MALLOC_PERTURB_": "85"}
    ran = subprocess.run(command, preexec_fn=limit, env=environment, capture_output=True, text=True, timeout=180)
    assert ran.returncode == 5, ran.stderr
    assert ran.stderr.startswith("error: cannot write") and ran.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == ["index"]


def test_a_folder_that_may_not_be_written(vecsearch, index, tmp_path):
    (tmp_path / "closed").mkdir()
    os.chmod(tmp_path / "closed", 0o500)
    if os.access(tmp_path / "closed", os.W_OK):
        pytest.skip("this user may write everywhere")
    ran = vecsearch("export", index, "-o", tmp_path / "closed" / "out.npy")
    assert ran.code == 5 and "permission denied" in ran.err


def test_an_index_on_a_disk_that_is_read_only(vecsearch, index, tmp_path):
    copy = shutil.copytree(index, tmp_path / "copy")
    for path in [copy, *copy.rglob("*")]:
        path.chmod(0o500 if path.is_dir() else 0o400)
    assert vecsearch("export", copy, "-o", tmp_path / "out.h5").code == 0
    for path in [copy, *copy.rglob("*")]:
        path.chmod(0o700)
