"""Engines for tests that do all the work in this process, or in children that are forked from it for each task: a fault can be
had at any step of what they do, at the cost of a fork."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from vecsearch.engine import Engine, Worker
from vecsearch.errors import LostError


class Here(Engine):
    """Workers that do at once what they are asked for, one after another."""

    def __init__(self, room: int = 2) -> None:
        self.room = room
        self.started = 0
        """Workers that were started."""

    def nodes(self) -> dict[str, int]:
        return {"here": self.room}

    def free(self) -> int:
        return self.room

    def worker(
        self, make: Callable[..., Any], *arguments: Any, node: str | None = None, threads: int = 1, at_once: int = 1
    ) -> Worker:
        self.started += 1
        return Doing(self.call, make, arguments)

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        return function(*arguments)

    def close(self) -> None:
        pass


class Forking(Here):
    """Workers each of whose tasks a forked process does, within `around`: what ends it loses the worker."""

    def __init__(self, around: Callable[[Callable[[], Any]], Any], room: int = 2) -> None:
        super().__init__(room)
        self.around = around

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        reader, writer = os.pipe()
        if not (process := os.fork()):
            try:
                answer = self.around(lambda: function(*arguments)), None
            except BaseException as error:
                answer = None, error
            with os.fdopen(writer, "wb") as pipe:
                pickle.dump(answer, pipe)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            answered = pipe.read()
        os.waitpid(process, 0)
        if not answered:
            raise LostError("the process is gone")
        value, error = pickle.loads(answered)
        if error is not None:
            raise error
        return value


class Doing(Worker):
    def __init__(self, call: Callable[..., Any], make: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._call, self._lost = call, False
        self.ready = self._done(lambda: self._hold(make(*arguments)))

    def _hold(self, value: Any) -> None:
        self._held = value

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        return self._done(lambda: self._call(function, (self._held, *arguments)))

    def _done(self, work: Callable[[], Any]) -> Future[Any]:
        told: Future[Any] = Future()
        try:
            if self._lost:
                raise LostError("it was stopped")
            told.set_result(work())
        except Exception as error:
            self._lost = self._lost or isinstance(error, LostError)
            told.set_exception(error)
        return told

    def stop(self) -> None:
        self._lost = True
