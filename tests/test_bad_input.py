"""Bad input through the command line: its exit code, a message that names it, and an old index that stays whole."""

import errno
import gzip
import hashlib
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import faiss
import faults
import h5py
import numpy as np
import pytest

from vecsearch.index.build import Options
from vecsearch.store.commit import Lock
from vecsearch.store.layout import files_below

GOOD = "\n".join(json.dumps({"id": f"d{i}", "text": f"the king of river {i}"}) for i in range(6)) + "\n"


def assert_refused(ran, code, *parts):
    """It ended with `code`; stderr names the problem in an "error: " line after notes and stages, and stdout has no data."""
    assert ran.code == code, ran
    *notes, last = ran.err.splitlines()
    assert last.startswith("error: ") and all(line.startswith(("note: ", "building ")) for line in notes), ran.err
    assert [part for part in parts if part not in last] == [], last
    assert ran.out == ""


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text(GOOD)
    return path


@pytest.fixture
def index(vecsearch, corpus, tmp_path, tiny_folder):
    folder = tmp_path / "index"
    assert vecsearch("build", corpus, "-o", folder, "--encoder", tiny_folder()).code == 0
    return folder


@pytest.fixture
def assert_unchanged(vecsearch, index):
    """Checks that the index has every file that it had before the test, byte for byte, and answers as it did."""
    files = {path: (index / path).read_bytes() for path in files_below(index) if path != "LOCK"}
    before = vecsearch("query", index, "the king of river 3").out

    def check():
        assert [path for path, data in files.items() if (index / path).read_bytes() != data] == []
        assert vecsearch("query", index, "the king of river 3").out == before

    assert len(files) > 5 and before.count("\n") == 6
    return check


CORPORA = {
    "empty": ("empty.jsonl", b"", ["empty.jsonl holds no documents"]),
    "blank": ("blank.txt", b"\n  \n", ["blank.txt holds no documents"]),
    "not UTF-8": ("latin.txt", b"one\nca\xff\xe9\n", ["latin.txt, line 2: byte 3", "0xff", "convert the file to UTF-8"]),
    "broken JSON": (
        "line7.jsonl",
        (GOOD + '{"id": "d7", "te\n').encode(),
        ["line7.jsonl, line 7: broken JSON at column 14", "mend the line"],
    ),
    "not an object": ("list.jsonl", b"[1, 2]\n", ["list.jsonl, line 1: holds a list", '{"text": "\u2026"}']),
    "missing field": (
        "field.jsonl",
        b'{"id": 1, "body": "x"}\n',
        ['field.jsonl, line 1: no field "text"', "id, body", "--text-field"],
    ),
    "text of a wrong type": ("type.jsonl", b'{"text": 5}\n', ["type.jsonl, line 1", "5"]),
    "duplicate ids": (
        "twice.jsonl",
        GOOD.encode() + b'{"id": "d2", "text": "x"}\n',
        ["twice.jsonl, line 7: the id 'd2' is already that of document 2"],
    ),
    "id of a wrong type": (
        "id.jsonl",
        b'{"id": 1.5, "text": "x"}\n',
        ['id.jsonl, line 1: the id in "id" is 1.5 (float)', "string or a whole number"],
    ),
    "ragged row": ("row.csv", b"id,text\n1,a\n2,b,c\n", ["row.csv, line 3: 3 columns, but the header has 2"]),
    "cut gzip": (
        "cut.jsonl.gz",
        gzip.compress(GOOD.encode() * 9)[:-9],
        ["cut.jsonl.gz cannot be read after line", "whole .gz file"],
    ),
    "not Parquet": ("x.parquet", b"no parquet", ["x.parquet cannot be read as Parquet"]),
    "not HDF5": ("x.h5", b"no hdf5", ["x.h5 cannot be read as HDF5"]),
}


