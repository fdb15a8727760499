"""How many threads FAISS may use."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from vecsearch.blas import at_most

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""Cores that this process may use."""
_most = sys.maxsize
"""Threads that FAISS may use in this process."""


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Give FAISS and numpy's products `count` threads, and what they had before afterwards; it holds for the whole process.

    In a forked process it is one.
    """
    import faiss

    count, before = min(count, _most), faiss.omp_get_max_threads()
    with at_most(count):
        faiss.omp_set_num_threads(count)
        try:
            yield
        finally:
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


def _in_child() -> None:
    """In a forked process FAISS would wait for threads that only the parent has; numpy's products begin with new ones."""
    global _most
    _most = 1
    if set_threads := getattr(sys.modules.get("faiss"), "omp_set_num_threads", None):
        set_threads(1)


os.register_at_fork(after_in_child=_in_child)
