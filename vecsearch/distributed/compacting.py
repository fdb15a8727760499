"""An index compacted by several processes, on this machine or on many: each makes some of the new segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vecsearch import checks
from vecsearch.distributed.crew import Crew
from vecsearch.engine import Engine
from vecsearch.index import compact as compacting
from vecsearch.index.compact import Made, Unit
from vecsearch.progress import SILENT, Progress
from vecsearch.store.layout import RECORD
from vecsearch.store.manifest import Manifest
from vecsearch.store.segment_folders import SegmentFolders
from vecsearch.store.snapshot import Snapshot, open_snapshot


def compact(
    folder: str | Path,
    *,
    engine: Engine,
    workers: int | None = None,
    rows: int | None = None,
    queries: np.ndarray | None = None,
    language: str | None = None,
    progress: Progress = SILENT,
) -> Manifest:
    """Merge segments as `Index.compact` does, by the `workers` of an engine, by default as many as it has room for. All
    machines see `folder` under the same path.

    The segments are those that one process would make. One that was made stays where the work is interrupted, and is not made
    again. Raises as `Index.compact`, and ResourceError where workers end again and again.
    """
    folder = checks.path("folder", folder).absolute()
    checks.instance("engine", engine, Engine, give="Pool()")
    size = sum(engine.nodes().values()) if workers is None else checks.count("workers", workers, least=1)

    def doing(units: Sequence[Unit], snapshot: Snapshot, progress: Progress) -> list[Made]:
        made = {number: compacting.make(unit, snapshot) for number, unit in enumerate(units) if (unit.folder / RECORD).exists()}
        total, done = sum(unit.count for unit in units), sum(units[number].count for number in made)
        with Crew(engine, max(1, size), open_at, folder, snapshot.manifest.generation, progress=progress) as crew:
            for (number, unit), its in crew.results(_make, (pair for pair in enumerate(units) if pair[0] not in made)):
                made[number], done = its, done + unit.count
                progress.step("documents", done, total)
        return [made[number] for number in range(len(units))]

    return compacting.compact(folder, rows=rows, queries=queries, language=language, progress=progress, doing=doing)


def open_at(folder: Path, generation: int) -> Snapshot:
    """What a worker holds: the generation that is compacted, which stays for as long as that takes."""
    return open_snapshot(folder, generation=generation, check=False)


def _make(snapshot: Snapshot, task: tuple[int, Unit]) -> Made:
    """In a folder of its own: who made it before may only seem to be lost."""
    number, unit = task
    folders = SegmentFolders(snapshot.folder, snapshot.manifest.generation + 1, ())
    return compacting.make(replace(unit, folder=folders.attempt(number, unit.signature)), snapshot)
