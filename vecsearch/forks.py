"""What a process that is forked from this one must not take over as it is.

A fork copies memory, descriptors and locks, and of all threads only the one that forks. A lock that another thread holds then
stays locked in the child for ever, a pool of threads waits for threads that are not there, and what the child closes may
be undone for the parent.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property
from itertools import count
from threading import Condition, RLock, get_ident
from time import monotonic
from typing import Any, Protocol
from weakref import WeakSet

from vecsearch.errors import UsageError

WAIT_S = 5.0
"""A fork waits so long for locks that other threads hold, and no longer: a slow condition may hold one for half a minute."""


class Inherited(Protocol):
    """Something that a child gets a copy of."""

    def in_child(self) -> None:
        """Let go of what belongs to the parent; called in the child before anything else runs there."""


class made_once(cached_property):
    """A cached property without a lock, as Python's own is from 3.12 on: two threads may compute it at a time, and a lock that
    one of them held would stay held in a child."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__(function)
        self.lock = nullcontext()


class QuietLock:
    """A lock, as a context manager, that no other thread holds when this process is forked: what it guards is at rest then.

    `broken` in a child that was forked while another thread held it for longer than WAIT_S: what it guards is not to be used.
    """

    _numbers = count()

    def __init__(self) -> None:
        self.broken = False
        self._lock = RLock()
        self._number = next(self._numbers)
        with _registering:
            _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class _LibraryCode:
    """Entered, by any number of threads at a time, around what FAISS, torch and their like compute: no other thread is in there
    when this process is forked. They have locks of their own, which a child would find held for ever.

    Entering raises UsageError in a child that was forked while another thread was in there for longer than WAIT_S.
    """

    def __init__(self) -> None:
        self._changed, self._inside = Condition(), dict[int, int]()
        self._forking = self._broken = False

    def __enter__(self) -> None:
        thread = get_ident()
        with self._changed:
            if self._broken:
                raise UsageError(
                    "this process was forked while another thread was searching, encoding or building: fork it before that "
                    "begins or after it has ended, or start it by multiprocessing's spawn or forkserver"
                )
            while self._forking and thread not in self._inside:
                self._changed.wait()
            self._inside[thread] = self._inside.get(thread, 0) + 1

    def __exit__(self, *_: object) -> None:
        thread = get_ident()
        with self._changed:
            self._inside[thread] -= 1
            if not self._inside[thread]:
                del self._inside[thread]
            if self._forking:
                self._changed.notify_all()

    def _others(self) -> bool:
        return any(thread != get_ident() for thread in self._inside)

    def before(self, until: float) -> None:
        """Let nobody enter any more, and wait until the other threads have left."""
        self._changed.acquire()
        self._forking = True
        while self._others() and (left := until - monotonic()) > 0:
            self._changed.wait(left)

    def in_parent(self) -> None:
        """Let the others go on."""
        self._forking = False
        self._changed.notify_all()
        self._changed.release()

    def in_child(self) -> None:
        """Forget the other threads."""
        self._broken = self._broken or self._others()
        self._changed, self._forking = Condition(), False
        self._inside = {thread: depth for thread, depth in self._inside.items() if thread == get_ident()}


library_code = _LibraryCode()


def is_forked() -> bool:
    """Whether this process was forked from one that had imported this module: what has threads there waits for them here."""
    return _forked


def inherited(thing: Inherited) -> None:
    """Have `thing.in_child()` called in every process that is forked from this one for as long as the thing exists."""
    with _registering:
        _things.add(thing)


def keep_for_ever(thing: Any) -> None:
    """Have this process never destroy an object, not even when it ends: doing so would wait for threads, or undo work, that are
    the parent's."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


_registering = RLock()
_locks: WeakSet[QuietLock] = WeakSet()
_things: WeakSet[Inherited] = WeakSet()
_held: list[QuietLock] = []
_forked = False


def _before() -> None:
    _registering.acquire()
    until = monotonic() + WAIT_S
    library_code.before(until)
    # In one order, so that two threads that fork do not wait for each other.
    for lock in sorted(_locks, key=lambda lock: lock._number):
        if lock._lock.acquire(timeout=max(0.0, until - monotonic())):
            _held.append(lock)


def _in_parent() -> None:
    library_code.in_parent()
    _let_go()


def _let_go() -> None:
    while _held:
        _held.pop()._lock.release()
    _registering.release()


def _in_child() -> None:
    global _forked
    _forked = True
    library_code.in_child()
    for lock in set(_locks).difference(_held):
        lock.broken, lock._lock = True, RLock()
    for thing in list(_things):
        thing.in_child()
    _let_go()


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
