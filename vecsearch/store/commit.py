"""Writing so that a crash leaves the old index or the new one: synced files, one atomic replacement, one writer at a time."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Collection, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from vecsearch.errors import LockedError, UsageError, writing
from vecsearch.files import sha256, sync
from vecsearch.forks import QuietLock, inherited
from vecsearch.store.layout import (
    BUILD,
    CURRENT,
    CURRENT_TMP,
    LOCK,
    SEGMENTS,
    files_below,
    foreign_entries,
    is_own,
    manifest_name,
    origin,
    own_folders,
    reading,
)
from vecsearch.store.manifest import Manifest


def write_all(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data` (1-d, bytes) at `offset`: one system call may write less than it was given."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def make_folder(folder: Path, *, other: str = "-o") -> list[Path]:
    """Make the folder of an index where there is none, durably; returns those that were not there, it and what it lies in.
    Messages say to choose another one by what it is called, `other`.

    Raises: UsageError: there is something else. ResourceError: the system refuses.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder; choose another {other}")
    with writing(folder):
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for path in made:
            sync(path.parent)
        foreign = [] if (folder / CURRENT).exists() else foreign_entries(folder)
    if foreign:
        raise UsageError(f"{folder} exists and is not an index (it holds {foreign[0]}); choose another {other}")
    return made


