"""Word vectors as text: a word and its numbers on each line. With a header "rows dim" it is word2vec's (and fastText's .vec),
without one it is GloVe's."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from struct import pack

import numpy as np

from vecsearch.corpus.lines import COMPRESSIONS, byte_lines
from vecsearch.corpus.source import CorpusSource, CorpusTally
from vecsearch.encoders.words.block import (
    AGAIN,
    MOST_DIM,
    MOST_WORD_BYTES,
    Block,
    Subwords,
    bad,
    bad_row,
    block_rows,
    shown,
)

NO_VECTORS = "give a file with a word and its numbers on each line"
Line = tuple[int, bytes]


class TextFile:
    """A `WordFile` of text. A word may have spaces in it, as some of GloVe's have: the last `dim` fields are the numbers."""

    subwords: Subwords | None = None

    def __init__(self, path: Path) -> None:
        """Raises CheckpointError for a file that does not begin as one of word vectors."""
        self.path = path
        self.dim = MOST_DIM  # until the first line tells
        self.broken_words = 0
        self._tally = CorpusTally()
        first, second = (*islice(self._lines(), 2), None, None)[:2]
        if first is None:
            raise bad(path, "line 1", "the file is empty")
        header = first[1].split()
        self._has_header = len(header) == 2 and all(field.isdigit() for field in header)
        self.format = "word2vec text" if self._has_header else "GloVe text"
        self.rows: int | None = None
        if self._has_header:
            self.rows, self.dim = self._checked_header(*header)
        else:
            # A word may have spaces in it, and so more fields.
            self.dim = min(len(line.split()) for _, line in filter(None, (first, second))) - 1
            self._check_dim()
        for row in (second,) if self._has_header else filter(None, (first, second)):
            self._check_row(row)
        if (
            self.dim == 1
            and not self._has_header
            and all(line.split()[-1].isdigit() for _, line in filter(None, (first, second)))
        ):
            raise bad(path, f"line {first[0]}", "a word and one whole number, so a count and not a vector", NO_VECTORS)

    def blocks(self, most: int | None = None) -> Iterator[Block]:
        """As `WordFile` has it."""
        self.broken_words = 0
        wanted = self.rows if most is None else most if self.rows is None else min(most, self.rows)
        lines = islice(self._lines(), int(self._has_header), None)
        count = 0
        while wanted is None or count < wanted:
            taken = list(islice(lines, block_rows(self.dim) if wanted is None else min(block_rows(self.dim), wanted - count)))
            if not taken:
                break
            yield self._block(taken)
            count += len(taken)
        if self.rows is not None and most is None:
            self._check_end(count, next(lines, None))

    def fraction(self) -> float:
        """As `WordFile` has it."""
        return self._tally.fraction()

    def _lines(self) -> Iterator[Line]:
        source = CorpusSource(str(self.path), "line", False, self._tally)
        suffix = self.path.suffix.removeprefix(".")
        longest = MOST_WORD_BYTES + 64 * self.dim
        for number, line in byte_lines(str(self.path), suffix if suffix in COMPRESSIONS else "", source):
            if line is None or len(line) > longest:
                raise bad(self.path, f"line {number}", f"the line is longer than {longest:,} bytes, so no word and its vector")
            if line := line.rstrip(b"\r\n"):
                yield number, line

    def _checked_header(self, rows: bytes, dim: bytes) -> tuple[int, int]:
        if len(rows) > 18 or len(dim) > 18:
            raise bad(self.path, "line 1", f"the header {shown(rows + b' ' + dim)} has numbers that cannot be")
        self.dim = int(dim)
        self._check_dim()
        size = self.path.stat().st_size
        # A row has a word of one byte at least, and for each number a space and a digit.
        if self.path.suffix.removeprefix(".") not in COMPRESSIONS and int(rows) * (1 + 2 * self.dim) > size:
            raise bad(
                self.path, "line 1", f"the header says {int(rows):,} rows of {self.dim:,} numbers, for which {size:,} bytes "
                "are too few: the file is cut off, or the header wrong",
            )  # fmt: skip
        if not int(rows):
            raise bad(self.path, "line 1", "the header says that there are no rows")
        return int(rows), self.dim

    def _check_dim(self) -> None:
        if not 1 <= self.dim <= MOST_DIM:
            raise bad(self.path, "line 1", f"vectors of length {self.dim:,}; it has to be 1 to {MOST_DIM:,}", NO_VECTORS)

    def _check_row(self, row: Line | None) -> None:
        if row is None:
            raise bad(self.path, "line 2", "the file ends after its header")
        word, _ = self._one(*row, NO_VECTORS)
        if (parts := word.split())[1:] and _number(parts[-1]) is not None:
            problem = f"{len(row[1].split()):,} fields, where {self.dim + 1:,} are expected"
            raise bad(self.path, f"line {row[0]}", problem, NO_VECTORS)

    def _check_end(self, count: int, following: Line | None) -> None:
        if count < (self.rows or 0):
            where = f"line {count + 1 + self._has_header}"
            raise bad(self.path, where, f"the file ends after {count:,} rows, its header says {self.rows:,}: it is cut off")
        if following is not None and following[1].strip():
            raise bad(self.path, f"line {following[0]}", f"more rows than the {self.rows:,} of the header")

    def _block(self, lines: list[Line]) -> Block:
        """Rows all at once; one at a time where that does not work, which tells the line that is wrong."""
        words, numbers = [], []
        for _, line in lines:
            word, _, rest = line.partition(b" ")
            rest = rest.rstrip(b" ")
            if not word or len(word) > MOST_WORD_BYTES or rest.count(b" ") != self.dim - 1 or b"  " in rest or b"\0" in line:
                break
            words.append(word)
            numbers.append(rest)
        else:
            vectors = _parsed(b" ".join(numbers), len(lines) * self.dim)
            if vectors is not None and bad_row(vectors := vectors.reshape(-1, self.dim)) is None:
                return Block([self._decoded(word) for word in words], vectors)
        rows = [self._one(*line) for line in lines]
        return Block([self._decoded(word) for word, _ in rows], np.array([vector for _, vector in rows], np.float32))

    def _one(self, number: int, line: bytes, remedy: str = AGAIN) -> tuple[bytes, list[float]]:
        """The word and the vector of one line."""
        where, fields = f"line {number}", line.rsplit(None, self.dim)
        if len(fields) <= self.dim:
            raise bad(self.path, where, f"{len(fields):,} fields where a word and {self.dim:,} numbers are needed", remedy)
        word = fields[0].strip()
        if len(word) > MOST_WORD_BYTES:
            raise bad(self.path, where, f"a word of {len(word):,} bytes")
        if b"\0" in word:
            raise bad(self.path, where, "the word has a NUL byte in it")
        vector = []
        for field in fields[1:]:
            if (value := _number(field)) is None:
                raise bad(self.path, where, f"{shown(field)} is no number that float32 has", remedy)
            vector.append(value)
        return word, vector

    def _decoded(self, word: bytes) -> str:
        text = word.decode(errors="replace")
        self.broken_words += "\ufffd" in text and not _is_utf8(word)
        return text


def _is_utf8(word: bytes) -> bool:
    try:
        word.decode()
    except UnicodeDecodeError:
        return False
    return True


def _parsed(data: bytes, count: int) -> np.ndarray | None:
    """So many numbers, separated by single spaces, (count,) float32; None for anything else."""
    with warnings.catch_warnings(), np.errstate(over="ignore"):
        warnings.simplefilter("error", DeprecationWarning)
        try:
            values = np.fromstring(data, np.float32, sep=" ")
        except (DeprecationWarning, ValueError):
            return None
    return values if len(values) == count else None


def _number(field: bytes) -> float | None:
    try:
        value = float(field)
        pack("<f", value)
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) and b"_" not in field else None
