"""Files as bytes on a disk, made durable and told apart by their content; and what of them, and else, is in memory."""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vecsearch.errors import ResourceError, writing

HEADER_BYTES = 128
"""Length of the header of every .npy file of ours: fixed, so that rows can be written before their number is known."""


def sync(path: Path) -> None:
    """Have the file's bytes, or the folder's list of names, reach the disk before this returns.

    Raises: ResourceError: the system refuses.
    """
    with writing(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or as it was before, whatever happens meanwhile. Raises ResourceError."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with writing(path):
            unfinished.write_bytes(data)
            sync(unfinished)
            os.replace(unfinished, path)
            sync(path.parent)
    finally:
        with suppress(OSError):  # what went wrong before says more
            unfinished.unlink(missing_ok=True)


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


def physical_memory() -> int:
    """Bytes of memory that the machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


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
