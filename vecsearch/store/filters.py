"""Which documents meet a condition on their fields: asked of SQLite, which may read two tables and do nothing else."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from vecsearch.errors import UsageError
from vecsearch.store.documents import Documents
from vecsearch.store.records import quoted

MOST_SECONDS = 30
"""A condition that takes longer is given up: nested ones can take as long as they like."""
MOST_BYTES = 1 << 26
"""Longest text that SQLite may make while it looks at a condition."""
STEPS = 1000
"""Of SQLite's virtual machine, between two looks at the clock: a single one can take milliseconds over a long text."""
CLUSTER = "cluster"
"""Stands in a condition for the number of a document's cluster, in an index that has clusters."""

_CLUSTER_OF = "_cluster_of"
_FUNCTIONS = {_CLUSTER_OF} | set(
    re.findall(
        r"\S+",
        "abs ceil ceiling coalesce date datetime floor glob hex ifnull iif instr json json_array_length json_each json_extract "
        "json_type json_valid julianday length like lower ltrim max min nullif replace round rtrim sign strftime substr "
        "substring time trim typeof unicode unixepoch upper -> ->>",
    )
)
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION}
_TABLES = {"fields", "documents", "json_each", ""}
_QUOTED = re.compile(r"""'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/|`[^`]*`|\[[^]]*\]|"((?:[^"]|"")*)\"""", re.DOTALL)
"""What quotes keep together in SQL, and comments; group 1 is a name in double quotes."""


def field_names(documents: Documents) -> list[str]:
    """The fields by which the documents can be filtered. Raises UsageError for a file of an earlier version."""
    if "fields" not in documents.tables:
        raise UsageError("a part of the index was made by an earlier vecsearch, without fields to filter by: vecsearch compact")
    with documents.reading() as db:
        return [name for (name,) in db.execute("SELECT name FROM pragma_table_info('fields')") if name != "id"]


def matching(documents: Documents, where: str, names: Sequence[str], clusters: np.ndarray | None = None) -> np.ndarray:
    """Numbers of the documents that meet the condition `where`, rising: (m,) int64.

    It is an SQL expression over the `names` of the index's fields, "id" and "text"; a field that a document does not have is
    NULL. With `clusters` (documents,) int, the number of each document's cluster or one below 0, "cluster" is that number, or
    NULL, whatever fields there are. Raises UsageError for one that SQLite does not understand, that does more than read, or
    that takes too long.
    """
    own = {name.lower(): name for name in field_names(documents)}
    written = _folded(where)
    if clusters is not None:
        names = [*(name for name in names if name.lower() != CLUSTER), CLUSTER]
        own.pop(CLUSTER, None)
    # Those that are not asked about are left out: all segments together may have more than a query of SQLite can.
    asked = [name for name in names if _folded(name) in written or _folded(name.replace('"', '""')) in written]
    columns = (f", {_column(name, own, clusters)} AS {quoted(name)}" for name in asked)
    # No field is called _rowid_ or oid.
    query = (
        f"SELECT _rowid_ FROM (SELECT rowid AS _rowid_, id{''.join(columns)} FROM fields) "
        "LEFT JOIN (SELECT number AS oid, text FROM documents) ON oid = _rowid_ WHERE "
    )
    with documents.reading() as db, _bounded(db):
        if clusters is not None:
            db.create_function(_CLUSTER_OF, 1, lambda number: int(clusters[number]) if clusters[number] >= 0 else None)
        try:
            _check_names(where, names)
            # What breaks out of one pair of parentheses does not break out of two.
            db.execute(f"EXPLAIN {query}((\n{where}\n))")
            return np.array(db.execute(f"{query}(\n{where}\n) ORDER BY _rowid_").fetchall(), np.int64).reshape(-1)
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
            if isinstance(error, sqlite3.DatabaseError) and "malformed" in str(error) and "JSON" not in str(error):
                raise
            raise UsageError(f"the condition {where!r} {_reason(error, names)}") from None


def _column(name: str, own: Mapping[str, str], clusters: np.ndarray | None) -> str:
    """What a name of a condition stands for, in SQL."""
    if clusters is not None and name == CLUSTER:
        return f"{_CLUSTER_OF}(rowid)"
    return quoted(own[name.lower()]) if name.lower() in own else "NULL"


def _folded(text: str) -> str:
    """Text as SQLite compares names: only the letters a to z are the same in both cases."""
    return re.sub("[A-Z]+", lambda match: match[0].lower(), text)


def _check_names(where: str, names: Sequence[str]) -> None:
    """Raise UsageError for a name in double quotes that no field has: SQLite would take it for a text."""
    known = {_folded(name) for name in (*names, "id", "text")}
    for match in _QUOTED.finditer(where):
        if match[1] is not None and _folded(match[1].replace('""', '"')) not in known:
            raise UsageError(
                f"the condition {where!r} {_unknown(match[1], names)}; texts stand in single quotes: genre = 'noir'"
            )


@contextmanager
def _bounded(db: sqlite3.Connection) -> Iterator[None]:
    """While entered, the connection only reads what a condition is about, for a while."""
    until = time.monotonic() + MOST_SECONDS

    def authorise(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        denied = (
            action not in _ALLOWED
            or (action == sqlite3.SQLITE_READ and (first or "").lower() not in _TABLES)
            or (action == sqlite3.SQLITE_FUNCTION and (second or "").lower() not in _FUNCTIONS)
        )
        return sqlite3.SQLITE_DENY if denied else sqlite3.SQLITE_OK

    db.execute("SELECT 1 FROM json_each('[]')")  # SQLite sets it up when it is first used, and may not later
    longest = db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BYTES)
    db.set_authorizer(authorise)
    db.set_progress_handler(lambda: time.monotonic() > until, STEPS)
    try:
        yield
    finally:
        db.set_progress_handler(None, 0)
        db.set_authorizer(None)
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, longest)


def _reason(error: Exception, names: Sequence[str]) -> str:
    """What is wrong with a condition, in the words of the person who wrote it."""
    said = str(error)
    if match := re.search(r"no such column: (.*)", said):
        return _unknown(match[1], names)
    if "interrupted" in said:
        return f"takes longer than {MOST_SECONDS} s; ask for less"
    if any(words in said for words in ("not authorized", "prohibited", "constructor failed")):
        return f"does more than look at the fields of a document ({said})"
    return f"is not understood ({said}); write one such as: year > 1990 and genre = 'noir'"


def _unknown(name: str, names: Sequence[str]) -> str:
    known = ", ".join([*names[:20], *(["…"] if len(names) > 20 else []), "id", "text"])
    return f"names {name!r}, which no document has; there are: {known}"
