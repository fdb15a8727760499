"""A binary file read from its beginning to its end, compressed or not, in which every byte has its offset."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import Struct
from typing import IO, Any

from vecsearch.corpus.lines import COMPRESSIONS
from vecsearch.encoders.words.block import bad
from vecsearch.errors import CheckpointError

PIECE = 1 << 20
"""Bytes that are read at a time."""


class ByteReader:
    """The bytes of an open file; `offset` is where the next one lies, counted in what is decompressed."""

    def __init__(self, path: Path, file: IO[bytes], stream: IO[bytes], size: int) -> None:
        self._path, self._file, self._stream = path, file, stream
        self.size: int | None = size if file is stream else None
        """Bytes of the file, where it is not compressed."""
        self._disk_size = max(1, size)
        self._buffer, self._at, self._before = b"", 0, 0

    @property
    def offset(self) -> int:
        return self._before + self._at

    def fraction(self) -> float:
        """How much of the file has been read, 0 to 1."""
        return 1.0 if self._file.closed else self._file.tell() / self._disk_size

    def take(self, count: int, what: str) -> bytes:
        """The next `count` bytes. Raises CheckpointError where the file ends before: `what` is not whole."""
        while len(self._buffer) - self._at < count:
            if not self._more(count):
                left = len(self._buffer) - self._at
                raise self.bad(f"the file ends after {left:,} of the {count:,} bytes of {what}: it is cut off")
        self._at += count
        return self._buffer[self._at - count : self._at]

    def until(self, end: bytes, most: int, what: str) -> bytes:
        """The bytes before the next byte `end`, which is passed over. Raises CheckpointError for more than `most` of them."""
        while (found := self._buffer.find(end, self._at, self._at + most + 1)) < 0:
            if len(self._buffer) - self._at > most:
                raise self.bad(f"{what} is longer than {most:,} bytes")
            if not self._more():
                raise self.bad(f"the file ends within {what}: it is cut off")
        taken, self._at = self._buffer[self._at : found], found + 1
        return taken

    def unpack(self, form: Struct, what: str) -> tuple[Any, ...]:
        """The numbers of a structure. Raises as `take` does."""
        return form.unpack(self.take(form.size, what))

    def skip(self, byte: bytes) -> None:
        """Pass over the next byte if it is this one."""
        if (self._at < len(self._buffer) or self._more()) and self._buffer[self._at : self._at + 1] == byte:
            self._at += 1

    def ahead(self, count: int) -> bytes:
        """Up to `count` of the bytes that are left, without passing over them."""
        while len(self._buffer) - self._at < count and self._more():
            pass
        return self._buffer[self._at : self._at + count]

    def bad(self, problem: str, offset: int | None = None) -> CheckpointError:
        """The error for what lies at an offset, by default the present one."""
        return bad(self._path, f"offset {self.offset if offset is None else offset:,}", problem)

    def _more(self, wanted: int = 0) -> bool:
        try:
            piece = self._stream.read(max(PIECE, wanted - len(self._buffer) + self._at))
        except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
            raise self.bad(f"the file cannot be read: {getattr(error, 'strerror', None) or error}") from error
        self._before += self._at
        self._buffer, self._at = self._buffer[self._at :] + piece, 0
        return bool(piece)


@contextmanager
def opened(path: Path) -> Iterator[ByteReader]:
    """The file's bytes, decompressed where its suffix says that it is compressed."""
    compression = path.suffix.removeprefix(".")
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        if compression in COMPRESSIONS:
            with COMPRESSIONS[compression](file, "rb") as stream:
                yield ByteReader(path, file, stream, size)
        else:
            yield ByteReader(path, file, file, size)
