"""The values of fields, counted: each distinct one with a number, and which documents of an index have it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from vecsearch.store.documents import Documents

KINDS = ("boolean", "number", "text", "list", "object")
"""What the value of a field may be."""
MOST_COMMON = 10
"""Values that are told of a field."""
_VALUE_BYTES = 100
"""About what Python takes for a distinct value, a short text for instance."""


class ValueCount(NamedTuple):
    """A value of a field, and how many documents have it."""

    value: Any
    documents: int


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an index's documents."""

    name: str
    kinds: list[str]
    """What its values are: "boolean", "number", "text", "list", "object"."""
    documents: int
    """How many have it."""
    values: int
    """How many distinct values it has; those of a list count one by one, objects not at all."""
    least: float | None
    """The least of its numbers, those in lists among them; None where it has none."""
    most: float | None
    median: float | None
    """The middle one of its numbers, one for each document that has it."""
    common: list[ValueCount]
    """Its ten most common values."""


class _Numbers(dict[Any, int]):
    """Numbers things as they come."""

    def __missing__(self, thing: Any) -> int:
        self[thing] = number = len(self)
        return number


@dataclass(frozen=True)
class FieldValues:
    """The values of a field in all documents of an index, which are counted through its segments.

    The values of a list are values of their own; each counts once for a document. `values` are in the order in which the
    documents have them first.
    """

    values: list[Any]
    documents: np.ndarray
    """(o,) int32, rising: the document of each occurrence of a value."""
    codes: np.ndarray
    """(o,) int32: which of the values it is."""
    having: np.ndarray
    """(h,) int32, rising: the documents that have the field."""
    kinds: np.ndarray
    """(h,) uint8: which of KINDS its value is there."""
    flags: bool
    """Whether every value is 0 or 1, true or false among them: a column has these as numbers."""

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        arrays = (self.documents, self.codes, self.having, self.kinds)
        return sum(array.nbytes for array in arrays) + _VALUE_BYTES * len(self.values)

    def counted(self, among: np.ndarray | None) -> Counted:
        """The values among the documents that the mask `among` (n,) bool leaves; None leaves all."""
        codes = self.codes if among is None else self.codes[among[self.documents]]
        kinds = self.kinds if among is None else self.kinds[among[self.having]]
        counts = np.bincount(codes, minlength=len(self.values))
        return Counted(self.values, counts, np.bincount(kinds, minlength=len(KINDS)), self.flags)


