"""Which values the documents of an index have in their fields, and in how many of them: all documents, or those of a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vecsearch.errors import UsageError
from vecsearch.index.examples import examples
from vecsearch.index.field_values import KINDS, Field, FieldValues, ValueCount, field_of, read_values
from vecsearch.index.kept import Kept
from vecsearch.store.filters import CLUSTER
from vecsearch.store.snapshot import Snapshot

KEPT_BYTES = 256 << 20
"""Of values of fields that are kept in memory, so that counting them takes milliseconds."""
KEPT_FIELDS = 1000
SHOWN = 20
"""Names that a message lists."""


@dataclass(frozen=True, slots=True)
class Facet:
    """The values of a field among documents: the most common first, of equally common ones the one that is first in the index.

    The values of a list are counted one by one, each once for a document.
    """

    name: str
    values: list[ValueCount]
    others: int
    """How many more distinct values there are."""
    documents: int
    """How many of the documents have the field."""


@dataclass(frozen=True, slots=True)
class Facets:
    """How many documents were counted, and the facets of them that were asked for, by name."""

    documents: int
    fields: dict[str, Facet]


class FieldCounts:
    """Counts the values of fields in one generation of an index. They are read when they are first asked for, and kept."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._parts = [segment.documents for segment in snapshot.segments]
        self._values = Kept[FieldValues](KEPT_FIELDS, KEPT_BYTES, lambda values: values.nbytes)
        self._told = Kept[tuple[list[Field], list[str]]](1, 0, len)

        self.documents = sum(map(len, self._parts))
        """How many documents are counted, deleted ones among them."""

    def facet(self, name: str, among: np.ndarray | None, limit: int) -> Facet:
        """The `limit` most common values of a field among the documents that a mask (n,) bool leaves; None leaves all.

        Raises UsageError for a field that no document has.
        """
        values = self._values.get(name, lambda: self._read(name))
        counts = values.counts(among)
        documents = len(values.having) if among is None else int(np.count_nonzero(among[values.having]))
        shown = values.most_common(counts, limit)
        return Facet(name, shown, int(np.count_nonzero(counts)) - len(shown), documents)

    def fields(self, alive: np.ndarray | None) -> list[Field]:
        """What is to be known of each field of the documents that are not deleted; those that most have come first."""
        return list(self._tell(alive)[0])

    def examples(self, alive: np.ndarray | None) -> list[str]:
        """Conditions that some of the documents that are not deleted meet."""
        return list(self._tell(alive)[1])

    def _tell(self, alive: np.ndarray | None) -> tuple[list[Field], list[str]]:
        def tell() -> tuple[list[Field], list[str]]:
            read = read_values(self._parts, sorted({name for part in self._parts for name in part.columns}))
            for name, values in read.items():
                self._values.put(name, values)
            found = [field for name, values in read.items() if (field := field_of(name, values, alive)).documents]
            fields = sorted(found, key=lambda field: -field.documents)
            documents = self.documents if alive is None else int(np.count_nonzero(alive))
            return fields, examples(fields, documents)

        return self._told.get("fields", tell)

    def _read(self, name: str) -> FieldValues:
        if any(name in part.columns for part in self._parts):
            return read_values(self._parts, [name])[name]
        clustering = self._snapshot.clustering
        if name != CLUSTER or clustering is None:
            names = sorted({name for part in self._parts for name in part.columns})
            known = ", ".join([*(name or '""' for name in names[:SHOWN]), *(["…"] if len(names) > SHOWN else [])])
            also = f", {CLUSTER}" if clustering else ""
            raise UsageError(f"no document has a field {name!r}; there are: {known or 'none'}{also}")
        first, labels = 0, []
        for segment in self._snapshot.segments:
            labels.append(clustering.labels[first + segment.documents.first_rows()])
            first += segment.rows
        found = np.concatenate([np.empty(0, np.int32), *labels])
        having = np.flatnonzero(found >= 0).astype(np.int32)
        numbers, codes = np.unique(found[having], return_inverse=True)
        kinds = np.full(len(having), KINDS.index("number"), np.uint8)
        return FieldValues(numbers.tolist(), having, codes.astype(np.int32), having, kinds)


def joined(masks: Sequence[np.ndarray | None], sizes: Sequence[int]) -> np.ndarray | None:
    """The masks of several segments of so many documents as one, (n,) bool; None where every one leaves all."""
    if all(mask is None for mask in masks):
        return None
    return np.concatenate([np.ones(size, bool) if mask is None else mask for mask, size in zip(masks, sizes, strict=True)])
