"""Writing the documents of a segment: texts and passages block by block, and at the end what they are found by."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vecsearch.errors import writing
from vecsearch.forks import inherited, keep_for_ever
from vecsearch.sqlite import Database
from vecsearch.store.fields import write_fields
from vecsearch.store.keywords_writer import write_keywords
from vecsearch.store.records import Record, Span, numbers_of, sound
from vecsearch.text.languages import NONE

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


@dataclass(frozen=True)
class Stored:
    """What is durable of a segment that is being filled, and the digest that proves which documents it was made of."""

    rows: int = 0
    documents: int = 0
    digest: str = ""
    counts: dict[str, int] = field(default_factory=dict)


class DocumentsWriter:
    """Grows a documents file; each `append` is one transaction, so a crash leaves all of it or nothing."""

    def __init__(self, path: Path):
        """Raises: DamagedIndexError: the file at `path` is no documents file. ResourceError: it cannot be written."""
        self._path = path
        with sound(path), writing(path):
            self._database = Database(str(path), isolation_level=None)
            # A rollback journal: after the last commit one plain file is left, with nothing beside it.
            # What is freed while words are sorted is cut off at the end; to vacuum would write the whole file again.
            settings = "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL;"
            with self._database.quiet() as db:
                db.executescript(settings + _SCHEMA)
        inherited(self)

    def progress(self) -> Stored:
        """How far the last committed transaction had come."""
        with sound(self._path), self._database.quiet() as db:
            found = db.execute("SELECT rows, (SELECT count(*) FROM documents), digest, counts FROM progress").fetchone()
            return Stored(*found[:3], json.loads(found[3])) if found else Stored()

    def known(self, ids: Iterable[str]) -> dict[str, int]:
        """Number of each of the ids that is stored already."""
        with sound(self._path), self._database.quiet() as db:
            return numbers_of(db, ids)

    def append(self, records: Sequence[Record], spans: Sequence[Span] | None, before: Stored, progress: Stored) -> None:
        """Store the records behind those of `before`, together with the progress they make, durably.

        `spans` are the passages of these documents that a row each stands for; without them each document has one row.

        Raises:
            ResourceError: no space left, or an I/O error; nothing of it is stored.
        """
        with sound(self._path), writing(self._path), self._database.quiet() as db, db:
            db.execute("BEGIN IMMEDIATE")
            numbered = ((number, *record) for number, record in enumerate(records, before.documents))
            db.executemany("INSERT INTO documents VALUES (?, ?, ?, ?)", numbered)
            placed = (
                (row, before.documents + document, start, stop)
                for row, (document, start, stop) in enumerate(spans or (), before.rows)
            )
            db.executemany("INSERT INTO passages VALUES (?, ?, ?, ?)", placed)
            db.execute("DELETE FROM progress")
            values = progress.rows, progress.digest, json.dumps(progress.counts, sort_keys=True)
            db.execute("INSERT INTO progress VALUES (?, ?, ?)", values)

    def some_texts(self, count: int) -> list[str]:
        """The texts of `count` documents, evenly spaced, or of all there are."""
        with sound(self._path), self._database.quiet() as db:
            (total,) = db.execute("SELECT count(*) FROM documents").fetchone()
            numbers = sorted({total * place // count for place in range(count)})
            query = "SELECT text FROM documents WHERE number = ?"
            return [text for number in numbers for (text,) in db.execute(query, (number,))]

    def finish(self, language: str = NONE) -> None:
        """Add what documents are found by: a column for each field, and the words of the texts, in their language.

        Raises:
            ResourceError: no space left, or an I/O error; nothing of it is stored.
        """
        with sound(self._path), writing(self._path), self._database.quiet() as db, db:
            db.execute("BEGIN IMMEDIATE")
            write_fields(db)
            write_keywords(db, language)
        with sound(self._path), writing(self._path), self._database.quiet() as db:
            db.execute("PRAGMA incremental_vacuum").fetchall()

    def close(self) -> None:
        self._database.close()

    def in_child(self) -> None:
        """Leave the connection as it is: to close it would roll the parent's transaction back, in the parent's file."""
        keep_for_ever(self._database)
