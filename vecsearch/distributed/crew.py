"""Tasks done by the workers of an engine, in any order: those that are lost with a worker are done again by another."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from vecsearch.engine import Engine, Worker
from vecsearch.errors import LostError, ResourceError
from vecsearch.progress import Progress

TRIES = 5
"""Workers that a task may end, or that may end one after another before one has its place: then it is not by chance."""
SAID_S = 30.0
"""Seconds without any worker until that is said."""
PLACED_S = 600.0
"""Seconds without any worker until they are given up: time enough for a cluster that adds a machine when one is asked for."""

T = TypeVar("T")


class Numbered(NamedTuple):
    """A task, and how many came before it."""

    number: int
    task: Any


class Crew:
    """Workers that hold `make(*arguments)` each, at most `size` of them at a time. They are started when there is something to
    do, and end with the crew, a context manager."""

    def __init__(self, engine: Engine, size: int, make: Callable[..., Any], *arguments: Any, progress: Progress) -> None:
        self.size = size
        self._engine, self._progress = engine, progress
        self._make, self._arguments = make, arguments
        self._starting: dict[Future[None], Worker] = {}
        self._idle: list[Worker] = []
        self._running: dict[Future[Any], tuple[Worker, Numbered]] = {}
        self._failed_starts = 0
        self._begin()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _begin(self) -> None:
        self._waiting: deque[Numbered] = deque()
        self._tries: Counter[int] = Counter()
        self._failed: tuple[float, BaseException] | None = None
        """The first of the tasks, in their order, that raised an error, and that."""
        self._alone_since = monotonic()

    def results(self, work: Callable[[Any, Any], T], tasks: Iterable[Any]) -> Iterator[tuple[Any, T]]:
        """Each task with what `work(held, task)` has given, as it is done. Tasks are drawn when there is somebody to do them,
        or nearly: memory holds no more of them than there are workers.

        What a task raises, or drawing one, is raised when those before it are done, whose results are given first: it is the
        error that doing one after another would have ended with. Raises ResourceError where workers end again and again, or
        find no place.
        """
        coming = iter(Numbered(*pair) for pair in enumerate(tasks))
        self._begin()
        while True:
            self._draw(coming)
            self._hand_out(work)
            if not (self._running or self._waiting):
                break
            yield from self._settle()
        if self._failed:
            raise self._failed[1]

    def stop(self) -> None:
        """End all workers, whatever they are doing."""
        for worker in (*self._starting.values(), *self._idle, *(worker for worker, _ in self._running.values())):
            worker.stop()
        self._starting, self._idle, self._running = {}, [], {}

    def _draw(self, coming: Iterator[Numbered]) -> None:
        """Have a task ready for each worker that has none, or is being started, and one beside."""
        while True:
            while self._has_room and len(self._waiting) > len(self._idle) + len(self._starting):
                self._start()
            if self._failed or len(self._waiting) > len(self._idle) + len(self._starting):
                return
            try:
                drawn = next(coming, None)
            except Exception as error:
                self._fail(math.inf, error)
                return
            if drawn is None:
                return
            self._waiting.append(drawn)

    @property
    def _has_room(self) -> bool:
        return len(self._starting) + len(self._idle) + len(self._running) < self.size

    def _start(self) -> None:
        worker = self._engine.worker(self._make, *self._arguments)
        self._starting[worker.ready] = worker

    def _hand_out(self, work: Callable[[Any, Any], Any]) -> None:
        if self._failed:
            self._waiting = deque(task for task in self._waiting if task.number < self._failed[0])
        while self._waiting and self._idle:
            worker, task = self._idle.pop(), self._waiting.popleft()
            self._running[worker.submit(work, task.task)] = worker, task

    def _settle(self) -> Iterator[tuple[Any, Any]]:
        """Wait until something is done, and give what came of tasks."""
        done, _ = wait([*self._running, *self._starting], timeout=SAID_S, return_when=FIRST_COMPLETED)
        if self._running or done:
            self._alone_since = monotonic()
        elif (waited := monotonic() - self._alone_since) >= SAID_S:
            self._say_alone(waited)
        for future in done:
            if future in self._starting:
                self._started(future)
                continue
            worker, task = self._running.pop(future)
            if (error := future.exception()) is None:
                self._idle.append(worker)
                yield task.task, future.result()
            elif isinstance(error, LostError):
                self._lost(worker, task, error)
            else:
                self._idle.append(worker)
                self._fail(task.number, error)

    def _fail(self, number: float, error: BaseException) -> None:
        if not self._failed or number < self._failed[0]:
            self._failed = (number, error)

    def _started(self, future: Future[None]) -> None:
        worker, error = self._starting.pop(future), future.exception()
        if error is None:
            self._failed_starts = 0
            self._idle.append(worker)
            return
        worker.stop()
        self._failed_starts += 1
        if not isinstance(error, LostError):
            raise error
        if self._failed_starts >= TRIES:
            raise ResourceError(f"{self._failed_starts} workers, one after another, ended before they could begin: {error}")

    def _lost(self, worker: Worker, task: Numbered, error: LostError) -> None:
        worker.stop()  # it may only seem to be lost
        self._tries[task.number] += 1
        if self._tries[task.number] >= TRIES:
            self._fail(task.number, ResourceError(f"the same part of the work has ended {TRIES} workers: {error}"))
            return
        self._progress.note(f"{error}; what it did is done again by another")
        self._waiting.appendleft(task)

    def _say_alone(self, waited: float) -> None:
        """Say that no worker is ready. Raises ResourceError when that has lasted too long."""
        cores, free = sum(self._engine.nodes().values()), self._engine.free()
        where = f"the machines have {cores:,} cores, {free:,} of them free"
        if waited >= PLACED_S:
            raise ResourceError(
                f"no worker was ready in {waited:,.0f} seconds: {where}; add machines, or ask for fewer workers"
            )
        self._progress.note(f"no worker is ready after {waited:,.0f} seconds: {where}")
