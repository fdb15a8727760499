"""Faults on disk, on demand: work is stopped, refused or watched at each of its steps (open, write, fsync, rename …).

Only calls through the `os` module are steps. Writes inside libraries (SQLite, FAISS) are reached by `limited`, which needs
no more than the system's limit on the size of a file. `killed` and `limited` need `fork`.
"""

from __future__ import annotations

import gc
import os
import random
import resource
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar
from unittest import mock

T = TypeVar("T")
STEPS = ("open", "mkdir", "write", "pwrite", "ftruncate", "fsync", "link", "replace", "rename", "unlink", "rmdir")

FULL = os.environ.get("FAULTS") == "full"
"""Whether the tests try every fault at every step (`FAULTS=full pytest`), which takes minutes, or a sample of them."""

Before = Callable[[int, str, tuple], None]
"""Called with a step's number (from 0), its name and its arguments, before it is taken."""


@contextmanager
def stepping(before: Before) -> Iterator[None]:
    """While entered, every step on disk of this process calls `before` first."""
    count = 0

    def wrap(name: str, real: Callable) -> Callable:
        def step(*arguments, **keywords):
            nonlocal count
            count += 1
            before(count - 1, name, arguments)
            return real(*arguments, **keywords)

        return step

    with mock.patch.multiple(os, **{name: wrap(name, getattr(os, name)) for name in STEPS}):
        yield


def moments(work: Callable[[], object]) -> list[tuple[int, bool]]:
    """Run `work`; where to kill it next time: numbers of steps, and whether in the middle of it rather than before.

    A process that is killed after a sync, or after opening a file to read it, leaves what it leaves before.
    """
    found, same = [], False

    def note(number: int, name: str, arguments: tuple) -> None:
        nonlocal same
        if not same or FULL:
            found.append((number, False))
        if name == "pwrite":
            found.append((number, True))
        same = name == "fsync" or (name == "open" and arguments[1] == os.O_RDONLY)

    with stepping(note):
        work()
    return found


def some(cases: Sequence[T], count: int) -> Sequence[T]:
    """About so many of the cases, others each time, the first and the last three among them; all of them with FAULTS=full."""
    if FULL or len(cases) <= count:
        return cases
    step = len(cases) // count
    return [cases[0], *cases[1 + random.randrange(step) : -3 : step], *cases[-3:]]


def trace(work: Callable[[], object]) -> list[tuple[str, str]]:
    """Run `work`; the steps it took: (name, path), for a step on a descriptor the path of what it was opened on."""
    taken = []

    def note(_: int, name: str, arguments: tuple) -> None:
        target = arguments[1] if name in ("replace", "rename") else arguments[0]
        taken.append((name, os.readlink(f"/proc/self/fd/{target}") if isinstance(target, int) else os.fspath(target)))

    with stepping(note):
        work()
    return taken


def failing(errno: int, at: int, *, reading: bool = False) -> AbstractContextManager[None]:
    """While entered, the system refuses with `errno` from step `at` on, as a full or dying disk does.

    With `reading` it goes on opening files to read them, as a read-only disk does.
    """

    def refuse(number: int, name: str, arguments: tuple) -> None:
        if number >= at and not (reading and name == "open" and arguments[1] & os.O_ACCMODE == os.O_RDONLY):
            raise OSError(errno, os.strerror(errno))

    return stepping(refuse)


def killed(work: Callable[[], object], at: int, *, half: bool = False) -> bool:
    """Whether a child process doing `work` was killed before its step `at`; with `half` a write is half done by then.

    False when the work is done in fewer steps.
    """

    def die(number: int, name: str, arguments: tuple) -> None:
        if number != at:
            return
        if half and name == "pwrite":
            descriptor, data, offset = arguments
            real_pwrite(descriptor, data[: len(data) // 2], offset)
        os.kill(os.getpid(), signal.SIGKILL)

    real_pwrite = os.pwrite

    def stepped() -> None:
        with stepping(die):
            work()

    return wait(start(stepped)) == -signal.SIGKILL


def limited(work: Callable[[], object], size: int, *, kill: bool) -> int:
    """How a child process doing `work` ends that may write no file beyond `size` bytes, be it within a library.

    The write that would is done up to there. With `kill` it ends the process, else it fails with EFBIG.
    """

    def within() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL if kill else signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        work()

    return wait(start(within))


def start(work: Callable[[], object]) -> int:
    """Id of a child process that does `work`."""
    process = os.fork()
    if process == 0:
        gc.freeze()  # what the parent holds is not looked through, and so not copied
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return process


def wait(process: int) -> int:
    """How a child ended: 0, or minus the signal that killed it.

    Raises: AssertionError: its work raised.
    """
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if code > 0:
        raise AssertionError(f"the child's work raised; its exit code is {code}")
    return code
