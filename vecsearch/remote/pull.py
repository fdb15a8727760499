"""Pulling an index from an object store into a folder, which is then an index as any other."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from vecsearch import checks
from vecsearch.errors import ConflictError, DamagedIndexError, ResourceError
from vecsearch.files import sync
from vecsearch.progress import SILENT, Progress, check_progress
from vecsearch.remote.commits import Commit, Place
from vecsearch.remote.fetch import Wanted, absent, fetch
from vecsearch.remote.tracking import remember, remembered
from vecsearch.store.commit import Lock, collect_garbage, make_folder, put_current
from vecsearch.store.layout import CURRENT
from vecsearch.store.manifest import Manifest
from vecsearch.store.snapshot import generations, load_manifest, read_current

_ATTEMPTS = 5


@dataclass(frozen=True)
class Pulled:
    """What a pull did."""

    manifest: Manifest
    """Of the generation that the folder is at."""
    files: int
    bytes: int
    """That came."""


def pull(url: str, folder: str | Path, *, progress: Progress = SILENT) -> Pulled:
    """Bring the newest generation of the index at `url`, in an object store, into `folder`: a new one, or one that is at an
    earlier generation of it.

    Only files come that are not there, and every one is hashed as it comes. Until all are there the folder stays what it was;
    an interrupted pull goes on the next time. `progress` is told the bytes that came.

    Raises: ConflictError: the folder has changes that are not at `url`. UsageError: the folder is something else.
    UnsupportedIndexError: there is no index at `url`. DamagedIndexError: an object is missing, or not what was put there.
    ResourceError: the store or the disk refuses. LockedError: the folder is being written.
    """
    folder, url = checks.path("folder", folder), checks.text("url", url)
    check_progress(progress)
    place = Place(url)
    commit = place.wanted()
    make_folder(folder, other="folder")
    with Lock(folder):
        before = read_current(folder) if (folder / CURRENT).exists() else None
        if before and before[1] == commit.sha256:
            remember(folder, place.url, commit.sha256)
            return Pulled(commit.manifest, 0, 0)
        if before:
            _refuse_changes(folder, before[1], place, commit)
        known = load_manifest(folder, before).files if before else {}
        commit, came = _brought(place, commit, folder, known, progress)
        put_current(folder, commit.manifest.generation, commit.data)
        remember(folder, place.url, commit.sha256)
        with suppress(ResourceError, DamagedIndexError):  # what cannot be removed now is garbage to the next one
            collect_garbage(folder, list(islice(generations(folder, commit.manifest), commit.manifest.keep)))
    return Pulled(commit.manifest, len(came), sum(one.size for one in came))


def _refuse_changes(folder: Path, sha256: str, place: Place, commit: Commit) -> None:
    """Raise ConflictError where the folder's generation is none of those that the store's goes back to."""
    if sha256 == remembered(folder, place.url):
        return  # nothing was changed in it since then
    for earlier in place.newest_first():
        if earlier.sha256 == sha256 or earlier.follows == sha256:
            return
        if earlier.follows is None:
            break
    raise ConflictError(
        f"{folder} has a generation that {place.url}, at {commit.said}, does not go back to: nothing was changed; "
        "pull into another folder, or push this one"
    )


def _brought(
    place: Place, commit: Commit, folder: Path, known: dict[str, dict[str, object]], progress: Progress
) -> tuple[Commit, list[Wanted]]:
    """The commit whose files are all in the folder, and which of them came."""
    for attempt in range(1, _ATTEMPTS + 1):
        files = {path: entry for path, entry in commit.manifest.files.items() if known.get(path) != entry}
        if other := files.keys() & known.keys():
            raise ConflictError(
                f"{folder} and {place.url}, at {commit.said}, are not the same index: {min(other)} differs; "
                "pull into another folder"
            )
        wanted = [
            Wanted(commit.object_of(entry["sha256"]), folder / path, entry["bytes"], entry["sha256"])
            for path, entry in sorted(files.items())
        ]
        # Files of an interrupted pull, or of an earlier generation, may be there: their bytes tell.
        came = absent(wanted, check=True)
        try:
            fetch(place.store, came, progress=progress)
            for parent in {os.path.dirname(one.path) for one in wanted}:
                sync(Path(parent))
            return commit, came
        except DamagedIndexError:
            # Another writer may have pushed, and have had removed what was the newest until then.
            before, commit = commit, place.wanted()
            if commit.number == before.number or attempt == _ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")
