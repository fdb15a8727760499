"""How torch computes on this machine: in the precision that is fast, by as many threads as serve, and by one in forked
processes."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TypeVar

from vecsearch.forks import is_forked, library_code

R = TypeVar("R")
T = TypeVar("T")


def fast_dtype() -> str:
    """The precision this machine multiplies matrices in fastest: "bfloat16" where it has instructions for it.

    Without such instructions oneDNN converts to float32 and back, which is slower than float32 itself.
    """
    if (flags := _processor_flags()) is not None and not has_cuda_driver():
        # As torch would answer, in a thousandth of the time that its import takes.
        return "bfloat16" if "avx512_bf16" in flags else "float32"
    import torch

    if torch.cuda.is_available():
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    return "bfloat16" if getattr(torch.cpu, "_is_avx512_bf16_supported", bool)() else "float32"


def _processor_flags() -> set[str] | None:
    """The instructions that the processor has, by Linux's names; None where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), None)


def has_cuda_driver() -> bool:
    """Whether torch may find a card of NVIDIA's: without the driver's library there is none."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


@cache
def one_thread_in_children() -> None:
    """From now on have torch compute with one thread in each forked process: it would wait for threads of the parent. In one
    that is forked already it does from now on: the parent may have used torch for something else."""
    set_threads = sys.modules["torch"].set_num_threads
    os.register_at_fork(after_in_child=lambda: set_threads(1))
    if is_forked():
        set_threads(1)


def by_threads(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`function` of each item, in order, by as many threads as torch computes with, each of which computes by itself.

    Threads that share a product wait for each other at every step, and the longer where another process keeps a core busy.
    """
    import torch

    with library_code:  # a thread that asks for the first time is given its number
        count = torch.get_num_threads()
    if count == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(count, initializer=_alone) as pool:
        yield from pool.map(function, items)


def _alone() -> None:
    """Have torch use no other thread where this one asks it for something."""
    import torch
    from threadpoolctl import threadpool_limits

    with library_code:
        torch.get_num_threads()  # or the number that it is given would come after this
        threadpool_limits(1, user_api="openmp")
