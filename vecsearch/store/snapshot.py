"""Opening an index: one generation, checked against its hashes before anything is parsed."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch.errors import DamagedIndexError, UnsupportedIndexError, UsageError
from vecsearch.store.clusters import NO_CLUSTER, Clustering, read_clusters
from vecsearch.store.commit import describe_file
from vecsearch.store.layout import (
    CURRENT,
    SEGMENTS,
    damaged,
    foreign_entries,
    manifest_generations,
    manifest_name,
    read_array,
    reading,
)
from vecsearch.store.manifest import Manifest
from vecsearch.store.places import Places, read_places
from vecsearch.store.segment import Segment

_CURRENT = re.compile(rb"(manifest-\d{6,}\.json) ([0-9a-f]{64})\n")
_CURRENT_BYTES = 200
_ATTEMPTS = 5
_HASH_THREADS = 4
_CONDITIONS, _LARGE = 4, 10
"""Conditions that may be asked at a time of a segment with at least a tenth of the rows; of a smaller one, one."""


@dataclass(frozen=True)
class Snapshot:
    """One generation of an index, open: it does not change whatever a writer does meanwhile."""

    folder: Path
    manifest: Manifest
    segments: list[Segment]
    alive: list[np.ndarray | None]
    """Which rows of each segment, (n,) bool, are not deleted; None where none is."""
    encoder_folder: Path | None
    clustering: Clustering | None
    """Its clusters, where it has any."""
    places: Places | None
    """Its map, where it keeps one."""
    numbers: range
    """Which of the manifest's segments are open here, in this order: all of them, unless a part of them was asked for."""

    @property
    def entries(self) -> list[dict[str, Any]]:
        """What the manifest says of each of the segments."""
        return [self.manifest.segments[number] for number in self.numbers]

    @property
    def firsts(self) -> list[int]:
        """The first row of each of the segments; rows count through all segments of the manifest."""
        starts = [0, *accumulate(entry["rows"] for entry in self.manifest.segments)]
        return [starts[number] for number in self.numbers]

    def cluster(self, row: int) -> int | None:
        """The cluster of the document at a row, if it is in one."""
        label = int(self.clustering.labels[row]) if self.clustering else NO_CLUSTER
        return label if label >= 0 else None

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for segment in self.segments:
            segment.close()


def open_snapshot(folder: Path, *, generation: int | None = None, check: bool = True, numbers: range | None = None) -> Snapshot:
    """A generation of the index in `folder`, by default the newest; `check` hashes every file first, without it only sizes are
    compared. With `numbers` only these segments are opened, and their files looked at, beside those that belong to none.

    Raises:
        UnsupportedIndexError: no such folder, not an index, or a newer format.
        UsageError: a generation that is not kept.
        DamagedIndexError: a file is missing, or is not what was written.
    """
    folder = Path(folder)
    current = read_current(folder)
    whole: dict[str, dict[str, Any]] = {}
    for _ in range(_ATTEMPTS):
        try:
            manifest = load_manifest(folder, current)
            wanted = manifest if generation is None else _kept(folder, manifest, generation)
            return open_manifest(folder, wanted, check=check, whole=whole, numbers=numbers)
        except DamagedIndexError:
            # A writer may have replaced the generation, or removed an older one, while it was being opened.
            current, before = read_current(folder), current
            if current == before and (generation is None or (folder / manifest_name(generation)).exists()):
                raise
    raise DamagedIndexError(f"{folder} is being replaced faster than it can be opened; try again")


def _kept(folder: Path, manifest: Manifest, generation: int) -> Manifest:
    numbers = []
    for kept in generations(folder, manifest):
        if kept.generation == generation:
            return kept
        numbers.append(kept.generation)
    raise UsageError(f"{folder} does not keep generation {generation}; it keeps {', '.join(map(str, numbers))}")