@pytest.mark.parametrize(("name", "data", "parts"), CORPORA.values(), ids=CORPORA.keys())
def test_a_corpus_that_cannot_be_used(vecsearch, tmp_path, index, assert_unchanged, tiny_folder, name, data, parts):
    path = tmp_path / name
    path.write_bytes(data)
    options = ("--encoder", tiny_folder())
    assert_refused(vecsearch("build", path, "-o", tmp_path / "new", *options), 3, *parts)
    assert vecsearch("info", tmp_path / "new").code == 4
    assert_refused(vecsearch("build", path, "-o", index, "--replace", *options), 3, *parts)
    assert_unchanged()
    # Nothing is in the way of the corpus once it is mended.
    path.write_bytes(gzip.compress(GOOD.encode()) if path.suffix == ".gz" else GOOD.encode())
    assert vecsearch("build", path, "-o", tmp_path / "new", "--format", "jsonl", *options).code == 0


MISSING = {
    "file": ("nowhere.jsonl", 3, "nowhere.jsonl does not exist; check the path"),
    "suffix": ("corpus.docx", 3, "1 empty"),
    "not BEIR": ("folder", 3, "there is no file to read; the folder is empty"),
    "no name": ("x" * 300, 5, "File name too long"),
}


@pytest.mark.parametrize(("name", "code", "part"), MISSING.values(), ids=MISSING.keys())
def test_a_corpus_that_is_not_there(vecsearch, tmp_path, name, code, part):
    (tmp_path / "folder").mkdir()
    (tmp_path / "corpus.docx").touch()
    assert_refused(vecsearch("build", tmp_path / name, "-o", tmp_path / "new"), code, part)
    assert not (tmp_path / "new").exists()


def npy(array):
    return lambda path: np.save(path, array, allow_pickle=True)


def changed(row, column, value):
    vectors = np.ones((5, 3), np.float32)
    vectors[row, column] = value
    return vectors


def hdf5_with_ids(*ids):
    def write(path):
        with h5py.File(path, "w") as file:
            file["vectors"], file["ids"] = np.ones((3, 2), np.float32), list(ids)

    return write


VECTORS = {
    "NaN": ("v.npy", npy(changed(3, 1, np.nan)), 3, ["v.npy: row 3 holds NaN in column 1"]),
    "infinity": ("v.npy", npy(changed(0, 2, -np.inf)), 3, ["v.npy: row 0 holds -inf in column 2"]),
    "ragged": (
        "v.npy",
        npy(np.array([[1.0], [1.0, 2.0]], dtype=object)),
        3,
        ["v.npy holds Python objects or rows of different lengths"],
    ),
    "one dimension": ("v.npy", npy(np.ones(5)), 3, ["v.npy has 1 dimensions"]),
    "no rows": ("v.npy", npy(np.ones((0, 5))), 3, ["v.npy is empty: 0 rows of 5"]),
    "not .npy": ("v.npy", lambda path: path.write_text("no"), 3, ["v.npy is not a .npy file"]),
    "another suffix": ("v.csv", lambda path: path.write_text("1,2"), 2, ["v.csv: vectors are read from .npy, .h5"]),
    "too few ids": ("v.h5", hdf5_with_ids("a", "b"), 3, ['v.h5: the dataset "ids" has shape (2,), but there are 3 vectors']),
    "duplicate ids": ("v.h5", hdf5_with_ids("a", "b", "a"), 3, ["v.h5, row 2: the id 'a' is already that of document 0"]),
}


@pytest.mark.parametrize(("name", "write", "code", "parts"), VECTORS.values(), ids=VECTORS.keys())
def test_vectors_that_cannot_be_used(vecsearch, tmp_path, index, assert_unchanged, name, write, code, parts):
    write(tmp_path / name)
    assert_refused(vecsearch("build", "--vectors", tmp_path / name, "-o", index, "--replace"), code, *parts)
    assert_unchanged()


@pytest.mark.parametrize(
    ("ids", "part"),
    [
        (b"a\nb\n", "ids.txt has 2 ids for 3 vectors"),
        (b"a\nb\na\n", "ids.txt, line 3: the id 'a' is already that of document 0"),
        (b"a\n\nc\n", "ids.txt, line 2: empty"),
        (b"a\nb\n\xff\n", "ids.txt, line 3: not UTF-8"),
    ],
)
def test_ids_that_do_not_fit_their_vectors(vecsearch, tmp_path, ids, part):
    np.save(tmp_path / "v.npy", np.eye(3))
    (tmp_path / "ids.txt").write_bytes(ids)
    ran = vecsearch("build", "--vectors", tmp_path / "v.npy", "--ids", tmp_path / "ids.txt", "-o", tmp_path / "new")
    assert_refused(ran, 3, part, "id")


