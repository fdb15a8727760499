"""Indexes made one after another over the same vectors, of which the best is kept, and written with every row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from vecsearch.ann.approximate import ApproximateSearcher
from vecsearch.ann.construction import add, construct, read, write
from vecsearch.ann.source import Numbers, Rows
from vecsearch.ann.spec import copies, usual_parameters
from vecsearch.ann.tuner import Searcher
from vecsearch.progress import Progress


class Filling(ABC):
    """What a builder has indexes made by, one at a time."""

    @abstractmethod
    def make(self, spec: str, rows: Numbers, k: int) -> Searcher:
        """Make an index of the kind `spec` over some rows, set to what is usual for k hits. Raises UsageError where the spec
        does not fit the vectors."""

    @abstractmethod
    def keep(self) -> None:
        """Keep the one that was made last, in the place of what was kept."""

    @abstractmethod
    def finish(self, spec: str, rows: Numbers) -> None:
        """Add the `rows` that were held out to the one that is kept, whose kind is `spec`, and write it."""

    @abstractmethod
    def discard(self) -> None:
        """Leave nothing of what was made."""


class OneFile(Filling):
    """Indexes over `source` in memory, of which that is written to `path` which is kept; `progress` is told how many vectors
    were added."""

    def __init__(self, source: Rows, path: Path, progress: Progress) -> None:
        self._source, self._path, self._progress = source, path, progress
        self._made: Any = None
        self._kept: Any = None
        """Nothing, too, where the one that is kept is in the file."""

    def make(self, spec: str, rows: Numbers, k: int) -> ApproximateSearcher:
        self._made = None
        if self._kept is not None:
            # Two at a time may be more than the memory holds.
            write(self._kept, self._path)
            self._kept = None
        self._made = construct(spec, self._source, rows, progress=self._progress)
        return ApproximateSearcher(self._made, copies(spec), self._source, usual_parameters(self._made, k))

    def keep(self) -> None:
        self._kept, self._made = self._made, None

    def finish(self, spec: str, rows: Numbers) -> None:
        self._made = None
        index = read(self._path) if self._kept is None else self._kept
        add(index, copies(spec), self._source, rows, progress=self._progress)
        write(index, self._path)

    def discard(self) -> None:
        self._made = self._kept = None
        self._path.unlink(missing_ok=True)
