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
from threading import Lock, Thread
from typing import Any

from vecsearch import checks
from vecsearch.engine import Engine, LostError, Worker
from vecsearch.errors import ResourceError

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

    def worker(self, make: Callable[..., Any], *arguments: Any, node: str | None = None, threads: int = 1) -> Worker:
        if node not in (None, *self.nodes()):
            raise LostError(f"there is no machine {node}; this one is {next(iter(self.nodes()))}")
        self._workers = [worker for worker in self._workers if worker.is_alive()]
        self._workers.append(_Process(make, arguments, threads))
        return self._workers[-1]

    def close(self) -> None:
        for worker in self._workers:
            worker.stop()
        self._workers = []


class _Process(Worker):
    """A child process at the other end of a pipe, and a thread here that asks it one thing after another."""

    def __init__(self, make: Callable[..., Any], arguments: tuple[Any, ...], threads: int) -> None:
        context = get_context("spawn")  # a fork would have copies of locks, and none of the threads
        self._pipe, its_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(its_end,), daemon=True)
        with _environment(threads):
            try:
                self._process.start()
            except OSError as error:
                raise ResourceError(
                    f"no process can be started ({error.strerror or error}); end others, or ask for fewer"
                ) from error
        its_end.close()
        self._asking = ThreadPoolExecutor(1)
        self.ready = self._asking.submit(self._ask, make, arguments)

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
        request = pickle.dumps((function, arguments))
        try:
            self._pipe.send_bytes(request)
            answer = self._pipe.recv_bytes()
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


def _serve(pipe: connection.Connection) -> None:
    """Make the value that is asked for first, and call what is asked for then with it, until the pipe's other end is closed."""
    Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, BrokenPipeError):
        held, failed = _outcome(pipe.recv_bytes())
        pipe.send_bytes(_packed(None, failed))
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
