"""Which documents have a phrase, and how often: from a table of SQLite's FTS5, which knows the order of the words.

FTS5 only tells how good a match is, by BM25 with the average length of the texts of its own table. How often the phrase is
there follows from that, and then counts the same in however many tables the documents are.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence

import numpy as np

_K1, _B = 1.2, 0.75
"""Of FTS5's own BM25 (https://sqlite.org/fts5.html#the_bm25_function)."""
_TOTALS = 1
"""Where FTS5 keeps how many rows and words a table has (`FTS5_AVERAGES_ROWID` in its source)."""

Phrases = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Numbers of documents (n,) int64, rising; how often each has the phrase, and how many words it has, (n,) float64 each."""


def with_phrase(db: sqlite3.Connection, table: str, match: str) -> Phrases:
    """The documents in a table of FTS5 with a single phrase, a string of FTS5."""
    query = (
        f"SELECT found.rowid, -found.rank, sz FROM {table} found JOIN {table}_docsize ON id = found.rowid WHERE {table} MATCH ?"
    )
    found = sorted(db.execute(query, (match,)).fetchall())
    numbers, ranks = (np.array([row[part] for row in found], dtype) for part, dtype in ((0, np.int64), (1, np.float64)))
    lengths = _lengths([row[2] for row in found])
    rows, words = totals(db, table)
    share = ranks / _rarity(len(found), rows)
    # share = count (k1 + 1) / (count + k1 (1 - b + b length / average))
    beside = _K1 * (1 - _B + _B * lengths * rows / max(1, words))
    return numbers, np.maximum(1, np.rint(share * beside / (_K1 + 1 - share))), lengths


def having_phrase(db: sqlite3.Connection, table: str, match: str) -> np.ndarray:
    """Numbers of the documents that `with_phrase` finds, (n,) int64, rising, in less than half of its time."""
    return np.array(sorted(db.execute(f"SELECT rowid FROM {table} WHERE {table} MATCH ?", (match,))), np.int64).reshape(-1)


def totals(db: sqlite3.Connection, table: str) -> tuple[int, int]:
    """How many documents a table of FTS5 has, and how many words in all of them."""
    (data,) = db.execute(f"SELECT block FROM {table}_data WHERE id = ?", (_TOTALS,)).fetchone()
    rows, words = (*_varints(data), 0, 0)[:2]
    return rows, words


def _lengths(sizes: Sequence[bytes]) -> np.ndarray:
    """The numbers of words of texts, each of which FTS5 keeps as one of SQLite's numbers: (n,) float64."""
    if not sizes:
        return np.empty(0)
    data = np.frombuffer(b"".join(sizes), np.uint8)
    counts = np.array([len(size) for size in sizes])
    ends = np.cumsum(counts)
    behind = np.repeat(ends, counts) - 1 - np.arange(len(data))
    return np.add.reduceat((data & 127) * 128.0**behind, ends - counts)


def _varints(data: bytes) -> list[int]:
    """SQLite's numbers of variable length below 2^56: seven bits a byte, the highest first."""
    found, value = [], 0
    for byte in data:
        value = value << 7 | byte & 127
        if byte < 128:
            found.append(value)
            value = 0
    return found


def _rarity(count: int, total: int) -> float:
    """What FTS5 multiplies a match of a phrase with."""
    return max(math.log((total - count + 0.5) / (count + 0.5)), 0.0) or 1e-6
