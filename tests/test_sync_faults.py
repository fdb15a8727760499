"""Whatever stops a sync, and whenever: the index is the old one or the new one, whole, and the next sync mends the rest."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from faults import failing, killed, moments, some, trace
from store_builds import QUICK_DISK, assert_tidy
from test_sync import Counting, build, contents

from vecsearch import Index
from vecsearch.errors import ResourceError
from vecsearch.index.update import collect
from vecsearch.store.verify import verify


@pytest.fixture(scope="module")
def place():
    with TemporaryDirectory(dir=QUICK_DISK) as name:
        place, before = Path(name), os.getcwd()
        os.chdir(place)
        (place / "notes").mkdir()
        for number in range(6):
            (place / f"notes/{number}.md").write_text(f"# {number}\n\nabba {number}\n")
        build(place / "original", "notes").close()
        (place / "notes/0.md").write_text("# 0\n\nchanged\n")
        (place / "notes/1.md").rename(place / "notes/renamed.md")
        (place / "notes/2.md").unlink()
        (place / "notes/new.md").write_text("new")
        yield place
        os.chdir(before)


@pytest.fixture
def copy(place):
    def make() -> Path:
        shutil.rmtree(place / "index", ignore_errors=True)
        return shutil.copytree(place / "original", place / "index")

    return make


def work(folder: Path) -> None:
    with Index.open(folder, encoder=Counting(), check=False) as index:
        index.sync()


def check(folder: Path, old: dict, new: dict) -> bool:
    """Whether the index that was left is the new one; it is one of both, and the next sync makes it the new one."""
    assert verify(folder).problems == []
    left = contents(Index.open(folder))
    assert left in (old, new)
    work(folder)
    assert contents(Index.open(folder)) == new
    collect(folder, 1)
    assert_tidy(folder)
    return left == new


@pytest.fixture(scope="module")
def states(place):
    with Index.open(place / "original") as index:
        old = contents(index)
    with build(place / "fresh", "notes") as index:
        return old, contents(index)


def test_killed_at_every_step(copy, states):
    found = moments(partial(work, copy()))
    outcomes = set()
    for at, half in some(found, 8):
        folder = copy()
        assert killed(partial(work, folder), at, half=half)
        outcomes.add(check(folder, *states))
    assert outcomes == {False, True}


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_refused_at_every_step(copy, states, error):
    steps = len(trace(partial(work, copy())))
    refused = 0
    for at in some(range(steps), 6):
        folder = copy()
        try:
            with failing(error, at):
                work(folder)
        except ResourceError as refusal:
            refused += 1
            assert refusal.exit_code == 5
        check(folder, *states)
    assert refused > 0


def test_a_folder_that_changes_while_it_is_read(tmp_path, monkeypatch):
    """Each file is indexed as it was at one moment, and once all is quiet a sync makes the index what a new one is."""
    monkeypatch.chdir(tmp_path)
    notes = tmp_path / "notes"
    notes.mkdir()
    for number in range(60):
        (notes / f"{number}.txt").write_text("first " * 50)
    ended = threading.Event()

    def change() -> None:
        turn = 0
        while not ended.is_set():
            turn += 1
            for number in range(0, 60, 3):
                if turn % 3:
                    (notes / f"{number}.txt").write_text(f"turn{turn} " * 50)
                else:
                    (notes / f"{number}.txt").unlink(missing_ok=True)

    writer = threading.Thread(target=change)
    writer.start()
    try:
        with build(tmp_path / "i", "notes") as index:
            for _ in range(3):
                for text, *_ in contents(index).values():
                    assert len(set(text.split())) == 1, "half of one state and half of another"
                index.sync()
    finally:
        ended.set()
        writer.join()
    with Index.open(tmp_path / "i", encoder=Counting()) as index, build(tmp_path / "fresh", "notes") as fresh:
        index.sync()
        assert contents(index) == contents(fresh)
