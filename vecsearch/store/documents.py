"""The documents of a segment, in one SQLite file: ids, texts, fields, passages, and what they are found by."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from threading import Lock as ThreadLock
from typing import Any

import numpy as np

from vecsearch.corpus.document import Document
from vecsearch.errors import CorpusError, writing
from vecsearch.store.layout import damaged, reading

Record = tuple[str, str, str]
"""A document as it is stored: id, text, fields as JSON."""

Span = tuple[int, int, int]
"""A passage: which document of its block, and from which character to which."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    number INTEGER PRIMARY KEY,
    id TEXT UNIQUE NOT NULL,
    text TEXT NOT NULL,
    fields TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS passages (
    row INTEGER PRIMARY KEY,
    document INTEGER NOT NULL,
    start INTEGER NOT NULL,
    stop INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS progress (
    rows INTEGER NOT NULL,
    digest TEXT NOT NULL,
    counts TEXT NOT NULL
);
"""
_WORDS = """
DROP TABLE IF EXISTS words;
CREATE VIRTUAL TABLE words USING fts5(text, content = documents, content_rowid = number);
INSERT INTO words(words) VALUES ('rebuild');
INSERT INTO words(words) VALUES ('optimize');
"""
MOST_FIELDS = 500
"""Fields that documents can be filtered by, those that most documents have: SQLite's tables have so many columns."""


@dataclass(frozen=True)
class Progress:
    """How far a build has come: what is durable, and the digest that proves which documents it was made of."""

    rows: int = 0
    documents: int = 0
    digest: str = ""
    counts: dict[str, int] = field(default_factory=dict)


def to_record(document: Document) -> Record:
    """The document as it is stored.

    Raises:
        CorpusError: a field that JSON cannot hold (NaN, a date), or text that UTF-8 cannot (half of a surrogate pair).
    """
    try:
        record = document.id, document.text, json.dumps(document.fields, ensure_ascii=False, allow_nan=False)
        "".join(record).encode()
    except (TypeError, ValueError) as error:
        raise CorpusError(f"{place(document)}: the document cannot be stored ({error}); mend or drop it") from error
    return record


def place(document: Document) -> str:
    """Where a document comes from, for messages."""
    return document.where or f"document {document.id!r}"


def extend_digest(digest: str, records: Iterable[Record]) -> str:
    """The digest (hex) of all documents so far: blake2b over the digest before and the length and bytes of each part."""
    for record in records:
        state = blake2b(bytes.fromhex(digest), digest_size=32)
        for part in record:
            data = part.encode()
            state.update(len(data).to_bytes(8, "little"))
            state.update(data)
        digest = state.hexdigest()
    return digest


RESERVED = {"id", "text", "number", "rowid", "oid", "_rowid_"}
"""Names that mean something else in a condition than a field of the documents."""


def quoted(name: str) -> str:
    """An SQL name, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def _column_values(fields: dict[str, Any], names: Sequence[str]) -> Iterator[Any]:
    """What SQLite keeps of the fields `names`: numbers, texts, NULL; JSON for anything else."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, list | dict):
            value = json.dumps(value, ensure_ascii=False)
        elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            value = float(value)
        yield value


@contextmanager
def sound(path: Path) -> Iterator[None]:
    """Turn SQLite's and JSON's complaints about the bytes of `path` into the error that names it."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise
    except (sqlite3.DatabaseError, json.JSONDecodeError) as error:
        raise damaged(path, f"cannot be read ({error})") from error


class DocumentsWriter:
    """Grows a documents file; each `append` is one transaction, so a crash leaves all of it or nothing."""

    def __init__(self, path: Path):
        """Raises: DamagedIndexError: the file at `path` is no documents file. ResourceError: it cannot be written."""
        self._path = path
        with sound(path), writing(path):
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            # A rollback journal: after the last commit one plain file is left, with nothing beside it.
            # What is freed while words are sorted is cut off at the end; to vacuum would number the rows of `fields` anew.
            settings = "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL;"
            self._db.executescript(settings + _SCHEMA)

    def progress(self) -> Progress:
        """How far the last committed transaction had come."""
        with sound(self._path):
            found = self._db.execute("SELECT rows, (SELECT count(*) FROM documents), digest, counts FROM progress").fetchone()
            return Progress(*found[:3], json.loads(found[3])) if found else Progress()

    def known(self, ids: Iterable[str]) -> dict[str, int]:
        """Number of each of the ids that is stored already."""
        with sound(self._path):
            return _numbers(self._db, ids)

    def append(self, records: Sequence[Record], spans: Sequence[Span] | None, before: Progress, progress: Progress) -> None:
        """Store the records behind those of `before`, together with the progress they make, durably.

        `spans` are the passages of these documents that a row each stands for; without them each document has one row.

        Raises:
            ResourceError: no space left, or an I/O error; nothing of it is stored.
        """
        with sound(self._path), writing(self._path), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            numbered = ((number, *record) for number, record in enumerate(records, before.documents))
            self._db.executemany("INSERT INTO documents VALUES (?, ?, ?, ?)", numbered)
            placed = (
                (row, before.documents + document, start, stop)
                for row, (document, start, stop) in enumerate(spans or (), before.rows)
            )
            self._db.executemany("INSERT INTO passages VALUES (?, ?, ?, ?)", placed)
            self._db.execute("DELETE FROM progress")
            values = progress.rows, progress.digest, json.dumps(progress.counts, sort_keys=True)
            self._db.execute("INSERT INTO progress VALUES (?, ?, ?)", values)

    def finish(self) -> None:
        """Add what documents are found by: a column for each field, and the words of the texts.

        Raises:
            ResourceError: no space left, or an I/O error; nothing of it is stored.
        """
        with sound(self._path), writing(self._path), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            names = self._field_names()
            self._db.execute("DROP TABLE IF EXISTS fields")
            # Compared with a number, a column of numeric affinity counts '1994', as a CSV file has it, as a number.
            self._db.execute(f"CREATE TABLE fields ({', '.join(['id TEXT', *(f'{quoted(name)} NUMERIC' for name in names)])})")
            rows = self._db.cursor().execute("SELECT number, id, fields FROM documents")
            marks = ", ".join("?" * (2 + len(names)))
            columns = ", ".join(["rowid", "id", *map(quoted, names)])
            self._db.executemany(
                f"INSERT INTO fields ({columns}) VALUES ({marks})",
                ((number, id, *_column_values(json.loads(fields), names)) for number, id, fields in rows),
            )
            for statement in _WORDS.strip().split("\n"):
                self._db.execute(statement)
        with sound(self._path), writing(self._path):
            self._db.execute("PRAGMA incremental_vacuum").fetchall()

    def _field_names(self) -> list[str]:
        """Fields of the documents, those that most of them have first; of names that differ by case alone the first."""
        found = self._db.execute(
            "SELECT key FROM documents, json_each(fields) GROUP BY key ORDER BY count(*) DESC, key LIMIT ?", (2 * MOST_FIELDS,)
        )
        names: dict[str, str] = {}
        for (name,) in found:
            if name and "\0" not in name:
                names.setdefault(name.lower(), name)
        return [name for lower, name in names.items() if lower not in RESERVED][:MOST_FIELDS]

    def close(self) -> None:
        self._db.close()


class Documents:
    """Reads a documents file; may be shared by threads."""

    def __init__(self, path: Path, rows: int):
        """Raises: DamagedIndexError: missing, not the file that was written, or not of so many rows."""
        self._path = path
        self._lock = ThreadLock()
        with reading(path):
            path.open("rb").close()
        with sound(path):
            # Immutable: no lock, no journal, so a read-only disk serves, and the file may be unlinked once it is open.
            self._db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False)
            self.tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            """What is in the file; one that an earlier version wrote has fewer."""
            self._count = self._db.execute("SELECT count(*) FROM documents").fetchone()[0]
            passages = self._passages()
        self._starts, self._stops, self._of_row = passages if len(passages[0]) else (None, None, None)
        if self._of_row is not None and (np.diff(self._of_row) < 0).any():
            self.close()
            raise damaged(path, "holds passages that are not in the order of their documents")
        found = self._count if self._of_row is None else len(self._of_row)
        if found != rows:
            self.close()
            raise damaged(path, f"holds {found} {'documents' if self._of_row is None else 'passages'}, not {rows}")

    def _passages(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Start, stop and document of each row, (n,) int64 each; empty where every row is a whole document."""
        query = "SELECT start, stop, document FROM passages ORDER BY row"
        found = self._db.execute(query).fetchall() if "passages" in self.tables else []
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
            return np.sort(numbers)
        numbers = np.unique(numbers)
        first, behind = (np.searchsorted(self._of_row, numbers, side) for side in ("left", "right"))
        counts = behind - first
        return np.repeat(first - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())

    def first_rows(self) -> np.ndarray:
        """The first row of each document: (documents,) int64."""
        return np.arange(self._count) if self._of_row is None else np.searchsorted(self._of_row, np.arange(self._count))

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

    def known(self, ids: Iterable[str]) -> dict[str, int]:
        """Number of each of the ids that is there."""
        with self.reading() as db:
            return _numbers(db, ids)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for this thread alone; what SQLite finds damaged names the file."""
        with sound(self._path), self._lock:
            yield self._db

    def problems(self) -> list[str]:
        """What SQLite's own check, the numbering and the tables that repeat others find wrong; empty when all is well."""
        with self.reading() as db:
            checks = [line for (line,) in db.execute("PRAGMA integrity_check") if line != "ok"]
            first, last = db.execute("SELECT min(rowid), max(rowid) FROM documents").fetchone()
            if self._count and (first, last) != (0, self._count - 1):
                checks.append(f"its {self._count} documents are numbered {first} to {last}, not 0 to {self._count - 1}")
            if "fields" in self.tables:
                differ = "documents LEFT JOIN fields ON fields.rowid = number WHERE fields.id IS NOT documents.id"
                if wrong := db.execute(f"SELECT count(*) FROM {differ}").fetchone()[0]:
                    checks.append(f"its fields are those of other documents, for {wrong} of {self._count}")
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
        self._db.close()


def _numbers(db: sqlite3.Connection, ids: Iterable[str]) -> dict[str, int]:
    numbers = {}
    for id in ids:
        # An id with half of a surrogate pair (bytes of a shell that are not UTF-8) has no UTF-8 form, so none is stored.
        with suppress(UnicodeEncodeError):
            if found := db.execute("SELECT rowid FROM documents WHERE id = ?", (id,)).fetchone():
                numbers[id] = found[0]
    return numbers
