"""Which values the documents of an index have in their fields, and in how many of them: all documents, or those of a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vecsearch.errors import UsageError
from vecsearch.index.field_values import KINDS, Counted, FieldValues, ValueCount, read_values
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
    """Counts the values of fields in some segments of an index. They are read when they are first asked for, and kept."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._parts = [segment.documents for segment in snapshot.segments]
        self._values = Kept[FieldValues](KEPT_FIELDS, KEPT_BYTES, lambda values: values.nbytes)
        self.documents = sum(map(len, self._parts))
        """How many documents are counted, deleted ones among them."""

    def names(self) -> list[str]:
        """The names of all fields, in order."""
        return sorted({name for part in self._parts for name in part.columns})

    def counted(self, name: str, among: np.ndarray | None) -> Counted | None:
        """The values of a field among the documents that a mask (n,) bool leaves, None leaves all; None where no document of
        these segments has the field."""
        if not any(name in part.columns for part in self._parts) and (name != CLUSTER or self._snapshot.clustering is None):
            return None
        return self._values.get(name, lambda: self._read(name)).counted(among)

    def every(self, among: np.ndarray | None) -> dict[str, Counted]:
        """The values of all fields, read in one pass over the documents."""
        read = read_values(self._parts, self.names())
        for name, values in read.items():
            self._values.put(name, values)
        return {name: values.counted(among) for name, values in read.items()}

    def _read(self, name: str) -> FieldValues:
        if any(name in part.columns for part in self._parts):
            return read_values(self._parts, [name])[name]
        found = np.concatenate([np.empty(0, np.int32), *cluster_labels(self._snapshot)])
        having = np.flatnonzero(found >= 0).astype(np.int32)
        numbers, codes = np.unique(found[having], return_inverse=True)
        kinds = np.full(len(having), KINDS.index("number"), np.uint8)
        return FieldValues(numbers.tolist(), having, codes.astype(np.int32), having, kinds, flags=False)


def cluster_labels(snapshot: Snapshot) -> list[np.ndarray]:
    """The number of the cluster of each document of each segment, (documents,) int32 each, below 0 for none, in an index that
    has clusters."""
    parts = zip(snapshot.firsts, snapshot.segments, strict=True)
    return [snapshot.clustering.labels[first + segment.documents.first_rows()] for first, segment in parts]


def shown(name: str, counted: Counted, limit: int) -> Facet:
    """The facet of a field, of whose values the `limit` most common are shown."""
    common = counted.most_common(limit)
    return Facet(name, common, counted.distinct - len(common), counted.documents)


def unknown_field(name: str, names: Sequence[str], *, clustered: bool) -> UsageError:
    """No document has a field of that name; `names` are those that there are."""
    known = ", ".join([*(one or '""' for one in names[:SHOWN]), *(["…"] if len(names) > SHOWN else [])])
    also = f", {CLUSTER}" if clustered else ""
    return UsageError(f"no document has a field {name!r}; there are: {known or 'none'}{also}")


def joined(masks: Sequence[np.ndarray | None], sizes: Sequence[int]) -> np.ndarray | None:
    """The masks of several segments of so many documents as one, (n,) bool; None where every one leaves all."""
    if all(mask is None for mask in masks):
        return None
    return np.concatenate([np.ones(size, bool) if mask is None else mask for mask, size in zip(masks, sizes, strict=True)])
