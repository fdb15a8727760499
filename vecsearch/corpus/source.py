"""What can be wrong with a corpus: named by file and line, then refused, or skipped and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from vecsearch.errors import CorpusError

Records = Iterator[tuple[int, dict[str, Any]]]
"""Records as a format yields them, each with its line's or its own number, counted from 1."""


@dataclass(slots=True)
class CorpusTally:
    """What was met while a corpus was read: nothing is left out in silence."""

    blank: int = 0
    skipped: int = 0
    first_problem: str = ""
    fraction: Callable[[], float] = field(default=float, compare=False, repr=False)
    """How much of the file has been read, 0 to 1; stays 0 for standard input."""


class BadRecord(Exception):
    """One record that cannot be used: what is wrong with it and how to mend it."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem, self.remedy = problem, remedy


@dataclass(frozen=True, slots=True)
class Source:
    """A corpus that is being read: its name, what its records are called, and what happens to the bad ones."""

    name: str
    unit: str
    skip_bad: bool
    tally: CorpusTally

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
