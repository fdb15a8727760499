"""Whatever stops a change of an index, and whenever: the index is the old one or the new one, whole, and so are older ones."""

import errno
import os
import random
import shutil
import signal
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import faiss
import pytest
from faults import FULL, failing, killed, limited, moments, some, start, trace, wait
from store_builds import COMMANDS, HISTORY, QUICK_DISK, Letters, answers, assert_history, assert_tidy, live_index, next_change

from vecsearch.errors import ResourceError, UsageError
from vecsearch.index import update as updating
from vecsearch.index.index import Index
from vecsearch.store.snapshot import read_manifest
from vecsearch.store.verify import Verification, verify

commands = pytest.mark.parametrize("command", COMMANDS)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """A forked process has none of the threads that FAISS once started, and would wait for them."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(before)


@pytest.fixture(scope="module")
def disk():
    with TemporaryDirectory(dir=QUICK_DISK) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def original(disk):
    live_index(disk / "original")
    return disk / "original"


@pytest.fixture
def copy(original, disk):
    """Makes the index anew; the folder is always the same."""

    def make() -> Path:
        shutil.rmtree(disk / "index", ignore_errors=True)
        return shutil.copytree(original, disk / "index")

    return make


class Survival:
    """Checks what a command leaves that was stopped somewhere; what an earlier stop left just so is not checked again."""

    def __init__(self, command: str) -> None:
        self.work, self.held = COMMANDS[command]
        self.seen: set[frozenset] = set()
        self.done = 0
        """How many of the states that were left have the change."""

    def check(self, folder: Path) -> None:
        """The index is whole, so are older generations, and the command can be given again; gc leaves nothing behind."""
        paths = (path for path in folder.rglob("*") if path.name != "LOCK")
        state = frozenset((str(path), path.is_file() and path.read_bytes()) for path in paths)
        if state in self.seen:
            return
        self.seen.add(state)
        assert verify(folder).problems == []
        done = assert_history(folder, HISTORY | {6: self.held}) == 6
        self.done += done
        # Whoever gives nothing again but gc is rid of what was left, too.
        with TemporaryDirectory(dir=folder.parent) as name:
            collected = shutil.copytree(folder, Path(name) / "index")
            updating.collect(collected, 3)
            assert_tidy(collected)
        try:
            self.work(folder)
        except UsageError:
            assert done  # what is deleted cannot be deleted again
        updating.collect(folder, 1)
        with Index.open(folder, encoder=Letters()) as index:
            assert answers(index) == self.held
        assert verify(folder) == Verification([], [])
        assert_tidy(folder)


@commands
def test_killed_at_every_step(copy, command):
    survival = Survival(command)
    for at, half in some(moments(partial(survival.work, copy())), 16):
        folder = copy()
        assert killed(partial(survival.work, folder), at, half=half)
        survival.check(folder)
    assert len(survival.seen) > 3
    assert 0 < survival.done < len(survival.seen) or command == "gc"


ERRORS = {
    errno.ENOSPC: "no space left on the disk; free some space",
    errno.EIO: "Input/output error",
    errno.EACCES: "permission denied; choose a folder you may write to",
}


@commands
def test_refused_at_every_step(copy, command):
    survival = Survival(command)
    work = survival.work
    steps = len(trace(partial(work, copy())))
    cases = [(at, error) for at in range(steps) for error in ERRORS]
    refused = 0
    for at, error in some(cases, 12):
        folder = copy()
        try:
            with failing(error, at):
                work(folder)
        except ResourceError as refusal:
            refused += 1
            assert str(folder) in str(refusal) and ERRORS[error] in str(refusal)
            assert refusal.__cause__.errno == error and refusal.exit_code == 5
        survival.check(folder)
    assert refused > 0


@pytest.mark.parametrize("command", ["add", "compact", "rebuild"])
@pytest.mark.parametrize("kill", [False, True], ids=["refused", "killed"])
def test_stopped_within_sqlite_and_faiss(copy, command, kill):
    survival = Survival(command)

    def work(folder):
        try:
            survival.work(folder)
        except ResourceError as refusal:
            assert str(folder) in str(refusal)

    for size in range(0, 100_000, 512 if FULL else 12_300):
        folder = copy()
        ended = limited(partial(work, folder), size, kill=kill)
        assert ended in (0, -signal.SIGXFSZ)
        survival.check(folder)
        if kill and not ended:
            break
    assert len(survival.seen) > 1 and survival.done > 0


def test_killed_at_random_moments_under_load(disk):
    folder, rng = disk / "load", random.Random(0)
    live_index(folder)
    history, done = dict(HISTORY), 5

    def change(acknowledged):
        held = dict(history)
        while True:
            generation = read_manifest(folder).generation + 1
            work, held[generation] = next_change(generation, held[generation - 1])
            work(folder)
            os.write(acknowledged, generation.to_bytes(4))

    kills = 0
    while kills < (200 if FULL else 15) or (done <= 15 and kills < 400):  # a slow machine gets as far as a fast one
        kills += 1
        heard, acknowledged = os.pipe()
        process = start(lambda acknowledged=acknowledged: change(acknowledged))
        os.close(acknowledged)
        time.sleep(rng.uniform(0, 0.2))
        os.kill(process, signal.SIGKILL)
        wait(process)
        with open(heard, "rb") as told:
            last = int.from_bytes((told.read() or done.to_bytes(4))[-4:])
        assert verify(folder).problems == []
        done = read_manifest(folder).generation
        assert last <= done <= last + 1
        for generation in range(len(history) + 1, done + 1):
            history[generation] = next_change(generation, history[generation - 1])[1]
        assert_history(folder, history)
    assert done > 15
    updating.collect(folder, 3)
    assert_tidy(folder)
