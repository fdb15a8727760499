"""Pushing an index to an object store: what is not there goes up, and one conditional put makes it the newest generation."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from vecsearch import checks
from vecsearch.errors import ConflictError, DamagedIndexError, ResourceError
from vecsearch.progress import SILENT, Progress, check_progress
from vecsearch.remote.commits import OBJECTS, REUSED, Commit, Inventory, Place
from vecsearch.remote.store import beside
from vecsearch.remote.tracking import remember, remembered
from vecsearch.store.manifest import Manifest
from vecsearch.store.snapshot import file_problems, generations, manifest_data, read_current

FILES_AT_ONCE = 4
_ROUNDS = 5


@dataclass(frozen=True)
class Pushed:
    """What a push did."""

    generation: int
    commit: int
    """The number of the commit in the store."""
    files: int
    """Of the generation."""
    uploaded_files: int
    uploaded_bytes: int


def push(folder: str | Path, url: str, *, replace: bool = False, progress: Progress = SILENT) -> Pushed:
    """Make the newest generation of the index in `folder` the newest one at `url`, the place of an index in an object store.

    Only files go up that are not there. Until the last step, a put that succeeds for one writer alone, the generation before
    stays the newest; an interrupted push goes on the next time. What is pushed has to follow from what is there; `replace` puts
    it there whatever is. `progress` is told the bytes that went up.

    Raises: ConflictError: another generation is there, which this one does not follow. UsageError: no such place.
    UnsupportedIndexError, DamagedIndexError: there is no index in the folder, or a file of it is not what was written.
    ResourceError: the store refuses, or cannot be reached.
    """
    folder, url, replace = checks.path("folder", folder), checks.text("url", url), checks.flag("replace", replace)
    check_progress(progress)
    return _Push(folder, url, replace).done(progress)


class _Push:
    def __init__(self, folder: Path, url: str, replace: bool) -> None:
        self._folder, self._replace = folder, replace
        name, self._sha256 = read_current(folder)
        self._data = manifest_data(folder, (name, self._sha256))
        self._manifest = Manifest.from_bytes(self._data, str(folder / name))
        for problem in file_problems(folder, self._manifest, check=False).values():
            raise DamagedIndexError(problem)
        self._paths = {entry["sha256"]: path for path, entry in sorted(self._manifest.files.items())}
        self._sizes = {entry["sha256"]: entry["bytes"] for entry in self._manifest.files.values()}
        self._place = Place(url, create=True)

    def done(self, progress: Progress) -> Pushed:
        self._place.prepare()
        head = self._place.newest()
        if head is not None and head.sha256 == self._sha256:
            return self._committed(head, 0, 0)
        self._refuse_other(head)
        meter, files = _Meter(progress), 0
        for _ in range(_ROUNDS):
            held = self._place.inventory()
            if held.newest != (head.number if head else 0):
                raise self._conflict(self._place.newest())
            names, absent = self._planned(head, held)
            if not absent:
                break
            self._upload(absent, meter)
            files += len(absent)
        else:
            raise ResourceError(f"what is put at {self._place.url} is not there afterwards, after {_ROUNDS} rounds; try again")
        return self._committed(self._commit(head, names), files, meter.done)

    def _refuse_other(self, head: Commit | None) -> None:
        if head is None or self._replace:
            return
        last = remembered(self._folder, self._place.url)
        if last == self._sha256:
            raise ConflictError(
                f"{self._place.url} is at {head.said}, and {self._folder} has nothing new since it was there: "
                f"vecsearch pull {self._place.url} {self._folder} brings it up to date"
            )
        # Whatever was committed in this folder since the last push or pull follows from what was there then.
        newer = self._manifest.generation > head.manifest.generation
        if not newer or (head.sha256 != last and head.sha256 not in self._ancestors()):
            raise self._conflict(head)

    def _ancestors(self) -> Iterator[str]:
        """sha256 of the manifests that this one goes back to, as far as they are known."""
        for manifest in generations(self._folder, self._manifest):
            if manifest.previous:
                yield manifest.previous["sha256"]

    def _conflict(self, head: Commit | None) -> ConflictError:
        url, generation = self._place.url, self._manifest.generation
        return ConflictError(
            f"{url} is at {head.said if head else 'another state'}, and generation {generation} of {self._folder} does not "
            f"follow from it: nothing was changed there; vecsearch pull {url} into another folder, make the changes there, and "
            "push that one; or put this one in its place with --replace"
        )

    def _planned(self, head: Commit | None, held: Inventory) -> tuple[dict[str, str], dict[str, str]]:
        """By the sha256 of what is in them: the objects to name, and those of them that have yet to be put.

        An object that the commit before names is safe: it is garbage only after another commit, and then this one fails. Any
        other may be removed when it is older; its content goes up again then, under another name.
        """
        there: dict[str, list[str]] = {}
        for name in held.objects:
            there.setdefault(name.removeprefix(OBJECTS).partition("-")[0], []).append(name)
        safe = head.objects if head else set()
        names, absent = {}, {}
        for sha256, size in self._sizes.items():
            usable = [
                name
                for name in sorted(there.get(sha256, []), key=lambda name: (name not in safe, name))
                if held.objects[name].size == size and (name in safe or held.now - held.objects[name].modified < REUSED)
            ]
            plain = OBJECTS + sha256
            names[sha256] = usable[0] if usable else f"{plain}-{os.urandom(4).hex()}" if plain in held.objects else plain
            if not usable:
                absent[sha256] = names[sha256]
        return names, absent

    def _upload(self, absent: Mapping[str, str], meter: _Meter) -> None:
        """Put these objects, several at a time; where that fails, those that are not begun are left."""
        meter.total += sum(self._sizes[sha256] for sha256 in absent)

        def put(sha256: str) -> None:
            path = self._folder / self._paths[sha256]
            try:
                self._place.store.upload(absent[sha256], path, self._sizes[sha256], sha256, told=meter.add)
            except DamagedIndexError:
                if read_current(self._folder)[1] == self._sha256:
                    raise
                raise ResourceError(f"{self._folder} was changed while it was pushed: push it again") from None

        running: set[Future[None]] = set()
        try:
            # The largest first, so that none is left alone at the end.
            for sha256 in sorted(absent, key=lambda sha256: -self._sizes[sha256]):
                running.add(beside(put, sha256))
                if len(running) == FILES_AT_ONCE:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for job in done:
                        job.result()
            for job in running:
                job.result()
        except BaseException as error:
            meter.stopped = True
            if isinstance(error, Exception):  # Ctrl-C waits for nobody
                wait(running)
            if meter.error is not None:
                raise meter.error from None
            raise

    def _commit(self, head: Commit | None, names: Mapping[str, str]) -> Commit:
        copies = {sha256: name for sha256, name in names.items() if name != OBJECTS + sha256}
        follows = head.sha256 if head and not self._replace else None
        now = datetime.now(UTC).isoformat(timespec="seconds")
        made = Commit(head.number + 1 if head else 1, self._manifest, self._data, copies, follows, now)
        if self._place.put(made):
            return made
        won = self._place.newest()
        # The answer to a put that succeeded may have been lost, and the client have tried again.
        if won is None or won.sha256 != made.sha256:
            raise self._conflict(won)
        return won

    def _committed(self, commit: Commit, files: int, size: int) -> Pushed:
        remember(self._folder, self._place.url, self._sha256)
        return Pushed(self._manifest.generation, commit.number, len(self._manifest.files), files, size)


class _Meter:
    """Counts bytes for several threads, and has them stop."""

    def __init__(self, progress: Progress) -> None:
        self.done = self.total = 0
        self.stopped = False
        self.error: BaseException | None = None
        """What whoever is told has raised."""
        self._progress, self._lock = progress, Lock()

    def add(self, count: int) -> None:
        with self._lock:
            if self.stopped:
                raise ResourceError("the push was stopped")
            self.done += count
            try:
                self._progress.step("bytes", self.done, self.total)
            except BaseException as error:
                self.error = error
                raise
