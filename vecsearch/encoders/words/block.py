"""What the readers of all formats of word vectors have in common: blocks of rows, limits, and how a bad file is named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from vecsearch.errors import CheckpointError

MOST_DIM = 65_536
MOST_WORD_BYTES = 4_096
MOST_CHARACTERS = 32
"""Of an n-gram; fastText's default is 6."""
BLOCK_BYTES = 4 << 20
"""Vectors that are read, checked and written at once."""
AGAIN = "get the file again, or convert it again"


class Block(NamedTuple):
    """Some of a file: words, vectors (b, dim) float32 and rows of character n-grams (g, dim) float32, each in its own order.

    A file that holds all its words before its vectors gives them in blocks of their own.
    """

    words: Sequence[str] = ()
    vectors: np.ndarray | None = None
    ngrams: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Subwords:
    """fastText's character n-grams: of `minn` to `maxn` characters, hashed into one of `bucket` rows."""

    minn: int
    maxn: int
    bucket: int


class WordFile(Protocol):
    """A file of word vectors, whose beginning has been read and checked."""

    path: Path
    format: str
    """For people: "word2vec text"."""
    dim: int
    rows: int | None
    """What the file says, if it does: it may be wrong."""
    subwords: Subwords | None
    """How the n-grams of a fastText model are made: a word's vector is then the mean of its row and of theirs."""
    broken_words: int
    """Words so far that were no UTF-8: what is broken in them is read as U+FFFD."""

    def blocks(self, most: int | None = None) -> Iterator[Block]:
        """The file from its first row, the first `most` words of it. Raises CheckpointError naming a line or an offset."""

    def fraction(self) -> float:
        """How much of the file has been read, 0 to 1."""


def bad(path: Path, where: str, problem: str, remedy: str = AGAIN) -> CheckpointError:
    """The error for a file of word vectors: `where` is a line or an offset."""
    return CheckpointError(f"{path}, {where}: {problem}; {remedy}")


def block_rows(dim: int) -> int:
    """Rows of a block."""
    return max(1, min(4_096, BLOCK_BYTES // (4 * dim)))


def bad_row(vectors: np.ndarray) -> int | None:
    """The first row of (b, dim) that holds NaN or infinity, if one does."""
    if np.isfinite(vectors).all():
        return None
    return int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])


def shown(data: bytes) -> str:
    """A part of a file for a message, short."""
    text = data[:40].decode(errors="replace")
    return repr(text + "…" if len(data) > 40 else text)
