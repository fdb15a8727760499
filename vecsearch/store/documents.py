"""The documents of a segment, in one SQLite file: ids, texts, fields and passages, by their numbers."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch.corpus.document import Document
from vecsearch.forks import made_once
from vecsearch.store.connections import Connection, Pool
from vecsearch.store.fields import FIELDS, VALUES, Column, problems, read_cells, read_columns
from vecsearch.store.layout import damaged, reading
from vecsearch.store.postings import POSTINGS, Found, having, lengths
from vecsearch.store.records import numbers_of

CELLS_AT_ONCE = 1000
"""Documents whose fields are read together: about a millisecond."""


class Documents:
    """Reads a documents file; may be shared by threads."""

    def __init__(self, path: Path, rows: int, *, conditions: int = 1):
        """`conditions` may be asked at a time.

        Raises: DamagedIndexError: missing, not the file that was written, or not of so many rows.
        """
        self.path, self.closed = path, False
        with reading(path):
            path.open("rb").close()
        self._connection, self._pool = Connection(path), Pool(path, conditions)
        with self.reading() as db:
            self.tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            """What is in the file; one that an earlier version wrote has fewer."""
            self._count = db.execute("SELECT count(*) FROM documents").fetchone()[0]
            passages = self._passages(db)
        self._starts, self._stops, self._of_row = passages if len(passages[0]) else (None, None, None)
        if self._of_row is not None and (np.diff(self._of_row) < 0).any():
            self.close()
            raise damaged(path, "holds passages that are not in the order of their documents")
        found = self._count if self._of_row is None else len(self._of_row)
        if found != rows:
            self.close()
            raise damaged(path, f"holds {found} {'documents' if self._of_row is None else 'passages'}, not {rows}")

    def _passages(self, db: sqlite3.Connection) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Start, stop and document of each row, (n,) int64 each; empty where every row is a whole document."""
        query = "SELECT start, stop, document FROM passages ORDER BY row"
        found = db.execute(query).fetchall() if "passages" in self.tables else []
        return tuple(np.array(found, np.int64).reshape(-1, 3).T)  # type: ignore[return-value]

    def __len__(self) -> int:
        return self._count

    @property
    def split(self) -> bool:
        """Whether a document may have several rows."""
        return self._of_row is not None

    def numbers(self, rows: np.ndarray) -> np.ndarray:
        """Number of the document that each of the rows (r,) is of: (r,) int64."""
        return rows if self._of_row is None else self._of_row[rows]

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """The rows of the documents with these numbers (m,), rising: (r,) int64."""
        if self._of_row is None:
            return np.sort(numbers, kind="stable")  # of what is sorted, as it mostly is, another kind takes fifty times as long
        numbers = np.unique(numbers)
        first, behind = (np.searchsorted(self._of_row, numbers, side) for side in ("left", "right"))
        counts = behind - first
        return np.repeat(first - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())

    def first_rows(self, numbers: np.ndarray | None = None) -> np.ndarray:
        """The first row of each of the documents with these numbers (m,), or of all: (m,) int64."""
        numbers = np.arange(self._count) if numbers is None else numbers
        return numbers if self._of_row is None else np.searchsorted(self._of_row, numbers)

    def span(self, row: int) -> tuple[int, int] | None:
        """From which character to which the document of `row` is that row's passage; None where it is all of it."""
        return None if self._starts is None else (int(self._starts[row]), int(self._stops[row]))

    def get(self, numbers: Sequence[int]) -> list[Document]:
        """The documents with these numbers, in this order.

        Raises:
            IndexError: a number that is not there.
            DamagedIndexError: the file is not what was written.
        """
        documents = []
        with self.reading() as db:
            for number in numbers:
                found = db.execute("SELECT id, text, fields FROM documents WHERE rowid = ?", (int(number),)).fetchone()
                if found is None:
                    raise IndexError(f"document {number} of {self._count}")
                documents.append(Document(found[0], found[1], json.loads(found[2])))
        return documents

    @made_once
    def columns(self) -> dict[str, Column]:
        """The fields that documents have, by name: where a condition finds them."""
        with self.reading() as db:
            return read_columns(db, self.tables)

    @made_once
    def word_counts(self) -> np.ndarray:
        """How many words each document has that say what it is about: (documents,) uint32."""
        with self.reading() as db:
            return lengths(db)

    def having(self, stems: Sequence[str], form: str | None = None) -> Found:
        """The documents that have a word of one of the stems, in any form or in one, and how often."""
        with self.reading() as db:
            return having(db, stems, form)

    def known(self, ids: Iterable[str]) -> dict[str, int]:
        """Number of each of the ids that is there."""
        with self.reading() as db:
            return numbers_of(db, ids)

    def field_cells(self, names: Sequence[str]) -> Iterator[tuple[int, list[Sequence[Any]]]]:
        """What the columns of these fields hold, block by block: the number of the first document, and for each name a cell of
        each document, None where it has no such field. Other threads may read between two blocks."""
        columns = {name: self.columns.get(name) for name in names}
        for first in range(0, self._count, CELLS_AT_ONCE):
            with self.asking() as db:
                cells = list(read_cells(db, columns, range(first, min(first + CELLS_AT_ONCE, self._count))))
            yield first, list(zip(*cells, strict=True))

    def with_field(self, name: str, values: Collection[str]) -> Iterator[tuple[int, str]]:
        """Number and value of each document whose field of this name is one of these texts."""
        column = self.columns.get(name)
        if column is None or not values:
            return
        with self.reading() as db:
            if column.place is None:
                found = db.execute("SELECT rowid, json_extract(fields, ?) FROM documents", (f'$."{name}"',)).fetchall()
            else:
                found = db.execute(f"SELECT number, c{column.place} FROM {VALUES}").fetchall()
        wanted = set(values)
        yield from ((number, value) for number, value in found if value in wanted)

    def largest_number(self) -> int | None:
        """The largest of the ids that are whole numbers, if any is."""
        whole = "id GLOB '[0-9]*' AND id NOT GLOB '*[^0-9]*' AND length(id) < 19"
        with self.reading() as db:
            return db.execute(f"SELECT max(CAST(id AS INTEGER)) FROM documents WHERE {whole}").fetchone()[0]

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """The connection for what takes little time, for this thread alone.

        Raises: Closed: it was closed. UsageError: in a child that was forked while another thread was reading.
        """
        return self._connection.reading()

    def asking(self) -> AbstractContextManager[sqlite3.Connection]:
        """A connection for what may take long, for this thread alone: others go on reading. Raises as `reading` does."""
        return self._pool.reading()

    def problems(self) -> list[str]:
        """What SQLite's own check, the numbering and the tables that repeat others find wrong; empty when all is well."""
        with self.reading() as db:
            checks = [line for (line,) in db.execute("PRAGMA integrity_check") if line != "ok"]
            first, last = db.execute("SELECT min(rowid), max(rowid) FROM documents").fetchone()
            if self._count and (first, last) != (0, self._count - 1):
                checks.append(f"its {self._count} documents are numbered {first} to {last}, not 0 to {self._count - 1}")
            if FIELDS in self.tables:
                checks += problems(db)
            if POSTINGS in self.tables and (counted := len(lengths(db))) != self._count:
                checks.append(f"its words are those of {counted} documents, not of {self._count}")
            if self.split:
                db.create_function("characters", 1, len)  # SQLite's own length ends at NUL
                inside = "ifnull(start BETWEEN 0 AND stop AND stop <= characters(text), 0)"
                outside = f"passages LEFT JOIN documents ON number = document WHERE NOT {inside}"
                if wrong := db.execute(f"SELECT count(*) FROM {outside}").fetchone()[0]:
                    checks.append(f"{wrong} of its passages are outside of their documents")
        if self._of_row is not None and set(np.unique(self._of_row)) != set(range(self._count)):
            checks.append(f"its passages are not those of its {self._count} documents")
        return checks

    def close(self) -> None:
        """Close the file, as soon as no other thread reads it; conditions are given up."""
        self.closed = True
        self._connection.close()
        self._pool.close()
