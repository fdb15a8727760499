"""New generations of an index from the one in force: documents added, replaced and deleted, segments merged, indexed again.

Every function here is one commit: until it stands, and should it fail, the index is what it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch import ann, checks
from vecsearch.corpus.corpus import Corpus
from vecsearch.corpus.document import Document, place
from vecsearch.corpus.passages import Chunks
from vecsearch.encoders import Encoder
from vecsearch.errors import CorpusError, UsageError
from vecsearch.index.build import blocks, goal_entry, goal_of, indexed
from vecsearch.index.view import masks
from vecsearch.metric import Metric
from vecsearch.progress import SILENT, Progress
from vecsearch.store.alive import alive_blocks
from vecsearch.store.clusters import Clustering
from vecsearch.store.layout import SEGMENTS
from vecsearch.store.manifest import Manifest
from vecsearch.store.records import to_record
from vecsearch.store.snapshot import Snapshot, generations, open_manifest, read_deletes
from vecsearch.store.writer import IndexWriter
from vecsearch.text.languages import LANGUAGES

LOOKUP_DOCUMENTS = 1024
"""Documents that are compared at a time with what the index has of them."""
COPIED_ROWS = 4096
"""Rows that a compaction copies at a time."""


@dataclass
class Changes:
    """What an update did: documents that are new, that took an old one's place, that were there already, that are gone."""

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    deleted: int = 0
    numbered_from: int | None = field(default=None, repr=False)
    """The id of the first document that came without one, where some did."""


@contextmanager
def _updating(folder: Path, *, resume: bool = False) -> Iterator[tuple[IndexWriter, Manifest]]:
    with IndexWriter(folder, update=True, resume=resume) as writer:
        assert writer.manifest is not None  # an update refuses a folder without one
        yield writer, writer.manifest


def add(
    folder: Path,
    corpus: Corpus,
    encoder: Encoder | None,
    *,
    vectors: Iterable[np.ndarray] | None = None,
    resume: bool = False,
    progress: Progress = SILENT,
) -> Changes:
    """Add documents; one whose id the index has takes the old one's place, or is passed over where nothing has changed.

    Documents of a corpus without ids (`Document.numbered`) are new: their numbers go on behind the largest that is an id.
    With ready `vectors`, blocks (b, dim) float32, nothing can tell whether a vector has changed: every document is replaced.

    Raises CorpusError, VectorsError, UsageError, ResourceError; the index is then what it was.
    """
    with _updating(folder, resume=resume) as (writer, manifest):
        changes, gone = Changes(), _Gone(manifest)
        signed = {"add to generation": manifest.generation, "encoder": encoder.fingerprint if encoder else None}
        signed |= corpus.provenance
        chunks = Chunks(**manifest.chunks) if manifest.chunks else None
        with open_manifest(folder, manifest, check=False) as snapshot:
            gone.start(snapshot)
            counted = _numbered_on(corpus, snapshot, changes)
            new = _changed(counted, snapshot, gone, changes, compare=vectors is None)
            segment = writer.segment(manifest.dim, signed)
            for block, rows, spans in blocks(new, encoder, vectors, segment, chunks):
                segment.append(block, rows, spans)
                progress.step("documents", segment.rows, corpus.expected(segment.rows))
        if not segment.rows:
            return changes
        language = manifest.language or segment.language(encoder.language if encoder else None)
        segment.finish(language)
        shape = (segment.rows, manifest.dim)
        goal = _lesser(manifest.goal, shape)
        entry = _entry(writer, segment.folder, shape, manifest, goal=goal, progress=progress)
        counts = Counter(manifest.counts) + Counter({"documents": changes.added})
        writer.commit([*manifest.segments, entry], gone.rows(), counts=dict(counts), language=language)
        return changes


def _numbered_on(documents: Iterable[Document], snapshot: Snapshot, changes: Changes) -> Iterator[Document]:
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


def _changed(
    documents: Iterator[Document], snapshot: Snapshot, gone: _Gone, changes: Changes, *, compare: bool
) -> Iterator[Document]:
    """The documents that the index does not have as they are; what they replace goes to `gone`."""
    met = [np.zeros(len(segment.documents), bool) for segment in snapshot.segments]
    while block := list(islice(documents, LOOKUP_DOCUMENTS)):
        known = gone.find([document.id for document in block])
        for document in block:
            if document.id not in known:
                changes.added += 1
            else:
                segment, number = known[document.id]
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


