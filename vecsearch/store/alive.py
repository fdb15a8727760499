"""The documents of a generation that are not deleted: how many they are, and all of them, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from vecsearch.corpus.document import Document
from vecsearch.store.documents import Documents
from vecsearch.store.fields import FIELDS, with_numbers
from vecsearch.store.filters import CLUSTER
from vecsearch.store.records import Span
from vecsearch.store.segment import Segment
from vecsearch.store.snapshot import Snapshot


def alive_blocks(
    snapshot: Snapshot,
    size: int,
    *,
    cluster_field: str | None = None,
    became_numbers: set[str] | None = None,
    within: Mapping[int, tuple[int, int]] | None = None,
) -> Iterator[tuple[list[Document], np.ndarray, list[Span] | None]]:
    """The documents that are not deleted, in order, with their vectors (b, dim) float32 and the passages that these stand for
    (None where each is a whole document), about `size` rows at a time. Reads neither what is deleted nor an index of FAISS.

    With `cluster_field`, a name that no field has, that is a field more: the number of the document's cluster, or None. With
    `became_numbers`, texts that conditions read as numbers, as in what an earlier vecsearch wrote, become these; the names of
    their fields are added to it. With `within` only these segments are read, by their numbers, each from a row up to another
    one, at which documents begin.
    """
    first = 0
    for part, (segment, alive) in enumerate(zip(snapshot.segments, snapshot.alive, strict=True)):
        start, first = first, first + segment.rows
        if within is not None and part not in within:
            continue
        stored, starts = segment.documents, start + segment.documents.first_rows()
        for rows in _row_blocks(segment, _between(alive, segment.rows, (within or {}).get(part)), size):
            numbers, places = np.unique(stored.numbers(rows), return_inverse=True)
            placed = zip(places.tolist(), map(stored.span, rows.tolist()), strict=True)
            spans = [(place, *span) for place, span in placed if span] if stored.split else None
            documents = stored.get(numbers.tolist())
            if became_numbers is not None and FIELDS not in stored.tables:
                documents = [replace(document, fields=with_numbers(document.fields, became_numbers)) for document in documents]
            if cluster_field is not None:
                documents = [
                    replace(document, fields=document.fields | {cluster_field: snapshot.cluster(int(starts[number]))})
                    for document, number in zip(documents, numbers, strict=True)
                ]
            yield documents, segment.read(rows), spans


def free_cluster_field(snapshot: Snapshot) -> str:
    """The name under which clusters stand among the documents' fields: `cluster`, or with as many _ as no field has."""
    taken = {name for segment in snapshot.segments for name in segment.documents.columns}
    name = CLUSTER
    while name in taken:
        name += "_"
    return name


def known(snapshot: Snapshot, ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Segment and number of each of the documents with these ids that is there and not deleted."""
    found: dict[str, tuple[int, int]] = {}
    for part, (segment, alive) in enumerate(zip(snapshot.segments, snapshot.alive, strict=True)):
        for id, number in segment.documents.known(ids).items():
            if alive is None or alive[segment.documents.rows(np.array([number]))[0]]:
                found[id] = part, number
    return found


def documents_alive(snapshot: Snapshot) -> int:
    """How many documents are not deleted."""
    return sum(
        len(segment.documents) if alive is None else int(documents_of(segment.documents, alive).sum())
        for segment, alive in zip(snapshot.segments, snapshot.alive, strict=True)
    )


def documents_of(documents: Documents, mask: np.ndarray) -> np.ndarray:
    """Which documents have a row that the mask (n,) bool leaves: (m,) bool, only to be read."""
    if not documents.split:
        return mask
    found = np.zeros(len(documents), bool)
    found[documents.numbers(np.flatnonzero(mask))] = True
    return found


def _between(alive: np.ndarray | None, rows: int, bounds: tuple[int, int] | None) -> np.ndarray | None:
    """Which of so many rows are not deleted, and between two bounds; None where all are."""
    if bounds is None or bounds == (0, rows):
        return alive
    mask = np.zeros(rows, bool)
    mask[slice(*bounds)] = True if alive is None else alive[slice(*bounds)]
    return mask


def _row_blocks(segment: Segment, alive: np.ndarray | None, size: int) -> Iterator[np.ndarray]:
    """The rows of a segment that are not deleted, about `size` at a time, all those of a document together."""
    if not segment.documents.split:
        for first in range(0, segment.rows, size):
            rows = np.arange(first, min(first + size, segment.rows))
            if len(rows := rows if alive is None else rows[alive[rows]]):
                yield rows
        return
    rows = np.arange(segment.rows) if alive is None else np.flatnonzero(alive)
    numbers = segment.documents.numbers(rows)
    order = np.argsort(numbers, kind="stable")
    begins = np.flatnonzero(np.diff(numbers[order], prepend=-1, append=-2))
    # A block ends where a document does, the next one after so many rows.
    cuts = np.unique(np.searchsorted(begins, np.arange(0, len(rows) + size, size)).clip(max=len(begins) - 1))
    for start, stop in pairwise(begins[cuts].tolist()):
        yield rows[order[start:stop]]
