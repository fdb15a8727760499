"""What work costs: seconds, cores, memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, process_time
from typing import NamedTuple


def reset_peak_memory() -> int:
    """Resident memory now, in bytes; its peak is counted from here on (Linux, proc(5))."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def memory(name: str) -> int:
    """Bytes that the kernel counts under `name`, such as VmRSS."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[name].removesuffix("kB")) * 1024


def seconds(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    started = perf_counter()
    work()
    return perf_counter() - started


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that never rest."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


class Cost(NamedTuple):
    """What a process took: seconds from its start to its end, seconds of processors, bytes of memory at its peak."""

    seconds: float
    processor: float
    peak: int


def of_process(*arguments: str) -> Cost:
    """What `python ARGUMENTS` takes as a process of its own, its start included."""
    started = perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"python {' '.join(arguments)} ends with {os.waitstatus_to_exitcode(status)}")
    elapsed, peak = perf_counter() - started, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Cost(elapsed, usage.ru_utime + usage.ru_stime, peak)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds that `work` takes, and cores that the process used meanwhile."""
    wall, processor = perf_counter(), process_time()
    work()
    seconds = perf_counter() - wall
    return seconds, (process_time() - processor) / seconds
