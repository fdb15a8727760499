"""Segments merged to others of a stated size, without what was deleted, in one commit.

A plan says which rows become which new segment. Each of these is made by itself: by this process one after another, or by
others, anywhere; one that is made is not made again when the work is resumed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vecsearch import checks
from vecsearch.encoders import Encoder
from vecsearch.errors import DamagedIndexError
from vecsearch.index.indexing import indexed
from vecsearch.index.questions import OpenEncoder, encoder_of
from vecsearch.index.update import checked_own_queries, lesser, new_generation
from vecsearch.progress import SILENT, Progress, check_progress
from vecsearch.store.alive import alive_blocks
from vecsearch.store.commit import remove_files
from vecsearch.store.fields import FIELDS
from vecsearch.store.layout import RECORD, SEGMENTS
from vecsearch.store.manifest import Manifest
from vecsearch.store.postings import POSTINGS
from vecsearch.store.segment import SegmentWriter
from vecsearch.store.segment_record import SegmentRecord, describe_segment, read_record, write_record
from vecsearch.store.snapshot import Snapshot, file_problems, open_manifest, read_deletes
from vecsearch.store.writer import IndexWriter
from vecsearch.text.languages import LANGUAGES, language_of

MOST_ROWS = 4_000_000
"""Rows of a segment at the most, where nothing else is asked for."""
COPIED_ROWS = 4096
"""Rows that are copied at a time."""
_TEXTS_LOOKED_AT = 1000

Rows = tuple[int, int, int]
"""The number of a segment, and its rows from one up to another, at which documents begin."""


@dataclass(frozen=True)
class Unit:
    """A segment to make, for any process that sees the index: of which rows of the generation in force, where, and how."""

    rows: tuple[Rows, ...]
    count: int
    """How many of the rows are not deleted."""
    folder: Path
    signature: Mapping[str, Any]
    """What the segment is made from, as JSON values: who resumes the work finds it by that."""
    faiss_name: str
    language: str
    goal: Mapping[str, Any]
    queries: np.ndarray | None


class Made(NamedTuple):
    """What came of a unit: a segment, where it lies, and the names of fields whose texts became numbers."""

    folder: Path
    record: SegmentRecord
    became: set[str]


Doing = Callable[[Sequence[Unit], Snapshot, Progress], Iterable[Made]]
"""Makes units, and gives what came of each, in their order."""


def compact(
    folder: Path,
    *,
    rows: int | None = None,
    queries: np.ndarray | None = None,
    language: str | None = None,
    encoder: Encoder | None = None,
    progress: Progress = SILENT,
    doing: Doing | None = None,
) -> Manifest:
    """Merge segments without what was deleted, and index them again towards the goal that the index was built for.

    An index of at most `rows` rows, 4,000,000 where nothing is said, becomes one segment. In a larger one, segments become
    others of about as many rows, and one that has no more, and a quarter at the least, and nothing deleted, stays as it is.

    Texts that conditions read as numbers, as the cells of CSV files were kept by an earlier vecsearch, become these numbers.
    Their words are read again, in the `language` of that code, or in the one that the index has, or that is found.
    An interrupted compaction goes on where it was. `encoder` stands in for the one that the index carries, where that is one of
    the caller's own. `doing` has the segments made elsewhere.
    """
    if language is not None:
        language = checks.one_of("language", language, LANGUAGES)
    most = MOST_ROWS if rows is None else checks.count("rows", rows, least=1, most=checks.MANY)
    queries = checked_own_queries(folder, queries)
    check_progress(progress)
    with (
        new_generation(folder, resume=True) as (writer, manifest),
        open_manifest(folder, manifest, check=False, leave_out=[entry["name"] for entry in manifest.segments]) as snapshot,
    ):
        one = manifest.rows - manifest.deleted <= most and (rows is None or len(manifest.segments) > 1)
        parts = plan(snapshot, most, keeps=not one and language in (None, manifest.language))
        if not parts:
            return writer.commit([], np.empty(0, np.int64), clusters=None, map=None)
        new = [part for part in parts if isinstance(part, tuple)]
        if not new:
            progress.note("every segment has the size asked for, and no deleted rows: nothing was changed")
            return manifest
        _check_files(snapshot, new)
        language = language or manifest.language or language_of(_some_texts(snapshot), None)
        units = _units(writer, snapshot, parts, language, queries)
        made = list((doing or partial(_one_by_one, encoder))(units, snapshot, progress))
        if became := set[str]().union(*(its.became for its in made)):
            progress.note(
                "texts that an earlier vecsearch kept, and read as numbers in conditions, are numbers now: the fields "
                + ", ".join(map(repr, sorted(became)))
            )
        return _committed(writer, snapshot, parts, made, language)


def plan(snapshot: Snapshot, most: int, *, keeps: bool) -> list[int | tuple[Rows, ...]]:
    """What the segments of an index become, in the order that its rows have: the number of one that stays as it is, or the rows
    that make a new one, `most` at the most where no document has more. With `keeps` one may stay."""
    found: list[int | tuple[Rows, ...]] = []
    stay = [keeps and _may_stay(snapshot, part, most, least=most / 4) for part in range(len(snapshot.segments))]
    for stays, side_by_side in groupby(range(len(stay)), stay.__getitem__):
        parts = list(side_by_side)
        # One that is too small, with nothing beside it to be merged with, would only be made again.
        alone = keeps and len(parts) == 1 and _may_stay(snapshot, parts[0], most)
        found += parts if stays or alone else _cut(snapshot, parts, most)
    return found


def _may_stay(snapshot: Snapshot, part: int, most: int, *, least: float = 0) -> bool:
    """Whether a segment is of this size, and as a compaction makes them."""
    segment, alive = snapshot.segments[part], snapshot.alive[part]
    return alive is None and least <= segment.rows <= most and {FIELDS, POSTINGS} <= segment.documents.tables


def _cut(snapshot: Snapshot, parts: Sequence[int], most: int) -> list[tuple[Rows, ...]]:
    """Segments side by side as rows of new ones, of about the same size each."""
    counts = [_alive_in(snapshot, (part, 0, snapshot.segments[part].rows)) for part in parts]
    total, first = sum(counts), 0
    if not total:
        return []
    pieces = -(-total // most)
    ends = [total * (piece + 1) // pieces for piece in range(pieces)]
    made: list[list[Rows]] = [[] for _ in ends]
    for part, count in zip(parts, counts, strict=True):
        if not count:
            continue
        segment, alive = snapshot.segments[part], snapshot.alive[part]
        rows = None if alive is None else np.flatnonzero(alive)
        inside = [end - first for end in ends[:-1] if first < end < first + count]
        at = np.array(inside if rows is None else rows[inside], np.int64)
        cuts = [0, *segment.documents.first_rows()[segment.documents.numbers(at)].tolist(), segment.rows]
        piece = next(number for number, end in enumerate(ends) if first < end)
        for number, (start, stop) in enumerate(pairwise(cuts), piece):
            if _alive_in(snapshot, (part, start, stop)):
                made[number].append((part, start, stop))
        first += count
    return [tuple(rows) for rows in made if rows]


def _alive_in(snapshot: Snapshot, rows: Rows) -> int:
    part, start, stop = rows
    alive = snapshot.alive[part]
    return stop - start if alive is None else int(np.count_nonzero(alive[start:stop]))


def _check_files(snapshot: Snapshot, parts: Sequence[tuple[Rows, ...]]) -> None:
    """Raise DamagedIndexError for a segment that is read and is not what was written; an index of FAISS is made anew anyway."""
    manifest = snapshot.manifest
    read = {f"{SEGMENTS}/{manifest.segments[part]['name']}/" for rows in parts for part, _, _ in rows}
    wanted = {path for path in manifest.files if any(map(path.startswith, read)) and not path.endswith(".faiss")}
    for problem in file_problems(snapshot.folder, manifest, leave_out=manifest.files.keys() - wanted).values():
        raise DamagedIndexError(problem)


def _some_texts(snapshot: Snapshot) -> Iterator[str]:
    """Texts of documents that are not deleted, evenly spaced, to tell their language by."""
    for segment, alive in zip(snapshot.segments, snapshot.alive, strict=True):
        rows = np.arange(segment.rows) if alive is None else np.flatnonzero(alive)
        wanted = -(-_TEXTS_LOOKED_AT * segment.rows // snapshot.manifest.rows)
        some = rows[np.unique(np.linspace(0, len(rows) - 1, wanted).astype(np.int64))] if len(rows) else rows
        yield from (document.text for document in segment.documents.get(np.unique(segment.documents.numbers(some)).tolist()))


def _units(
    writer: IndexWriter,
    snapshot: Snapshot,
    parts: Sequence[int | tuple[Rows, ...]],
    language: str,
    queries: np.ndarray | None,
) -> list[Unit]:
    """What is to be made, each in its folder; the largest segment that there will be is made towards the index's own goal."""
    manifest = snapshot.manifest
    every = [((part, 0, snapshot.segments[part].rows),) if isinstance(part, int) else part for part in parts]
    sizes = [sum(_alive_in(snapshot, its) for its in rows) for rows in every]
    largest = sizes.index(max(sizes))
    new = [(place, part) for place, part in enumerate(parts) if isinstance(part, tuple)]
    goals = [
        manifest.goal if place == largest else lesser(manifest.goal, (size, manifest.dim)) for place, size in enumerate(sizes)
    ]
    asked = hashlib.sha256(b"" if queries is None else np.ascontiguousarray(queries)).hexdigest()
    job = {"compact generation": manifest.generation, "rows at a time": COPIED_ROWS, "language": language, "queries": asked}
    signatures = [job | {"rows": [list(its) for its in rows], "goal": goals[place]} for place, rows in new]
    return [
        Unit(
            rows=part,
            count=sizes[place],
            folder=folder,
            signature=signature,
            faiss_name=writer.faiss_name,
            language=language,
            goal=goals[place],
            queries=queries,
        )
        for (place, part), signature, folder in zip(new, signatures, writer.folders.units(signatures), strict=True)
    ]


