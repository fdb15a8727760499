"""How many threads a search may use."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_most = sys.maxsize
"""Threads that FAISS may use in this process."""


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Give FAISS and numpy's products `count` threads, and what they had before afterwards; it holds for the whole process.

    In a forked process it is one.
    """
    import faiss
    from threadpoolctl import threadpool_limits

    count, before = min(count, _most), faiss.omp_get_max_threads()
    with threadpool_limits(count):
        faiss.omp_set_num_threads(count)
        try:
            yield
        finally:
            faiss.omp_set_num_threads(before)


def _one_thread() -> None:
    """In a forked process FAISS would wait for threads that only the parent has; numpy's products begin with new ones."""
    global _most
    _most = 1
    if set_threads := getattr(sys.modules.get("faiss"), "omp_set_num_threads", None):
        set_threads(1)


os.register_at_fork(after_in_child=_one_thread)