def generations(folder: Path, manifest: Manifest) -> Iterator[Manifest]:
    """`manifest` and those of the generations before it that the folder keeps, the newest first, each checked against the next.

    Raises: DamagedIndexError, UnsupportedIndexError: a manifest that is there is not what was written.
    """
    while True:
        yield manifest
        if manifest.previous is None:
            return
        name, by = manifest_name(manifest.previous["generation"]), manifest_name(manifest.generation)
        try:
            manifest = load_manifest(folder, (name, manifest.previous["sha256"]), by)
        except DamagedIndexError:
            # Looked for afterwards: a writer may remove it at any time.
            if (folder / name).exists():
                raise
            return


def read_current(folder: Path) -> tuple[str, str]:
    """Name and sha256 of the current manifest, as the file CURRENT says.

    Raises:
        UnsupportedIndexError: no such folder, or not an index.
        DamagedIndexError: CURRENT is missing beside a manifest, or malformed.
    """
    path = folder / CURRENT
    with reading(path):
        if not folder.is_dir():
            raise UnsupportedIndexError(f"there is no index at {folder}: no such folder; vecsearch build makes one")
        if not path.exists() and not manifest_generations(folder):
            raise UnsupportedIndexError(f"{folder} is not an index: it has no {CURRENT} file; {_contents(folder)}")
        with path.open("rb") as file:
            data = file.read(_CURRENT_BYTES)
    match = _CURRENT.fullmatch(data)
    if match is None:
        raise damaged(path, f"is malformed: it holds {data!r}, not a manifest's name and sha256")
    return match[1].decode(), match[2].decode()


def _contents(folder: Path) -> str:
    names = foreign_entries(folder)
    if names:
        return f"it holds {', '.join(names[:3])}{', …' if len(names) > 3 else ''}"
    if (folder / SEGMENTS).is_dir():
        return "it holds an unfinished build: finish it with vecsearch build --resume"
    return "it is empty: vecsearch build makes one"


def read_manifest(folder: Path) -> Manifest:
    """The current manifest, its hash checked. Raises as `open_snapshot` does."""
    current = read_current(folder)
    while True:
        try:
            return load_manifest(folder, current)
        except DamagedIndexError:
            current, before = read_current(folder), current
            if current == before:
                raise


def load_manifest(folder: Path, named: tuple[str, str], by: str = CURRENT) -> Manifest:
    """The manifest of this name and sha256, which the file `by` gives. Raises as `open_snapshot` does."""
    name, path = named[0], folder / named[0]
    manifest = Manifest.from_bytes(manifest_data(folder, named, by), str(path))
    if name != manifest_name(manifest.generation):
        raise damaged(path, f"says that it is generation {manifest.generation}")
    return manifest


def manifest_data(folder: Path, named: tuple[str, str], by: str = CURRENT) -> bytes:
    """The bytes of the manifest's file of this name and sha256. Raises DamagedIndexError."""
    name, sha256 = named
    path = folder / name
    with reading(path):
        if not path.exists():
            raise damaged(folder / by, f"names {name}, which is missing")
        data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise damaged(path, f"has sha256 {found}, not {sha256} as {by} says")
    return data


def file_problem(folder: Path, name: str, manifest: Manifest, *, check: bool = True) -> str | None:
    """What is wrong with one file of the manifest: both sizes, or with `check` both hashes; None when it is whole."""
    path, expected = folder / name, manifest.files[name]
    try:
        with reading(path):
            size = os.stat(path).st_size
            if size != expected["bytes"]:
                raise damaged(path, f"has {size} bytes, not {expected['bytes']}")
            sha256 = describe_file(path)["sha256"] if check else expected["sha256"]
            if sha256 != expected["sha256"]:
                raise damaged(path, f"has sha256 {sha256}, not {expected['sha256']}")
    except DamagedIndexError as error:
        return str(error)
    return None


