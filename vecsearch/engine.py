"""Work in other processes, on this machine or on a cluster: the little that building and searching ask of an engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class Worker(ABC):
    """A process that holds a value made in it, and calls functions with that."""

    ready: Future[None]
    """Is done when the process has its place and the value is made. Raises what making it has raised, and LostError where the
    process ended before."""

    @abstractmethod
    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Have `function(held, *arguments)` called there. Function and arguments are pickled: a function is one of a module's.

        The future raises what the function raises, and LostError where the process ended before it was done. Where the value
        could not be made, it raises what making it has raised.
        """

    @abstractmethod
    def stop(self) -> None:
        """End the process, whatever it is doing; what it was still asked for raises LostError."""


class Engine(ABC):
    """Starts workers. As a context manager it stops them when it is left."""

    @abstractmethod
    def nodes(self) -> dict[str, int]:
        """The machines that there are now, and how many workers each has room for: its cores."""

    @abstractmethod
    def free(self) -> int:
        """How many cores are free now, for workers that wait for a place."""

    @abstractmethod
    def worker(
        self, make: Callable[..., Any], *arguments: Any, node: str | None = None, threads: int = 1, at_once: int = 1
    ) -> Worker:
        """Start a process that holds `make(*arguments)` and computes with so many threads, on the machine `node`, or on any. It
        does what it is asked for one after another, or `at_once` at a time, each in a thread.

        It returns at once. Raises LostError for a machine that is not there.
        """

    @abstractmethod
    def close(self) -> None:
        """Stop all workers."""

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
