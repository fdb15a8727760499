"""New generations of an index from the one in force: documents added, replaced and deleted, segments merged, indexed again.

Every function here is one commit: until it stands, and should it fail, the index is what it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch import ann, checks
from vecsearch.corpus.corpus import checked_corpus
from vecsearch.corpus.document import Document
from vecsearch.corpus.passages import Chunks
from vecsearch.encoders import Encoder
from vecsearch.errors import UsageError
from vecsearch.index.blocks import blocks
from vecsearch.index.changes import Changes, Gone, changed, numbered_on
from vecsearch.index.conditions import Asked, checked_condition, masks
from vecsearch.index.hits import two_weights
from vecsearch.index.indexing import goal_entry, indexed
from vecsearch.index.questions import encoder_of
from vecsearch.metric import Metric, checked_queries
from vecsearch.progress import SILENT, Progress, check_progress
from vecsearch.store.alive import known
from vecsearch.store.clusters import Clustering
from vecsearch.store.filters import MOST_SECONDS
from vecsearch.store.layout import SEGMENTS
from vecsearch.store.manifest import Manifest
from vecsearch.store.places import Places
from vecsearch.store.segment import SegmentWriter
from vecsearch.store.snapshot import generations, open_manifest, read_deletes, read_manifest
from vecsearch.store.writer import IndexWriter


@contextmanager
def new_generation(folder: Path, *, resume: bool = False) -> Iterator[tuple[IndexWriter, Manifest]]:
    """Under the lock: the writer of a new generation of the index in a folder, and the manifest in force."""
    with IndexWriter(folder, update=True, resume=resume) as writer:
        assert writer.manifest is not None  # an update refuses a folder without one
        yield writer, writer.manifest


def add(
    folder: Path,
    documents: Iterable[Document],
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
    resume, corpus = checks.flag("resume", resume), checked_corpus(documents)
    if vectors is not None:
        _, vectors = checks.blocks("vectors", vectors, read_manifest(folder).dim)
    check_progress(progress)
    with new_generation(folder, resume=resume) as (writer, manifest):
        changes = Changes()
        signed = {"add to generation": manifest.generation, "encoder": encoder.fingerprint if encoder else None}
        chunks = Chunks(**manifest.chunks) if manifest.chunks else None
        with open_manifest(folder, manifest, check=False) as snapshot:
            gone = Gone(snapshot)
            new = changed(numbered_on(corpus, snapshot, changes), snapshot, gone, changes, compare=vectors is None)
            segment = writer.segment(manifest.dim, signed | corpus.provenance)
            for block, rows, spans in blocks(new, encoder, vectors, segment, chunks):
                segment.append(block, rows, spans)
                progress.step("documents", segment.rows, corpus.expected(segment.rows))
        if not segment.rows:
            return changes
        entry, language = finished(segment, writer, manifest, encoder, progress)
        counts = Counter(manifest.counts) + Counter({"documents": changes.added})
        writer.commit([*manifest.segments, entry], gone.rows(), counts=dict(counts), language=language)
        return changes


def finished(
    segment: SegmentWriter, writer: IndexWriter, manifest: Manifest, encoder: Encoder | None, progress: Progress
) -> tuple[dict[str, Any], str]:
    """Complete the segment that an update adds, and return the manifest's entry of it, and the language of its words."""
    language = manifest.language or segment.language(encoder.language if encoder else None)
    segment.finish(language)
    shape = (segment.rows, manifest.dim)
    goal = lesser(manifest.goal, shape)
    made = indexed(segment.folder, writer.faiss_name, shape, manifest.metric, goal, encoder=lambda: encoder, progress=progress)
    return made[0], language


def delete(
    folder: Path, *, ids: Sequence[str] = (), where: str | None = None, condition_seconds: float = MOST_SECONDS
) -> Changes:
    """Delete the documents with these ids, or those that meet a condition, which may take so long.

    Raises UsageError for an id that the index does not have, and for a condition that cannot be read; nothing is deleted then.
    """
    ids, where = checks.texts("ids", ids, call="index.delete"), checked_condition(where)
    with new_generation(folder) as (writer, manifest), open_manifest(folder, manifest, check=False) as snapshot:
        gone, found = Gone(snapshot), known(snapshot, ids)
        if missing := [id for id in ids if id not in found]:
            raise UsageError(f"the index has no document with the id {', '.join(map(repr, missing[:5]))}; nothing was deleted")
        numbers: dict[int, set[int]] = {}
        for part, number in found.values():
            numbers.setdefault(part, set()).add(number)
        if where is not None:
            found_masks = masks(snapshot, Asked(where, frozenset(), condition_seconds))
            for part, (segment, mask) in enumerate(zip(snapshot.segments, found_masks, strict=True)):
                numbers.setdefault(part, set()).update(segment.documents.numbers(np.flatnonzero(mask)).tolist())
        for part, some in numbers.items():
            gone.add(part, sorted(some))
        changes = Changes(deleted=sum(map(len, numbers.values())))
        if changes.deleted:
            writer.commit(manifest.segments, gone.rows())
        return changes


