"""Every byte of an index counts: a flipped bit and a missing end are found, and the file is named."""

import hashlib
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from faults import FULL
from store_builds import DIM, FOURTH, QUICK_DISK, THIRD, Letters, answers, build, live_index

from vecsearch.errors import DamagedIndexError
from vecsearch.files import npy_header
from vecsearch.index import update as updating
from vecsearch.index.index import Index
from vecsearch.store.commit import describe_file, replace_current
from vecsearch.store.layout import files_below
from vecsearch.store.snapshot import open_snapshot, read_manifest
from vecsearch.store.verify import verify

FILES = [
    "CURRENT",
    "manifest-000001.json",
    "encoder/0123456789abcdef-000001/config.json",
    "segments/000001-0/documents.sqlite",
    "segments/000001-0/index-000001.faiss",
    "segments/000001-0/norms.npy",
    "segments/000001-0/vectors.npy",
]
SEGMENT = "segments/000001-0"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("original")
    build(folder, "old")
    assert sorted(FILES) == sorted(path for path in files_below(folder) if path != "LOCK")
    return folder


@pytest.fixture
def index(original, tmp_path):
    return shutil.copytree(original, tmp_path / "index")


def assert_found(index, name, *, sizes=False):
    """Opening and verifying both name the file, and say what to do; opening without hashes does where the size is wrong."""
    for check in (True, False) if sizes else (True,):
        with pytest.raises(DamagedIndexError) as damage:
            open_snapshot(index, check=check)
        assert_named(index, name, str(damage.value))
    (problem,) = verify(index).problems
    assert_named(index, name, problem)


def assert_named(index, name, message):
    # The folder is named after the test, and the test after the file.
    assert name in message.replace(str(index), "")
    assert "restore it from a copy, or build the index again; nothing was changed" in message


@pytest.mark.parametrize("name", FILES)
def test_flipped_bits(index, name):
    rng, path = random.Random(name), index / name
    whole = path.read_bytes()
    for _ in range(40):
        at = rng.randrange(len(whole))
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << rng.randrange(8)]) + whole[at + 1 :])
        assert_found(index, name)
    path.write_bytes(whole)
    assert verify(index).problems == []


@pytest.mark.parametrize("name", FILES)
def test_wrong_lengths(index, name):
    rng, path = random.Random(name), index / name
    whole = path.read_bytes()
    for size in {0, len(whole) - 1, *(rng.randrange(len(whole)) for _ in range(10))}:
        path.write_bytes(whole[:size])
        assert_found(index, name, sizes=True)
    path.write_bytes(whole + b"\n")
    assert_found(index, name, sizes=True)
    path.unlink()
    assert_found(index, name, sizes=True)


def test_both_figures_are_given(index):
    path = index / SEGMENT / "norms.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(DamagedIndexError, match=f"norms.npy has {len(whole) - 1} bytes, not {len(whole)};"):
        open_snapshot(index)
    path.write_bytes(whole[:-1] + b"\xff")
    hashes = [hashlib.sha256(data).hexdigest() for data in (path.read_bytes(), whole)]
    with pytest.raises(DamagedIndexError, match=f"norms.npy has sha256 {hashes[0]}, not {hashes[1]};"):
        open_snapshot(index)


def test_a_file_that_is_not_read_yet_is_still_checked_when_it_is(index):
    path = index / SEGMENT / "documents.sqlite"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"year": 1903', b'"year" 1903}'))
    with (
        open_snapshot(index, check=False) as snapshot,
        pytest.raises(DamagedIndexError, match=r"documents\.sqlite cannot be read"),
    ):
        snapshot.segments[0].documents.get([3])


def test_verify_reports_everything(index):
    (index / SEGMENT / "norms.npy").unlink()
    (index / SEGMENT / "index-000001.faiss").write_bytes(b"")
    (index / FILES[2]).write_bytes(b"[]")
    (index / "notes.txt").touch()
    found = verify(index)
    assert all(
        part in problem
        for part, problem in zip(["config.json", "index-000001.faiss", "norms.npy"], found.problems, strict=True)
    )
    assert found.notes == [f"{index / 'notes.txt'} is not part of the index"]