class _Gone:
    """The rows that are deleted, with those that an update deletes as well."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._more: list[np.ndarray] = []

    def start(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._before = read_deletes(snapshot.folder, self._manifest)

    def find(self, ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Segment and number of the documents with these ids that are there and not deleted."""
        found: dict[str, tuple[int, int]] = {}
        for part, (segment, alive) in enumerate(zip(self._snapshot.segments, self._snapshot.alive, strict=True)):
            for id, number in segment.documents.known(ids).items():
                if alive is None or alive[segment.documents.rows(np.array([number]))[0]]:
                    found[id] = part, number
        return found

    def add(self, part: int, numbers: Sequence[int]) -> None:
        """Delete all rows of these documents of a segment."""
        first = sum(entry["rows"] for entry in self._manifest.segments[:part])
        rows = self._snapshot.segments[part].documents.rows(np.array(numbers, np.int64))
        self._more.append(first + rows)

    def rows(self) -> np.ndarray:
        """All of them: (r,) int64, rising."""
        return np.unique(np.concatenate([self._before, *self._more])).astype(np.int64)


def delete(folder: Path, *, ids: Sequence[str] = (), where: str | None = None) -> Changes:
    """Delete the documents with these ids, or those that meet a condition.

    Raises UsageError for an id that the index does not have, and for a condition that cannot be read; nothing is deleted then.
    """
    with _updating(folder) as (writer, manifest), open_manifest(folder, manifest, check=False) as snapshot:
        gone = _Gone(manifest)
        gone.start(snapshot)
        found = gone.find(list(ids))
        if missing := [id for id in ids if id not in found]:
            raise UsageError(f"the index has no document with the id {', '.join(map(repr, missing[:5]))}; nothing was deleted")
        numbers: dict[int, set[int]] = {}
        for part, number in found.values():
            numbers.setdefault(part, set()).add(number)
        if where is not None:
            for part, (segment, mask) in enumerate(zip(snapshot.segments, masks(snapshot, where), strict=True)):
                rows = np.arange(segment.rows) if mask is None else np.flatnonzero(mask)
                numbers.setdefault(part, set()).update(segment.documents.numbers(rows).tolist())
        for part, some in numbers.items():
            gone.add(part, sorted(some))
        changes = Changes(deleted=sum(map(len, numbers.values())))
        if changes.deleted:
            writer.commit(manifest.segments, gone.rows())
        return changes


def compact(
    folder: Path,
    *,
    queries: np.ndarray | None = None,
    language: str | None = None,
    progress: Progress = SILENT,
) -> Manifest:
    """Merge all segments into one without what was deleted, and index it again towards the goal that the index was built for.

    Texts that conditions read as numbers, as the cells of CSV files were kept by an earlier vecsearch, become these numbers.
    Their words are read again, in the `language` of that code, or in the one that the index has, or that is found.
    An interrupted compaction goes on where it was.
    """
    if language is not None:
        language = checks.one_of("language", language, LANGUAGES)
    with _updating(folder, resume=True) as (writer, manifest), open_manifest(folder, manifest) as snapshot:
        signature = {"compact generation": manifest.generation, "rows at a time": COPIED_ROWS}
        segment = writer.segment(manifest.dim, signature, discard_others=True)
        stored, became = segment.progress.documents, set[str]()
        for documents, vectors, spans in alive_blocks(snapshot, COPIED_ROWS, became_numbers=became):
            if stored:  # by an interrupted compaction, which stored whole blocks
                stored -= len(documents)
                continue
            segment.append(documents, vectors, spans)
            progress.step("documents", segment.rows, manifest.rows - manifest.deleted)
        if not segment.rows:
            return writer.commit([], np.empty(0, np.int64), clusters=None)
        if became:
            names = ", ".join(map(repr, sorted(became)))
            progress.note(
                f"texts that an earlier vecsearch kept, and read as numbers in conditions, are numbers now: the fields {names}"
            )
        language = language or manifest.language or segment.language(None)
        segment.finish(language)
        shape = (segment.rows, manifest.dim)
        entry = _entry(writer, segment.folder, shape, manifest, queries=queries, progress=progress)
        return writer.commit(
            [entry], np.empty(0, np.int64), clusters=_labels_alive(writer, manifest, snapshot), language=language
        )


def _labels_alive(writer: IndexWriter, manifest: Manifest, snapshot: Snapshot) -> dict[str, Any] | None:
    """The clusters of the rows that are not deleted, which a compaction numbers anew in the order that they have."""
    if snapshot.clustering is None or manifest.clusters is None:
        return None
    return writer.write_labels(
        manifest.clusters, np.delete(snapshot.clustering.labels, read_deletes(snapshot.folder, manifest))
    )