@pytest.mark.parametrize(("rows", "part"), [(5, "5 vectors and more documents"), (7, "6 documents and more vectors")])
def test_vectors_of_another_number_than_the_corpus(vecsearch, tmp_path, corpus, rows, part):
    np.save(tmp_path / "v.npy", np.eye(rows))
    assert_refused(vecsearch("build", corpus, "--vectors", tmp_path / "v.npy", "-o", tmp_path / "new"), 3, part)


def test_vectors_of_another_length_than_their_encoder_s(vecsearch, tmp_path, tiny_folder):
    np.save(tmp_path / "v.npy", np.eye(5))
    ran = vecsearch("build", "--vectors", tmp_path / "v.npy", "--encoder", tiny_folder(), "-o", tmp_path / "new")
    assert_refused(ran, 2, "length 5", "encoder 7")


@pytest.mark.parametrize("vectors", [np.eye(3), np.full((1, 7), np.nan)], ids=["length", "NaN"])
def test_query_vectors_that_do_not_fit(vecsearch, tmp_path, index, vectors):
    np.save(tmp_path / "q.npy", vectors)
    ran = vecsearch("query", index, "--vectors", tmp_path / "q.npy")
    if len(vectors) == 3:
        assert_refused(ran, 2, "q.npy holds vectors of length 3", "length 7")
    else:
        assert_refused(ran, 3, "q.npy: row 0 holds NaN in column 0")


@pytest.mark.parametrize(("spec", "reason"), [("nonsense", "could not parse"), ("PQ3", "multiple"), ("", "could not parse")])
def test_an_unknown_spec(vecsearch, corpus, tmp_path, index, assert_unchanged, tiny_folder, spec, reason):
    ran = vecsearch("build", corpus, "-o", index, "--replace", "--encoder", tiny_folder(), "--spec", spec)
    assert_refused(ran, 2, repr(spec), "length 7", reason, "HNSW32")
    assert_unchanged()


@pytest.mark.parametrize(("spec", "reason"), [("IVF100,Flat", "(6)"), ("HNSW16", "cannot be searched")])
def test_a_spec_that_fits_no_longer_when_the_vectors_are_there(
    vecsearch, corpus, tmp_path, tiny_folder, monkeypatch, spec, reason
):
    np.save(tmp_path / "q.npy", np.ones((6, 7), np.float32))
    build = ("build", corpus, "-o", tmp_path / "new", "--encoder", tiny_folder(), "--queries", tmp_path / "q.npy")
    with monkeypatch.context() as patch:
        if reason == "cannot be searched":
            patch.setattr(faiss.IndexIDMap, "search", Mock(side_effect=RuntimeError("Error in …")))
        ran = vecsearch(*build, "--spec", spec)
    assert_refused(ran, 2, repr(spec), reason)
    assert "note: 6 documents are stored: the same command with --resume" in ran.err
    # What was encoded is not lost with it.
    stored = next((tmp_path / "new").glob("segments/*/vectors.npy")).stat().st_ino
    assert vecsearch(*build, "--spec", "Flat", "--resume").code == 0
    assert next((tmp_path / "new").glob("segments/*/vectors.npy")).stat().st_ino == stored


@pytest.mark.parametrize("command", [("query", "king"), ("similar", "d1")])
@pytest.mark.parametrize("k", [0, -3, "many"])
def test_k_below_one(vecsearch, index, command, k):
    ran = vecsearch(command[0], index, command[1], f"-k{k}")
    assert ran.code == 2 and ran.out == "" and "Invalid value for '-k'" in ran.err and str(k) in ran.err


def test_k_beyond_the_index(vecsearch, index):
    ran = vecsearch("query", index, "king", "-k", 7)
    assert ran.code == 0 and ran.out.count("\n") == 6
    assert "note: k is 7, the index holds 6 documents: there are no more" in ran.err
    ran = vecsearch("similar", index, "d1", "-k", 6)
    assert ran.code == 0 and ran.out.count("\n") == 5 and "note: k is 6, the index holds 6 documents, 1 of them" in ran.err
    assert vecsearch("similar", index, "d1", "-k", 5).err == ""


