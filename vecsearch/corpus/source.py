"""What can be wrong with a corpus: named by file and line, then refused, or skipped and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from vecsearch.errors import CorpusError, VecsearchError

Records = Iterator[tuple[int, dict[str, Any]]]
"""Records as a format yields them, each with its line's or its own number, counted from 1."""


@dataclass(slots=True)
class CorpusTally:
    """What was met while a corpus was read: nothing is left out in silence."""

    blank: int = 0
    skipped: int = 0
    first_problem: str = ""
    several_lines: int = 0
    """Records in which lines end: cells in quotes that go on, texts with carriage returns."""
    notes: list[str] = field(default_factory=list)
    """How a file was read that is not as it usually is."""
    fraction: Callable[[], float] = field(default=float, compare=False, repr=False)
    """How much of the file has been read, 0 to 1; stays 0 for standard input."""

    extra: dict[str, int] = field(default_factory=dict)
    """What else was counted, by name."""

    def counts(self) -> dict[str, int]:
        """What was met, by name, as a manifest keeps it."""
        counts = {"blank": self.blank, "skipped": self.skipped, **self.extra}
        return counts | ({"several_lines": self.several_lines} if self.several_lines else {})

    def remarks(self) -> list[str]:
        """What a reader of the file should know of how it was read, as sentences."""
        several = f"{self.several_lines:,} records go over several lines" if self.several_lines else ""
        return [*self.notes, *filter(None, [several])]


class BadRecord(Exception):
    """One record that cannot be used: what is wrong with it and how to mend it."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem, self.remedy = problem, remedy


@dataclass(frozen=True, slots=True)
class CorpusSource:
    """A corpus that is being read: its name, what its records are called, and what happens to the bad ones."""

    name: str
    unit: str
    skip_bad: bool
    tally: CorpusTally
    has_cells: bool = False
    """Whether values are cells, which are strings whatever they say."""

    def where(self, number: int) -> str:
        return f"{self.name}, {self.unit} {number}"

    def refuse(self, number: int, bad: BadRecord, *, units: int = 1) -> None:
        """Count the bad record that begins at `number` and spans `units` lines.

        Raises: CorpusError, unless bad records are to be skipped.
        """
        message = f"{self.where(number)}: {bad.problem}"
        if not self.skip_bad:
            raise CorpusError(f"{message}; {bad.remedy}", skippable=self.unit)
        self.tally.skipped += units
        self.tally.first_problem = self.tally.first_problem or message


def guarded(records: Records, source: CorpusSource, format: str) -> Records:
    """The records. Whatever a reader's libraries raise for what they cannot read is a CorpusError that names the file and the
    last record before it."""
    number = 0
    try:
        for number, record in records:
            yield number, record
    except (VecsearchError, MemoryError):
        raise
    except Exception as error:
        problem = f"{source.name} cannot be read as {format} after {source.unit} {number}: {error or type(error).__name__}"
        raise CorpusError(f"{problem}; check the file, or make it again") from error