def cluster(folder: Path, clustering: Clustering, before: Manifest, *, assigned: bool = False) -> Manifest:
    """Keep clusters with the index, made of the rows of `before`, in place of those it had; or, where they are those it had,
    only the labels of rows that have been `assigned` to them since.

    Raises UsageError where the index holds other rows by now, or other clusters; what was added meanwhile does no harm.
    """
    with _updating(folder) as (writer, manifest):
        names = [entry["name"] for entry in before.segments]
        kept = [entry["name"] for entry in manifest.segments[: len(names)]]
        if kept != names or (assigned and manifest.clusters != before.clusters):
            raise UsageError(f"{folder} was changed while its documents were put into clusters; do it again")
        entry = writer.write_labels(manifest.clusters, clustering.labels) if assigned else writer.write_clusters(clustering)
        return writer.commit(manifest.segments, read_deletes(folder, manifest), clusters=entry)


def weigh(folder: Path, weights: tuple[float, float]) -> Manifest:
    """Keep how much meaning and words count together."""
    with _updating(folder) as (writer, manifest):
        return writer.commit(manifest.segments, read_deletes(folder, manifest), weights=list(weights))


def rebuild(
    folder: Path,
    *,
    spec: str | None = None,
    goal: ann.Goal | None = None,
    queries: np.ndarray | None = None,
    progress: Progress = SILENT,
) -> Manifest:
    """Make the FAISS indexes of all segments again from their vectors, towards the goal the index has or another one."""
    with _updating(folder) as (writer, manifest):
        everything = [entry["name"] for entry in manifest.segments]
        open_manifest(folder, manifest, leave_out=everything).close()  # nothing is made from vectors that are damaged
        if spec is not None or goal is not None:
            if spec is not None:
                ann.check_spec(spec, manifest.dim, Metric(manifest.metric))
            asked = goal_entry(spec, goal or ann.Goal())
        else:
            asked = manifest.goal
        entries = []
        for entry in manifest.segments:
            shape = (entry["rows"], manifest.dim)
            goal_here = asked if entry == manifest.largest else _lesser(asked, shape)
            place = folder / SEGMENTS / entry["name"]
            entries.append(_entry(writer, place, shape, manifest, goal=goal_here, queries=queries, progress=progress))
        return writer.commit(entries, read_deletes(folder, manifest), goal=asked)


_BROUGHT_BACK = ("metric", "dim", "goal", "chunks", "encoder", "counts", "clusters", "language", "weights")


def rollback(folder: Path, generation: int) -> Manifest:
    """Bring an older generation back, as a new one. Raises UsageError for one that is not kept, or is in force."""
    with _updating(folder) as (writer, manifest):
        kept = {old.generation: old for old in generations(folder, manifest)}
        if generation == manifest.generation or generation not in kept:
            others = ", ".join(str(number) for number in kept if number != manifest.generation) or "none"
            raise UsageError(
                f"{folder} cannot go back to generation {generation}; it is at {manifest.generation} and keeps {others}"
            )
        old = kept[generation]
        open_manifest(folder, old).close()  # what is damaged is not brought back
        said = {name: getattr(old, name) for name in _BROUGHT_BACK}
        provenance = {**old.provenance, "rollback": generation}
        return writer.commit(old.segments, read_deletes(folder, old), files=old.files, **said, provenance=provenance)


def collect(folder: Path, keep: int) -> list[str]:
    """Remove the generations before the last `keep`, and what interrupted work has left; returns the paths of what is gone."""
    keep = checks.count("keep", keep, least=1, most=checks.MANY)
    with _updating(folder) as (writer, manifest):
        return writer.collect(manifest, keep)


def _lesser(goal: Mapping[str, Any], shape: tuple[int, int]) -> Mapping[str, Any]:
    """The goal of a segment that is not the index's largest: few vectors need no index, and may be too few to train one on."""
    few = shape[0] * shape[1] <= ann.EXACT_NUMBERS
    return {**goal, "spec": ann.EXACT} if goal["spec"] and few else goal


def _entry(
    writer: IndexWriter,
    folder: Path,
    shape: tuple[int, int],
    manifest: Manifest,
    *,
    goal: Mapping[str, Any] | None = None,
    queries: np.ndarray | None = None,
    progress: Progress,
) -> dict[str, Any]:
    """The manifest's entry of a segment, indexed towards the goal."""
    spec, wanted = goal_of(goal or manifest.goal)
    metric = Metric(manifest.metric)
    return indexed(folder, writer.faiss_name, shape, metric, spec=spec, goal=wanted, queries=queries, progress=progress)[0]
