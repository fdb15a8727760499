"""Files of indexes in object stores, kept on this machine: each once, named by its sha256, whoever wants it.

    LOCK              shared by those who fetch and open, for one alone who removes
    objects/<sha256>  a file that some index has
    indexes/<name>/   an index of one generation, as any other on a disk; its files are hard links to these

A process that has an index open goes on when its files are removed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from vecsearch.errors import DamagedIndexError, LockedError, UsageError, writing
from vecsearch.files import cache_folder, caching, write_whole
from vecsearch.progress import SILENT, Progress
from vecsearch.remote.commits import Commit, Place
from vecsearch.remote.fetch import Wanted, absent, fetch
from vecsearch.store.layout import CURRENT, LOCK, ORIGIN, manifest_name

LIMIT = "VECSEARCH_CACHE_GB"
"""The environment variable that says how many gigabytes the cache may hold."""
DEFAULT_GB = 20.0
_ATTEMPTS = 5


@dataclass(frozen=True)
class Held:
    """What the cache holds."""

    folder: Path
    files: int
    bytes: int
    limit_bytes: int


@contextmanager
def cached(url: str, *, generation: int | None = None, check: bool = True, progress: Progress = SILENT) -> Iterator[Path]:
    """A folder with the newest generation of the index at `url`, or with another one that is kept. It stays while entered.

    With `check` what is here already is hashed, and comes again where it is damaged; what comes is hashed always. `progress` is
    told the bytes that came.

    Raises: UnsupportedIndexError: there is no index. UsageError: a generation that is not kept. DamagedIndexError: an object is
    missing, or not what was put there. ResourceError: the store or the disk refuses.
    """
    place, _ = Place(url), _limit_bytes()
    with _locked(fcntl.LOCK_SH):
        yield _brought(place, place.wanted(generation), generation, check, progress)
    _make_room()


def _brought(place: Place, commit: Commit, generation: int | None, check: bool, progress: Progress) -> Path:
    for attempt in range(1, _ATTEMPTS + 1):
        wanted = [_wanted(commit, entry["sha256"], entry["bytes"]) for entry in commit.manifest.files.values()]
        wanted = list({one.sha256: one for one in wanted}.values())
        try:
            fetch(place.store, absent(wanted, check=check), progress=progress)
            return _linked(place, commit)
        except DamagedIndexError:
            # Another writer may have pushed, and have had removed what was the newest until then.
            before, commit = commit, place.wanted(generation)
            if commit.number == before.number or attempt == _ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def _wanted(commit: Commit, sha256: str, size: int) -> Wanted:
    return Wanted(commit.object_of(sha256), _objects() / sha256, size, sha256)


def _linked(place: Place, commit: Commit) -> Path:
    """The folder of a generation whose files are all there."""
    name = hashlib.sha256(f"{place.url} {commit.sha256}".encode()).hexdigest()[:32]
    folder = _root() / "indexes" / name
    manifest = manifest_name(commit.manifest.generation)
    with writing(folder):
        for path, entry in commit.manifest.files.items():
            _link(_objects() / entry["sha256"], folder / path)
        current = f"{manifest} {commit.sha256}\n".encode()
        contents = {ORIGIN: f"{place.url}\n".encode(), manifest: commit.data, CURRENT: current}
        for file, data in contents.items():
            with suppress(FileNotFoundError):
                if (folder / file).read_bytes() == data:
                    continue
            write_whole(folder / file, data)
        os.utime(folder / CURRENT)  # when it was last used
    return folder


def _link(source: Path, path: Path) -> None:
    """Give a file another name; what has that name already goes in the same instant."""
    if path.exists() and path.samefile(source):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.urandom(4).hex()}")
    os.link(source, beside)
    os.replace(beside, path)


def held() -> Held:
    """What the cache holds, and may hold."""
    files = list(_files(_objects()))
    return Held(_root(), len(files), sum(stat.st_size for _, stat in files), _limit_bytes())


def empty() -> Held:
    """Remove all that the cache holds, and return what that was. Raises LockedError while an index is fetched or opened."""
    try:
        with _locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
            before = held()
            with writing(_root()):
                for path in (_root() / "indexes", _objects()):
                    if path.exists():
                        shutil.rmtree(path)
    except BlockingIOError:
        raise LockedError(f"an index is being fetched into {_root()}; wait for it, or stop it") from None
    return before


def _make_room() -> None:
    """Remove what was used least recently, as far as the cache holds more than it may; but not what was used last."""
    with suppress(OSError), _locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
        over = held().bytes - _limit_bytes()
        indexes = sorted((_root() / "indexes").iterdir(), key=_last_used)
        for index in indexes[:-1]:
            if over <= 0:
                return
            shutil.rmtree(index)
            over -= _remove_unlinked()
        if over > 0:
            _remove_unlinked()


def _last_used(index: Path) -> float:
    """When an index was opened last; long ago where it was never made to its end."""
    current = index / CURRENT
    return current.stat().st_mtime if current.exists() else 0.0


def _remove_unlinked() -> int:
    """Remove files that no index has; returns their bytes."""
    unlinked = [(path, stat) for path, stat in _files(_objects()) if stat.st_nlink == 1]
    for path, _ in unlinked:
        path.unlink()
    return sum(stat.st_size for _, stat in unlinked)


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    if folder.is_dir():
        for entry in os.scandir(folder):
            with suppress(FileNotFoundError):
                yield Path(entry.path), entry.stat()


@contextmanager
def _locked(how: int) -> Iterator[None]:
    """Raises BlockingIOError where that is not to wait and would have to."""
    with caching(), writing(_root()):
        _root().mkdir(parents=True, exist_ok=True)
        descriptor = os.open(_root() / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _limit_bytes() -> int:
    given = os.environ.get(LIMIT, "")
    try:
        return int(float(given or DEFAULT_GB) * 1e9)
    except (ValueError, OverflowError):
        raise UsageError(f"{LIMIT} is {given!r}; give the gigabytes that the cache may hold, such as {DEFAULT_GB:g}") from None


def _root() -> Path:
    return cache_folder() / "stores"


def _objects() -> Path:
    return _root() / "objects"
