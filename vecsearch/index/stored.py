"""What segments of a generation of an index store: documents and vectors by row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from vecsearch.corpus.document import Document
from vecsearch.index.hits import Hit
from vecsearch.store.alive import documents_alive, known
from vecsearch.store.snapshot import Snapshot

MANY_ROWS = 256
"""Vectors that are asked for at once from which on they are read from the file, not from where it is mapped."""


class Stored:
    """The documents and vectors of segments of a generation, by rows of the whole index. `Part` searches them as well."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._first = snapshot.firsts
        self._alive = documents_alive(snapshot)

    @property
    def dim(self) -> int:
        """Length of its vectors."""
        return self.snapshot.manifest.dim

    def holds(self, row: int) -> bool:
        """Whether the row is in one of the segments, which follow each other in the index."""
        return bool(self._first) and self._first[0] <= row < self._first[-1] + self.snapshot.segments[-1].rows

    def documents_alive(self) -> int:
        """How many documents are not deleted."""
        return self._alive

    def alive(self) -> np.ndarray:
        """The rows that are not deleted, rising: (r,) int64."""
        parts = zip(self._first, self.snapshot.segments, self.snapshot.alive, strict=True)
        rows = [first + (np.arange(part.rows) if alive is None else np.flatnonzero(alive)) for first, part, alive in parts]
        return np.concatenate([np.empty(0, np.int64), *rows])

    def first_rows(self) -> np.ndarray:
        """The first row of each document that is not deleted, rising: (m,) int64; the others of a split one follow it."""
        parts = zip(self._first, self.snapshot.segments, self.snapshot.alive, strict=True)
        rows = []
        for first, part, alive in parts:
            starts = part.documents.first_rows()
            rows.append(first + (starts if alive is None else starts[alive[starts]]))
        return np.concatenate([np.empty(0, np.int64), *rows])

    def known(self, ids: Sequence[str]) -> dict[str, list[int]]:
        """The rows of those of the documents with these ids that are there."""
        return {
            id: (self._first[part] + self.snapshot.segments[part].documents.rows(np.array([number]))).tolist()
            for id, (part, number) in known(self.snapshot, ids).items()
        }

    def vectors(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """The stored vectors at `rows`: (n, dim) float32, as encoded."""
        out = np.empty((len(rows), self.dim), np.float32)
        wanted = np.asarray(rows, np.int64)
        for first, segment in zip(self._first, self.snapshot.segments, strict=True):
            here = (wanted >= first) & (wanted < first + segment.rows)
            local = wanted[here] - first
            # For a row that is touched the system may map megabytes: many rows would make all of the file resident.
            out[here] = segment.read(local) if len(local) > MANY_ROWS else segment.vectors[local]
        return out

    def stored(self, rows: Iterable[int]) -> dict[int, tuple[Document, str | None]]:
        """The document at each of the rows, and the passage of it that the row stands for, if that is not all of it."""
        found: dict[int, tuple[Document, str | None]] = {}
        wanted = np.array(sorted(set(rows)), np.int64)  # np.unique would import numpy.ma first, which takes 50 ms
        for first, segment in zip(self._first, self.snapshot.segments, strict=True):
            documents = segment.documents
            local = wanted[(wanted >= first) & (wanted < first + segment.rows)] - first
            for row, document in zip(local.tolist(), documents.get(documents.numbers(local).tolist()), strict=True):
                span = documents.span(row)
                found[first + row] = document, document.text[slice(*span)] if span else None
        return found

    def hits_of(self, found: Sequence[Sequence[tuple[int, float]]]) -> list[list[Hit]]:
        """The documents behind lists of rows and scores: each is read once, and all together."""
        stored = self.stored({row for rows in found for row, _ in rows})
        return [
            [
                Hit(document.id, score, document.text, document.fields, passage, self.snapshot.cluster(row))
                for row, score in rows
                for document, passage in (stored[row],)
            ]
            for rows in found
        ]

    def numbered(self, rows: np.ndarray) -> np.ndarray:
        """Which document each of the rows (r,) is of, counted through these segments: (r,) int64."""
        numbers, before = np.empty(len(rows), np.int64), 0
        for first, segment in zip(self._first, self.snapshot.segments, strict=True):
            here = (rows >= first) & (rows < first + segment.rows)
            numbers[here] = before + segment.documents.numbers(rows[here] - first)
            before += len(segment.documents)
        return numbers

    def documents_at(self, rows: np.ndarray) -> np.ndarray:
        """The first row of the document that each of the rows (r,) is of: (r,) int64."""
        firsts = rows.copy()
        for first, segment in zip(self._first, self.snapshot.segments, strict=True):
            here = (rows >= first) & (rows < first + segment.rows)
            firsts[here] = first + segment.documents.first_rows(segment.documents.numbers(rows[here] - first))
        return firsts

    def rows_of(self, documents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All rows of documents that are given by their first rows (m,), rising; and where those of each begin, (m,) int64."""
        rows = [np.empty(0, np.int64)]
        for first, segment in zip(self._first, self.snapshot.segments, strict=True):
            here = documents[(documents >= first) & (documents < first + segment.rows)] - first
            rows.append(first + segment.documents.rows(segment.documents.numbers(here)))
        found = np.concatenate(rows)
        return found, np.searchsorted(found, documents)
