"""The fields of a segment's documents as columns of two tables, which conditions are asked of.

`field_names` has the name of each field, the number of its column, and how many documents have an integer, a float, a text and
an integer beyond 64 bits there. `field_values` has a row for each document, with a column of no affinity for each of the fields
that most documents have. Of many documents, the columns of single values have an index each, for conditions that few of them
meet. All is made from the documents alone.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vecsearch.corpus.values import cell_value

FIELDS, VALUES = "field_names", "field_values"
MOST_COLUMNS = 500
"""Fields that have a column: SQLite's tables have so many. Others, which few documents have, are read from the documents."""
INDEXED_FROM = 10_000
"""Documents of which columns have an index; fewer are looked at in less than a millisecond."""
LEAST_VALUES = 16
"""Different values of a column that has an index: fewer are in many documents each."""
LONGEST = 64
"""Characters, on average, of a column's texts that are kept once more in an index."""
_KINDS = ("integer", "real", "text", "blob")
"""What SQLite's typeof calls a field's value; a blob is an integer beyond 64 bits, as its digits."""


@dataclass(frozen=True, slots=True)
class Column:
    """Where a field of a segment is kept: the number of its column, None where it has none, the kinds of values there, and the
    name of the column's index, if it has one."""

    place: int | None
    kinds: frozenset[str]
    index: str | None = None


def column_value(value: Any) -> Any:
    """A field's value as its column has it: a number, a text, or NULL; lists and objects are JSON, booleans 0 and 1, and an
    integer beyond 64 bits its digits as bytes."""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        return int(value) if -(1 << 63) <= value < 1 << 63 else str(value).encode()
    return value


def with_numbers(fields: dict[str, Any], became: set[str]) -> dict[str, Any]:
    """The fields of a document that an earlier vecsearch wrote, with the numbers that conditions took its texts for; the names
    of those that were texts are added to `became`."""
    read = {name: cell_value(value) if isinstance(value, str) else value for name, value in fields.items()}
    became.update(name for name, value in fields.items() if isinstance(value, str) and not isinstance(read[name], str))
    return read


def write_fields(db: sqlite3.Connection) -> None:
    """Make both tables from the documents that are there, within the transaction that is under way."""
    counts: Counter[tuple[str, str]] = Counter()
    present: Counter[str] = Counter()
    for _, values in _fields_of_all(db):
        present.update(values.keys())
        counts.update((name, _kind(value)) for name, value in values.items())
    names = [name for name, _ in sorted(present.items(), key=lambda item: (-item[1], item[0]))]
    columns = names[:MOST_COLUMNS]
    db.execute(f"DROP TABLE IF EXISTS {FIELDS}")
    db.execute(f"DROP TABLE IF EXISTS {VALUES}")
    db.execute(f"CREATE TABLE {FIELDS} (name TEXT PRIMARY KEY, place INTEGER, integers, reals, texts, bigs) WITHOUT ROWID")
    db.executemany(
        f"INSERT INTO {FIELDS} VALUES (?, ?, ?, ?, ?, ?)",
        (
            (name, place if place < MOST_COLUMNS else None, *(counts[name, kind] for kind in _KINDS))
            for place, name in enumerate(names)
        ),
    )
    db.execute(f"CREATE TABLE {VALUES} (number INTEGER PRIMARY KEY{''.join(f', c{n}' for n in range(len(columns)))})")
    marks = ", ".join("?" * (1 + len(columns)))
    db.executemany(f"INSERT INTO {VALUES} VALUES ({marks})", _rows(db, columns))
    (documents,) = db.execute(f"SELECT count(*) FROM {VALUES}").fetchone()
    if documents < INDEXED_FROM:
        return
    for column in (f"c{place}" for place in range(len(columns))):
        if _is_told_apart(db, column):
            # A document that lacks the field meets no comparison with a value.
            db.execute(f"CREATE INDEX {VALUES}_{column} ON {VALUES} ({column}) WHERE {column} IS NOT NULL")


