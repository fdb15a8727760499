"""Whatever ends whoever works at a distributed build, and whenever: the index is the old one or the new one, whole; a resumed
build encodes what was done no second time, and nothing is left behind."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from conftest import Told, documents
from engines import Forking, Here
from faults import FULL, failing, killed, limited, moments, stepping, trace
from store_builds import QUICK_DISK, assert_tidy
from test_distributed import BLOCK, Letters

from vecsearch import Index, Options
from vecsearch.distributed import build
from vecsearch.errors import ResourceError
from vecsearch.index import blocks, update
from vecsearch.store.verify import Verification, verify

OLD, NEW = [f"a {i}" for i in range(4)], [f"b{'a' * (i % 3)} {i}" for i in range(7)]
SAMPLE = 1 if FULL else 13
"""So many moments are passed over for one that is tried."""


@pytest.fixture
def place(monkeypatch):
    """A folder on a quick disk with an index of OLD, and blocks of two documents."""
    monkeypatch.setattr(blocks, "BLOCK_DOCUMENTS", 2)
    with TemporaryDirectory(dir=QUICK_DISK) as name:
        build(Path(name) / "old", documents(*OLD), Letters(Path(name) / "encoded"), engine=Here(), shard_rows=2).close()
        yield Path(name)


def fresh(place: Path) -> Path:
    shutil.rmtree(place / "index", ignore_errors=True)
    (place / "encoded").unlink(missing_ok=True)
    return shutil.copytree(place / "old", place / "index")


def replace(folder: Path, engine=None, **options):
    letters = Letters(folder.with_name("encoded"))
    build(folder, documents(*NEW), letters, engine=engine or Here(), shard_rows=2, replace=True, **options).close()


def held(folder: Path) -> list[str]:
    with Index.open(folder, encoder=Letters(folder)) as index:
        return [document.text for document in index.documents(range(index.manifest.rows))]


def check(folder: Path, lost: int) -> bool:
    """Whether the index that was left is the new one; it is one of both, and the build goes on without what is claimed: at most
    `lost` texts are encoded twice. Nobody who goes on otherwise finds what was left."""
    assert verify(folder).problems == []
    was_new = held(folder) == NEW
    assert was_new or held(folder) == OLD
    with TemporaryDirectory(dir=folder.parent) as name:
        collected = shutil.copytree(folder, Path(name) / "index")
        update.collect(collected, 3)
        assert_tidy(collected)
    if not was_new:
        replace(folder, resume=True)
        assert folder.with_name("encoded").stat().st_size <= len(NEW) + lost
        assert held(folder) == NEW
    update.collect(folder, 1)
    assert verify(folder) == Verification([], [])
    assert_tidy(folder)
    return was_new


def test_one_that_does_everything_is_killed_at_every_step(place):
    """Before and after each write, claim and link, and the commit: every shard is made in the process that commits as well."""
    outcomes = set()
    found = moments(partial(replace, fresh(place)))
    for at, half in [*found[::SAMPLE], *found[-12:]]:
        folder = fresh(place)
        assert killed(partial(replace, folder), at, half=half)
        outcomes.add(check(folder, lost=2))
    assert outcomes == {False, True}


def killed_once(place: Path, at: int):
    """Does a task, unless it comes to a step of that number, and no other has ended there before."""

    def around(work):
        def die(number: int, name: str, arguments: tuple) -> None:
            if number == at and not (place / "died").exists():
                (place / "died").touch()
                os.kill(os.getpid(), signal.SIGKILL)

        with stepping(die):
            return work()

    return around


def test_a_worker_is_killed_at_every_step(place):
    """The build goes on with another, and loses no more than the shard."""
    steps = 0
    for at in range(0, 1000, SAMPLE):
        folder = fresh(place)
        (place / "died").unlink(missing_ok=True)
        replace(folder, Forking(killed_once(place, at)))
        if not (place / "died").exists():
            break
        steps = at
        assert (place / "encoded").stat().st_size <= len(NEW) + 2
        check(folder, lost=2)
    assert steps > 20


@pytest.mark.parametrize("error", [errno.ENOSPC, *([errno.EIO] if FULL else [])])
def test_refused_at_every_step(place, error):
    """A full or dying disk: the error names the place, and what was done before is kept."""
    refused = 0
    for at in range(0, len(trace(partial(replace, fresh(place)))), SAMPLE):
        folder = fresh(place)
        try:
            with failing(error, at):
                replace(folder)
        except ResourceError as refusal:
            refused += 1
            assert str(folder) in str(refusal)
        check(folder, lost=2)
    assert refused > 3


def test_a_disk_that_is_full_within_a_worker_is_said_with_the_file(place):
    """By the limit on the size of files, which reaches SQLite as well."""
    folder = fresh(place)
    long = [f"a{'b' * 50_000} {i}" for i in range(4)]

    def work():
        with pytest.raises(ResourceError, match=r"cannot write .*index/segments/000002-\d-[0-9a-f]{8}/documents\.sqlite"):
            build(folder, documents(*NEW, *long)[:], Letters(place / "encoded"), engine=Here(), shard_rows=2, replace=True)

    assert limited(work, 100_000, kill=False) == 0
    check_kept = sorted((folder / "segments").glob("*-shards-*/*-*.json"))
    assert len(check_kept) == 3
    assert held(folder) == OLD


def test_a_shard_done_twice_counts_once(place):
    """Two workers make one shard, as where one only seemed to be lost: the second finds the first's claim, and takes that."""
    from vecsearch.errors import LostError

    class Unsure(Here):
        """Tells of the first task that it was lost, when it is done."""

        told = False

        def call(self, function, arguments):
            answer = super().call(function, arguments)
            if not self.told:
                self.told = True
                raise LostError("the worker cannot be reached")
            return answer

    folder = fresh(place)
    replace(folder, Unsure())
    assert (place / "encoded").stat().st_size == len(NEW) + 2
    check(folder, lost=2)