def test_an_id_that_is_not_there(vecsearch, index):
    assert_refused(vecsearch("similar", index, "d1", "d9"), 2, "no document with the id 'd9'")
    assert_refused(vecsearch("analogy", index, "--plus", "d1", "--minus", "d8"), 2, "no document with the id 'd8'")


def test_an_encoder_that_is_not_the_index_s_own(vecsearch, index, tiny_folder):
    assert_refused(
        vecsearch("query", index, "king", "--encoder", tiny_folder(seed=1)), 2, str(index), "was built with the encoder"
    )
    assert vecsearch("query", index, "king", "--encoder", tiny_folder()).code == 0
    assert_refused(vecsearch("query", index, "king", "--encoder", "nowhere"), 3, "no encoder folder nowhere", "english")


def test_an_index_of_ready_vectors_cannot_be_asked_in_words(vecsearch, tmp_path):
    np.save(tmp_path / "v.npy", np.eye(3))
    assert vecsearch("build", "--vectors", tmp_path / "v.npy", "-o", tmp_path / "new").code == 0
    assert_refused(vecsearch("query", tmp_path / "new", "king"), 2, "carries no encoder", "vectors or ids")


def test_an_output_folder_that_is_no_index(vecsearch, corpus, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    for option in (), ("--replace",), ("--resume",):
        ran = vecsearch("build", corpus, "-o", tmp_path / "mine", *option)
        assert_refused(ran, 2, "mine exists and is not an index (it holds thesis.txt)", "choose another -o")
    assert_refused(vecsearch("build", corpus, "-o", corpus), 2, "is a file, not a folder")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    assert_refused(vecsearch("query", tmp_path / "mine", "king"), 4, "is not an index", "thesis.txt")
    assert_refused(vecsearch("verify", tmp_path / "nowhere"), 4, "there is no index at", "vecsearch build makes one")


def test_an_index_is_not_overwritten_unasked(vecsearch, corpus, index, assert_unchanged):
    assert_refused(vecsearch("build", corpus, "-o", index), 2, "is an index already", "--replace")
    assert_refused(vecsearch("build", corpus, "-o", index, "--resume"), 2, "nothing in it is unfinished", "--replace")
    assert_unchanged()


def test_another_writer(vecsearch, corpus, index, assert_unchanged):
    with Lock(index):
        assert_refused(
            vecsearch("build", corpus, "-o", index, "--replace"), 5, f"written by process {os.getpid()}", "wait for it"
        )
    assert_unchanged()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "hint", "every"),
    [(errno.ENOSPC, "free some space", 5), (errno.EROFS, "another output folder", 17), (errno.EACCES, "permission denied", 17)],
)
def test_a_disk_that_refuses_from_any_step_on(vecsearch, corpus, index, tiny_folder, number, hint, every):
    build = ("build", corpus, "-o", index, "--replace", "--encoder", tiny_folder())
    steps = len(faults.trace(lambda: vecsearch(*build)))
    answer = vecsearch("query", index, "the king").out
    assert steps > 30
    for at in range(0, steps, every):
        with faults.failing(number, at):
            ran = vecsearch(*build)
        if ran.code:  # what is refused after the commit is garbage to the next one
            assert_refused(ran, 5, str(index), hint)
        assert vecsearch("verify", index).code == 0
        assert vecsearch("query", index, "the king").out == answer


