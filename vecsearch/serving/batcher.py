"""Dynamic batching: one thread answers together whatever waits, so that more load makes larger batches, not longer ones.

There is no timer: a single request is answered at once, and what arrives meanwhile is the next batch.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from vecsearch.serving.limits import Limits
from vecsearch.serving.metrics import Metrics
from vecsearch.serving.problems import busy

J = TypeVar("J")
"""What is asked; `R` is what is answered."""
R = TypeVar("R")


@dataclass(eq=False, slots=True)
class _Ticket:
    """A job that waits, and who waits for it."""

    job: Any
    queries: int
    tokens: int
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class Batcher(Generic[J, R]):
    """Has `work` answer lists of jobs in a thread of its own: one result for each job, in order, or an exception in its place.

    What nobody waits for any more, since its deadline has passed or its client has gone, is dropped before it is worked on.
    Where `work` raises, its jobs are tried one by one, so that a bad one fails alone.
    """

    def __init__(self, work: Callable[[Sequence[J]], Sequence[R | Exception]], limits: Limits, metrics: Metrics) -> None:
        self._work, self._limits, self._metrics = work, limits, metrics
        self._waiting: deque[_Ticket] = deque()
        self._ready = threading.Condition()
        self._accepted = 0
        self._closed = False
        metrics.waiting.set_function(lambda: self._accepted)
        self._thread = threading.Thread(target=self._run, name="search", daemon=True)
        self._thread.start()

    # -- in the event loop -------------------------------------------------------------------------------------------

    def refuse(self, queries: int = 1) -> None:
        """Raise Problem (503) where there is no room for so many queries more."""
        if self._accepted + queries > self._limits.queue and self._accepted:
            self._metrics.dropped.labels("overload").inc(queries)
            raise busy(self._accepted)

    def accept(self, queries: int) -> None:
        """Count queries that will be asked, until they are `done`. Raises as `refuse`."""
        self.refuse(queries)
        self._accepted += queries

    def done(self, queries: int) -> None:
        """Count no longer what was accepted."""
        self._accepted -= queries

    async def ask(self, job: J, *, queries: int, tokens: int) -> R:
        """What `work` answers to a job of so many queries and tokens. Raises what it raises for this job."""
        loop = asyncio.get_running_loop()
        ticket = _Ticket(job, queries, tokens, loop.create_future(), loop)
        with self._ready:
            self._waiting.append(ticket)
            self._ready.notify()
        return await ticket.future

    # -- in the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while tickets := self._next():
            began = time.perf_counter()
            outcomes = self._outcomes([ticket.job for ticket in tickets])
            self._metrics.batches.observe(sum(ticket.queries for ticket in tickets))
            self._metrics.batch_seconds.observe(time.perf_counter() - began)
            for loop in {ticket.loop for ticket in tickets}:
                here = [(t, outcome) for t, outcome in zip(tickets, outcomes, strict=True) if t.loop is loop]
                try:
                    loop.call_soon_threadsafe(_deliver, here)
                except RuntimeError:  # that loop has ended, and nobody waits
                    continue

    def _next(self) -> list[_Ticket]:
        """Waits for tickets, and takes those of the next batch; none once it is closed."""
        with self._ready:
            while True:
                while not self._waiting and not self._closed:
                    self._ready.wait()
                if self._closed:
                    return []
                if taken := self._taken():
                    return taken

    def _taken(self) -> list[_Ticket]:
        taken: list[_Ticket] = []
        queries = tokens = 0
        while self._waiting:
            first = self._waiting[0]
            if not first.future.done():
                queries, tokens = queries + first.queries, tokens + first.tokens
                if taken and (queries > self._limits.batch or tokens > self._limits.batch_tokens):
                    break
                taken.append(first)
            self._waiting.popleft()
        return taken

    def _outcomes(self, jobs: list[J]) -> list[R | Exception]:
        try:
            return list(self._work(jobs))
        except Exception as error:
            if len(jobs) == 1:
                return [error]
        self._metrics.alone.inc()
        return [self._outcomes([job])[0] for job in jobs]

    def close(self) -> None:
        """End the thread after the batch that it is working on."""
        with self._ready:
            self._closed = True
            self._ready.notify()
        self._thread.join()


def _deliver(outcomes: Sequence[tuple[_Ticket, Any]]) -> None:
    for ticket, outcome in outcomes:
        if ticket.future.done():
            continue
        if isinstance(outcome, Exception):
            ticket.future.set_exception(outcome)
        else:
            ticket.future.set_result(outcome)
