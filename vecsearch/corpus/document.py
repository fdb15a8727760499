"""The unit that is encoded, stored and found."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain, islice
from pathlib import PurePath
from typing import Any
from uuid import UUID

import numpy as np

from vecsearch import checks
from vecsearch.corpus.values import json_value
from vecsearch.errors import CorpusError

_PLAIN = {str, int, bool, type(None)}
"""Types of the values that are JSON's as they are, whatever they hold."""
_KNOWN = str, bytes, int, float, type(None), datetime.date, datetime.time, datetime.timedelta, Decimal, UUID, PurePath
"""Types of the values that have a form in JSON, as the files that a corpus is read from have them."""


@dataclass(frozen=True, slots=True)
class Document:
    """One searchable text. `fields` is whatever else the corpus says of it and is shown with hits.

    Values of fields are JSON's. Others become what they do where a file has them: dates are texts in ISO 8601, numpy's numbers
    Python's, NaN and infinity None; sets become sorted lists. Raises TypeError for an id or a text that is no string, and for a
    value that is none of all these, naming the document and the field.
    """

    id: str
    text: str
    fields: dict[str, Any] = field(default_factory=dict)
    where: str = field(default="", compare=False)
    """Where it was read, for error messages ("films.jsonl, line 7"); never stored."""
    numbered: bool = field(default=False, compare=False, repr=False)
    """Whether its id is only its number in a corpus without ids: an add then goes on counting where the index ends."""

    def __post_init__(self) -> None:
        if type(self.id) is not str:
            if not isinstance(self.id, str):
                is_number = isinstance(self.id, int | np.integer)
                give = f"ids are strings: {str(self.id)!r}" if is_number else "give a string"
                raise TypeError(f"the id of a document is {checks.described(self.id)}; {give}")
            object.__setattr__(self, "id", str(self.id))
        if type(self.text) is not str:
            object.__setattr__(self, "text", checks.text(f"the text of document {self.id!r}", self.text))
        fields = self.fields
        if type(fields) is dict:
            for name, value in fields.items():
                if type(name) is not str or not (type(value) in _PLAIN or _is_json(value)):
                    break
            else:
                return
        object.__setattr__(self, "fields", _json_fields(fields, self.id))


def _is_json(value: Any) -> bool:
    """Whether a value is JSON's as it is. What is nested too deeply counts as such: it may come from an index."""
    kind = type(value)
    if kind is float:
        return value - value == 0  # neither NaN nor infinite
    if kind is not list and kind is not dict:
        return kind in _PLAIN
    if kind is dict and not {str}.issuperset(map(type, value)):
        return False
    try:
        for item in value if kind is list else value.values():
            if type(item) not in _PLAIN and not _is_json(item):
                return False
    except RecursionError:
        pass
    return True


def checked_documents(documents: Iterable[Document]) -> Iterator[Document]:
    """The documents, the first looked at now, before anything is done, and each of the others when it is asked for.

    Raises: TypeError: something else is among them. CorpusError: an id that is empty.
    """
    if isinstance(documents, Document):
        raise TypeError(f"documents is the document {documents.id!r}; give a list, even of a single one: [document]")
    if isinstance(documents, str | bytes | PurePath):
        raise TypeError(f"documents is {checks.described(documents)}; give read_corpus({str(documents)!r})")
    checked = _checked(checks.iterable("documents", documents, "documents"))
    return chain(list(islice(checked, 1)), checked)


def _checked(documents: Iterable[Document]) -> Iterator[Document]:
    for number, document in enumerate(documents):
        if not isinstance(document, Document):
            raise TypeError(f'documents[{number}] is {checks.described(document)}; give Document("an id", "its text")')
        if not document.id:
            raise CorpusError(f"{document.where or f'documents[{number}]'}: the id is empty; give it one")
        yield document


def _json_fields(fields: Any, id: str) -> dict[str, Any]:
    """The fields of the document `id` with JSON's values. Raises TypeError."""
    if not isinstance(fields, dict):
        raise TypeError(f"the fields of document {id!r} are {checks.described(fields)}; give a dict, or none at all")
    found = {}
    for name, value in fields.items():
        if not isinstance(name, str):
            raise TypeError(f"document {id!r} has a field called {checks.described(name)}; names of fields are strings")
        try:
            found[str(name)] = _json(value)
        except TypeError as error:
            raise TypeError(f"the field {name!r} of document {id!r} {error}; give a number, a text, a list or a dict") from None
        except RecursionError:
            raise TypeError(f"the field {name!r} of document {id!r} is nested too deeply, or in itself; flatten it") from None
    return found


def _json(value: Any) -> Any:
    """`value` as JSON has it. Raises TypeError for what has no such form."""
    if isinstance(value, dict):
        return _json_dict(value)
    if isinstance(value, set | frozenset):
        return [_json(item) for item in sorted(value, key=lambda item: (type(item).__name__, str(item)))]
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    if isinstance(value, np.ndarray):
        return [_json(item) for item in value] if value.ndim else _json(value[()])
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value)
    if isinstance(value, np.bool_ | np.integer | np.floating):
        return json_value(float(value) if isinstance(value, np.floating) else value.item())
    if isinstance(value, _KNOWN):
        return str(value) if isinstance(value, str) else json_value(value)
    raise TypeError(f"is {checks.described(value)}, or holds it")


def _json_dict(value: dict) -> dict[str, Any]:
    for key in value:
        if not isinstance(key, str | int | float | np.number):
            raise TypeError(f"has the key {checks.described(key)}")
    named = {str(key): _json(item) for key, item in value.items()}
    if len(named) < len(value):
        raise TypeError(f"has two keys that are written alike, among {', '.join(named)}")
    return named
