"""Functions: those that a condition may call, and those that SQLite lacks and conditions are written with in SQL."""

from __future__ import annotations

import json
import math
import re
import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from vecsearch.corpus.values import cell_value
from vecsearch.store.fields import column_value

CLUSTER_OF = "_cluster_of"
"""The number of the cluster of a document, by its number; NULL where it is in none."""
FIELD = "_field"
"""A field that has no column, of a document's JSON: where its name stands in a list, and whether digits are to be kept."""
WHOLE_NUMBER = "_number"
"""The whole number that a text is written as, if it is one."""
ORDER = "_order"
"""Compares two values, whole numbers of any length among them: negative, 0, positive, or NULL."""
WRITTEN = "_written"
"""Writes a float as JSON does."""
LEAST, MOST = "_least", "_most"
"""Choose among values as ORDER compares them; NULL where one is missing, or they do not compare."""
ROUNDED = "_rounded"
"""Makes a float of an integer beyond 64 bits, and leaves every other value."""
READ = "_read"
"""Reads a text as the number that it is written as; NULL where it is none."""
ABSOLUTE = "_absolute"
"""abs, which in SQLite fails for the least integer of 64 bits."""
_DECIMAL = re.compile(r"\s*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*", re.ASCII)
TEXTS, NUMBERS, AS_IS, JSON = "tnrj"
"""What an argument of a function is read as."""
CALLS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("abs", "ceil", "ceiling", "floor", "round", "sign"), ("number", NUMBERS)),
    "json_extract": ("", JSON + AS_IS),
    **dict.fromkeys(("date", "datetime", "strftime", "time"), ("text", AS_IS)),
    **dict.fromkeys(("julianday", "unixepoch"), ("number", AS_IS)),
    **dict.fromkeys(("glob", "instr", "length", "like", "unicode"), ("number", TEXTS)),
    **dict.fromkeys(("lower", "ltrim", "replace", "rtrim", "trim", "upper"), ("text", TEXTS)),
    **dict.fromkeys(("hex", "typeof"), ("text", AS_IS)),
    **dict.fromkeys(("json", "json_type"), ("text", JSON + AS_IS)),
    "json_array_length": ("number", JSON + AS_IS),
    "json_valid": ("number", AS_IS),
    **dict.fromkeys(("substr", "substring"), ("text", TEXTS + NUMBERS)),
}
"""What a condition may call: what the result always is, and what the arguments are read as, the last letter for all others."""
CHOOSING = ("coalesce", "ifnull", "iif", "max", "min", "nullif")
"""What is one of its arguments."""
FUNCTIONS = CALLS.keys() | set(CHOOSING)
OWN_FUNCTIONS = {CLUSTER_OF, FIELD, WHOLE_NUMBER, ORDER, WRITTEN, LEAST, MOST, ROUNDED, READ, ABSOLUTE}


def define(db: sqlite3.Connection, names: Sequence[str], clusters: np.ndarray | None, *, earlier: bool) -> None:
    """The functions that conditions are written with. In a file of an `earlier` version a text that is written as a number is
    one, as what came from a CSV file was."""

    def field(fields: str, place: int, exact: int) -> Any:
        value = column_value(json.loads(fields).get(names[place]))
        if earlier and isinstance(value, str):
            value = column_value(cell_value(value))
        return float(value) if isinstance(value, bytes) and not exact else value

    db.create_function(FIELD, 3, field, deterministic=True)
    db.create_function(ORDER, 2, _order, deterministic=True)
    db.create_function(WRITTEN, 1, json.dumps, deterministic=True)
    db.create_function(WHOLE_NUMBER, 1, _whole_number, deterministic=True)
    db.create_function(LEAST, -1, partial(_extreme, -1), deterministic=True)
    db.create_function(MOST, -1, partial(_extreme, 1), deterministic=True)
    db.create_function(ROUNDED, 1, lambda value: float(value) if isinstance(value, bytes) else value, deterministic=True)
    db.create_function(READ, 1, _read, deterministic=True)
    db.create_function(ABSOLUTE, 1, _absolute, deterministic=True)
    if clusters is not None:
        db.create_function(CLUSTER_OF, 1, lambda number: int(clusters[number]) if clusters[number] >= 0 else None)


def _whole_number(text: str) -> int | None:
    """The whole number that an id is, where it is written as one of 64 bits."""
    return value if isinstance(value := cell_value(text), int) else None


def _read(value: Any) -> Any:
    """A text as the number that it is written as, in any way that a decimal number may be; what is no text stays as it is."""
    if not isinstance(value, str):
        return value
    if not _DECIMAL.fullmatch(value):
        return None
    try:
        number = int(value)
    except ValueError:
        number = float(value)
    if isinstance(number, int) and -(1 << 63) <= number < 1 << 63:
        return number
    return found if math.isfinite(found := float(number)) else None


def _absolute(value: float | None) -> float | None:
    if value is None:
        return None
    return abs(value) if abs(value) < 1 << 63 else float(abs(value))


def _extreme(sign: int, *values: Any) -> Any:
    """The least (-1) or the most (1) of the values; None where two of them do not compare."""
    best = values[0]
    for value in values[1:]:
        if (order := _order(value, best)) is None:
            return None
        best = value if order * sign > 0 else best
    return best


def _order(left: Any, right: Any) -> int | None:
    """Which of two values is more: positive, 0, or negative; None where one is missing, or one alone is a text."""
    left, right = (int(value) if isinstance(value, bytes) else value for value in (left, right))
    if left is None or right is None or isinstance(left, str) != isinstance(right, str):
        return None
    return (left > right) - (left < right)
