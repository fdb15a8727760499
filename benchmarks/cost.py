"""What work costs: seconds, cores, memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time


def reset_peak_memory() -> int:
    """Resident memory now, in bytes; its peak is counted from here on (Linux, proc(5))."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def memory(name: str) -> int:
    """Bytes that the kernel counts under `name`, such as VmRSS."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[name].removesuffix("kB")) * 1024


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds that `work` takes, and cores that the process used meanwhile."""
    wall, processor = perf_counter(), process_time()
    work()
    seconds = perf_counter() - wall
    return seconds, (process_time() - processor) / seconds
