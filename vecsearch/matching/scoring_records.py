"""What was done of many files of pairs: a record of each, so that a run is gone on with, and nobody else's file is touched."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vecsearch.errors import LockedError, UsageError, writing
from vecsearch.files import write_whole
from vecsearch.matching.judges import Judge
from vecsearch.matching.scoring_plan import Done, PairsFile, Scoring, places_of
from vecsearch.matching.scoring_run import Scored
from vecsearch.resume import refuse_difference

_UNFINISHED = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp")


def settings_of(scoring: Scoring, judge: Judge) -> dict[str, Any]:
    """What has to be the same for outputs to be those of this run."""
    own = {"columns": list(scoring.columns), "format": scoring.format, "rule": scoring.threshold}
    return own | {"outputs": list(scoring.folders)} | judge.settings


def write_record(scoring: Scoring, judge: Judge, file: PairsFile, done: Done | None) -> None:
    """Note what came of a file, or None where it is begun: outputs that are there already are to be replaced."""
    its = {"bytes": file.bytes, "time": file.time}
    state = {"settings": settings_of(scoring, judge), "file": its, "done": asdict(done) if done else None}
    data = json.dumps(state, indent=1, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
    write_whole(scoring.records / f"{file.name}.json", data)


def read_record(scoring: Scoring, file: PairsFile) -> tuple[dict[str, Any], dict[str, int], Done | None] | None:
    """The settings with which a file was begun, what told then that it is the same, and what came of it, if it is done; None
    where it was not begun. Raises UsageError for a damaged record."""
    path = scoring.records / f"{file.name}.json"
    try:
        state = json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
        done = None if state["done"] is None else Done(**state["done"] | {"scored": Scored(**state["done"]["scored"])})
        return dict(state["settings"]), dict(state["file"]), done
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is damaged ({error!r}); remove it, or start again with --replace") from None


def done_before(file: PairsFile, scoring: Scoring, judge: Judge, note: Callable[[str], None]) -> Done | None:
    """What came of a file that was scored by the same settings and is as it was then; None where it is to be scored, and `note`
    hears why again. Raises UsageError for outputs that are none of such a run, or have been changed since."""
    found, places = read_record(scoring, file), places_of(file, scoring)
    if found is None:
        if there := [path for path in places.values() if os.path.lexists(path)]:
            raise UsageError(f"{there[0]} is there already, and no run made it: move it away, or start again with --replace")
        return None
    settings, then, done = found
    first = next(iter(places.values()))
    refuse_difference(first, settings, settings_of(scoring, judge), anew="with --replace instead of --resume")
    if done is None:
        return None
    if then != {"bytes": file.bytes, "time": file.time}:
        note(f"{file.path} has changed since it was scored, and is scored again")
        return None
    sizes = {name: path.stat().st_size if path.is_file() else None for name, path in places.items()}
    if None in sizes.values():
        return None
    if changed := [name for name, size in sizes.items() if size != done.bytes[name]]:
        raise UsageError(
            f"{places[changed[0]]} was changed after it was written: move it away to have it made again, or start again with "
            "--replace"
        )
    return done


def clean(scoring: Scoring, names: set[str]) -> None:
    """Remove what killed processes left of these outputs and of their records."""
    for folder in (*scoring.folders.values(), scoring.records):
        with writing(folder):
            for path in list(folder.iterdir()):
                found = _UNFINISHED.fullmatch(path.name)
                if found and found[1].removesuffix(".json" if folder == scoring.records else "") in names:
                    path.unlink(missing_ok=True)


def begin_again(scoring: Scoring, judge: Judge, files: Iterable[PairsFile]) -> None:
    """Have what is there of these files be replaced, now or when the run is gone on with."""
    for file in files:
        if any(map(os.path.lexists, (scoring.records / f"{file.name}.json", *places_of(file, scoring).values()))):
            write_record(scoring, judge, file, None)


def forget_begun(scoring: Scoring, files: Iterable[PairsFile]) -> None:
    """Remove the records of files that were begun and of which there is no output: there is nothing to go on with."""
    for file in files:
        found = read_record(scoring, file)
        if found and found[2] is None and not any(map(os.path.lexists, places_of(file, scoring).values())):
            with writing(scoring.records):
                (scoring.records / f"{file.name}.json").unlink(missing_ok=True)


@contextmanager
def prepared(scoring: Scoring) -> Iterator[None]:
    """Have the folders there, and no other process score into them; those that are made and stay empty vanish at the end.

    Raises: LockedError: another process does. ResourceError: the system refuses.
    """
    wanted = [*scoring.folders.values(), scoring.records]
    made = [path for path in {its: None for folder in wanted for its in (folder, *folder.parents)} if not path.exists()]
    try:
        for folder in wanted:
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
        with _locked(scoring.records):
            yield
    finally:
        for folder in sorted(made, key=lambda path: -len(path.parts)):
            with suppress(OSError):  # there is something in it
                folder.rmdir()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with writing(folder):
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(f"another process scores into {folder.parent}: wait for it, or choose another folder") from None
        except OSError:
            pass  # a shared disk without locks: two that score the same files write the same bytes
        yield
    finally:
        os.close(descriptor)
