"""Segments that were made elsewhere, as they come to an index: read with what is said of them, put into its folder, checked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch.errors import UnsupportedIndexError, writing
from vecsearch.files import sync
from vecsearch.progress import Progress
from vecsearch.store.commit import describe_file
from vecsearch.store.layout import CURRENT, DOCUMENTS, NORMS, RECORD, SEGMENTS, VECTORS, damaged, reading
from vecsearch.store.manifest import Manifest
from vecsearch.store.segment_record import SegmentRecord, made_by, read_record
from vecsearch.store.snapshot import read_deletes, read_manifest

_THREADS = 4
"""Files that are copied and hashed at a time."""


@dataclass(frozen=True)
class Standalone:
    """A segment with its record, and those of its rows that are deleted."""

    folder: Path
    record: SegmentRecord
    deleted: np.ndarray
    """(r,) int64, rising."""


@dataclass(frozen=True)
class Moved:
    """A file that is to be put in place, and what it has to be: its size and sha256."""

    source: Path
    target: Path
    expected: Mapping[str, Any]


def read_standalone(path: Path) -> tuple[list[Standalone], Manifest | None]:
    """The segments in a folder: the one whose record lies there, or all of an index, with its manifest.

    Segments of which everything is deleted are left out. Raises UnsupportedIndexError for a folder that is neither, and
    DamagedIndexError.
    """
    with reading(path):
        is_index, is_segment = (path / CURRENT).exists(), (path / RECORD).exists()
        if not (is_index or is_segment):
            what = f"it has neither a {RECORD} nor a {CURRENT} file" if path.is_dir() else "there is no such folder"
            raise UnsupportedIndexError(f"{path} is neither a segment nor an index: {what}")
    if not is_index:
        return [Standalone(path, read_record(path), np.empty(0, np.int64))], None
    manifest = read_manifest(path)
    deleted = read_deletes(path, manifest)
    first, found = 0, []
    for entry in manifest.segments:
        last = first + entry["rows"]
        own = deleted[slice(*np.searchsorted(deleted, [first, last]))] - first
        if len(own) < entry["rows"]:
            found.append(Standalone(path / SEGMENTS / entry["name"], _record(entry, manifest), own))
        first = last
    return found, manifest


def _record(entry: Mapping[str, Any], manifest: Manifest) -> SegmentRecord:
    """What the record of a segment would say that is part of an index. What an index counted is said of it as a whole."""
    names = (VECTORS, NORMS, DOCUMENTS, *([entry["faiss"]] if entry["faiss"] else []))
    return SegmentRecord(
        **{key: value for key, value in entry.items() if key != "name"},
        dim=manifest.dim,
        metric=manifest.metric,
        digest="",
        counts={},
        encoder=made_by(manifest.encoder),
        chunks=manifest.chunks,
        language=manifest.language,
        files={name: manifest.files[f"{SEGMENTS}/{entry['name']}/{name}"] for name in names},
    )


def put(files: Sequence[Moved], root: Path, progress: Progress) -> int:
    """Link each file to where it is to be below `root`, or copy it where the file system does not link; all of it durably.

    Each is compared with what it has to be, once, where it is now. Returns the bytes copied; `progress` is told of "MB".

    Raises: DamagedIndexError: a file is missing, or is not what its record says. ResourceError: the system refuses.
    """
    for file in files:  # before anything is copied
        _check_size(file)
    folders = {file.target.parent for file in files}
    with writing(root):
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
    done, total = 0, sum(file.expected["bytes"] for file in files)
    copied = 0
    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            for file, linked in zip(files, pool.map(_put, files), strict=True):
                done += file.expected["bytes"]
                copied += 0 if linked else file.expected["bytes"]
                progress.step("MB", done // 1_000_000, total // 1_000_000)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    parents = {parent for folder in folders for parent in (folder, *folder.parents) if root in (parent, *parent.parents)}
    for folder in sorted(parents):
        sync(folder)
    return copied


def _check_size(file: Moved) -> None:
    with reading(file.source):
        size = file.source.stat().st_size
    if size != file.expected["bytes"]:
        raise damaged(file.source, f"has {size} bytes, not {file.expected['bytes']}")


def _put(file: Moved) -> bool:
    """Whether it could be linked."""
    linked = False
    with suppress(OSError):  # another file system, one without links, or a file of another user
        os.link(os.path.realpath(file.source), file.target)
        linked = True
    if not linked:
        with writing(file.target):
            shutil.copyfile(file.source, file.target)
    sync(file.target)
    with reading(file.target):
        found = describe_file(file.target)
    for key, value in file.expected.items():
        if found[key] != value:
            raise damaged(file.source, f"has {key} {found[key]}, not {value}")
    return linked