def file_problems(folder: Path, manifest: Manifest, *, check: bool = True, leave_out: Collection[str] = ()) -> dict[str, str]:
    """What is wrong with the files of the manifest, by their relative path, in order; several are hashed at a time."""
    names = sorted(manifest.files.keys() - set(leave_out))
    with ThreadPoolExecutor(_HASH_THREADS) as pool:
        each = pool.map if check else map  # threads take longer than sizes
        found = zip(names, each(lambda name: file_problem(folder, name, manifest, check=check), names), strict=True)
        return {name: problem for name, problem in found if problem}


def open_manifest(
    folder: Path,
    manifest: Manifest,
    *,
    check: bool = True,
    leave_out: Collection[str] = (),
    whole: dict[str, dict[str, Any]] | None = None,
    numbers: range | None = None,
) -> Snapshot:
    """The generation that `manifest` describes, without the FAISS indexes of the segments named in `leave_out`; with `numbers`
    only these of its segments.

    `whole` are entries of files that have been checked, and gets those that are now: the next attempt does not read them again.

    Raises: DamagedIndexError: a file is missing, or is not what was written.
    """
    numbers = range(len(manifest.segments)) if numbers is None else numbers
    entries = [manifest.segments[number] for number in numbers]
    unread = _other_segments(manifest, entries)
    unread |= {f"{SEGMENTS}/{entry['name']}/{entry['faiss']}" for entry in entries if entry["name"] in leave_out}
    whole = {} if whole is None else whole
    known = {name for name, entry in manifest.files.items() if whole.get(name) == entry}
    problems = file_problems(folder, manifest, check=check, leave_out=unread | known)
    whole |= {name: entry for name, entry in manifest.files.items() if name not in problems and name not in unread}
    if problems:
        raise DamagedIndexError(next(iter(problems.values())))
    alive = [None] * len(manifest.segments) if manifest.deletes is None else _alive(folder, manifest)
    alive = [alive[number] for number in numbers]
    clustering, places = read_clusters(folder, manifest), read_places(folder, manifest)
    segments = []
    with ExitStack() as undo:
        for entry in entries:
            name = None if entry["name"] in leave_out else entry["faiss"]
            # A long condition takes most of its time in large segments; a process may open about a thousand files.
            many = _CONDITIONS if _LARGE * entry["rows"] >= manifest.rows else 1
            place = folder / SEGMENTS / entry["name"]
            segment = Segment(place, rows=entry["rows"], dim=manifest.dim, faiss=name, conditions=many)
            undo.callback(segment.close)
            segments.append(segment)
        undo.pop_all()
    encoder = folder / manifest.encoder["folder"] if manifest.encoder else None
    return Snapshot(folder, manifest, segments, alive, encoder, clustering, places, numbers)


def _other_segments(manifest: Manifest, entries: Sequence[dict[str, Any]]) -> set[str]:
    """The files of the manifest's segments but for these."""
    if len(entries) == len(manifest.segments):
        return set()
    own = {entry["name"] for entry in entries}
    parted = ((name, name.split("/")) for name in manifest.files)
    return {name for name, parts in parted if parts[0] == SEGMENTS and parts[1] not in own}


def _alive(folder: Path, manifest: Manifest) -> list[np.ndarray | None]:
    """Which rows of each segment are not deleted, as the file of deletes says."""
    alive = np.ones(manifest.rows, bool)
    alive[read_deletes(folder, manifest)] = False
    parts = np.split(alive, np.cumsum([entry["rows"] for entry in manifest.segments])[:-1])
    return [None if part.all() else part for part in parts]


def read_deletes(folder: Path, manifest: Manifest) -> np.ndarray:
    """The rows that are deleted, rising: (r,) int64. Raises: DamagedIndexError: the file is not what the manifest says."""
    if manifest.deletes is None:
        return np.empty(0, np.int64)
    path, rows = folder / manifest.deletes["file"], manifest.deletes["rows"]
    deleted = read_array(path, (rows,), "<i8").astype(np.int64)
    if rows and (deleted[0] < 0 or deleted[-1] >= manifest.rows or (np.diff(deleted) <= 0).any()):
        raise damaged(path, f"holds other numbers than those of {manifest.rows} rows, rising")
    return deleted
