"""Ids that several segments have, found among any number of documents in bounded memory.

The 64-bit hashes of all ids are sorted in runs on the disk, and merged range by range (an external merge sort; Knuth, The Art
of Computer Programming 3, 5.4). An id whose hash comes twice is a suspect: among a billion ids a few hashes are equal by
chance, so the ids themselves are compared in a second pass, over suspects alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import IO, NamedTuple

import numpy as np

from vecsearch.errors import writing
from vecsearch.progress import SILENT, Progress
from vecsearch.sqlite import Database
from vecsearch.store.layout import DOCUMENTS, reading
from vecsearch.store.records import sound

RUN_IDS = 1 << 22
"""Hashes that are sorted at a time, of 8 bytes each: with what sorting takes, 100 MB, however many ids there are."""
_READ_IDS = 1 << 14
_SHORT_BYTES = 64
"""Ids up to here are hashed together; longer ones with those of about their length: all are padded to the longest."""
_BASE = np.uint64(0x9E3779B97F4A7C15)
_HASH, _PART = np.dtype("<u8"), np.dtype("<i8")

Place = tuple[int, int]
"""The number of a segment, and of a document in it."""
Alive = Sequence[np.ndarray | None]
"""Of each segment, which documents count, (documents,) bool; None where all do."""


class Duplicate(NamedTuple):
    """An id that two documents have: the first one of all that have it, and another one."""

    id: str
    first: Place
    later: Place


def duplicates(folders: Sequence[Path], alive: Alive | None = None, *, progress: Progress = SILENT) -> Iterator[Duplicate]:
    """The ids that more than one document has in the segments that lie in these folders, by id; nothing where all differ.

    Of an id that n documents have, there are n - 1. Memory stays below about 150 MB; temporary files take 8 bytes for each id,
    and more for those that come twice. `progress` is told of "ids".

    Raises:
        DamagedIndexError: a file of documents cannot be read.
        ResourceError: there is no room for temporary files; TMPDIR names another folder for them.
    """
    alive = [None] * len(folders) if alive is None else alive
    with writing(gettempdir()):
        suspects = _suspects(folders, alive, progress)
        if not len(suspects):
            return
        # Without a name SQLite keeps it in memory while it is small, and then in a file that nobody else sees.
        with closing(Database("", isolation_level=None)) as database:
            with database.quiet() as db:
                db.executescript("CREATE TABLE found (id, part, number); BEGIN")
            for part, (folder, counted) in enumerate(zip(folders, alive, strict=True)):
                for ids, numbers in _ids(folder / DOCUMENTS, numbered=True):
                    hashes = hashed(ids)
                    at = np.searchsorted(suspects, hashes)
                    same = suspects[np.minimum(at, len(suspects) - 1)] == hashes
                    if counted is not None:
                        same &= counted[numbers]
                    some = ((ids[i], part, int(numbers[i])) for i in np.flatnonzero(same).tolist())
                    with database.quiet() as db:
                        db.executemany("INSERT INTO found VALUES (?, ?, ?)", some)
            with database.quiet() as db:
                cursor = db.execute("SELECT id, part, number FROM found ORDER BY id, part, number")
            yield from _pairs(chain.from_iterable(database.batches(cursor, _READ_IDS)))


def _pairs(found: Iterable[tuple[bytes, int, int]]) -> Iterator[Duplicate]:
    """Of suspects in the order of their ids, those that have the id of another one."""
    last, first = None, (0, 0)
    for id, *place in found:
        if id == last:
            yield Duplicate(id.decode(), first, (place[0], place[1]))
        else:
            last, first = id, (place[0], place[1])


def hashed(ids: Sequence[bytes]) -> np.ndarray:
    """A 64-bit hash of each id: (n,) uint64, all values equally likely.

    A polynomial over the id's bytes, eight at a time as one number, and splitmix64 (Steele and others 2014, Fast splittable
    pseudorandom number generators) over that. Zero bytes at an end do not count. It is the same in every process.
    """
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    kinds = np.ceil(np.log2(np.maximum(lengths, _SHORT_BYTES))).astype(np.int64)
    found = np.empty(len(ids), _HASH)
    for kind in np.unique(kinds):
        here = np.flatnonzero(kinds == kind)
        some = ids if len(here) == len(ids) else [ids[i] for i in here.tolist()]
        words = max(1, -(-int(lengths[here].max()) // 8))
        powers = np.cumprod(np.full(words, _BASE))
        found[here] = np.array(some, f"S{8 * words}").view(_HASH).reshape(-1, words) @ powers
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        found = (found ^ (found >> np.uint64(shift))) * np.uint64(factor)
    return found ^ (found >> np.uint64(31))


def _suspects(folders: Sequence[Path], alive: Alive, progress: Progress) -> np.ndarray:
    """The hashes that come more than once, rising: (s,) uint64."""
    hashes, sizes = _sorted_runs(folders, alive, progress)
    runs = np.split(hashes, np.cumsum(sizes)[:-1])
    # As many ranges as runs: what lies in one is about as much as a run, for hashes are spread evenly.
    bounds = np.arange(1, len(runs), dtype=_HASH) * np.uint64((2**64 - 1) // len(runs))
    cuts = [[0, *np.searchsorted(run, bounds).tolist(), len(run)] for run in runs]
    suspects = _Hashes()
    for number in range(len(runs)):
        some = np.concatenate([run[cut[number] : cut[number + 1]] for run, cut in zip(runs, cuts, strict=True)])
        some.sort()
        suspects.add(np.unique(some[1:][some[1:] == some[:-1]]))
    return suspects.all()


def _sorted_runs(folders: Sequence[Path], alive: Alive, progress: Progress) -> tuple[np.ndarray, list[int]]:
    """The hashes of all ids that count, sorted run by run: (n,) uint64; and the lengths of the runs."""
    found, sizes = _Hashes(), list[int]()
    waiting, done = list[np.ndarray](), 0

    def close_run() -> None:
        run = np.concatenate([np.empty(0, _HASH), *waiting])
        run.sort()
        found.add(run)
        sizes.append(len(run))
        waiting.clear()

    for folder, counted in zip(folders, alive, strict=True):
        for ids, numbers in _ids(folder / DOCUMENTS, numbered=counted is not None):
            hashes = hashed(ids) if counted is None else hashed(ids)[counted[numbers]]
            if sum(map(len, waiting)) + len(hashes) > RUN_IDS:
                close_run()
            waiting.append(hashes)
            done += len(ids)
        progress.step("ids", done)
    close_run()
    return found.all(), sizes


class _Hashes:
    """Hashes one after another: in memory, or from RUN_IDS on in a file without a name, which goes with the process."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self._file: IO[bytes] | None = None

    def add(self, part: np.ndarray) -> None:
        self._parts.append(part)
        if self._file or sum(map(len, self._parts)) > RUN_IDS:
            self._file = self._file or TemporaryFile()  # noqa: SIM115 - it goes with this object
            for waiting in self._parts:
                waiting.tofile(self._file)
            self._parts = []

    def all(self) -> np.ndarray:
        """All of them: (n,) uint64."""
        if self._file is None:
            return np.concatenate([np.empty(0, _HASH), *self._parts])
        self._file.flush()
        return np.memmap(self._file, _HASH, "r")


def _ids(path: Path, *, numbered: bool) -> Iterator[tuple[list[bytes], np.ndarray]]:
    """The ids of a documents file in UTF-8, in the order of its index of them, many at a time; with the documents' numbers."""
    with reading(path):
        path.open("rb").close()
    with sound(path), closing(Database(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
        with database.quiet() as db:
            db.text_factory = bytes
            # From SQLite's own index of the ids alone: the texts are not read.
            cursor = db.execute("SELECT id, rowid FROM documents" if numbered else "SELECT id FROM documents")
        for rows in database.batches(cursor, _READ_IDS):
            yield [row[0] for row in rows], np.array([row[1] for row in rows] if numbered else (), _PART)
