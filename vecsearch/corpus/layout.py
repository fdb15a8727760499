"""Which fields of a record are a document's id and text, and what becomes of the others."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vecsearch.corpus.cells import cell_value
from vecsearch.corpus.document import Document
from vecsearch.corpus.source import BadRecord


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
        found = next((name for name in ("id", "_id") if name in first), None)
        return cls(tuple(text_fields) or ("text",), id_field or found, beir and not text_fields, cells)

    def document(self, number: int, record: dict[str, Any], where: str) -> Document:
        """The document in `record`.

        Raises: BadRecord when its id or its text is missing or of a wrong type.
        """
        shown = record.keys() - {self.id_field}
        if "text" in self.text_fields:
            shown -= {"text"}
        try:
            if self.cells:
                fields = {name: cell_value(value) for name, value in record.items() if value and name in shown}
            else:
                fields = {name: _json_value(value) for name, value in record.items() if name in shown}
        except RecursionError as error:
            raise BadRecord("its fields are nested too deeply", "flatten them") from error
        return Document(self._id(number, record), self._text(record), fields, where)

    def _id(self, number: int, record: dict[str, Any]) -> str:
        if self.id_field is None:
            return str(number)
        value = _field(record, self.id_field, option="--id-field")
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
        raise BadRecord(f'no field "{name}" (the fields there are: {there})', f"add it, or name another with {option}")
    return record[name]


def _string(record: dict[str, Any], name: str) -> str:
    value = _field(record, name, option="--text-field")
    if not isinstance(value, str):
        raise BadRecord(f'the text in "{name}" is {_described(value)}, not a string', "write it as a string")
    return value


def _described(value: Any) -> str:
    if value is None:
        return "null"
    shown = repr(value)
    return f"{shown if len(shown) <= 40 else shown[:40] + '…'} ({type(value).__name__})"


def _json_value(value: Any) -> Any:
    """`value` as JSON has it: dates in ISO 8601, NaN and infinity as null, anything it has no type for as a string."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _json_value(value.tolist())
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return str(value)
