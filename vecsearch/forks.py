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
from threading import RLock
from time import monotonic
from typing import Any, Protocol
from weakref import WeakSet

WAIT_S = 5.0
"""A fork waits so long for locks that other threads hold, and no longer: a slow condition may hold one for half a minute."""


class Inherited(Protocol):
    """Something that a child gets a copy of."""

    def in_child(self) -> None:
        """Let go of what belongs to the parent; called in the child before anything else runs there."""


class made_once(cached_property):
    """A cached property without a lock, as Python's own is from 3.12 on: two threads may compute it at a time; a lock that one of
    them held would stay held in a child."""

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
    # In one order, so that two threads that fork do not wait for each other.
    for lock in sorted(_locks, key=lambda lock: lock._number):
        if lock._lock.acquire(timeout=max(0.0, until - monotonic())):
            _held.append(lock)


def _in_parent() -> None:
    while _held:
        _held.pop()._lock.release()
    _registering.release()


def _in_child() -> None:
    global _forked
    _forked = True
    for lock in set(_locks).difference(_held):
        lock.broken, lock._lock = True, RLock()
    for thing in list(_things):
        thing.in_child()
    _in_parent()


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
