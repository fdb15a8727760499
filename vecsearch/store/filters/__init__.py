"""Which documents meet a condition on their fields: asked of SQLite, which is shown no name that a person wrote."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import numpy as np

from vecsearch.errors import UsageError
from vecsearch.store.documents import Documents
from vecsearch.store.fields import FIELDS, VALUES, Column
from vecsearch.store.filters.functions import CLUSTER_OF, FIELD, FUNCTIONS, OWN_FUNCTIONS, WHOLE_NUMBER, define
from vecsearch.store.filters.grammar import Node, parse
from vecsearch.store.filters.sql import Writer
from vecsearch.store.filters.tokens import Refused
from vecsearch.store.filters.values import ANY, BIG, NUMBER, TEXT, Origin, Value, balanced
from vecsearch.store.layout import Closed

MOST_SECONDS = 30.0
"""A condition that takes longer is given up, where nobody says another limit: nested ones can take as long as they like."""
MOST_BYTES = 1 << 26
"""Longest text that SQLite may make while it looks at a condition."""
STEPS = 1000
"""Of SQLite's virtual machine, between two looks at the clock: a single one can take milliseconds over a long text."""
CLUSTER = "cluster"
"""Stands in a condition for the number of a document's cluster, in an index that has clusters."""
OWN = "document"
"""Before a dot: what follows is the document's own, whatever fields there are. `document.id`, `document.text`."""
OF_FIELDS = "fields"
"""Before a dot: what follows is a field."""

_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION}
_TABLES = {VALUES, "documents", "json_each", "json_tree", ""}
_GATHERED = "group_concat"
"""Gives many numbers as one text. A row of Python's for each takes several times as long."""
AT_ONCE = 1 << 22
"""Documents whose numbers are gathered in one text, which then has less than MOST_BYTES."""
_CALLED = FUNCTIONS | OWN_FUNCTIONS | {"->", "->>", _GATHERED}
FEW = 32
"""An index is used where it leaves at the most one document of so many."""
MOST_PARTS = 20
"""Of a condition that are looked at for an index."""
_LONGEST_PART = 100_000
_COLUMN = re.compile(r"\bv\.c[0-9]+\b")
_SHOWN = 20
"""Names of fields that a message lists."""


