"""Which documents have each word, and how often: an inverted index in a segment's file of documents.

`postings` has rows for each stem and each form of it: the number of a document that has it, the gaps to the next ones, and how
often each has it (Zobel and Moffat 2006, Inverted files for text search engines). `lengths` has how many words each document
has that say what it is about. Both are made from the documents alone.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from vecsearch.text.analysis import Analyser

POSTINGS, LENGTHS = "postings", "lengths"
MOST_COUNTED = 255
"""How often a document has a word, at the most: BM25 hardly tells more from this."""
WORDS_AT_ONCE = 1 << 22
"""Words that are sorted in memory, about 100 MB."""
DOCUMENT_WORDS = 8
"""Words that take as much memory as a document does, be it without a word."""
_ROW_BYTES = 900
"""Of a row, so that four of them fill a page: SQLite puts what is longer on pages of its own."""
_SCHEMA = f"""
DROP TABLE IF EXISTS {POSTINGS};
DROP TABLE IF EXISTS {LENGTHS};
CREATE TABLE {POSTINGS} (stem TEXT, form TEXT, first INTEGER, documents BLOB, PRIMARY KEY (stem, form, first)) WITHOUT ROWID;
CREATE TABLE {LENGTHS} (first INTEGER PRIMARY KEY, words BLOB);
"""
_WIDTHS = {width: np.dtype(f"<u{width}") for width in (1, 2, 4)}
_COUNTED = 16
"""Added to the width of the gaps where counts follow: all of them are 1 otherwise."""
_ALONE = b"\1\0"
"""A document that has a word once, and no other after it."""

DENSE = 8
"""Where at least one of so many documents is found, each has a place for its sum, and none is sorted."""

Found = tuple[np.ndarray, np.ndarray]
"""Numbers of documents (n,) int32, rising, and how often each has what was looked for, (n,) uint16,
or uint32 where these do not hold it."""
Read = tuple[list[int], int]
"""The numbers of words, by their stems and forms, and how many of them say what a text is about."""
Row = tuple[int, bytes]
"""The number of a document, and with how much space and how often the others follow."""


def packed(numbers: np.ndarray, counts: np.ndarray) -> Iterator[Row]:
    """Rows for numbers (n,) rising, and counts from 1, (n,), of at least one document."""
    if len(numbers) == 1 and counts[0] == 1:  # as most words are
        yield int(numbers[0]), _ALONE
        return
    gaps = np.diff(numbers, prepend=numbers[:1])
    width = next(width for width, dtype in _WIDTHS.items() if gaps.max() <= np.iinfo(dtype).max)
    counted = bool((counts != 1).any())
    size = _ROW_BYTES // (width + counted)
    for start in range(0, len(numbers), size):
        part = gaps[start : start + size].astype(_WIDTHS[width])
        part[0] = 0
        data = bytes([width + _COUNTED * counted]) + part.tobytes()
        if counted:
            data += np.minimum(counts[start : start + size], MOST_COUNTED).astype(np.uint8).tobytes()
        yield int(numbers[start]), data


def unpacked(rows: Iterable[Row]) -> Found:
    """What was `packed`, by rows in any order: those of several words as of one, each document once, with the sum of its
    counts."""
    alike: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        alike[row[1][0]].append(row)
    return together([_unpacked(kind % _COUNTED, kind >= _COUNTED, some) for kind, some in alike.items()])


def _unpacked(width: int, counted: bool, rows: Sequence[Row]) -> Found:
    """Rows of one kind, one after the other."""
    sizes = np.array([(len(data) - 1) // (width + counted) for _, data in rows])
    firsts = np.array([first for first, _ in rows], np.int32)
    if len(rows) == sizes.sum():
        steps = firsts
    else:
        data = b"".join([data[1 : 1 + size * width] for (_, data), size in zip(rows, sizes.tolist(), strict=True)])
        # The sum of all gaps begins anew with the number of each row. Over many it may wrap around: differences stay right.
        steps = np.cumsum(np.frombuffer(data, _WIDTHS[width]), dtype=np.int32)
        steps += np.repeat(firsts - steps[np.cumsum(sizes) - sizes], sizes)
    if not counted:
        return steps, np.ones(len(steps), np.uint16)
    data = b"".join([data[1 + size * width :] for (_, data), size in zip(rows, sizes.tolist(), strict=True)])
    return steps, np.frombuffer(data, np.uint8).astype(np.uint16)


class PostingsWriter:
    """Collects the words of documents, and writes those of many at a time."""

    def __init__(self, db: sqlite3.Connection, analyse: Analyser) -> None:
        """Make both tables anew, within the transaction that is under way."""
        self._db, self._analyse = db, analyse
        for statement in _SCHEMA.strip().split("\n"):
            db.execute(statement)
        self._start(0)

    def _start(self, first: int) -> None:
        self._first, self._words = first, 0
        self._ids: dict[tuple[str, str], int] = {}
        self._of_chunk: dict[str, Read] = {}
        self._of_form: dict[str, Read] = {}
        self._found: list[np.ndarray] = []
        self._sizes: list[int] = []
        self._lengths: list[int] = []

    def add(self, text: str, signed: Iterable[str]) -> None:
        """The words of the next document, and the forms that it has with themselves as their stems."""
        ids, length = [self._id(form, form) for form in signed], 0
        for chunk in self._analyse.chunks(text):
            of_chunk, deciding = self._of_chunk.get(chunk) or self._read(chunk)
            ids += of_chunk
            length += deciding
        self._found.append(np.array(ids, np.uint32))
        self._sizes.append(len(ids))
        self._lengths.append(length)
        self._words += len(ids) + DOCUMENT_WORDS
        if self._words >= WORDS_AT_ONCE:
            self.flush()

    def _id(self, stem: str, form: str) -> int:
        return self._ids.setdefault((stem, form), len(self._ids))

    def _read(self, chunk: str) -> Read:
        """The words of a chunk, which is looked up where it comes again, as its words are where it has several."""
        forms = self._analyse.forms(chunk)
        if len(forms) == 1:
            self._of_chunk[chunk] = found = self._read_word(chunk, forms[0])
            return found
        ids, length = [], 0
        for form in forms:
            if (found := self._of_form.get(form)) is None:
                self._of_form[form] = found = self._read_word(form, form)
            ids += found[0]
            length += found[1]
        return ids, length

    def _read_word(self, chunk: str, form: str) -> Read:
        ids = [self._id(stem, form) for stem in self._analyse.word(chunk, form).stems]
        return ids, int(self._analyse.decides(form))

    def flush(self) -> None:
        """Write what was added since the last time."""
        if not self._sizes:
            return
        documents = len(self._sizes)
        # One number for a word in a document: sorted, they are the postings.
        words = np.concatenate(self._found).astype(np.int64) * documents + np.repeat(np.arange(documents), self._sizes)
        words.sort()
        starts = np.flatnonzero(np.diff(words, prepend=-1))
        counts = np.diff(starts, append=len(words))
        ids, numbers = np.divmod(words[starts], documents)
        bounds = [*np.flatnonzero(np.diff(ids, prepend=-1)).tolist(), len(ids)]
        rows = zip(self._ids, bounds, bounds[1:], strict=False)  # the ids are counted in the order of the words
        numbers += self._first
        values = (
            (stem, form, *row)
            for (stem, form), start, stop in sorted(rows)
            for row in packed(numbers[start:stop], counts[start:stop])
        )
        self._db.executemany(f"INSERT INTO {POSTINGS} VALUES (?, ?, ?, ?)", values)
        lengths = np.array(self._lengths, "<u4").tobytes()
        self._db.execute(f"INSERT INTO {LENGTHS} VALUES (?, ?)", (self._first, lengths))
        self._start(self._first + documents)


def lengths(db: sqlite3.Connection) -> np.ndarray:
    """How many words each document has that say what it is about: (documents,) uint32."""
    parts = [np.frombuffer(data, "<u4") for (data,) in db.execute(f"SELECT words FROM {LENGTHS} ORDER BY first")]
    return np.concatenate([np.empty(0, "<u4"), *parts])


def having(db: sqlite3.Connection, stems: Sequence[str], form: str | None = None) -> Found:
    """The documents that have a word of one of the stems, in any form or in this one."""
    query = f"SELECT form, first, documents FROM {POSTINGS} WHERE stem IN ({', '.join('?' * len(stems))})"
    query, values = (query, stems) if form is None else (f"{query} AND form = ?", (*stems, form))
    # A form of two stems has the same rows under each.
    rows = {(own, first): data for own, first, data in db.execute(query, values)}
    return unpacked((first, data) for (_, first), data in rows.items())


def together(found: Iterable[Found]) -> Found:
    """Each document once, rising, with the sum of its counts, of parts in any order."""
    parts = list(found)
    numbers = np.concatenate([np.empty(0, np.int32), *(part for part, _ in parts)])
    counts = np.concatenate([np.empty(0, np.uint16), *(part for _, part in parts)])
    if (numbers[1:] > numbers[:-1]).all():
        return numbers, counts
    if DENSE * len(numbers) > (last := int(numbers.max())):
        sums = np.zeros(last + 1, np.uint32)
        np.add.at(sums, numbers, counts.astype(np.uint32))
        numbers = np.flatnonzero(sums != 0).astype(np.int32)
        sums = sums[numbers]
    else:
        order = np.argsort(numbers, kind="stable")
        numbers, counts = numbers[order], counts[order]
        starts = np.flatnonzero(np.concatenate([[True], numbers[1:] != numbers[:-1]]))
        numbers, sums = numbers[starts], np.add.reduceat(counts, starts, dtype=np.uint32)
    return numbers, sums.astype(np.uint16) if sums.max() <= np.iinfo(np.uint16).max else sums
