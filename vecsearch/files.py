"""Files as bytes on a disk, made durable, put in place whole, told apart by their content; and what is in memory."""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import shutil
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from vecsearch.errors import ResourceError, UsageError, writing

HEADER_BYTES = 128
"""Length of the header of every .npy file of ours: fixed, so that rows can be written before their number is known."""


def sync(path: Path) -> None:
    """Have the file's bytes, or the folder's list of names, reach the disk before this returns.

    Raises: ResourceError: the system refuses.
    """
    with writing(path):
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def put_in_place(unfinished: Path, path: Path) -> None:
    """Give a file, or a folder whose files are synced, its name when it is on the disk; what has that name stays until then.

    Raises: ResourceError: the system refuses.
    """
    with writing(path):
        _sync(unfinished)
        os.replace(unfinished, path)
        _sync(path.parent)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """The name, in the same folder, of a file to write, which becomes `path` when the block ends.

    Before that, and when anything fails, `path` is as it was, and what was written vanishes; a process that is killed leaves it
    as .NAME.….tmp. What the system refuses within the block becomes a ResourceError.
    """
    with writing(path):
        unfinished = _beside(path, "tmp")
        try:
            yield unfinished
            put_in_place(unfinished, path)
        except BaseException:
            with suppress(OSError):  # what went wrong before says more
                unfinished.unlink(missing_ok=True)
            raise


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or as it was before, whatever happens meanwhile. Raises ResourceError."""
    with new_file(path) as unfinished:
        unfinished.write_bytes(data)


@contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """A folder to write files in, which becomes `output`, where there is none or an empty one, when the block ends.

    When anything fails, it vanishes; a process that is killed leaves it as .NAME.….part. What the system refuses within the
    block becomes a ResourceError.
    """
    with writing(output):
        output = output.absolute()
        output.parent.mkdir(parents=True, exist_ok=True)
        folder = _beside(output, "part")
        folder.mkdir()
        try:
            yield folder
            for path in folder.iterdir():
                _sync(path)
            put_in_place(folder, output)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def refuse_existing(output: Path) -> None:
    """Raise UsageError when there is something in the folder `output`."""
    if output.is_dir() and not any(output.iterdir()):
        return
    if output.exists():
        raise UsageError(f"{output} exists and is not empty; choose another output folder, or remove it")


def _beside(path: Path, suffix: str) -> Path:
    """A hidden name in the same folder that no other process or thread takes."""
    return path.with_name(f".{path.name}.{os.urandom(4).hex()}.{suffix}")


def npy_header(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    """The 128 bytes before little-endian numbers in C order; version 1.0 of numpy's format (numpy.lib.format)."""
    fields = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", HEADER_BYTES - 10) + fields.ljust(HEADER_BYTES - 11).encode() + b"\n"


def release(array: Any) -> None:
    """Take the pages of a read-only memory-mapped array out of resident memory; they come back when they are read."""
    base = array
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    # A private copy that was written to would lose what was written.
    if base is not None and not array.flags.writeable:
        base.madvise(mmap.MADV_DONTNEED)


@cache
def memory_limit(root: Path = Path("/")) -> int:
    """Bytes of memory that this process may have: the machine's, or less where a service or a container is given less. `root`
    is where the system's folders proc and sys lie."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_group_limits(root)])


def _group_limits(root: Path) -> Iterator[int]:
    """The limits of Linux's control groups, of either version, that this process is in (cgroups(7))."""
    try:
        groups = [line.split(":", 2) for line in (root / "proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return
    for _, controllers, path in groups:
        if not controllers:
            top, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            top, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        # In a container the path may be that outside, and its own limit lies at the top.
        group = top / path.strip("/")
        for folder in (group, *group.parents):
            with suppress(OSError, ValueError):  # "max" is no number
                yield int((folder / name).read_text())


def trim_memory() -> None:
    """Give freed memory back: before its version 2.38 glibc keeps what lay between aligned blocks of changing sizes, which
    torch's are, and a long job grows by gigabytes. Other systems' allocators do it by themselves."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim:
            trim(0)


def cache_folder() -> Path:
    """The user's folder for what can be had again: vecsearch below XDG_CACHE_HOME, or below ~/.cache."""
    # Where there is no home, `~` stays, and `caching` says what to do.
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "vecsearch"


@contextmanager
def caching() -> Iterator[None]:
    """Have a refusal to write what is needed in the cache name that, and the variable that puts it elsewhere."""
    try:
        yield
    except ResourceError as error:
        raise ResourceError(
            f"{error}; it belongs into the cache, {cache_folder()}: set XDG_CACHE_HOME to a folder that you may write to"
        ) from error
