"""How many threads numpy's products use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Condition
from typing import Any, TypeVar

R = TypeVar("R")
T = TypeVar("T")
_changed, _alone = Condition(), 0
"""Guards how many threads numpy's products use, and how many threads of ours are within `one_thread`."""
_before = 1


@contextmanager
def at_most(count: int) -> Iterator[None]:
    """Give the products of numpy, and of any other library that is loaded, `count` threads, and what they had before
    afterwards; it holds for the whole process."""
    from threadpoolctl import threadpool_limits

    with _changed:
        _changed.wait_for(lambda: not _alone)
        limits = threadpool_limits(count)
    try:
        yield
    finally:
        with _changed:
            _changed.wait_for(lambda: not _alone)
            limits.restore_original_limits()


@contextmanager
def one_thread() -> Iterator[None]:
    """Have numpy's products use one thread, in two microseconds: for what takes less time than waiting for a second one may.

    While any thread is within, it holds for the whole process.
    """
    global _alone, _before
    with _changed:
        if not _alone:
            _before = _numpy_blas().get_num_threads() or 1
            _numpy_blas().set_num_threads(1)
        _alone += 1
    try:
        yield
    finally:
        with _changed:
            _alone -= 1
            if not _alone:
                _numpy_blas().set_num_threads(_before)
                _changed.notify_all()


def product_threads() -> int:
    """How many threads numpy's products use."""
    return _numpy_blas().get_num_threads() or 1


@contextmanager
def each_by_a_thread(count: int) -> Iterator[Callable[[Callable[[T], R], Sequence[T]], list[R]]]:
    """A function that calls another with each of up to `count` things, by as many threads as numpy's products use, each product
    by one."""
    if count < 2 or (workers := min(count, product_threads())) < 2:
        yield lambda function, things: [function(thing) for thing in things]
        return
    with ThreadPoolExecutor(workers) as pool:

        def each(function: Callable[[T], R], things: Sequence[T]) -> list[R]:
            with one_thread():
                return list(pool.map(function, things))

        yield each


@cache
def _numpy_blas() -> Any:
    """What sets the threads of numpy's BLAS: all libraries are looked at once, in about a millisecond."""
    from threadpoolctl import ThreadpoolController

    for library in ThreadpoolController().select(user_api="blas").lib_controllers:
        # Others have a BLAS of their own. One that has OpenMP's threads would set those of FAISS too.
        others = any(name in library.filepath for name in (".libs", ".dylibs", "torch")) and "numpy" not in library.filepath
        if not others and getattr(library, "threading_layer", "") != "openmp":
            return library
    return _NoLibrary()


class _NoLibrary:
    """Stands for a BLAS whose threads are better left alone, or cannot be set, such as Apple's."""

    def get_num_threads(self) -> int:
        return 1

    def set_num_threads(self, count: int) -> None:
        pass


def _in_child() -> None:
    """No thread of the parent is within `one_thread` in a forked process."""
    global _changed, _alone
    _changed, _alone = Condition(), 0


os.register_at_fork(after_in_child=_in_child)
