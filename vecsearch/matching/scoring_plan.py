"""What becomes of many files of pairs: which there are, how they are scored, and into which folders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vecsearch import checks
from vecsearch.corpus.readers import format_of
from vecsearch.errors import CorpusError, UsageError
from vecsearch.matching.rows import SUFFIXES
from vecsearch.matching.scoring_run import Scored

FOLDERS = ("output", "kept", "dropped")
RECORDS = ".scored"
"""The folder within the first output folder that says of each file what was done."""


@dataclass(frozen=True)
class Scoring:
    """How many files are scored: into which folders, and how they are read.

    The folders get a file for each: `output` of all pairs, `kept` of those that reach the `threshold`, a column and its least
    value, and `dropped` of the others.
    """

    output: Path | None = None
    kept: Path | None = None
    dropped: Path | None = None
    threshold: tuple[str, float] | None = None
    columns: Sequence[str] = ()
    format: str | None = None
    skip_bad: bool = False

    def __post_init__(self) -> None:
        """Raises TypeError, and UsageError for folders that are none, the same, or split by no threshold."""
        places = {name: getattr(self, name) for name in FOLDERS}
        given: dict[str, Any] = {name: checks.path(name, its).absolute() for name, its in places.items() if its is not None}
        if not given:
            raise UsageError("many files are scored into folders, and none is given: name one for the scored pairs")
        if len({os.path.realpath(its) for its in given.values()}) < len(given):
            raise UsageError(f"{' and '.join(given)} are to be different folders")
        if files := [its for its in given.values() if its.exists() and not its.is_dir()]:
            raise UsageError(f"{files[0]} is a file; the outputs of many files go into a folder: name another")
        if self.threshold is None and given.keys() != {"output"}:
            raise UsageError("what splits pairs into kept and dropped ones is a threshold: give one")
        given["threshold"] = _checked_rule(self.threshold)
        given["columns"] = tuple(checks.fields("columns", self.columns))
        given["format"] = None if self.format is None else checks.text("format", self.format)
        given["skip_bad"] = checks.flag("skip_bad", self.skip_bad)
        for name, value in given.items():
            object.__setattr__(self, name, value)

    @property
    def folders(self) -> dict[str, Path]:
        """The folders that are wanted, by what they are called above. The first one has the records."""
        return {name: its for name in FOLDERS if (its := getattr(self, name)) is not None}

    @property
    def records(self) -> Path:
        return next(iter(self.folders.values())) / RECORDS


def _checked_rule(threshold: Any) -> tuple[str, float] | None:
    if threshold is None:
        return None
    if not isinstance(threshold, tuple | list) or len(threshold) != 2:
        raise TypeError(f'threshold is {checks.described(threshold)}; give a column and its least value: ("cosine", 0.5)')
    return checks.text("threshold[0]", threshold[0]), checks.number("threshold[1]", threshold[1])


@dataclass(frozen=True, slots=True)
class PairsFile:
    """A file of pairs: what its outputs are called, and what tells whether it is the same as before."""

    path: Path
    name: str
    bytes: int
    time: int


@dataclass(slots=True)
class Done:
    """What came of a file, as its record keeps it."""

    scored: Scored
    """Its rows are by the names of the folders."""
    bytes: dict[str, int]
    """Of the outputs, by the names of the folders."""
    encoded: int = 0
    blank: int = 0
    skipped: int = 0
    first_problem: str = ""
    several_lines: int = 0
    notes: list[str] = field(default_factory=list)
    tallies: dict[str, dict[str, int]] = field(default_factory=dict)
    """What each encoder counted."""


def pairs_file(path: str | Path, format: str | None) -> PairsFile:
    """A file, looked at. Its outputs have its name without what says that it is compressed, and are JSON lines where its format
    is only read. Raises UsageError for an unknown format, CorpusError for what is no file, or an empty one."""
    path = Path(path).absolute()
    if not path.exists():
        raise CorpusError(f"{path} does not exist; check the path")
    kind, compression = format_of(str(path), format)
    stats = [its.stat() for its in (path.iterdir() if path.is_dir() else [path])]
    if not (size := sum(its.st_size for its in stats)):
        raise CorpusError(f"{path} holds no pairs; check that it is the file you mean, and leave it out if it is")
    name = path.name
    for suffix in (compression, kind):
        if suffix and name.lower().endswith(f".{suffix}"):
            name = name[: -len(suffix) - 1]
    suffix = f".{kind}" if f".{kind}" in SUFFIXES else ".jsonl"
    return PairsFile(path, name + suffix, size, max(its.st_mtime_ns for its in stats))


def places_of(file: PairsFile, scoring: Scoring) -> dict[str, Path]:
    """Where the outputs of a file are, by the names of the folders."""
    return {name: folder / file.name for name, folder in scoring.folders.items()}
