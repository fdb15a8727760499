"""What an update does to the documents that an index has: which are new, take an old one's place, stay, or go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from vecsearch.corpus.document import Document, place
from vecsearch.errors import CorpusError
from vecsearch.store.alive import known
from vecsearch.store.records import to_record
from vecsearch.store.snapshot import Snapshot, read_deletes

LOOKUP_DOCUMENTS = 1024
"""Documents that are compared at a time with what the index has of them."""


@dataclass
class Changes:
    """What an update did: documents that are new, that took an old one's place, that were there already, that are gone."""

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    deleted: int = 0
    numbered_from: int | None = field(default=None, repr=False)
    """The id of the first document that came without one, where some did."""


class Gone:
    """The rows that are deleted, with those that an update deletes as well."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._rows = [read_deletes(snapshot.folder, snapshot.manifest)]

    def add(self, part: int, numbers: Sequence[int]) -> None:
        """Delete all rows of these documents of a segment."""
        first = sum(entry["rows"] for entry in self._snapshot.manifest.segments[:part])
        rows = self._snapshot.segments[part].documents.rows(np.array(numbers, np.int64))
        self._rows.append(first + rows)

    def rows(self) -> np.ndarray:
        """All of them: (r,) int64, rising."""
        return np.unique(np.concatenate(self._rows)).astype(np.int64)


def numbered_on(documents: Iterable[Document], snapshot: Snapshot, changes: Changes) -> Iterator[Document]:
    """The documents, those that come without ids with numbers behind all that are ids in the index, deleted ones among them."""
    shift = None
    for document in documents:
        if document.numbered:
            if shift is None:
                numbers = [segment.documents.largest_number() for segment in snapshot.segments]
                largest = max((number for number in numbers if number is not None), default=None)
                shift = 0 if largest is None else largest + 1 - int(document.id)
                changes.numbered_from = int(document.id) + shift
            id = str(int(document.id) + shift)
            document = replace(document, id=id, text=id if document.bare else document.text)
        yield document


def changed(
    documents: Iterator[Document], snapshot: Snapshot, gone: Gone, changes: Changes, *, compare: bool
) -> Iterator[Document]:
    """The documents that the index does not have as they are; what they replace goes to `gone`."""
    met = [np.zeros(len(segment.documents), bool) for segment in snapshot.segments]
    while block := list(islice(documents, LOOKUP_DOCUMENTS)):
        there = known(snapshot, [document.id for document in block])
        for document in block:
            if document.id not in there:
                changes.added += 1
            else:
                segment, number = there[document.id]
                if met[segment][number]:
                    raise CorpusError(f"{place(document)}: the id {document.id!r} comes twice; every document needs its own id")
                met[segment][number] = True
                stored = snapshot.segments[segment].documents.get([number])[0]
                if compare and to_record(stored) == to_record(document):
                    changes.unchanged += 1
                    continue
                changes.replaced += 1
                gone.add(segment, [number])
            yield document
