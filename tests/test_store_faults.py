"""Whatever stops a build, and whenever: the index is the old one or the new one, whole, and the build can go on."""

import errno
import os
import random
import resource
import shutil
import signal
import sqlite3
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from faults import failing, killed, moments, some, start, trace, wait
from store_builds import QUICK_DISK, build, held

from vecsearch.errors import LockedError, ResourceError
from vecsearch.store.commit import Lock
from vecsearch.store.documents_writer import DocumentsWriter
from vecsearch.store.layout import files_below
from vecsearch.store.verify import Verification, verify


@pytest.fixture
def tmp_path():
    with TemporaryDirectory(dir=QUICK_DISK) as name:
        yield Path(name)


def replace(folder, **options):
    return build(folder, "new", replace=True, **options)


@pytest.fixture
def copies(tmp_path):
    """Gives copies of an index of "old", by name."""
    build(tmp_path / "original", "old")
    return lambda name: shutil.copytree(tmp_path / "original", tmp_path / f"{name}")


def test_killed_at_every_step(copies):
    seen = set()
    for at, half in some(moments(partial(replace, copies("traced"))), 16):
        folder = copies(f"{at} {half}")
        assert killed(lambda folder=folder: replace(folder), at, half=half)
        assert verify(folder).problems == []
        seen.add(held(folder))
        # The work goes on where it was, and leaves nothing behind that a build without a fault does not leave.
        replace(folder, resume=True)
        assert held(folder) == "new"
        assert verify(folder) == Verification([], [])
    assert seen == {"old", "new"}


def test_killed_at_every_step_of_the_first_build(tmp_path):
    committed = 0
    for at, half in some(moments(lambda: build(tmp_path / "traced", "new")), 16):
        folder = tmp_path / f"{at} {half}"
        assert killed(lambda folder=folder: build(folder, "new"), at, half=half)
        if (folder / "CURRENT").exists():
            committed += 1
        else:
            build(folder, "new", resume=True)
        assert held(folder) == "new"
    assert committed > 0


def test_killed_at_random_moments(tmp_path):
    folder, rng = tmp_path / "index", random.Random(0)
    build(folder, "old")

    def alternate():
        while True:
            replace(folder)
            build(folder, "old", replace=True)

    for _ in range(15):
        process = start(alternate)
        time.sleep(rng.uniform(0, 0.1))
        os.kill(process, signal.SIGKILL)
        wait(process)
        assert held(folder) in ("old", "new")
        assert verify(folder).problems == []
    build(folder, "new", replace=True)
    assert verify(folder).notes == []


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_refused_at_every_step(copies, error):
    stride = 1 if error == errno.ENOSPC else 9
    at, old = 0, 0
    while True:
        folder = copies(at)
        try:
            with failing(error, at):
                replace(folder)
        except ResourceError as refusal:
            assert str(folder) in str(refusal) and refusal.__cause__.errno == error
            old += held(folder) == "old"
        else:
            break
        assert verify(folder).problems == []
        replace(folder, resume=True)
        assert held(folder) == "new"
        at += stride
    assert old > 2


def test_refused_errors_say_what_to_do(tmp_path):
    for error, hint in [(errno.ENOSPC, "free some space"), (errno.EROFS, "read-only"), (errno.EACCES, "permission denied")]:
        with pytest.raises(ResourceError, match=hint) as refusal, failing(error, 0):
            build(tmp_path / f"{error}", "new")
        assert str(tmp_path) in str(refusal.value)


def test_file_size_limit_stops_a_build_that_can_be_resumed(tmp_path):
    build(tmp_path / "index", "old", 7)

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
        with pytest.raises(ResourceError, match=r"cannot write .*/segments/000002-0/"):
            build(tmp_path / "index", "new", 5000, block=500, replace=True)

    assert wait(start(limited)) == 0
    assert held(tmp_path / "index") == "old"
    build(tmp_path / "index", "new", 5000, block=500, replace=True, resume=True)
    assert verify(tmp_path / "index").problems == []


def test_full_disk_inside_sqlite(tmp_path, monkeypatch):
    build(tmp_path, "old")
    append, connect = DocumentsWriter.append, sqlite3.connect

    def small(*arguments, **settings):
        database = connect(*arguments, **settings)
        database.execute("PRAGMA max_page_count = 16")  # room for the tables, and not for the text
        return database

    def long(self, records, *arguments):
        append(self, [("x", "y" * 100_000, "{}")], *arguments)

    with monkeypatch.context() as patch, pytest.raises(ResourceError, match=r"documents\.sqlite: .*full"):
        patch.setattr(sqlite3, "connect", small)
        patch.setattr(DocumentsWriter, "append", long)
        replace(tmp_path)
    assert held(tmp_path) == "old"
    # Nothing was stored, so nothing is left to resume.
    replace(tmp_path)
    assert held(tmp_path) == "new"


def test_everything_reaches_the_disk_before_the_commit(tmp_path):
    folder = tmp_path / "index"
    steps = trace(lambda: build(folder, "new"))
    commit = steps.index(("replace", str(folder / "CURRENT")))
    before = steps[:commit]
    named = [path for path in files_below(folder) if path not in ("LOCK", "CURRENT")]
    assert len(named) == 6
    for path in [*named, "CURRENT.tmp"]:
        assert ("fsync", str(folder / path)) in before, path
        writes = [i for i, (name, target) in enumerate(before) if name != "fsync" and target == str(folder / path)]
        synced = max(i for i, step in enumerate(before) if step == ("fsync", str(folder / path)))
        assert all(i < synced for i in writes if before[i][0] != "open"), path
    for parent in {(folder / path).parent for path in named} | {folder, folder / "segments", folder / "encoder", tmp_path}:
        assert ("fsync", str(parent)) in before, parent
    assert ("fsync", str(folder)) in steps[commit:]


def test_second_writer_is_told_who_the_first_is(tmp_path):
    build(tmp_path, "old")
    ready, go = os.pipe()

    def hold():
        with Lock(tmp_path):
            os.write(go, b"x")
            signal.pause()

    process = start(hold)
    os.read(ready, 1)
    try:
        with pytest.raises(LockedError, match=f"is being written by process {process}; wait for it, or stop it"):
            replace(tmp_path)
        assert held(tmp_path) == "old"
    finally:
        os.kill(process, signal.SIGKILL)
        wait(process)
    # The lock died with its process.
    replace(tmp_path)
    assert held(tmp_path) == "new"


def test_lock_is_given_back_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), Lock(tmp_path):
        raise ZeroDivisionError
    with Lock(tmp_path), pytest.raises(LockedError), Lock(tmp_path):
        pass


def test_sqlite_error_that_is_no_refusal_is_damage(tmp_path):
    (tmp_path / "documents.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(Exception, match=r"documents\.sqlite cannot be read") as damage:
        DocumentsWriter(tmp_path / "documents.sqlite")
    assert isinstance(damage.value.__cause__, sqlite3.DatabaseError)
