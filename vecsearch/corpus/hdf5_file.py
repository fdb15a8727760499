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
    """What h5py needs of a file. After the first refusal it takes everything and keeps nothing."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        self._place = 0
        self._refused: OSError | None = None

    def check(self) -> None:
        if self._refused:
            raise self._refused

    def close(self) -> None:
        os.close(self._descriptor)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = offset + (os.fstat(self._descriptor).st_size if whence == os.SEEK_END else 0)
        return self._place

    def tell(self) -> int:
        return self._place

    def read(self, size: int) -> bytes:
        return os.pread(self._descriptor, size, self._place)

    def readinto(self, buffer: memoryview) -> int:
        return os.preadv(self._descriptor, [buffer], self._place)

    def write(self, data: memoryview) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while len(rest) and not self._refused:
                written = os.pwrite(self._descriptor, rest, self._place)
                self._place, rest = self._place + written, rest[written:]
        except OSError as error:
            self._refused = error
        return size

    def truncate(self, size: int) -> None:
        try:
            if not self._refused:
                os.ftruncate(self._descriptor, size)
        except OSError as error:
            self._refused = error

    def flush(self) -> None:
        """Nothing is held back."""
