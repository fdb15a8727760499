"""Whether an index on disk is whole: every byte against its hash, every part against the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch import metric
from vecsearch.errors import DamagedIndexError
from vecsearch.store.clusters import read_clusters
from vecsearch.store.layout import CURRENT, DOCUMENTS, LOCK, REMOTES, SEGMENTS, files_below, is_own, manifest_name
from vecsearch.store.manifest import Manifest
from vecsearch.store.places import read_places
from vecsearch.store.segment import Segment
from vecsearch.store.snapshot import file_problems, generations, read_deletes, read_manifest

_BLOCK_ROWS = 8192


@dataclass(frozen=True)
class Verification:
    """What `verify` found: the index is whole when there are no problems; notes are harmless."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(folder: Path, reading: Callable[[str], None] = lambda path: None) -> Verification:
    """Every problem of the generations that the index in `folder` keeps, each naming its file, and every file beside them.

    `reading` hears of each part before it is parsed.

    Raises:
        UnsupportedIndexError: no such folder, not an index, or a newer format.
    """
    folder = Path(folder)
    kept, problems = _kept(folder)
    broken: dict[str, str] = {}
    checked: dict[str, dict[str, Any]] = {}
    segments: dict[str, tuple[int, int]] = {}
    for manifest in kept:
        # Generations share files: each is hashed once.
        seen = [path for path, entry in manifest.files.items() if checked.get(path) == entry]
        broken |= file_problems(folder, manifest, leave_out=seen)
        checked |= manifest.files
        segments |= {entry["name"]: (entry["rows"], manifest.dim) for entry in manifest.segments}
        parts = ((read_deletes, manifest.deletes), (read_clusters, manifest.clusters), (read_places, manifest.map))
        for read, named in parts:
            names = [value for value in (named or {}).values() if value in manifest.files]
            if names and not broken.keys() & set(names):
                try:
                    read(folder, manifest)
                except DamagedIndexError as error:
                    broken[names[0]] = str(error)
    found = list(broken.items())
    for name, (rows, dim) in sorted(segments.items()):
        # The parts of a segment that is not what was written are not parsed.
        if not any(path.startswith(f"{SEGMENTS}/{name}/") and not path.endswith(".faiss") for path in broken):
            reading(f"{folder / SEGMENTS / name}")
            some = _segment_problems(folder / SEGMENTS / name, rows, dim)
            found += [(f"{SEGMENTS}/{name}/{DOCUMENTS}", problem) for problem in some]
    if found:
        # A writer may have removed meanwhile what no generation needs any more.
        still, unread = _kept(folder)
        problems += [problem for path, problem in found if unread or any(path in manifest.files for manifest in still)]
    return Verification(problems, _notes(folder, kept))


def _kept(folder: Path) -> tuple[list[Manifest], list[str]]:
    """The generations that are kept, the newest first, and why those before them cannot be read."""
    kept: list[Manifest] = []
    try:
        kept.extend(generations(folder, read_manifest(folder)))
    except DamagedIndexError as error:
        return kept, [str(error)]
    return kept, []


def _segment_problems(folder: Path, rows: int, dim: int) -> list[str]:
    try:
        segment = Segment(folder, rows=rows, dim=dim)
    except DamagedIndexError as error:
        return [str(error)]
    try:
        problems = [f"{folder}: {problem}" for problem in segment.documents.problems()]
    except DamagedIndexError as error:
        problems = [str(error)]
    finally:
        segment.close()
    return problems + _vector_problems(segment)


def _vector_problems(segment: Segment) -> list[str]:
    problems = []
    for start in range(0, segment.rows, _BLOCK_ROWS):
        block = segment.vectors[start : start + _BLOCK_ROWS]
        with np.errstate(over="ignore", invalid="ignore"):
            norms = metric.norms(block)
        if not np.isfinite(block).all():
            row = start + int(np.argmin(np.isfinite(block).all(axis=1)))
            problems.append(f"{segment.folder}: the vector of row {row} holds NaN or infinity")
        stored = segment.norms[start : start + _BLOCK_ROWS]
        # Another processor may add in another order.
        wrong = ~np.isclose(stored, norms, rtol=1e-6, atol=0, equal_nan=True)
        if wrong.any():
            row = int(np.argmax(wrong))
            problems.append(f"{segment.folder}: the norm of row {start + row} is stored as {stored[row]}, but is {norms[row]}")
    return problems


def _notes(folder: Path, kept: Sequence[Manifest]) -> list[str]:
    named = {CURRENT, LOCK, REMOTES}
    for manifest in kept:
        named |= {*manifest.files, manifest_name(manifest.generation)}
    kinds = {
        True: "left over from interrupted work: --resume may continue it, the next commit or vecsearch gc removes it",
        False: "not part of the index",
    }
    return [f"{folder / path} is {kinds[is_own(path)]}" for path in files_below(folder) if path not in named]
