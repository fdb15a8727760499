"""The documents of a segment: ids, texts and fields by row, in one SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from threading import Lock as ThreadLock

from vecsearch.corpus.document import Document
from vecsearch.errors import CorpusError, writing
from vecsearch.store.layout import damaged, reading

Record = tuple[str, str, str]
"""A document as it is stored: id, text, fields as JSON."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    row INTEGER PRIMARY KEY,
    id TEXT UNIQUE NOT NULL,
    text TEXT NOT NULL,
    fields TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS progress (
    rows INTEGER NOT NULL,
    digest TEXT NOT NULL,
    counts TEXT NOT NULL
);
"""


@dataclass(frozen=True)
class Progress:
    """How far a build has come: what is durable, and the digest that proves which documents it was made of."""

    rows: int = 0
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


@contextmanager
def _sound(path: Path) -> Iterator[None]:
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
        with _sound(path), writing(path):
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            # A rollback journal: after the last commit one plain file is left, with nothing beside it.
            self._db.executescript(f"PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL; {_SCHEMA}")

    def progress(self) -> Progress:
        """How far the last committed transaction had come."""
        with _sound(self._path):
            found = self._db.execute("SELECT rows, digest, counts FROM progress").fetchone()
            return Progress(found[0], found[1], json.loads(found[2])) if found else Progress()

    def known(self, ids: Iterable[str]) -> dict[str, int]:
        """Row of each of the ids that is stored already."""
        with _sound(self._path):
            return _rows(self._db, ids)

    def append(self, records: Sequence[Record], first_row: int, progress: Progress) -> None:
        """Store the records as rows `first_row`, `first_row + 1`, … together with the progress they make, durably.

        Raises:
            ResourceError: no space left, or an I/O error; nothing of it is stored.
        """
        with _sound(self._path), writing(self._path), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            numbered = ((row, *record) for row, record in enumerate(records, first_row))
            self._db.executemany("INSERT INTO documents VALUES (?, ?, ?, ?)", numbered)
            self._db.execute("DELETE FROM progress")
            values = progress.rows, progress.digest, json.dumps(progress.counts, sort_keys=True)
            self._db.execute("INSERT INTO progress VALUES (?, ?, ?)", values)

    def close(self) -> None:
        self._db.close()


class Documents:
    """Reads a documents file; may be shared by threads."""

    def __init__(self, path: Path):
        """Raises: DamagedIndexError: missing, or not the file that was written."""
        self._path = path
        self._lock = ThreadLock()
        with reading(path):
            path.open("rb").close()
        with _sound(path):
            # Immutable: no lock, no journal, so a read-only disk serves, and the file may be unlinked once it is open.
            self._db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False)
            self._count = self._db.execute("SELECT count(*) FROM documents").fetchone()[0]

    def __len__(self) -> int:
        return self._count

    def get(self, rows: Sequence[int]) -> list[Document]:
        """The documents at these rows, in this order.

        Raises:
            IndexError: a row that is not there.
            DamagedIndexError: the file is not what was written.
        """
        documents = []
        with _sound(self._path), self._lock:
            for row in rows:
                found = self._db.execute("SELECT id, text, fields FROM documents WHERE row = ?", (int(row),)).fetchone()
                if found is None:
                    raise IndexError(f"row {row} of {self._count}")
                documents.append(Document(found[0], found[1], json.loads(found[2])))
        return documents

    def rows(self, ids: Iterable[str]) -> dict[str, int]:
        """Row of each of the ids that is there."""
        with _sound(self._path), self._lock:
            return _rows(self._db, ids)

    def problems(self) -> list[str]:
        """What SQLite's own check and the numbering of the rows find wrong; empty when all is well."""
        with _sound(self._path), self._lock:
            checks = [line for (line,) in self._db.execute("PRAGMA integrity_check") if line != "ok"]
            first, last = self._db.execute("SELECT min(row), max(row) FROM documents").fetchone()
        if self._count and (first, last) != (0, self._count - 1):
            checks.append(f"its {self._count} rows are numbered {first} to {last}, not 0 to {self._count - 1}")
        return checks

    def close(self) -> None:
        self._db.close()


def _rows(db: sqlite3.Connection, ids: Iterable[str]) -> dict[str, int]:
    rows = {}
    for id in ids:
        # An id with half of a surrogate pair (bytes of a shell that are not UTF-8) has no UTF-8 form, so none is stored.
        with suppress(UnicodeEncodeError):
            if found := db.execute("SELECT row FROM documents WHERE id = ?", (id,)).fetchone():
                rows[id] = found[0]
    return rows
