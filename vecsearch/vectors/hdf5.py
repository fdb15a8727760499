"""A new HDF5 file on a disk that may be full: HDF5's library crashes the process where a write is refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def new_hdf5(path: Path) -> Iterator[tuple[Any, Callable[[], None]]]:
    """An h5py.File to fill, and a function that raises the OSError, if any, with which the disk has refused it so far.

    Raises: OSError: the disk has refused a part of it, and `path` is not whole.
    """
    import h5py

    disk = _Disk(path)
    try:
        with h5py.File(disk, "w") as file:
            yield file, disk.check
    except (OSError, RuntimeError):
        disk.check()  # HDF5 has complained of what it could not read back
        raise
    finally:
        disk.close()
    disk.check()


class _Disk:
    """What h5py needs of a file. What the disk refuses is kept in memory: HDF5 crashes where it reads back anything else than
    it wrote. Whoever fills the file calls `check` after each block, so that this is never more than a block."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        self._place = 0
        self._refused: OSError | None = None
        self._size = 0
        self._kept: list[tuple[int, bytes]] = []

    def check(self) -> None:
        if self._refused:
            raise self._refused

    def close(self) -> None:
        os.close(self._descriptor)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = offset + (self._size if whence == os.SEEK_END else 0)
        return self._place

    def tell(self) -> int:
        return self._place

    def read(self, size: int) -> bytes:
        data = bytearray(size)
        self.readinto(memoryview(data))
        return bytes(data)

    def readinto(self, buffer: memoryview) -> int:
        target = memoryview(buffer).cast("B")
        # Beyond the end HDF5 expects zeros, and h5py does not tell it how much was read.
        target[:] = bytes(len(target))
        os.preadv(self._descriptor, [target], self._place)
        for place, data in self._kept:
            first, last = max(place, self._place), min(place + len(data), self._place + len(target))
            if first < last:
                target[first - self._place : last - self._place] = data[first - place : last - place]
        return len(target)

    def write(self, data: memoryview) -> int:
        rest = memoryview(data).cast("B")
        size, end = len(rest), self._place + len(rest)
        try:
            while len(rest) and not self._refused:
                written = os.pwrite(self._descriptor, rest, self._place)
                self._place, rest = self._place + written, rest[written:]
        except OSError as error:
            self._refused = error
        if len(rest):
            self._kept.append((self._place, bytes(rest)))
        self._place, self._size = end, max(self._size, end)
        return size

    def truncate(self, size: int) -> None:
        self._size = size
        try:
            if not self._refused:
                os.ftruncate(self._descriptor, size)
        except OSError as error:
            self._refused = error

    def flush(self) -> None:
        """Nothing is held back."""
