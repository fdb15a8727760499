"""Word vectors as word2vec writes them in binary: a line "rows dim", then for each row the word, a space and `dim` floats.

The word2vec tool ends each row with a newline, others do not: one is passed over before each word.
Source: github.com/tmikolov/word2vec, word2vec.c and distance.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vecsearch.encoders.words.block import MOST_DIM, MOST_WORD_BYTES, Block, Subwords, bad_row, block_rows, shown
from vecsearch.encoders.words.byte_reader import ByteReader, opened

HEADER_BYTES = 64


class Word2vecBinary:
    """A `WordFile` of word2vec's binary format."""

    format = "word2vec binary"
    subwords: Subwords | None = None

    def __init__(self, path: Path) -> None:
        """Raises CheckpointError for a file that does not begin as one of this format."""
        self.path = path
        self.broken_words = 0
        self._stream: ByteReader | None = None
        self.rows: int
        with opened(path) as stream:
            self.rows, self.dim = self._header(stream)
            next(self._rows(stream, 1))

    def blocks(self, most: int | None = None) -> Iterator[Block]:
        """As `WordFile` has it."""
        self.broken_words = 0
        with opened(self.path) as stream:
            self._stream = stream
            self._header(stream)
            yield from self._rows(stream, self.rows if most is None else min(most, self.rows))
            if most is None and (rest := stream.ahead(64)).strip():
                raise stream.bad(f"{shown(rest)} follows the {self.rows:,} rows of the header")

    def fraction(self) -> float:
        """As `WordFile` has it."""
        return self._stream.fraction() if self._stream else 0.0

    def _header(self, stream: ByteReader) -> tuple[int, int]:
        line = stream.until(b"\n", HEADER_BYTES, "the first line")
        fields = line.split()
        if len(fields) != 2 or not all(field.isdigit() for field in fields):
            raise stream.bad(f"the first line is {shown(line)}, not the numbers of rows and of dimensions", 0)
        rows, dim = map(int, fields)
        if not 1 <= dim <= MOST_DIM or not rows:
            raise stream.bad(f"{rows:,} rows of length {dim:,}; there has to be one, and a length of 1 to {MOST_DIM:,}", 0)
        if stream.size is not None and rows * (2 + 4 * dim) > stream.size:
            raise stream.bad(
                f"the header says {rows:,} rows of length {dim:,}, for which {stream.size:,} bytes are too few: "
                "the file is cut off, or the header wrong", 0,
            )  # fmt: skip
        return rows, dim

    def _rows(self, stream: ByteReader, count: int) -> Iterator[Block]:
        size = block_rows(self.dim)
        for first in range(0, count, size):
            words: list[str] = []
            vectors = np.empty((min(size, count - first), self.dim), np.float32)
            offsets = []
            for row in range(len(vectors)):
                words.append(self._word(stream, first + row))
                offsets.append(stream.offset)
                vectors[row] = np.frombuffer(stream.take(4 * self.dim, f"the vector of row {first + row + 1:,}"), "<f4")
            if (row := bad_row(vectors)) is not None:
                word = words[row]
                raise stream.bad(f"the vector of {word!r}, row {first + row + 1:,}, holds NaN or infinity", offsets[row])
            yield Block(words, vectors)

    def _word(self, stream: ByteReader, row: int) -> str:
        stream.skip(b"\n")
        start = stream.offset
        word = stream.until(b" ", MOST_WORD_BYTES, f"the word of row {row + 1:,}")
        if not word or b"\n" in word or b"\0" in word:
            raise stream.bad(f"row {row + 1:,} has the word {shown(word)}, which is not a word", start)
        try:
            return word.decode()
        except UnicodeDecodeError:
            self.broken_words += 1
            return word.decode(errors="replace")
