"""The unit that is encoded, stored and found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import PurePath
from typing import Any

import numpy as np

from vecsearch import checks
from vecsearch.corpus.values import half_of_a_pair, has_utf8, is_json, json_value
from vecsearch.errors import CorpusError


@dataclass(frozen=True, slots=True)
class Document:
    """One searchable text. `fields` is whatever else the corpus says of it and is shown with hits.

    Values of fields are JSON's. Others become what they do where a file has them: dates are texts in ISO 8601, numpy's numbers
    Python's, NaN and infinity None; sets become sorted lists.

    Raises: TypeError: an id or a text that is no string, and a value that is none of all these. CorpusError: a date outside the
    years 1 to 9999, half of a surrogate pair, a whole number of more than 4,300 digits. Both name the document and the field.
    """

    id: str
    text: str
    fields: dict[str, Any] = field(default_factory=dict)
    where: str = field(default="", compare=False)
    """Where it was read, for error messages ("films.jsonl, line 7"); never stored."""
    numbered: bool = field(default=False, compare=False, repr=False)
    """Whether its id is only its number in a corpus without ids: an add then goes on counting where the index ends."""
    bare: bool = field(default=False, compare=False, repr=False)
    """Whether it has no text of its own, and its id is shown for it: where an add counts on, the text does as well."""

    def __post_init__(self) -> None:
        if type(self.id) is not str:
            if not isinstance(self.id, str):
                is_number = isinstance(self.id, int | np.integer)
                give = f"ids are strings: {checks.shown(int(self.id))!r}" if is_number else "give a string"
                raise TypeError(f"the id of a document is {checks.described(self.id)}; {give}")
            object.__setattr__(self, "id", str(self.id))
        if type(self.text) is not str:
            object.__setattr__(self, "text", checks.text(f"the text of document {self.id!r}", self.text))
        if not (self.id.isascii() and self.text.isascii()):
            _check_written("id", self.id, self)
            _check_written("text", self.text, self)
        fields = self.fields
        if type(fields) is dict:
            for name, value in fields.items():
                if type(name) is not str or not ((name.isascii() or has_utf8(name)) and is_json(value)):
                    break
            else:
                return
        object.__setattr__(self, "fields", _json_fields(self))


def _check_written(part: str, text: str, document: Document) -> None:
    if not has_utf8(text):
        raise CorpusError(f"{place(document)}: its {part} {half_of_a_pair(text)}, which no file can hold; mend or drop it")


def place(document: Document) -> str:
    """Where a document comes from, for messages."""
    return document.where or f"document {document.id!r}"


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


def _json_fields(document: Document) -> dict[str, Any]:
    """The fields of a document with JSON's values. Raises TypeError, CorpusError."""
    fields, of = document.fields, f"of document {document.id!r}"
    if not isinstance(fields, dict):
        raise TypeError(f"the fields {of} are {checks.described(fields)}; give a dict, or none at all")
    found = {}
    for name, value in fields.items():
        if not isinstance(name, str):
            called = f"has a field called {checks.described(name)}"
            raise TypeError(f"document {document.id!r} {called}; names of fields are strings")
        _check_written(f"field's name {name!r}", name, document)
        try:
            found[str(name)] = json_value(value)
        except TypeError as error:
            raise TypeError(f"the field {name!r} {of} {error}; give a number, a text, a list or a dict") from None
        except ValueError as error:
            raise CorpusError(f"{place(document)}: the field {name!r} cannot be kept: {error}; mend or drop it") from None
        except RecursionError:
            raise TypeError(f"the field {name!r} {of} is nested too deeply, or in itself; flatten it") from None
    return found


TITLES = ("title", "name", "question", "heading", "path")
"""Fields that may tell what a document is."""


def title_of(fields: dict[str, Any], names: Sequence[str] = TITLES) -> str | None:
    """What a document with these fields is called: the first of `names` that is a text."""
    return next((fields[name] for name in names if isinstance(fields.get(name), str)), None)