@dataclass(frozen=True)
class Counted:
    """The values of a field among some documents, in the order in which these have them first, and how many have each."""

    values: list[Any]
    counts: np.ndarray
    """(values,) int64; 0 for what only other documents have."""
    kinds: np.ndarray
    """(len(KINDS),) int64: how many documents have a value of each kind."""
    flags: bool
    """As in `FieldValues`."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process is sent what is there; of flags all, since the first one says whether 1 is true."""
        places = np.arange(len(self.counts)) if self.flags else np.flatnonzero(self.counts)
        return Counted, ([self.values[place] for place in places.tolist()], self.counts[places], self.kinds, self.flags)

    @classmethod
    def merged(cls, parts: Sequence[Counted]) -> Counted:
        """Those of several parts of an index, in its order, as one."""
        if len(parts) == 1:
            return parts[0]
        flags = all(part.flags for part in parts)
        if not flags:
            parts = [part._as_numbers() if part.flags else part for part in parts]
        numbers = _Numbers()
        places = [np.fromiter((numbers[value] for value in part.values), np.int64, len(part.values)) for part in parts]
        counts = np.zeros(len(numbers), np.int64)
        for of_part, part in zip(places, parts, strict=True):
            np.add.at(counts, of_part, part.counts)
        kinds = sum((part.kinds for part in parts), np.zeros(len(KINDS), np.int64))
        return cls(list(numbers), counts, _kinds_of(numbers, counts) if flags else kinds, flags)

    def _as_numbers(self) -> Counted:
        """Flags as a column has them, beside other values."""
        values = [int(value) for value in self.values]
        return replace(self, values=values, kinds=_kinds_of(values, self.counts))

    @property
    def documents(self) -> int:
        """How many of the documents have the field."""
        return int(self.kinds.sum())

    @property
    def distinct(self) -> int:
        """How many distinct values there are."""
        return int(np.count_nonzero(self.counts))

    def most_common(self, limit: int) -> list[ValueCount]:
        """The `limit` most common values, of equally common ones the first."""
        found = np.flatnonzero(self.counts)
        if len(found) > limit:
            of_found = self.counts[found]
            least = np.partition(of_found, len(found) - limit)[len(found) - limit]
            above = found[of_found > least]
            found = np.concatenate([above, found[of_found == least][: limit - len(above)]])
        order = found[np.lexsort((found, -self.counts[found]))]
        return [ValueCount(self.values[place], int(self.counts[place])) for place in order.tolist()]

    def field(self, name: str) -> Field:
        """What is to be known of the field."""
        numbers = sorted(
            (value, place)
            for place in np.flatnonzero(self.counts).tolist()
            if isinstance(value := self.values[place], int | float) and value is not True and value is not False
        )
        median = None
        if numbers:
            summed = np.cumsum(self.counts[[place for _, place in numbers]])
            median = numbers[int(np.searchsorted(summed, (summed[-1] + 1) // 2))][0]
        return Field(
            name,
            [kind for kind, count in zip(KINDS, self.kinds.tolist(), strict=True) if count],
            self.documents,
            self.distinct,
            numbers[0][0] if numbers else None,
            numbers[-1][0] if numbers else None,
            median,
            self.most_common(MOST_COMMON),
        )


def _kinds_of(values: Iterable[Any], counts: np.ndarray) -> np.ndarray:
    """How many documents have a value of each kind, where each has one, (values,) int64 which: (len(KINDS),) int64."""
    return np.bincount([KINDS.index(_read(value)[0]) for value in values], counts, len(KINDS)).astype(np.int64)


def read_values(parts: Sequence[Documents], names: Sequence[str]) -> dict[str, FieldValues]:
    """The values of the fields with these names, read in one pass over the documents of an index's segments.

    They are what a condition compares: a text that is the JSON of a list, as such a cell of a CSV file is, counts as that list.
    """
    cells = {name: _Numbers() for name in names}
    codes: dict[str, list[np.ndarray]] = {name: [np.empty(0, np.int32)] for name in names}
    having: dict[str, list[np.ndarray]] = {name: [np.empty(0, np.int32)] for name in names}
    first = 0
    for part in parts:
        for start, columns in part.field_cells(names):
            for name, column in zip(names, columns, strict=True):
                found = np.array([cell is not None for cell in column], bool)
                present = column if found.all() else [cell for cell in column if cell is not None]
                codes[name].append(np.fromiter(map(cells[name].__getitem__, present), np.int32, len(present)))
                having[name].append((first + start + np.flatnonzero(found)).astype(np.int32))
        first += len(part)
    made = {}
    for name in names:
        documents = np.concatenate(having.pop(name))
        made[name] = _expanded(name, parts, list(cells.pop(name)), np.concatenate(codes.pop(name)), documents)
    return made


def _expanded(name: str, parts: Sequence[Documents], cells: list[Any], codes: np.ndarray, having: np.ndarray) -> FieldValues:
    """The values of a field whose distinct cells and, for the documents that have it, which of these each has are known."""
    if flags := set(cells) <= {0, 1}:
        cells = _as_given(name, parts, cells, having[np.unique(codes, return_index=True)[1]])
    numbers, lists, kinds = _Numbers(), [], []
    for cell in cells:
        kind, values = _read(cell)
        kinds.append(KINDS.index(kind))
        lists.append([numbers[value] for value in values])
    sizes = np.array([len(of_cell) for of_cell in lists], np.int64)
    flat = np.fromiter((code for of_cell in lists for code in of_cell), np.int32, int(sizes.sum()))
    counted = sizes[codes]
    ends = np.cumsum(counted)
    places = np.repeat((np.cumsum(sizes) - sizes)[codes] - (ends - counted), counted) + np.arange(counted.sum())
    kinds_of = np.array(kinds, np.uint8)[codes] if kinds else having
    return FieldValues(list(numbers), np.repeat(having, counted), flat[places], having, kinds_of, flags)


def _as_given(name: str, parts: Sequence[Documents], cells: list[Any], documents: np.ndarray) -> list[Any]:
    """The cells 0 and 1 as a document has them that has each: columns have true as 1."""
    starts = np.cumsum([0, *(len(part) for part in parts)])
    given = []
    for document in documents.tolist():
        part = int(np.searchsorted(starts, document, "right")) - 1
        given.append(parts[part].get([document - int(starts[part])])[0].fields[name])
    # An earlier vecsearch may have read a text as a number.
    return [value if isinstance(value, bool) else cell for value, cell in zip(given, cells, strict=True)]


def _read(cell: Any) -> tuple[str, Iterable[Any]]:
    """What kind of value a cell of a column is, and its values, each once."""
    if isinstance(cell, str) and cell[:1] in ("[", "{"):
        try:
            found = json.loads(cell, parse_constant=_refuse)
        except (ValueError, RecursionError):
            return "text", (cell,)
        return ("list", _values(found)) if isinstance(found, list) else ("object", ())
    if isinstance(cell, bytes):  # an integer beyond 64 bits
        return "number", (int(cell),)
    return "boolean" if isinstance(cell, bool) else "number" if isinstance(cell, int | float) else "text", (cell,)


def _refuse(constant: str) -> None:
    """NaN and infinity are no JSON for SQLite."""
    raise ValueError(constant)


def _values(found: list[Any]) -> Iterable[Any]:
    """The values of a list that can be compared, each once."""
    return dict.fromkeys(value for value in found if value is not None and not isinstance(value, list | dict))