def commit_as_it_is(index):
    """A manifest that vouches for the files as they are, for damage that was there before the hash was taken."""
    manifest = read_manifest(index)
    manifest.files.update({name: describe_file(index / name) for name in manifest.files})
    replace_current(index, manifest)


def run_sql(index, statement):
    with sqlite3.connect(index / SEGMENT / "documents.sqlite") as db:
        db.execute(statement)
    db.close()


def overwrite(name, rows):
    return lambda index: (index / SEGMENT / name).write_bytes(npy_header(rows.shape) + rows.tobytes())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda index: run_sql(index, "DELETE FROM documents WHERE number = 3"), "documents.sqlite holds 6 documents, not 7"),
        (
            lambda index: run_sql(index, "UPDATE documents SET number = 9 WHERE number = 3"),
            "documents are numbered 0 to 9, not 0 to 6",
        ),
        (lambda index: run_sql(index, "DROP TABLE documents"), "documents.sqlite cannot be read (no such table: documents)"),
        (overwrite("norms.npy", np.ones(7, "<f4")), "the norm of row 0 is stored as 1.0, but is"),
        (overwrite("vectors.npy", np.full((7, DIM), np.nan, "<f4")), "the vector of row 0 holds NaN or infinity"),
        (overwrite("vectors.npy", np.ones((DIM, 7), "<f4")), "does not begin with the header of (7, 3) float32"),
    ],
)
def test_contradictions_that_hashes_do_not_show(index, spoil, message):
    spoil(index)
    commit_as_it_is(index)
    assert any(message in problem for problem in verify(index).problems)


def test_current_and_manifest_must_agree_on_the_generation(index):
    (index / "manifest-000001.json").rename(index / "manifest-000002.json")
    (index / "CURRENT").write_text((index / "CURRENT").read_text().replace("000001", "000002"))
    assert_found(index, "manifest-000002.json")


# -- an index with a history: several segments, deletes, an encoder, a FAISS index, clusters, three generations ---------------


@pytest.fixture(scope="module")
def live():
    with TemporaryDirectory(dir=QUICK_DISK) as name:
        folder = Path(name) / "index"
        live_index(folder)
        updating.collect(folder, 3)
        yield folder


def assert_noticed(folder: Path, name: str) -> None:
    """The file is reported by name, and who does not need it gets the right answers."""
    problems = [problem.replace(str(folder), "") for problem in verify(folder).problems]
    assert [name in problem for problem in problems] == [True] * (name != "LOCK"), problems
    for generation, held in {5: FOURTH, 3: THIRD}.items():
        try:
            with Index.open(folder, generation=generation, encoder=Letters()) as index:
                found = answers(index)
        except DamagedIndexError as damage:
            assert name in str(damage).replace(str(folder), "")
        else:
            assert found == held and name in UNREAD[generation]


PARTS = ("documents.sqlite", "norms.npy", "vectors.npy")
UNREAD = {
    5: {"LOCK", "manifest-000004.json", "manifest-000003.json", "deletes-000004.npy", "deletes-000003.npy"},
    3: {
        "LOCK",
        "deletes-000005.npy",
        "labels-000005.npy",
        "centres-000005.npy",
        "clusters-000005.json",
        "deletes-000004.npy",
        *(f"segments/000004-0/{part}" for part in ("vectors.npy", "norms.npy", "documents.sqlite")),
    },
}
"""What a generation has nothing to do with when it is opened."""


def spoiled(folder: Path, times: int, spoil: Callable[[bytes, random.Random], bytes]) -> None:
    """Spoil a file so many times, each in its turn, and mend it again."""
    rng = random.Random(0)
    names = [*files_below(folder)]
    for turn in range(times):
        name = names[turn % len(names)]
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(spoil(whole, rng))
        try:
            assert_noticed(folder, name)
        finally:
            (folder / name).write_bytes(whole)
    assert verify(folder).problems == []


def test_a_flipped_bit_anywhere_is_noticed(live):
    def flip(whole, rng):
        at = rng.randrange(len(whole))
        return whole[:at] + bytes([whole[at] ^ 1 << rng.randrange(8)]) + whole[at + 1 :]

    spoiled(live, 2000 if FULL else 60, flip)


def test_a_missing_end_anywhere_is_noticed(live):
    spoiled(live, 200 if FULL else 25, lambda whole, rng: whole[: rng.randrange(len(whole))])
