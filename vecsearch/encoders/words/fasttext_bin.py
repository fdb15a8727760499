"""fastText's own models, .bin, with the vectors of character n-grams.

Little-endian: magic and version (int32), 12 arguments (int32) and one (float64); numbers of entries, words and labels (int32),
of tokens and of pruned n-grams (int64); the entries, each a string that ends with NUL, a count (int64) and a type (int8);
whether the matrix is quantised (int8), its shape (2 × int64) and its floats: a row for each word, then for each bucket of
n-grams. The output matrix that follows is not needed.
Source: github.com/facebookresearch/fastText, args.cc, dictionary.cc, densematrix.cc.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from struct import Struct

import numpy as np

from vecsearch.encoders.words.block import (
    MOST_CHARACTERS,
    MOST_DIM,
    MOST_WORD_BYTES,
    Block,
    Subwords,
    bad_row,
    block_rows,
    shown,
)
from vecsearch.encoders.words.byte_reader import ByteReader, opened
from vecsearch.errors import CheckpointError

MAGIC = 793_712_314
VERSIONS = (11, 12)
SUPERVISED = 3
DICTIONARY_BLOCK = 16_384
_HEAD, _ENTRY, _SHAPE = Struct("<2i12id3i2q"), Struct("<qb"), Struct("<bqq")


class FasttextBin:
    """A `WordFile` of a fastText model: its words, their rows and those of n-grams. Labels of a classifier are no words."""

    format = "fastText binary"

    def __init__(self, path: Path) -> None:
        """Raises CheckpointError for a file that does not begin as one of this format, or that is quantised."""
        self.path = path
        self.broken_words = 0
        self._stream: ByteReader | None = None
        with opened(path) as stream:
            self._head(stream)
            self._word(stream, 0)

    def blocks(self, most: int | None = None) -> Iterator[Block]:
        """As `WordFile` has it: the words, then their rows, then those of the n-grams."""
        self.broken_words = 0
        with opened(self.path) as stream:
            self._stream = stream
            self._head(stream)
            wanted = self.rows if most is None else min(most, self.rows)
            yield from self._words(stream, wanted)
            self._shape(stream)
            for vectors in self._matrix(stream, "word", self.rows, wanted):
                yield Block(vectors=vectors)
            if self.subwords:
                for vectors in self._matrix(stream, "n-gram", self._buckets, self._buckets):
                    yield Block(ngrams=vectors)

    def fraction(self) -> float:
        """As `WordFile` has it."""
        return self._stream.fraction() if self._stream else 0.0

    def _head(self, stream: ByteReader) -> None:
        magic, version, self.dim, *args, entries, words, labels, _, pruned = stream.unpack(_HEAD, "the header")
        model, bucket, minn, maxn = args[6], args[7], args[8], args[9]
        if magic != MAGIC:
            raise stream.bad("it does not begin as fastText's models do since 2017: make it again with a newer fastText", 0)
        if version not in VERSIONS:
            raise stream.bad(f"version {version} of fastText's format; known are {' and '.join(map(str, VERSIONS))}", 4)
        if pruned >= 0 or self.path.suffix == ".ftz":
            raise CheckpointError(_quantised(self.path))
        if not 1 <= self.dim <= MOST_DIM:
            raise stream.bad(f"vectors of length {self.dim:,}; it has to be 1 to {MOST_DIM:,}", 8)
        if words < 1 or labels < 0 or entries != words + labels:
            raise stream.bad(f"{entries:,} entries that are {words:,} words and {labels:,} labels", 64)
        # Classifiers of version 11 made no use of character n-grams, whatever they say.
        if version == 11 and model == SUPERVISED:
            maxn = 0
        made = maxn >= max(1, minn)
        if bucket < 0 or maxn > MOST_CHARACTERS or (bucket == 0 and made):
            raise stream.bad(f"n-grams of {minn} to {maxn} characters in {bucket:,} buckets", 40)
        self.rows: int = words
        self._entries, self._buckets = entries, bucket
        self.subwords = Subwords(max(1, minn), maxn, bucket) if made else None
        needed = stream.offset + entries * (1 + _ENTRY.size) + _SHAPE.size + 4 * self.dim * (words + bucket)
        if stream.size is not None and needed > stream.size:
            raise stream.bad(
                f"the header says {entries:,} entries and {words + bucket:,} rows of length {self.dim:,}, for which "
                f"{stream.size:,} bytes are too few: the file is cut off or quantised, or the header wrong", 8,
            )  # fmt: skip

    def _words(self, stream: ByteReader, wanted: int) -> Iterator[Block]:
        """Blocks of the first `wanted` words; the stream stands behind all entries then."""
        words: list[str] = []
        for row in range(self._entries):
            word = self._word(stream, row)
            if row < wanted:
                words.append(word)
            if len(words) == DICTIONARY_BLOCK:
                yield Block(words)
                words = []
        yield Block(words)

    def _word(self, stream: ByteReader, row: int) -> str:
        start = stream.offset
        data = stream.until(b"\0", MOST_WORD_BYTES, f"entry {row + 1:,}")
        _, kind = stream.unpack(_ENTRY, f"entry {row + 1:,}")
        if not data or data.split() != [data] or kind != (row >= self.rows):
            expected = "word (type 0)" if row < self.rows else "label (type 1)"
            raise stream.bad(f"entry {row + 1:,} is {shown(data)} of type {kind}, not a {expected}", start)
        try:
            return data.decode()
        except UnicodeDecodeError:
            self.broken_words += row < self.rows
            return data.decode(errors="replace")

    def _shape(self, stream: ByteReader) -> None:
        start = stream.offset
        quantised, rows, dim = stream.unpack(_SHAPE, "the matrix's shape")
        if quantised == 1:
            raise CheckpointError(_quantised(self.path))
        if quantised or (rows, dim) != (self.rows + self._buckets, self.dim):
            told = f"{self.rows + self._buckets:,} of {self.dim:,}"
            raise stream.bad(f"a matrix of {rows:,} rows of length {dim:,}; the header says {told}", start)

    def _matrix(self, stream: ByteReader, name: str, count: int, kept: int) -> Iterator[np.ndarray]:
        """Blocks of the first `kept` of `count` rows; the stream stands behind all of them then."""
        size = block_rows(self.dim)
        for first in range(0, count, size):
            rows, start = min(size, count - first), stream.offset
            data = stream.take(4 * self.dim * rows, f"the vectors of {name}s {first + 1:,} to {first + rows:,}")
            if first >= kept:
                continue
            vectors = np.frombuffer(data, "<f4").reshape(rows, self.dim)[: kept - first]
            if (row := bad_row(vectors)) is not None:
                place = start + 4 * self.dim * row
                raise stream.bad(f"the vector of {name} {first + row + 1:,} holds NaN or infinity", place)
            yield vectors


def _quantised(path: Path) -> str:
    return (
        f"{path} is a quantised fastText model, in which n-grams were left out and numbers rounded; "
        "give the .bin that it was made from, or the .vec"
    )
