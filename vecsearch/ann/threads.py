"""How many threads a search may use."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Condition
from typing import Any, TypeVar

T = TypeVar("T")
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""Cores that this process may use."""
_most = sys.maxsize
"""Threads that FAISS may use in this process."""
_changed, _alone = Condition(), 0
"""Guards how many threads numpy's products use, and how many threads of ours are within `one_thread`."""
_before = 1


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Give FAISS and numpy's products `count` threads, and what they had before afterwards; it holds for the whole process.

    In a forked process it is one.
    """
    import faiss
    from threadpoolctl import threadpool_limits

    count, before = min(count, _most), faiss.omp_get_max_threads()
    with _changed:
        _changed.wait_for(lambda: not _alone)
        limits = threadpool_limits(count)
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        with _changed:
            _changed.wait_for(lambda: not _alone)
            limits.restore_original_limits()
        faiss.omp_set_num_threads(before)


@contextmanager
def for_queries(count: int) -> Iterator[None]:
    """Give FAISS one thread for a single query: to wake a second one and wait for it takes longer than the search."""
    import faiss

    if count > 1 or (before := faiss.omp_get_max_threads()) == 1:
        yield
        return
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


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
def each_by_a_thread(count: int) -> Iterator[Callable[[Callable[[T], object], Sequence[T]], list[object]]]:
    """A function that calls another with each of up to `count` things, by as many threads as numpy's products use, each product
    by one."""
    if count < 2 or (workers := min(count, product_threads())) < 2:
        yield lambda function, things: [function(thing) for thing in things]
        return
    with ThreadPoolExecutor(workers) as pool:

        def each(function: Callable[[T], object], things: Sequence[T]) -> list[object]:
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
    """In a forked process FAISS would wait for threads that only the parent has; numpy's products begin with new ones."""
    global _most, _changed, _alone
    _most, _changed, _alone = 1, Condition(), 0
    if set_threads := getattr(sys.modules.get("faiss"), "omp_set_num_threads", None):
        set_threads(1)


os.register_at_fork(after_in_child=_in_child)
