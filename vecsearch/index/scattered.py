"""A generation whose segments are open in workers of an engine, a run of them in each: what one machine cannot hold."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from itertools import accumulate
from typing import Any, TypeVar
from weakref import finalize

from vecsearch.errors import LostError
from vecsearch.index.part import Part
from vecsearch.index.parts import Missing, Parts
from vecsearch.index.workers import Run, Workers
from vecsearch.store.snapshot import Snapshot

T = TypeVar("T")


class Scattered(Parts):
    """The parts of one generation, each held by a worker."""

    def __init__(self, workers: Workers, snapshot: Snapshot, *, check: bool) -> None:
        """Those of the snapshot's generation. Raises as opening an index does, and as `Workers.grow`."""
        super().__init__()
        self.workers = workers
        folder, manifest = snapshot.folder.absolute(), snapshot.manifest
        rows = [entry["rows"] for entry in manifest.segments]
        self._runs = [Run(folder, manifest.generation, numbers, check) for numbers in runs(rows, workers.most)]
        workers.grow(len(self._runs))
        starts = [0, *accumulate(rows)]
        self._starts = [starts[run.numbers.start] for run in self._runs]
        stops = [starts[run.numbers.stop] for run in self._runs]
        documents = [sum(manifest.segments[number]["documents"] for number in run.numbers) for run in self._runs]
        self._held = [Missing(range(*span), count) for *span, count in zip(self._starts, stops, documents, strict=True)]
        workers.enter()
        self._leave = finalize(self, workers.leave)
        self._origin = self
        try:
            self.every(Part.documents_alive)
        except BaseException:
            self.close()
            raise

    def ask(self, function: Callable[..., T], *arguments: Any) -> list[T]:
        answers, lost = self._asked(range(len(self._runs)), function, [arguments] * len(self._runs))
        if lost and not (self.workers.partial and answers):
            raise self._error(lost)
        self._missed += [self._held[number] for number in lost]
        return [value for _, value in sorted(answers.items())]

    def every(self, function: Callable[..., T], *arguments: Any) -> list[T]:
        answers, lost = self._asked(range(len(self._runs)), function, [arguments] * len(self._runs))
        if lost:
            raise self._error(lost)
        return [value for _, value in sorted(answers.items())]

    def one(self, number: int, function: Callable[..., T], *arguments: Any) -> T:
        answers, lost = self._asked([number], function, [arguments])
        if lost:
            raise self._error(lost)
        return answers[number]

    def routed(self, function: Callable[..., T], rows: Sequence[int], things: Sequence[Any]) -> list[tuple[list[int], T]]:
        places: dict[int, list[int]] = {}
        for place, row in enumerate(rows):
            places.setdefault(bisect_right(self._starts, row) - 1, []).append(place)
        arguments = [([things[place] for place in its],) for its in places.values()]
        answers, lost = self._asked(list(places), function, arguments)
        if lost:
            raise self._error(lost)
        return [(its, answers[number]) for number, its in places.items()]

    def _asked(
        self, numbers: Sequence[int], function: Callable[..., T], arguments: Sequence[tuple[Any, ...]]
    ) -> tuple[dict[int, T], dict[int, LostError]]:
        """What the parts of these numbers answer, all of them asked at once; and how those that cannot were lost."""
        asked = [
            (number, *self.workers.submit(number, self._runs[number], function, its))
            for number, its in zip(numbers, arguments, strict=True)
        ]
        answers, lost = {}, {}
        for number, worker, future in asked:
            try:
                answers[number] = future.result()
            except LostError as error:
                lost[number] = error
                self.workers.lost(number, worker, self._runs[number])
        return answers, lost

    def _error(self, lost: dict[int, LostError]) -> LostError:
        """Which documents are out of reach, and why."""
        missing = [self._held[number] for number in lost]
        spans = ", ".join(f"{one.rows.start:,} to {one.rows.stop - 1:,}" for one in missing)
        all_documents = sum(one.documents for one in self._held)
        return LostError(
            f"{sum(one.documents for one in missing):,} of {all_documents:,} documents are out of reach, those of the rows "
            f"{spans}: {next(iter(lost.values()))}; another is started: ask again in a moment, or open the index with "
            "partial=True to be answered from the others meanwhile"
        )

    def noting(self) -> Scattered:
        other = copy(self)
        other._missed, other._origin = [], self._origin  # with which the workers would end
        return other

    def close(self) -> None:
        self._leave()


def runs(rows: Sequence[int], count: int) -> Iterator[range]:
    """Segments of so many rows in up to `count` runs that follow each other and hold about as many rows each: by their numbers;
    one that is empty for an index without segments."""
    if not rows:
        yield range(0)
        return
    count, first, before = min(count, len(rows)), 0, 0
    total = sum(rows)
    for number in range(1, count + 1):
        last, reached = first, before
        # One at least, and one at least for each of those that follow.
        while last < len(rows) - (count - number) and (last == first or reached + rows[last] / 2 <= total * number / count):
            reached += rows[last]
            last += 1
        if number == count:
            last = len(rows)
        yield range(first, last)
        first, before = last, reached