def limited(size, *arguments):
    """The command line in a process of its own that may write no file beyond `size` bytes."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    command = [sys.executable, "-m", "vecsearch.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, timeout=180)


LIMITS = {
    "vectors.npy": (32_000, ("--spec", "HNSW32")),
    ".faiss": (100_000, ("--spec", "HNSW32")),
    "encoder": (100_000, ("--encoder", "english")),
}


@pytest.mark.parametrize(("file", "size", "options"), [(file, *limit) for file, limit in LIMITS.items()])
def test_no_space_left(vecsearch, tmp_path, index, assert_unchanged, file, size, options):
    vectors = np.random.default_rng(0).standard_normal((90 if file == "encoder" else 500, 256 if file == "encoder" else 16))
    np.save(tmp_path / "v.npy", vectors.astype(np.float32))
    done = limited(size, "build", "--vectors", tmp_path / "v.npy", "-o", index, "--replace", *options)
    assert done.returncode == 5 and "Traceback" not in done.stderr and done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("error: cannot write ") and file in done.stderr
    assert_unchanged()


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="no folder that even the administrator may not write to")
def test_a_read_only_folder(vecsearch, corpus, tmp_path, tiny_folder):
    assert_refused(
        vecsearch("build", corpus, "-o", "/sys/index", "--encoder", tiny_folder()), 5, "cannot write /sys/index", "folder"
    )
    ran = vecsearch("encode", corpus, "-o", "/sys/x.npy", "--encoder", tiny_folder())
    assert_refused(ran, 5, "cannot write /sys/")


def test_a_place_that_cannot_be_written(vecsearch, corpus, tmp_path, tiny_folder):
    encoder = ("--encoder", tiny_folder())
    assert_refused(vecsearch("build", corpus, "-o", tmp_path / ("x" * 300), *encoder), 5, "File name too long")
    assert_refused(vecsearch("build", corpus, "-o", corpus / "in" / "it", *encoder), 5, "cannot write", "Not a directory")
    assert_refused(
        vecsearch("encode", corpus, "-o", tmp_path / "no" / "x.npy", *encoder), 2, "there is no folder", "make it first"
    )
    assert_refused(vecsearch("encode", corpus, "-o", tmp_path / "x.txt", *encoder), 2, "x.txt: vectors are written to .npy")


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(tmp_path_factory, tiny_folder):
    """An index with every kind of file, made through the library; tests damage copies of it."""
    from vecsearch import Index, open_encoder
    from vecsearch.corpus.document import Document

    folder = tmp_path_factory.mktemp("sound") / "index"
    documents = [Document(f"d{i}", f"the king of river {i}") for i in range(6)]
    Index.build(folder, documents, open_encoder(tiny_folder()), options=Options(spec="Flat")).close()
    return folder


FILES = (
    "CURRENT",
    "manifest-000001.json",
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "vocab.json",
    "documents.sqlite",
    "index-000001.faiss",
    "norms.npy",
    "vectors.npy",
)


def test_these_are_the_files_of_an_index(sound):
    assert sorted(FILES) == sorted(Path(path).name for path in files_below(sound) if path != "LOCK")


def flipped(data):
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 4]) + data[len(data) // 2 + 1 :]


@pytest.mark.parametrize("damage", [flipped, lambda data: data[:-1], lambda data: b""], ids=["flipped", "truncated", "emptied"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file(vecsearch, sound, tmp_path, name, damage):
    index = shutil.copytree(sound, tmp_path / "index")
    path = next(index.rglob(name))
    path.write_bytes(damage(path.read_bytes()))
    assert_refused(vecsearch("query", index, "king"), 4, name, "build the index again")
    verified = vecsearch("verify", index)
    assert verified.code == 1 and name in verified.out and verified.out.count("\n") == 1
    if damage is not flipped:
        assert vecsearch("info", index).code == 4


def test_a_manifest_of_a_newer_format(vecsearch, sound, tmp_path):
    index = shutil.copytree(sound, tmp_path / "index")
    path = index / "manifest-000001.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 4}))
    (index / "CURRENT").write_text(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n")
    for command in ("query", "verify", "info", "similar"):
        ran = vecsearch(command, index, *(["king"] if command in ("query", "similar") else []))
        assert_refused(ran, 4, "format 4", "3")


class Opens:
    """Pickled, it makes whoever unpickles it create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_that_would_run_code(vecsearch, tmp_path):
    for name in ("model.pth", "export.pkl", "vocab.pkl"):
        (tmp_path / name).write_bytes(pickle.dumps(Opens(tmp_path / "ran")))
    for arguments in ["model.pth"], ["export.pkl"], ["model.pth", "--vocab", str(tmp_path / "vocab.pkl")]:
        ran = vecsearch("model", "import", tmp_path / arguments[0], *arguments[1:], "-o", tmp_path / "encoder")
        assert_refused(ran, 3, str(tmp_path))
        assert not (tmp_path / "ran").exists() and not (tmp_path / "encoder").exists()