def write_file(path: Path, data: bytes) -> None:
    """Write the whole file `path` and sync it; its folder is the caller's to sync.

    Raises:
        ResourceError: the system refuses (no space, read-only, no permission).
    """
    with writing(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            write_all(descriptor, data, 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def describe_file(path: Path) -> dict[str, Any]:
    """The manifest's entry for a file: its size in bytes and its sha256 in hex."""
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def sync_files(folder: Path, paths: Collection[str]) -> dict[str, dict[str, Any]]:
    """The manifest's `files` for these relative paths, each file and every folder above it having reached the disk."""
    entries = {}
    for path in sorted(paths):
        sync(folder / path)
        with writing(folder / path):
            entries[path] = describe_file(folder / path)
    for parent in sorted({parent for path in paths for parent in Path(path).parents}):
        sync(folder / parent)
    return entries


def replace_current(folder: Path, manifest: Manifest) -> None:
    """Make `manifest`, whose files are all synced, the current one: before the replacement the old index is, after it the new.

    Raises:
        ResourceError: the system refuses; the index is the old one or the new one, whole.
    """
    put_current(folder, manifest.generation, manifest.to_bytes())


def put_current(folder: Path, generation: int, data: bytes) -> None:
    """`replace_current` by the bytes of a manifest's file."""
    name = manifest_name(generation)
    write_file(folder / name, data)
    sync(folder)
    write_file(folder / CURRENT_TMP, f"{name} {hashlib.sha256(data).hexdigest()}\n".encode())
    with writing(folder / CURRENT):
        os.replace(folder / CURRENT_TMP, folder / CURRENT)
    sync(folder)


def collect_garbage(folder: Path, kept: Iterable[Manifest]) -> list[str]:
    """Remove this program's files that no manifest in `kept` names; returns their paths.

    Only names that this program gives are touched, so a stranger's file in the folder stays.
    """
    named: set[str] = set()
    for manifest in kept:
        named |= {*manifest.files, manifest_name(manifest.generation)}
    garbage = [path for path in files_below(folder) if is_own(path) and path not in named]
    manifests = [path for path in garbage if path.startswith("manifest-")]
    others = [path for path in garbage if not path.startswith("manifest-")]
    # The oldest first, and for good before the rest: what a crash leaves names no file that is gone.
    remove_files(folder, manifests)
    if manifests:
        sync(folder)
    remove_files(folder, others)
    _remove_empty(folder, own_folders(folder))  # a crash may have come before their first file
    return manifests + others


def find_unfinished(folder: Path, manifest: Manifest | None) -> list[tuple[str, dict[str, Any]]]:
    """Name and signature of each segment that a build began and no commit made part of the index, in order of names."""
    found = []
    for path in sorted((folder / SEGMENTS).glob(f"*/{BUILD}")):
        name = path.parent.name
        if not is_own(path.relative_to(folder).as_posix()):
            continue
        # What is begun is named after the generation to come; of one that is done, or given up, a crash left build.json.
        if manifest and int(name.split("-")[0]) <= manifest.generation:
            continue
        # A crash while build.json was being written: nothing had been stored yet.
        with suppress(ValueError), reading(path):
            signature = json.loads(path.read_bytes())
            if isinstance(signature, dict):
                found.append((name, signature))
    return found


def remove_files(folder: Path, paths: Collection[str]) -> None:
    """Remove the files at these relative paths that are there, and the folders below `folder` that are empty then."""
    with writing(folder):
        for path in paths:
            (folder / path).unlink(missing_ok=True)
    parents = {parent.as_posix() for path in paths for parent in Path(path).parents} - {"."}
    _remove_empty(folder, sorted(parents, reverse=True))


def remove_below(folder: Path, path: str) -> None:
    """Remove this program's files below the folder at this relative path, and that, where nothing else is in it."""
    if own := [name for name in files_below(folder) if name.startswith(f"{path}/") and is_own(name)]:
        remove_files(folder, own)
    _remove_empty(folder, [path] if (folder / path).is_dir() else [])


def _remove_empty(folder: Path, paths: Iterable[str]) -> None:
    with writing(folder):
        for path in paths:
            if not os.listdir(folder / path):
                os.rmdir(folder / path)


class Writing:
    """Which process writes below a folder: one that is forked from it has its files and its plans, but not its right."""

    def __init__(self, folder: Path):
        self._folder, self._process = folder, os.getpid()

    @property
    def is_ours(self) -> bool:
        """Whether this is the process that began."""
        return os.getpid() == self._process

    def check(self) -> None:
        """Raise LockedError in a process that was forked meanwhile."""
        if not self.is_ours:
            raise LockedError(
                f"{self._folder} is being written by process {self._process}, which this one was forked from: "
                "only the parent goes on with it; end this process by os._exit, or open the index in it when that is done"
            )


def _refuse_copy(folder: Path) -> None:
    if url := origin(folder):
        raise UsageError(
            f"{url} is only read here: vecsearch pull brings it into a folder, where it can be changed, and push takes it back"
        )


_opening_or_closing = QuietLock()
"""A descriptor that is closed, and still kept in a Lock, would be closed again in a child: its number may be another file's."""


class Lock:
    """Holds the right to write to an index while entered; the system gives it back when the process dies, however it dies.

    A process that is forked meanwhile neither holds it nor gives it back.
    """

    def __init__(self, folder: Path):
        self._path = folder / LOCK
        self._descriptor = -1
        inherited(self)

    def __enter__(self) -> Lock:
        """Raises: LockedError: another process holds it. ResourceError: the folder cannot be written. UsageError: it is the
        cache's copy of what lies in an object store."""
        _refuse_copy(self._path.parent)
        with _opening_or_closing, ExitStack() as undo, writing(self._path):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            undo.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
                raise LockedError(
                    f"{self._path.parent} is being written by process {holder}; wait for it, or stop it"
                ) from error
            if not os.path.exists(self._path) or not os.path.samestat(os.fstat(descriptor), os.stat(self._path)):
                # Its holder gave up what it was making, and removed it after it was opened here.
                raise LockedError(f"{self._path.parent} was being written by another process; try again")
            os.ftruncate(descriptor, 0)
            write_all(descriptor, f"{os.getpid()}\n".encode(), 0)
            undo.pop_all()
            self._descriptor = descriptor
        return self

    def __exit__(self, *_: object) -> None:
        # The file stays: who locks it next must not lock another of the same name than a third. What removes it, with a folder
        # that was to be made, does so while it is locked, and who opened it before is told.
        with _opening_or_closing:
            if self._descriptor >= 0:
                # Not by closing alone: a process that was forked without Python's knowledge has the file open as well.
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
                self._close()

    def in_child(self) -> None:
        """Close the child's copy: the lock would be held for as long as the child lives."""
        if self._descriptor >= 0:
            self._close()

    def _close(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1