def _one_by_one(given: Encoder | None, units: Sequence[Unit], snapshot: Snapshot, progress: Progress) -> Iterator[Made]:
    before, total = 0, sum(unit.count for unit in units)
    encoder = encoder_of(snapshot.encoder_folder, given)
    for unit in units:
        yield make(unit, snapshot, progress, encoder=encoder, before=before, total=total)
        before += unit.count


def make(
    unit: Unit,
    snapshot: Snapshot,
    progress: Progress = SILENT,
    *,
    encoder: OpenEncoder | None = None,
    before: int = 0,
    total: int | None = None,
) -> Made:
    """Make a segment in its folder, or what is missing of it, and its record. `snapshot` is the generation that it is made of,
    `encoder` opens that of its texts, by default the one that the index carries.

    `progress` is told of "documents" in rows, of which there were so many `before`. Raises as `compact`.
    """
    if (unit.folder / RECORD).exists():
        return Made(unit.folder, read_record(unit.folder), set())
    became, manifest = set[str](), snapshot.manifest
    segment = SegmentWriter(unit.folder, manifest.dim)
    stored = segment.progress.documents
    within = {part: (start, stop) for part, start, stop in unit.rows}
    for documents, vectors, spans in alive_blocks(snapshot, COPIED_ROWS, became_numbers=became, within=within):
        if stored:  # by an interrupted compaction, which stored whole blocks
            stored -= len(documents)
            continue
        segment.append(documents, vectors, spans)
        progress.step("documents", before + segment.rows, total or unit.count)
    segment.finish(unit.language)
    shape = (unit.count, manifest.dim)
    remove_files(unit.folder, [unit.faiss_name])  # it may be half written
    encoder = encoder or encoder_of(snapshot.encoder_folder, None)
    entry, _ = indexed(
        unit.folder, unit.faiss_name, shape, manifest.metric, unit.goal,
        queries=unit.queries, encoder=encoder, progress=progress,
    )  # fmt: skip
    record = describe_segment(
        unit.folder, entry, segment.progress, dim=manifest.dim, metric=manifest.metric, encoder=manifest.encoder,
        chunks=manifest.chunks, language=unit.language,
    )  # fmt: skip
    write_record(unit.folder, record)
    return Made(unit.folder, record, became)


