"""The engine that every machine has: processes of its own."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import connection, get_context, parent_process, resource_tracker
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

from vecsearch import checks
from vecsearch.engine import Engine, Worker
from vecsearch.errors import LostError, ResourceError

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
"""What libraries read when they are imported, to know how many threads to compute with."""
_starting = Lock()


class Pool(Engine):
    """Processes of this machine, by the standard library. One that dies takes nothing of the others with it."""

    def __init__(self, workers: int | None = None) -> None:
        """`workers` is how many there is room for, by default one for each core. Raises UsageError for fewer than one."""
        self._room = (os.cpu_count() or 1) if workers is None else checks.count("workers", workers, least=1)
        self._workers: list[_Process] = []

    def nodes(self) -> dict[str, int]:
        return {socket.gethostname(): self._room}

    def free(self) -> int:
        return max(0, self._room - sum(worker.is_alive() for worker in self._workers))

    def worker(
        self, make: Callable[..., Any], *arguments: Any, node: str | None = None, threads: int = 1, at_once: int = 1
    ) -> Worker:
        if node not in (None, *self.nodes()):
            raise LostError(f"there is no machine {node}; this one is {next(iter(self.nodes()))}")
        self._workers = [worker for worker in self._workers if worker.is_alive()]
        self._workers.append(_Process(make, arguments, threads, at_once))
        return self._workers[-1]

    def close(self) -> None:
        for worker in self._workers:
            worker.stop()
        self._workers = []


class _Process(Worker):
    """A child process at the other end of as many pipes as it does things at once, and as many threads here that ask it."""

    def __init__(self, make: Callable[..., Any], arguments: tuple[Any, ...], threads: int, at_once: int) -> None:
        context = get_context("spawn")  # a fork would have copies of locks, and none of the threads
        pipes = [context.Pipe() for _ in range(at_once)]
        its_ends = [its_end for _, its_end in pipes]
        self._process = context.Process(target=_serve, args=(its_ends,), daemon=True)
        with _environment(threads):
            try:
                self._process.start()
            except OSError as error:
                raise ResourceError(
                    f"no process can be started ({error.strerror or error}); end others, or ask for fewer"
                ) from error
        for its_end in its_ends:
            its_end.close()
        self._idle: SimpleQueue[connection.Connection] = SimpleQueue()
        self._asking = ThreadPoolExecutor(at_once)
        self.ready = self._asking.submit(self._begin, [own for own, _ in pipes], make, arguments)

    def _begin(self, pipes: list[connection.Connection], make: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Have the value made; from then on it can be asked through every pipe."""
        try:
            self._told(pipes[0], make, arguments)
        finally:
            for pipe in pipes:
                self._idle.put(pipe)

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        try:
            return self._asking.submit(self._ask, function, arguments)
        except RuntimeError:  # it was stopped
            lost: Future[Any] = Future()
            lost.set_exception(self._lost())
            return lost

    def _ask(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        pipe = self._idle.get()  # there are as many as threads that ask
        try:
            return self._told(pipe, function, arguments)
        finally:
            self._idle.put(pipe)

    def _told(self, pipe: connection.Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        request = pickle.dumps((function, arguments))
        try:
            pipe.send_bytes(request)
            answer = pipe.recv_bytes()
        except (EOFError, OSError):
            raise self._lost() from None
        value, error = pickle.loads(answer)
        if error is not None:
            raise error
        return value

    def _lost(self) -> LostError:
        self._process.join(1)  # its end of the pipe is closed a moment before it has ended
        code = self._process.exitcode
        by = next((one.name for one in signal.Signals if code == -one), "")
        how = f"was ended by {by}" if by else "ended"
        return LostError(f"a worker process {how} before its work was done; it may have been killed, or memory was short")

    def stop(self) -> None:
        self._process.kill()
        self._asking.shutdown(wait=False)


@contextmanager
def _environment(threads: int) -> Iterator[None]:
    """What a process that is started meanwhile finds: how many threads to compute with, and that Ctrl-C is not for it, but for
    the one that started it, which ends it."""
    resource_tracker.ensure_running()  # which would let the signal through again, were it started within
    with _starting:
        before = {name: os.environ.get(name) for name in _THREADS}
        os.environ.update(dict.fromkeys(_THREADS, str(threads)))
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


def _serve(pipes: list[connection.Connection]) -> None:
    """Make the value that is asked for first, and call what is asked for with it, until the pipes' other ends are closed."""
    Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, BrokenPipeError):
        held, failed = _outcome(pipes[0].recv_bytes())
        pipes[0].send_bytes(_packed(None, failed))
        answering = [Thread(target=_answer, args=(pipe, held, failed)) for pipe in pipes[1:]]
        for thread in answering:
            thread.start()
        _answer(pipes[0], held, failed)


def _answer(pipe: connection.Connection, held: Any, failed: Exception | None) -> None:
    """Answer what comes through a pipe, one after another."""
    with suppress(EOFError, BrokenPipeError):
        while True:
            request = pipe.recv_bytes()
            pipe.send_bytes(_packed(*((None, failed) if failed else _outcome(request, held))))


def _outcome(request: bytes, *held: Any) -> tuple[Any, Exception | None]:
    """What the function of a request returns, or the error that it raises."""
    try:
        function, arguments = pickle.loads(request)
        return function(*held, *arguments), None
    except Exception as error:
        # A pickle has no traceback.
        error.add_note("in a worker process:\n" + "".join(traceback.format_exception(error)))
        return None, error


def _packed(value: Any, error: Exception | None) -> bytes:
    try:
        packed = pickle.dumps((value, error))
        if error is not None:
            pickle.loads(packed)  # an exception's own __init__ may want other arguments
        return packed
    except Exception as why:
        what = value if error is None else error
        return pickle.dumps((None, TypeError(f"a worker cannot send {what!r:.500}: {why}")))


def _end_with_parent() -> None:
    """End this process when the one that started it has ended, however that came: nobody waits for its work any more."""
    parent = parent_process()
    assert parent is not None  # it was started by one
    connection.wait([parent.sentinel])
    os._exit(1)