class Condition:
    """A condition on the documents of an index: `parts` are those of its segments, `clustered` whether it has clusters.

    It is an SQL expression over fields; `id`, `text` and, in an index that has clusters, `cluster` are the document's own where
    no document has a field of that name, and `document.id` always. A field that a document does not have is NULL; `fields` are
    the names of those that documents elsewhere in the index have. All parts together may take `seconds`.

    Raises UsageError for one that is not understood, or names what no document has.
    """

    def __init__(
        self,
        where: str,
        parts: Sequence[Documents],
        *,
        clustered: bool,
        fields: Collection[str] = (),
        seconds: float = MOST_SECONDS,
    ) -> None:
        self._where, self._parts = where, parts
        self._seconds = self._left = seconds
        self._columns = [part.columns for part in parts]
        self._fields = {name for columns in self._columns for name in columns}.union(fields)
        self._own = ["id", "text", *([CLUSTER] if clustered else [])]
        self._said: dict[str, str] = {}
        with self._refusing():
            self._tree = parse(where)
            # Whatever the segments hold, and were there none, the names are known.
            Writer(lambda node: self._found(node, {}, [])).condition(self._tree)

    def matching(self, part: int, clusters: np.ndarray | None = None) -> np.ndarray:
        """Numbers of a part's documents that meet the condition, rising: (m,) int64. `clusters` (documents,) int is the number
        of each document's cluster, or one below 0. Raises UsageError for what SQLite refuses, or takes too long over."""
        columns, names = self._columns[part], []
        with self._refusing():
            sql = Writer(lambda node: self._found(node, columns, names)).condition(self._tree)
            return self._ask(part, sql, names, clusters, self._narrowing(columns))

    def _narrowing(self, columns: dict[str, Column]) -> list[tuple[str, str]]:
        """What all documents that meet the condition have in a single column that has an index: the index, and the SQL."""
        found = []
        indexes = {f"v.c{column.place}": column.index for column in columns.values() if column.index}
        for part in islice(_all_of(self._tree), MOST_PARTS if indexes else 0):
            sql = Writer(lambda node: self._found(node, columns, [])).condition(part)
            of = set(_COLUMN.findall(sql))
            if len(of) == 1 and (index := indexes.get(of.pop())) and "d." not in sql and len(sql) <= _LONGEST_PART:
                found.append((index, sql))
        return found

    def passed_over(self, part: int) -> dict[tuple[str, str], np.ndarray]:
        """Numbers of a part's documents that have a text where the condition reads something else, by the field's name and by
        what it is read as: "a number", "JSON"."""
        columns, names = self._columns[part], []
        with self._refusing():
            writer = Writer(lambda node: self._found(node, columns, names))
            writer.condition(self._tree)
            return {read: self._ask(part, unread, names, None) for read, unread in writer.reads.passed_over.items()}

    @property
    def remarks(self) -> list[str]:
        """What the person who wrote it should know of its names."""
        return list(self._said.values())

    # -- names -------------------------------------------------------------------------------------------------------

    def _found(self, node: Node, columns: dict[str, Column], names: list[str]) -> Value:
        """What a name stands for; the names of fields that have no column go to `names`."""
        *table, name = node.value
        owned = name.lower() if name.lower() in self._own else None
        if [part.lower() for part in table] == [OWN] and owned:
            return self._own_value(owned)
        if not table or [part.lower() for part in table] == [OF_FIELDS]:
            if (field := self._field(name)) is not None:
                if owned and not table:
                    self._said[name] = f"{name} is the documents' field {field!r} here; {OWN}.{owned} is their own"
                return _column(field, columns.get(field), names)
            if owned and not table:
                return self._own_value(owned)
        if not self._parts:  # nothing is known of an index that holds nothing
            return _column(name, None, names)
        raise self._unknown(".".join(node.value), quoted=node.quoted and not table)

    def _field(self, name: str) -> str | None:
        """The field of that name, or the only one that differs from it by case alone. Raises Refused for one of several."""
        alike = sorted(field for field in self._fields if field.casefold() == name.casefold())
        if name in alike:
            if others := [field for field in alike if field != name]:
                self._said[name] = f"there is a field {others[0]!r} as well, which {name!r} is not"
            return name
        if len(alike) > 1:
            raise Refused(f"names {name!r}, which may be {' or '.join(map(repr, alike))}; write it as that field is written")
        return alike[0] if alike else None

    @staticmethod
    def _own_value(name: str) -> Value:
        if name == "id":
            number = f"{WHOLE_NUMBER}(d.id)"
            return Value("d.id", TEXT, number=number, sources=(Origin("id", "d.id", TEXT, number),))
        return Value("d.text", TEXT) if name == "text" else Value(f"{CLUSTER_OF}(d.rowid)", NUMBER)

    def _unknown(self, name: str, *, quoted: bool) -> Refused:
        fields = sorted(self._fields)
        known = ", ".join([*(name or '""' for name in fields[:_SHOWN]), *(["…"] if len(fields) > _SHOWN else []), *self._own])
        more = "; texts stand in single quotes: genre = 'noir'" if quoted else ""
        return Refused(f"names {name!r}, which no document has; there are: {known}{more}")

    # -- SQLite ------------------------------------------------------------------------------------------------------

    def _ask(
        self,
        part: int,
        sql: str,
        names: Sequence[str],
        clusters: np.ndarray | None,
        narrowing: Sequence[tuple[str, str]] = (),
    ) -> np.ndarray:
        documents = self._parts[part]
        # Within the lock, so that a condition that SQLite refuses is not taken for a damaged file.
        with documents.asking() as db, self._refusing():
            until = time.monotonic() + self._left
            try:
                with _bounded(db, lambda: documents.closed or time.monotonic() > until):
                    define(db, names, clusters, earlier=FIELDS not in documents.tables)
                    tables, number = "documents AS d", "d.rowid"
                    if VALUES in documents.tables:
                        # The documents, which may be long, are only looked at where the condition does: a "d." in a literal
                        # does no harm.
                        also = " JOIN documents AS d ON d.rowid = v.number" if "d." in sql else ""
                        tables, number = f"{_values(db, narrowing, len(documents))}{also}", "v.number"
                    return _gathered(db, tables, number, sql, len(documents))
            except sqlite3.OperationalError:
                if documents.closed:
                    raise Closed(documents.path) from None
                raise
            finally:
                self._left = until - time.monotonic()

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Turn what is wrong with the condition into a UsageError, in the words of the person who wrote it."""
        try:
            yield
        except Refused as error:
            raise UsageError(f"the condition {self._where!r} {error}") from None
        except Closed:
            raise
        except RecursionError:
            raise UsageError(
                f"the condition {self._where[:200]!r} is not understood (too long); ask in several steps"
            ) from None
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
            if isinstance(error, sqlite3.DatabaseError) and "malformed" in str(error) and "JSON" not in str(error):
                raise
            raise UsageError(f"the condition {self._where!r} {self._reason(error)}") from None

    def _reason(self, error: Exception) -> str:
        """What is wrong with a condition that SQLite refuses."""
        said = str(error)
        if "interrupted" in said:
            return f"takes longer than {self._seconds:g} s; ask for less"
        return f"is not understood ({said}); write one such as: year > 1990 and genre = 'noir'"


def _column(field: str, column: Column | None, names: list[str]) -> Value:
    """The values of a field in a segment, which may not have it."""
    if column is None:
        return Value("NULL", frozenset())
    if column.place is None:
        names.append(field)
        place = len(names) - 1
        sql = f"{FIELD}(d.fields, {place}, 0)"
        return Value(sql, ANY, exact=f"{FIELD}(d.fields, {place}, 1)", sources=(Origin(field, sql, ANY),))
    own = f"v.c{column.place}"
    sources = (Origin(field, own, column.kinds),)
    if BIG not in column.kinds:
        return Value(own, column.kinds, sources=sources)
    # Where SQLite computes with such integers, they are rounded as SQLite rounds any.
    rounded = f"(CASE typeof({own}) WHEN 'blob' THEN CAST(CAST({own} AS TEXT) AS REAL) ELSE {own} END)"
    return Value(rounded, column.kinds - {BIG} | {"real"}, exact=own, sources=sources)


def _all_of(node: Node) -> Iterator[Node]:
    """The conditions that a document has to meet, every one, to meet this one."""
    for part in node.parts if node.kind == "and" else ():
        yield from _all_of(part)
    if node.kind != "and":
        yield node


def _values(db: sqlite3.Connection, narrowing: Sequence[tuple[str, str]], documents: int) -> str:
    """The columns, to be read by the index that leaves few documents, or one row after another: a row that an index leads to
    takes ten times as long as the next one, and SQLite does not know how many it will lead to."""
    searched: dict[str, list[str]] = {}
    for index, sql in narrowing:
        if _is_found(db, f"{VALUES} AS v INDEXED BY {index} WHERE {sql}"):
            searched.setdefault(index, []).append(sql)
    for index, sqls in searched.items():
        table = f"{VALUES} AS v INDEXED BY {index}"
        most = f"LIMIT 1 OFFSET {documents // FEW}"
        if not db.execute(f"SELECT 1 FROM {table} WHERE {balanced(sqls, 'AND')} {most}").fetchone():
            return table
    return f"{VALUES} AS v NOT INDEXED"


def _is_found(db: sqlite3.Connection, source: str) -> bool:
    """Whether an index leads to the rows of a source, and needs not be looked at from end to end."""
    try:
        plan = db.execute(f"EXPLAIN QUERY PLAN SELECT 1 FROM {source}").fetchall()
    except sqlite3.OperationalError as error:
        if "no query solution" in str(error):
            return False
        raise
    return all(detail.startswith("SEARCH") for *_, detail in plan)


def _gathered(db: sqlite3.Connection, tables: str, number: str, sql: str, documents: int) -> np.ndarray:
    """The numbers, rising, for which a condition in SQL is true, of so many documents."""
    # Looking whether a number is in a block takes a quarter of a scan.
    within = f"{number} >= ? AND {number} < ? AND " if documents > AT_ONCE else ""
    query = f"SELECT {_GATHERED}({number}) FROM {tables} WHERE {within}({sql})"
    found = [np.empty(0, np.int64)]
    for first in range(0, documents, AT_ONCE):
        (text,) = db.execute(query, (first, first + AT_ONCE) if within else ()).fetchone()
        # By an index, as that of ids, they may come in another order.
        found.append(np.sort(np.fromstring(text or "", np.int64, sep=","), kind="stable"))
    return np.concatenate(found)


@contextmanager
def _bounded(db: sqlite3.Connection, ended: Callable[[], bool]) -> Iterator[None]:
    """While entered, the connection only reads what a condition is about, until `ended` says so."""

    def authorise(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        denied = (
            action not in _ALLOWED
            or (action == sqlite3.SQLITE_READ and (first or "").lower() not in _TABLES)
            or (action == sqlite3.SQLITE_FUNCTION and (second or "").lower() not in _CALLED)
        )
        return sqlite3.SQLITE_DENY if denied else sqlite3.SQLITE_OK

    # SQLite sets them up when they are first used, and may not later.
    db.execute("SELECT 1 FROM json_each('[]'), json_tree('[]')")
    longest = db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BYTES)
    db.set_authorizer(authorise)
    db.set_progress_handler(ended, STEPS)
    try:
        yield
    finally:
        db.set_progress_handler(None, 0)
        db.set_authorizer(None)
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, longest)