def _committed(
    writer: IndexWriter, snapshot: Snapshot, parts: Sequence[int | tuple[Rows, ...]], made: Sequence[Made], language: str
) -> Manifest:
    """Make what stays and what was made the index."""
    new, entries, files = iter(made), [], {}
    for part in parts:
        if isinstance(part, int):
            entries.append(snapshot.manifest.segments[part])
            continue
        folder, record, _ = next(new)
        entries.append(record.entry(folder.name))
        files |= {f"{SEGMENTS}/{folder.name}/{name}": entry for name, entry in record.files.items()}
    return writer.commit(entries, np.empty(0, np.int64), files=files, language=language, **_of_alive(writer, snapshot))


def _of_alive(writer: IndexWriter, snapshot: Snapshot) -> dict[str, Any]:
    """The clusters and the map of the rows that are not deleted, which a compaction numbers anew in their order."""
    manifest, clusters, map = snapshot.manifest, None, None
    deleted = read_deletes(snapshot.folder, manifest)
    if snapshot.clustering is not None and manifest.clusters is not None:
        clusters = writer.write_labels(manifest.clusters, np.delete(snapshot.clustering.labels, deleted))
    if (places := snapshot.places) is not None:
        map = writer.write_map(replace(places, places=np.delete(places.places, deleted, axis=0)))
    return {"clusters": clusters, "map": map}
