"""Which fields of a record are a document's id and text, and what becomes of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from vecsearch.corpus.document import Document
from vecsearch.corpus.source import BadRecord
from vecsearch.corpus.values import PLAIN, cell_value, json_value

ID_FIELDS = ("id", "_id")
"""What an id is called; the first of these that the first record has."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a corpus keeps ids and texts. Without `id_field` a document's id is its record's number.

    Where records are of cells, an empty one is a field that its document does not have.
    """

    text_fields: Sequence[str]
    id_field: str | None
    beir: bool
    cells: bool = False

    @classmethod
    def of(
        cls, first: dict[str, Any], *, text_fields: Sequence[str], id_field: str | None, beir: bool, cells: bool = False
    ) -> Layout:
        """The layout that was asked for, and for the rest the one that a corpus with this first record has."""
        found = next((name for name in ID_FIELDS if name in first), None)
        return cls(tuple(text_fields) or ("text",), id_field or found, beir and not text_fields, cells)

    def document(self, number: int, record: dict[str, Any], where: str) -> Document:
        """The document in `record`.

        Raises: BadRecord when its id or its text is missing or of a wrong type.
        """
        shown = record.keys() - {self.id_field}
        if "text" in self.text_fields:
            shown -= {"text"}
        if self.cells:
            fields = {name: cell_value(value) for name, value in record.items() if value and name in shown}
        else:
            fields = json_fields({name: value for name, value in record.items() if name in shown})
        return Document(self._id(number, record), self._text(record), fields, where, numbered=self.id_field is None)

    def _id(self, number: int, record: dict[str, Any]) -> str:
        if self.id_field is None:
            if own := next((name for name in ID_FIELDS if name in record), None):
                raise BadRecord(f'it has an "{own}", and the first one has none', "give all of them one, or none")
            return str(number)
        value = plain(self.id_field, _field(record, self.id_field, option="--id-field"))
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            problem = f'the id in "{self.id_field}" is {_described(value)}, not a string or a whole number'
            raise BadRecord(problem, "give it one")
        if not value:
            raise BadRecord(f'the id in "{self.id_field}" is empty', "give it one")
        return value

    def _text(self, record: dict[str, Any]) -> str:
        if self.beir:  # BEIR's own data loader searches the title and the text, joined by a space
            title = _string(record, "title") if record.get("title") is not None else ""
            return f"{title} {_string(record, 'text')}".strip()
        return "\n".join(_string(record, name) for name in self.text_fields)


def _field(record: dict[str, Any], name: str, *, option: str) -> Any:
    if name not in record:
        there = ", ".join(map(str, record)) or "none"
        remedy = f"add it, or name another with {option}"
        if len(record) == 1 and (held := [separator for separator in ",;|\t" if separator in there]):
            remedy = f"its columns seem to be separated by {held[0]!r}: give --format csv, or separate them as the suffix says"
        elif any(separator in other for separator in ";|\t" for other in record):
            remedy += "; separate all columns by the same sign"
        elif f'"{name}"' in record:
            remedy = "for a file whose cells are in double quotes give --format csv"
        raise BadRecord(f'no field "{name}" (the fields there are: {there})', remedy)
    return record[name]


def plain(name: str, value: Any) -> Any:
    """An id or a text as the string or number it is where a file's type says it otherwise. Raises BadRecord for bytes that are
    not UTF-8."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            problem = f'byte {error.start + 1} of "{name}" (0x{value[error.start]:02x}) is not UTF-8'
            raise BadRecord(problem, "write it in UTF-8") from error
    return json_value(value) if isinstance(value, UUID | Decimal) else value


def json_fields(record: dict[str, Any]) -> dict[str, Any]:
    """The record with JSON's values. Raises BadRecord for what has none."""
    if PLAIN.issuperset(map(type, record.values())):
        return record
    found = {}
    for name, value in record.items():
        try:
            found[name] = json_value(value)
        except TypeError as error:
            raise BadRecord(f'"{name}" {error}', "write it as a number, a text, a list or an object") from error
        except ValueError as error:
            raise BadRecord(f'"{name}" cannot be kept: {error}', "mend it, or make it null") from error
        except RecursionError as error:
            raise BadRecord("its fields are nested too deeply", "flatten them") from error
    return found


def _string(record: dict[str, Any], name: str) -> str:
    value = plain(name, _field(record, name, option="--text-field"))
    if not isinstance(value, str):
        raise BadRecord(f'the text in "{name}" is {_described(value)}, not a string', "write it as a string")
    return value


def _described(value: Any) -> str:
    if value is None:
        return "null"
    shown = repr(value)
    return f"{shown if len(shown) <= 40 else shown[:40] + '…'} ({type(value).__name__})"
