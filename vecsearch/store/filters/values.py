"""What an expression in a condition may be, and how SQL writes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vecsearch.store.filters.functions import WRITTEN

NUMBER = frozenset({"integer", "real"})
TEXT = frozenset({"text"})
BIG = "blob"
"""How an integer beyond 64 bits is stored: its digits, as the one kind of value that no field has otherwise."""
ANY = NUMBER | TEXT


@dataclass(frozen=True, slots=True)
class Origin:
    """A field, or the documents' id, of which an expression may be the value: its name, its SQL, and the kinds of its values.

    `number` is what it is where it counts as a number, if a text may.
    """

    name: str
    sql: str
    kinds: frozenset[str]
    number: str = ""


@dataclass(frozen=True, slots=True)
class Value:
    """An expression in SQL, and the kinds of values that it can have beside NULL, as SQLite's typeof calls them.

    `always` is "number" or "text" where it is that for all documents there could be, whatever those of this segment have: what
    it is compared with is then read as the same. `exact` is an expression in which integers beyond 64 bits keep their digits,
    `number` one that is the value where it is a number, and NULL otherwise.
    """

    sql: str
    kinds: frozenset[str] = ANY
    always: str = ""
    exact: str = ""
    number: str = ""
    sources: tuple[Origin, ...] = ()
    """What is said of it is said of these."""

    @property
    def exactly(self) -> str:
        """The SQL in which integers beyond 64 bits keep their digits."""
        return self.exact or self.sql


class Reads:
    """Reads the values of a condition as numbers, texts or JSON, and notes which fields have texts that cannot be read so."""

    def __init__(self) -> None:
        self.passed_over: dict[tuple[str, str], str] = {}
        """What is true of the documents whose field counts as missing, by the field's name and what it is read as."""

    def number(self, value: Value) -> str:
        """SQL that is the value where it is a number, and NULL otherwise."""
        if value.always != "number":
            for source in value.sources:
                self.pass_over(source, "a number", f"{source.number} IS NULL" if source.number else "1")
        if value.number:
            return value.number
        if value.kinds <= NUMBER:
            return value.sql
        return f"CASE WHEN typeof({value.sql}) IN ('integer', 'real') THEN {value.sql} END"

    def pass_over(self, source: Origin, reading: str, unread: str) -> None:
        """Note which of the texts of a field are not read."""
        if "text" in source.kinds:
            self.passed_over[source.name, reading] = f"typeof({source.sql}) = 'text' AND {unread}"

    def json(self, value: Value) -> str:
        """SQL in which a field's text that is no JSON is NULL; one that the condition itself has is refused."""
        if not value.sources or "text" not in value.kinds:
            return value.sql
        for source in value.sources:
            self.pass_over(source, "JSON", f"NOT json_valid({source.sql})")
        return f"CASE WHEN json_valid({value.sql}) THEN {value.sql} END"

    def text(self, value: Value) -> str:
        """SQL that is the value as a text; a number as it is written."""
        exact = value.exactly
        if value.kinds <= TEXT:
            return exact
        if "real" not in value.kinds:
            return f"CAST({exact} AS TEXT)"
        return f"CASE typeof({exact}) WHEN 'real' THEN {WRITTEN}({exact}) ELSE CAST({exact} AS TEXT) END"


def chosen(write: Callable[[Sequence[str]], str], values: Sequence[Value]) -> Value:
    """What is one of several values, written as `write` has it of their SQL."""
    kinds, always = together(values)
    exact = write([value.exactly for value in values]) if any(value.exact for value in values) else ""
    sources = tuple(source for value in values for source in value.sources)
    return Value(write([value.sql for value in values]), kinds, always, exact, sources=sources)


def together(values: Sequence[Value]) -> tuple[frozenset[str], str]:
    """The kinds that one of several values can have, and what it always is, if they agree."""
    kinds = frozenset[str]().union(*(value.kinds - {BIG} for value in values))
    always = {value.always for value in values if value.kinds}
    return kinds, always.pop() if len(always) == 1 else ""


def balanced(parts: Sequence[str], operator: str) -> str:
    """Parts joined by AND or OR so that the tree of a thousand of them is ten deep: SQLite takes a depth of 1000."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({balanced(parts[:middle], operator)} {operator} {balanced(parts[middle:], operator)})"
