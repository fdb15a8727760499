"""Objects brought to files: several parts at a time, hashed as they come, gone on with where an earlier attempt ended."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vecsearch.errors import ResourceError, writing
from vecsearch.files import put_in_place, sha256
from vecsearch.progress import Progress
from vecsearch.remote.store import BLOCK_BYTES, ObjectStore, beside, damaged_object
from vecsearch.store.commit import write_all

CONNECTIONS = 8
"""Parts that are asked for at a time, of BLOCK_BYTES at the most; as many are in memory."""
UNFINISHED = ".part"
"""What the name of a file ends with until it is whole."""
_THREADS = 4


@dataclass(frozen=True)
class Wanted:
    """A file to have: from which object, where, and what it must be."""

    name: str
    """The object's."""
    path: Path
    size: int
    sha256: str

    @property
    def unfinished(self) -> Path:
        """Where it lies until it is whole."""
        return self.path.with_name(self.path.name + UNFINISHED)


def absent(wanted: Sequence[Wanted], *, check: bool) -> list[Wanted]:
    """Those that are not there, in this size, and with `check` with this hash. What is there and is not that is removed."""

    def is_there(one: Wanted) -> bool:
        with writing(one.path):
            try:
                whole = one.path.stat().st_size == one.size and (not check or sha256(one.path) == one.sha256)
                if not whole:
                    one.path.unlink()
            except FileNotFoundError:
                return False
        return whole

    with ThreadPoolExecutor(_THREADS) as pool:
        return [one for one, there in zip(wanted, pool.map(is_there, wanted), strict=True) if not there]


def fetch(store: ObjectStore, wanted: Sequence[Wanted], *, progress: Progress) -> None:
    """Have each of these files; whole or not at all.

    What an interruption leaves is a file that ends with .part, from whose end on the next attempt goes on. Several processes
    may want the same files: each is brought by one of them.

    Raises: DamagedIndexError: an object is missing, or is not what it should be. ResourceError: the store or the disk refuses.
    """
    _check_room(wanted)
    done, total = 0, sum(one.size for one in wanted)

    def came(size: int) -> None:
        nonlocal done
        done += size
        progress.step("bytes", done, total)

    later = _fetch(store, wanted, came, wait=False)
    while later:  # brought by another process, or damaged where it was gone on with
        # One by one: whoever waits holds nothing that another one waits for.
        later = [one for each in later for one in _fetch(store, [each], came, wait=True)]


def _check_room(wanted: Sequence[Wanted]) -> None:
    if not wanted:
        return
    folder, need = wanted[0].path.parent, sum(one.size for one in wanted)
    for one in wanted:
        with suppress(FileNotFoundError):
            need -= one.unfinished.stat().st_size
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    if need > free:
        raise ResourceError(
            f"cannot write {folder}: {need:,} bytes are to come, and its disk has {free:,} left; free some space"
        )


def _fetch(store: ObjectStore, wanted: Iterable[Wanted], came: Callable[[int], None], *, wait: bool) -> list[Wanted]:
    """Bring files, and return those that have yet to be: without `wait`, those that other processes are bringing, and those
    that were gone on with in vain."""
    later: list[Wanted] = []
    ahead: deque[tuple[_Part, Future[Any] | None]] = deque()
    with ExitStack() as undo:

        def blocks() -> Iterator[tuple[_Part, Future[Any] | None]]:
            """The blocks of all files on their way, in the order in which they are to be written; None ends a file."""
            for one in wanted:
                part = _Part(one)
                undo.callback(part.give_up)
                if not part.begin(wait=wait):
                    later.append(one)
                    continue
                came(part.done)
                for start in range(part.done, one.size, BLOCK_BYTES):
                    length = min(BLOCK_BYTES, one.size - start)
                    yield part, beside(_block, store, one.name, start, length)
                yield part, None

        def next_one() -> None:
            part, coming = ahead.popleft()
            if coming is not None:
                came(part.write(coming.result()))
            elif not part.finish(store):
                came(-part.done)
                later.append(part.wanted)

        try:
            for block in blocks():
                ahead.append(block)
                if len(ahead) == CONNECTIONS:
                    next_one()
            while ahead:
                next_one()
        except Exception:
            wait_for([coming for _, coming in ahead if coming])
            raise
    return later


def _block(store: ObjectStore, name: str, start: int, length: int) -> Any:
    data = store.read_part(name, start, length)
    if len(data) != length:
        raise damaged_object(store.where(name), f"ends after {start + len(data):,} bytes")
    return data


class _Part:
    """A file that is being brought: locked, so that no other process brings it as well."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted, self.done = wanted, 0
        self._resumed = False
        self._descriptor = -1
        self._digest = hashlib.sha256()

    def begin(self, *, wait: bool) -> bool:
        """Open what there is of it; all of it may be there by now. False where another process has it, unless one waits."""
        path = self.wanted.unfinished
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            while not self.wanted.path.exists():
                descriptor = self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                except BlockingIOError:
                    self.close()
                    return False
                # Whoever had it before may have given it its name, or removed it.
                if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()) and not self.wanted.path.exists():
                    self._read()
                    return True
                self.close()
        self.done = self.wanted.size
        return True

    def _read(self) -> None:
        if os.fstat(self._descriptor).st_size > self.wanted.size:
            os.ftruncate(self._descriptor, 0)
        with open(self._descriptor, "rb", closefd=False) as file:
            self._digest = hashlib.file_digest(file, "sha256")
            self.done = file.tell()
        self._resumed = self.done > 0

    def write(self, data: Any) -> int:
        """Add a block; returns its size."""
        with writing(self.wanted.unfinished):
            write_all(self._descriptor, data, self.done)
        self._digest.update(data)
        self.done += len(data)
        return len(data)

    def finish(self, store: ObjectStore) -> bool:
        """Give it its name. False where it is not what it should be and was gone on with, so that all of it has to come.

        Raises: DamagedIndexError: all of it came, and is not what it should be.
        """
        if self._descriptor < 0:
            return True
        found, wanted = self._digest.hexdigest(), self.wanted
        with writing(wanted.path):
            if found == wanted.sha256:
                put_in_place(wanted.unfinished, wanted.path)
            else:
                wanted.unfinished.unlink()
        self.close()
        if found != wanted.sha256 and not self._resumed:
            raise damaged_object(store.where(wanted.name), f"has sha256 {found}, not {wanted.sha256}")
        return found == wanted.sha256

    def close(self) -> None:
        """Let go of it, as it is."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def give_up(self) -> None:
        """Let go of it where it was not finished; nothing is left where nothing came."""
        if self._descriptor >= 0 and self.done == 0:
            with suppress(OSError):
                self.wanted.unfinished.unlink()
        self.close()