# -- while shards are indexed --------------------------------------------------------------------------------------------


MANY = [f"{'ab' * (i % 5)}{'c' * (i % 7)} {i}" for i in range(31)]
KIND = Options(spec="IVF2,Flat")


class Interrupted(Exception):
    pass


def index_many(folder: Path, engine=None, *, stop: bool = False, resume: bool = True) -> None:
    """The index of MANY, in four shards of which three rows are held out; with `stop` only as far as it is encoded."""

    def then(name: str, done: int) -> None:
        if stop and (name, done) == ("documents", len(MANY)):
            raise Interrupted

    letters = Letters(folder.with_name("encoded"))
    build(
        folder,
        documents(*MANY),
        letters,
        KIND,
        engine=engine or Here(),
        shard_rows=8,
        replace=True,
        resume=resume,
        progress=Told(then),
    ).close()


@pytest.fixture
def encoded(place, monkeypatch):
    """Beside an index of OLD all shards of MANY, none of them indexed."""
    monkeypatch.setattr(blocks, "BLOCK_DOCUMENTS", 8)
    with pytest.raises(Interrupted):
        index_many(fresh(place), stop=True, resume=False)
    shutil.rmtree(place / "old")
    (place / "index").rename(place / "old")
    return place


def check_indexed(folder: Path) -> bool:
    """Whether the index that was left is the new one, which it is after a resumed build; no text was encoded again."""
    assert verify(folder).problems == []
    was_new = held(folder) == MANY
    if not was_new:
        assert held(folder) == OLD
        index_many(folder)
    assert held(folder) == MANY and not folder.with_name("encoded").exists()
    with Index.open(folder, encoder=Letters(folder)) as index:
        assert [entry["spec"] for entry in index.manifest.segments] == ["IVF2,Flat"] * 4
        assert index.manifest.recall["queries"] == 1
    update.collect(folder, 1)
    assert verify(folder) == Verification([], [])
    assert_tidy(folder)
    return was_new


def test_one_that_fills_and_commits_is_killed_at_every_step(encoded):
    outcomes = set()
    index_many(fresh(encoded))  # libraries take steps of their own the first time
    found = moments(partial(index_many, fresh(encoded)))
    for at, half in [*found[::SAMPLE], *found[-6:]]:
        folder = fresh(encoded)
        assert killed(partial(index_many, folder), at, half=half)
        outcomes.add(check_indexed(folder))
    assert outcomes == {False, True}