def cluster(folder: Path, clustering: Clustering, before: Manifest, *, assigned: bool = False) -> Manifest:
    """Keep clusters with the index, made of the rows of `before`, in place of those it had; or, where they are those it had,
    only the labels of rows that have been `assigned` to them since.

    Raises UsageError where the index holds other rows by now, or other clusters; what was added meanwhile does no harm.
    """
    with new_generation(folder) as (writer, manifest):
        if not _has_rows_of(before, manifest) or (assigned and manifest.clusters != before.clusters):
            raise UsageError(f"{folder} was changed while its documents were put into clusters; do it again")
        entry = writer.write_labels(manifest.clusters, clustering.labels) if assigned else writer.write_clusters(clustering)
        return writer.commit(manifest.segments, read_deletes(folder, manifest), clusters=entry)


def place(folder: Path, places: Places, before: Manifest) -> Manifest:
    """Keep a map with the index, made of the rows of `before`, in place of the one it had. Raises UsageError where the index
    holds other rows by now; what was added meanwhile does no harm."""
    with new_generation(folder) as (writer, manifest):
        if not _has_rows_of(before, manifest):
            raise UsageError(f"{folder} was changed while its map was made; do it again")
        return writer.commit(manifest.segments, read_deletes(folder, manifest), map=writer.write_map(places))


def _has_rows_of(before: Manifest, manifest: Manifest) -> bool:
    """Whether the rows of an earlier generation are the first ones of this one."""
    names = [entry["name"] for entry in before.segments]
    return [entry["name"] for entry in manifest.segments[: len(names)]] == names


def weigh(folder: Path, weights: tuple[float, float]) -> Manifest:
    """Keep how much meaning and words count together."""
    weights = two_weights(weights)
    with new_generation(folder) as (writer, manifest):
        return writer.commit(manifest.segments, read_deletes(folder, manifest), weights=list(weights))


def rebuild(
    folder: str | Path,
    *,
    spec: str | None = None,
    goal: ann.Goal | None = None,
    queries: np.ndarray | None = None,
    encoder: Encoder | None = None,
    progress: Progress = SILENT,
) -> Manifest:
    """Make the FAISS indexes of all segments again from their vectors, towards the goal the index has or another one.

    `encoder` stands in for the one that the index carries, where that is one of the caller's own.
    """
    folder, queries = checks.path("folder", folder), checked_own_queries(folder, queries)
    if spec is not None:
        spec = checks.text("spec", spec)
    if goal is not None:
        checks.instance("goal", goal, ann.Goal, give="Goal(recall=0.95)")
    check_progress(progress)
    with new_generation(folder) as (writer, manifest):
        everything = [entry["name"] for entry in manifest.segments]
        with open_manifest(folder, manifest, leave_out=everything) as snapshot:  # nothing is made from vectors that are damaged
            opens = encoder_of(snapshot.encoder_folder, encoder)
        if spec is not None or goal is not None:
            if spec is not None:
                ann.check_spec(spec, manifest.dim, Metric(manifest.metric))
            asked = goal_entry(spec, goal or ann.Goal())
        else:
            asked = manifest.goal
        entries = []
        for entry in manifest.segments:
            shape = (entry["rows"], manifest.dim)
            goal_here = asked if entry == manifest.largest else lesser(asked, shape)
            place = folder / SEGMENTS / entry["name"]
            made = indexed(
                place, writer.faiss_name, shape, manifest.metric, goal_here, queries=queries, encoder=opens, progress=progress
            )
            entries.append(made[0])
        return writer.commit(entries, read_deletes(folder, manifest), goal=asked)


_BROUGHT_BACK = ("metric", "dim", "goal", "chunks", "encoder", "counts", "clusters", "language", "weights", "sources", "map")


def rollback(folder: Path, generation: int) -> Manifest:
    """Bring an older generation back, as a new one. Raises UsageError for one that is not kept, or is in force."""
    generation = checks.count("generation", generation, least=None)
    with new_generation(folder) as (writer, manifest):
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
    with new_generation(folder) as (writer, manifest):
        return writer.collect(manifest, keep)


def lesser(goal: Mapping[str, Any], shape: tuple[int, int]) -> Mapping[str, Any]:
    """The goal of a segment that is not the index's largest: few vectors need no index, and may be too few to train one on."""
    few = shape[0] * shape[1] <= ann.EXACT_NUMBERS
    return {**goal, "spec": ann.EXACT} if goal["spec"] and few else goal


def checked_own_queries(folder: str | Path, queries: np.ndarray | None) -> np.ndarray | None:
    """Vectors (q, dim) float32 to measure the recall of an index with, if there are any. Raises UsageError."""
    return None if queries is None else checked_queries(queries, read_manifest(checks.path("folder", folder)).dim, "queries")
