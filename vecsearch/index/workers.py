"""Workers of an engine that hold parts of an index, and are replaced where they are lost."""

from __future__ import annotations

import os
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from platform import node as machine
from threading import Lock
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from vecsearch.engine import Engine, Worker
from vecsearch.errors import LostError, ResourceError, UsageError
from vecsearch.index.part import Part
from vecsearch.store.snapshot import open_snapshot

T = TypeVar("T")
PLACED_S = 600.0
"""Seconds until workers that find no place are given up: time enough for a cluster that adds a machine when asked for one."""
AGAIN_S = 1.0
"""Seconds between two tries to have a lost worker replaced."""
AT_ONCE = 8
"""Questions that a worker answers at a time: a slow condition holds up nobody."""
GENERATIONS = 2
"""That a worker has open: the newest, and the one before, of which answers may still be under way."""


class Run(NamedTuple):
    """What a worker has open: segments of a generation that follow each other, by their numbers in the manifest."""

    folder: Path
    generation: int
    numbers: range
    check: bool


class Holder:
    """What a worker holds: its parts of the generations that were asked for last."""

    def __init__(self) -> None:
        self._parts: OrderedDict[Run, Part] = OrderedDict()
        self._opening = Lock()

    def part(self, run: Run) -> Part:
        """A part; it is opened when it is first asked for. Raises as opening an index does."""
        with self._opening:
            if run not in self._parts:
                self._parts[run] = self._opened(run)
                while len(self._parts) > GENERATIONS:
                    # It is not closed: an answer may be under way. It goes when nothing refers to it any more.
                    self._parts.popitem(last=False)
            self._parts.move_to_end(run)
            return self._parts[run]

    @staticmethod
    def _opened(run: Run) -> Part:
        if not run.folder.is_dir():
            raise UsageError(
                f"the machine {machine()} does not see {run.folder}: all machines have to share the index's folder, under the "
                "same path"
            )
        return Part(open_snapshot(run.folder, generation=run.generation, check=run.check, numbers=run.numbers))


def answer(holder: Holder, run: Run, function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    """What a part that a worker holds answers, as an engine asks for it."""
    return function(holder.part(run), *arguments)


class _Seat:
    """A worker of several, and the one that is to take its place once it is lost."""

    def __init__(self, worker: Worker, node: str | None) -> None:
        self.worker, self.node = worker, node
        self.coming: Future[Any] | None = None
        """While a new one is not ready yet: when it will be."""
        self.lost_at = 0.0


class Workers:
    """Workers of an engine that hold the parts of an index, whichever generation of it is shown. They end when no generation
    refers to them any more."""

    def __init__(self, engine: Engine, count: int | None, *, partial: bool) -> None:
        """`count` of them at the most, one on each machine by default; each computes on one core. They are started when there
        are segments for them. Raises UsageError for more than there is room for."""
        # The head of a cluster may have no core to give.
        self._nodes = {name: cores for name, cores in engine.nodes().items() if cores}
        self.most, room = count or max(1, len(self._nodes)), sum(self._nodes.values())
        if self.most > max(1, room):
            raise UsageError(f"{self.most:,} workers were asked for, and the engine has room for {room:,}")
        self.partial = partial
        self._engine, self._lock, self._process = engine, Lock(), os.getpid()
        self._seats: list[_Seat] = []
        self._users, self._stopped = 0, False

    def grow(self, count: int) -> None:
        """Have so many of them, or as many as may be. Raises what ends one that is started, and ResourceError where one finds
        no place."""
        with self._lock:
            new = []
            for _ in range(len(self._seats), min(count, self.most)):
                node = self._place()
                new.append(_Seat(self._engine.worker(Holder, node=node, at_once=AT_ONCE), node))
                self._seats.append(new[-1])
        try:
            self._settle([seat.worker.ready for seat in new])
        except BaseException:
            self.stop()
            raise

    def _place(self) -> str | None:
        """The machine with the fewest of them, of those that have a core for another."""
        used = Counter(seat.node for seat in self._seats)
        return min(((used[name], name) for name, cores in self._nodes.items() if used[name] < cores), default=(0, None))[1]

    def _settle(self, ready: Sequence[Future[None]]) -> None:
        if wait(ready, PLACED_S).not_done:
            cores, free = sum(self._engine.nodes().values()), self._engine.free()
            raise ResourceError(
                f"not all of {len(ready):,} workers were ready in {PLACED_S:,.0f} seconds: the machines have {cores:,} "
                f"cores, {free:,} of them free; add machines, or ask for fewer workers"
            )
        for each in ready:
            each.result()

    def submit(
        self, number: int, run: Run, function: Callable[..., T], arguments: tuple[Any, ...]
    ) -> tuple[Worker | None, Future[T]]:
        """Ask a worker; returns it as well. While it is being replaced there is none, and the future raises LostError."""
        if os.getpid() != self._process:
            raise UsageError("an index that is open on an engine cannot be asked in a forked process: open it there")
        with self._lock:
            seat = self._seats[number]
            if seat.coming is not None and seat.coming.done() and seat.coming.exception() is None:
                seat.coming = None
            if seat.coming is None:
                return seat.worker, seat.worker.submit(answer, run, function, arguments)
            if seat.coming.done() and not self._stopped:
                self._replace(seat, run)
            waiting: Future[T] = Future()
            waiting.set_exception(LostError("their worker was lost"))
            return None, waiting  # nobody is to be given up for that

    def lost(self, number: int, worker: Worker | None, run: Run) -> None:
        """Have another worker take the place of one that is lost."""
        with self._lock:
            seat = self._seats[number]
            if seat.worker is worker and not self._stopped:  # nobody was faster
                self._replace(seat, run)

    def _replace(self, seat: _Seat, run: Run) -> None:
        if monotonic() - seat.lost_at < AGAIN_S:
            return
        seat.lost_at = monotonic()
        seat.worker.stop()  # it may only seem to be lost
        try:
            seat.worker = self._engine.worker(Holder, at_once=AT_ONCE)
            seat.coming = seat.worker.submit(answer, run, Part.documents_alive, ())
        except ResourceError as error:
            seat.coming = Future()
            seat.coming.set_exception(error)

    def enter(self) -> None:
        """Count a generation that is open on them."""
        with self._lock:
            self._users += 1

    def leave(self) -> None:
        """Count it no more; after the last one they are stopped."""
        with self._lock:
            self._users -= 1
            if self._users:
                return
        self.stop()

    def stop(self) -> None:
        """End them, whatever they are doing."""
        self._stopped = True
        for seat in self._seats:
            seat.worker.stop()