def test_a_worker_is_killed_at_every_step_while_it_fills(encoded):
    """What it was at is done again by another one."""
    steps = 0
    for at in range(1000):
        folder = fresh(encoded)
        (encoded / "died").unlink(missing_ok=True)
        index_many(folder, Forking(killed_once(encoded, at)))
        assert check_indexed(folder)
        if not (encoded / "died").exists():
            break
        steps = at
    assert steps >= 3


def test_refused_at_every_step_while_shards_are_indexed(encoded):
    refused = 0
    for at in range(0, len(trace(partial(index_many, fresh(encoded)))), SAMPLE):
        folder = fresh(encoded)
        try:
            with failing(errno.ENOSPC, at):
                index_many(folder)
        except ResourceError as refusal:
            refused += 1
            assert str(folder) in str(refusal)
        check_indexed(folder)
    assert refused > 3


# -- processes -------------------------------------------------------------------------------------------------------------


KILLED = """
import sys
from test_distributed import Letters
from conftest import documents
from pathlib import Path
from vecsearch import Options
from vecsearch.distributed import Pool, build

if __name__ == "__main__":
    folder, rows = Path(sys.argv[1]), int(sys.argv[2])
    with Pool(2) as engine:
        build(folder, documents(*(f"{'ab' * (i % 5)} {i}" for i in range(rows))), Letters(folder.with_name("encoded"), 0.3),
              Options(spec="IVF4,Flat" if "kind" in sys.argv else "exact"),
              engine=engine, shard_rows=1, replace=True, resume="resume" in sys.argv)
"""
ROWS = 4 * BLOCK


def started(folder: Path, *more: str) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])}
    script = folder.with_name("script.py")
    script.write_text(KILLED)
    return subprocess.Popen([sys.executable, script, folder, str(ROWS), *more], env=environment, start_new_session=True)


def claimed(folder: Path) -> int:
    return len(list(folder.glob("segments/*-shards-*/*-*.json")))


def alone(process: subprocess.Popen) -> bool:
    """Whether nothing is left of the session that a process began, waiting for it a little."""
    for _ in range(100):
        found = [path for path in Path("/proc").glob("[0-9]*/stat") if _session(path) == process.pid]
        if not found:
            return True
        time.sleep(0.1)
    return False


def _session(path: Path) -> int:
    try:
        state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
    except OSError:
        return 0
    return 0 if state == "Z" else int(session)


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_processes_end_with_the_one_that_builds(tmp_path, how):
    """By Ctrl-C, and by force: shards that are done are kept, and found by the next build."""
    folder = tmp_path / "index"
    process = started(folder)
    while not claimed(folder):
        time.sleep(0.02)
    os.killpg(process.pid, how) if how == signal.SIGINT else process.send_signal(how)
    assert process.wait() != 0
    assert alone(process)
    kept = claimed(folder)
    assert started(folder, "resume").wait() == 0
    # Two were being made, at the most.
    assert folder.with_name("encoded").stat().st_size <= ROWS + 2 * BLOCK
    assert kept and len(held(folder)) == ROWS
    assert verify(folder) == Verification([], [])


@pytest.mark.slow
def test_random_kills(tmp_path):
    """Of workers and of the one that builds, while they encode and index, 50 with FAULTS=full: each costs a shard at most."""
    folder, rng, builds, lost = tmp_path / "index", random.Random(0), 1, 0
    process = started(folder, "kind")
    for _ in range(50 if FULL else 6):
        time.sleep(rng.uniform(0.2, 1.5))
        if process.poll() == 0:
            process, builds = started(folder, "kind"), builds + 1  # another, in the place of this one
            while not claimed(folder):
                time.sleep(0.02)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        victim = rng.choice([process.pid, *map(int, children)])
        os.kill(victim, signal.SIGKILL)
        lost += 2 if victim == process.pid else 1  # each worker's shard
        if victim == process.pid:
            builds += process.wait() == 0  # it had just ended by itself
            assert alone(process)
            process = started(folder, "kind", "resume")
    assert process.wait() == 0
    assert folder.with_name("encoded").stat().st_size <= builds * ROWS + lost * BLOCK
    assert len(held(folder)) == ROWS
    assert verify(folder) == Verification([], [])