def _is_told_apart(db: sqlite3.Connection, column: str) -> bool:
    """Whether a column has many different values, and short ones: not lists, whose values conditions look for one by one."""
    different = f"SELECT DISTINCT {column} FROM {VALUES} WHERE {column} IS NOT NULL LIMIT {LEAST_VALUES}"
    if len(db.execute(different).fetchall()) < LEAST_VALUES:
        return False
    texts = f"SELECT avg(length({column})), avg(substr({column}, 1, 1) IN ('[', '{{')) FROM {VALUES}"
    length, json_share = db.execute(f"{texts} WHERE typeof({column}) = 'text'").fetchone()
    return length is None or (length <= LONGEST and json_share < 0.5)


def _fields_of_all(db: sqlite3.Connection) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, fields in db.cursor().execute("SELECT rowid, fields FROM documents ORDER BY rowid"):
        yield number, json.loads(fields)


def _rows(db: sqlite3.Connection, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    for number, values in _fields_of_all(db):
        yield number, *(column_value(values.get(name)) for name in columns)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, float):
        return "real"
    if isinstance(value, int):
        return "integer" if -(1 << 63) <= value < 1 << 63 else "blob"
    return "text"


def read_columns(db: sqlite3.Connection, tables: set[str]) -> dict[str, Column]:
    """The fields of a segment, by name. A file of an earlier version has no columns for them."""
    if FIELDS not in tables:
        names = db.execute("SELECT DISTINCT key FROM documents, json_each(documents.fields)") if "documents" in tables else ()
        return {name: Column(None, frozenset(_KINDS)) for (name,) in names}
    indexes = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
    found = {}
    for name, place, *counts in db.execute(f"SELECT * FROM {FIELDS}"):
        index = f"{VALUES}_c{place}"
        kinds = frozenset(kind for kind, count in zip(_KINDS, counts, strict=True) if count)
        found[name] = Column(place, kinds, index if index in indexes else None)
    return found


def read_cells(db: sqlite3.Connection, columns: Mapping[str, Column | None], numbers: range) -> Iterator[tuple[Any, ...]]:
    """A row for each of the documents with these numbers: what the columns of fields hold, in the order of the names; None
    stands for a field that no document of the segment has. Fields without a column are read from the documents."""
    shown = ", ".join("NULL" if column is None or column.place is None else f"c{column.place}" for column in columns.values())
    span = numbers.start, numbers.stop
    rows: Iterable[tuple[Any, ...]] = ((None,) * len(columns) for _ in numbers)
    if any(column is not None and column.place is not None for column in columns.values()):
        rows = db.execute(f"SELECT {shown} FROM {VALUES} WHERE number >= ? AND number < ? ORDER BY number", span)
    elsewhere = {place: name for place, (name, column) in enumerate(columns.items()) if column and column.place is None}
    if not elsewhere:
        yield from rows
        return
    documents = db.execute("SELECT fields FROM documents WHERE rowid >= ? AND rowid < ? ORDER BY rowid", span)
    for row, (fields,) in zip(rows, documents, strict=True):
        values = json.loads(fields)
        yield tuple(
            column_value(values.get(elsewhere[place])) if place in elsewhere else cell for place, cell in enumerate(row)
        )


def problems(db: sqlite3.Connection) -> Iterator[str]:
    """How the columns differ from the documents that they were made of."""
    places = {name: place for name, place in db.execute(f"SELECT name, place FROM {FIELDS}")}
    columns = [name for name, place in sorted(places.items(), key=lambda item: item[1] or 0) if place is not None]
    wrong = 0
    cursor = db.cursor().execute(f"SELECT * FROM {VALUES} ORDER BY number")
    for made in _rows(db, columns):
        wrong += cursor.fetchone() != made
    wrong += len(cursor.fetchall())
    if wrong:
        yield f"its columns of fields are not those of its documents, for {wrong} of them"
    if missing := {name for _, values in _fields_of_all(db) for name in values} - places.keys():
        yield f"its documents have a field {min(missing)!r}, which its names of fields lack"
