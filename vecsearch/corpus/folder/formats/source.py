"""A file's bytes as a format's reader gets them, and as text."""

from __future__ import annotations

import codecs
from contextlib import suppress
from dataclasses import dataclass

SNIFFED = 8192
"""Bytes at the beginning in which a file that is no text shows that it is none."""
GUESSED = 1 << 20
"""Bytes from which an encoding is guessed."""
COMMON = "cp1252"
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class Problem(Exception):
    """Why a file cannot be read, as what is said after its name."""


@dataclass(frozen=True, slots=True)
class Source:
    """The bytes of a file, its name, and to how many bytes what is packed in it may unpack."""

    data: bytes
    name: str
    most: int

    @property
    def is_binary(self) -> bool:
        """Whether it shows at its beginning that it is no text."""
        return b"\0" in self.data[:SNIFFED] and not self.data.startswith(tuple(mark for mark, _ in _MARKS))

    def text(self) -> tuple[str, str]:
        """Its text, and the encoding where that is not UTF-8; guessed where the bytes do not say it.

        Raises: Problem: it is no text.
        """
        for mark, encoding in _MARKS:
            if self.data.startswith(mark):
                return _lines(self.data.decode(encoding, errors="replace")), "" if mark == codecs.BOM_UTF8 else encoding
        if self.is_binary:
            raise Problem("is a binary file")
        with suppress(UnicodeDecodeError):
            return _lines(self.data.decode()), ""
        from charset_normalizer import from_bytes

        best = from_bytes(self.data[:GUESSED]).best()
        if best is None:
            raise Problem("is a binary file, or in an encoding that cannot be told")
        text = self.data.decode(best.encoding, errors="replace")
        # Of encodings that say the same here, the one that most such files have.
        is_common = text == self.data.decode(COMMON, errors="replace")
        return _lines(text), COMMON if is_common else best.encoding


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
