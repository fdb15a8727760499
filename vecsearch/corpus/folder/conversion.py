"""Files as text, by child processes: what is wrong with a file, or takes too much, ends with its process and stops no other."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from queue import SimpleQueue
from time import monotonic
from typing import Any, NamedTuple

from vecsearch.corpus.folder.content import Block, Content
from vecsearch.corpus.folder.walk import Found
from vecsearch.errors import ResourceError

EMPTY = "is empty"
"""The problem of a file without a byte."""
AHEAD = 4
"""Files for each process that are read before their turn."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may take: seconds, bytes of memory, bytes of a file of text, characters that come out, and bytes of a file
    of parts (.pdf, .docx …), packed or unpacked."""

    seconds: float = 60
    memory: int = 2 << 30
    text_bytes: int = 64 << 20
    characters: int = 32 << 20
    parts_bytes: int = 1 << 30


class Read(NamedTuple):
    """A file as it was read: its content, or None and what the problem is; size, time and sha256 of the bytes.

    A problem is `passing` where the file may be as good as ever another time: it is being written, or may not be opened.
    """

    found: Found
    content: Content | None
    problem: str = ""
    size: int = 0
    modified_ns: int = 0
    sha256: str = ""
    passing: bool = False


def read_all(files: Iterable[Found], limits: Limits, workers: int | None = None) -> Iterator[Read]:
    """The files, read by so many processes, by default one for each core, in their order."""
    workers = workers or os.cpu_count() or 1
    idle: SimpleQueue[_Child] = SimpleQueue()
    children = [_Child(limits) for _ in range(workers)]
    for child in children:
        idle.put(child)

    def read(found: Found) -> Read:
        child = idle.get()
        try:
            return child.read(found)
        finally:
            idle.put(child)

    pool = ThreadPoolExecutor(workers, thread_name_prefix="files")
    waiting: deque[Future[Read]] = deque()
    try:
        for found in files:
            waiting.append(pool.submit(read, found))
            if len(waiting) >= AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        for child in children:
            child.stop()
        pool.shutdown()


class _Child:
    """A process that reads one file after another; another one begins where it has ended."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, found: Found) -> Read:
        if self._process is None:
            try:
                self._process = self._start()
            except OSError as error:
                reason = error.strerror or error
                raise ResourceError(f"cannot start a process that reads files: {reason}; close other programs") from error
        request = {"path": found.path, "kind": found.kind, "name": found.name}
        try:
            answer = self._answer(json.dumps(request).encode() + b"\n")
        except TimeoutError:
            self.stop()
            return Read(found, None, f"takes longer than {self._limits.seconds:g} s")
        except (OSError, EOFError):
            self.stop()
            return Read(found, None, f"its reader ended: it needs more than {self._limits.memory >> 20:,} MB, or breaks it")
        state = {name: answer.get(name, default) for name, default in (("size", 0), ("modified_ns", 0), ("sha256", ""))}
        if "problem" in answer:
            return Read(found, None, answer["problem"], **state, passing="passing" in answer)
        return Read(found, _content(answer), **state)

    def _start(self) -> subprocess.Popen[bytes]:
        # -P: a folder of documents may hold a numpy.py, and may be the one that we are in.
        command = [sys.executable, "-P", "-m", "vecsearch.corpus.folder.child", json.dumps(asdict(self._limits))]
        alone = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | alone,
            start_new_session=True,  # an interruption is the parent's to handle
        )

    def _answer(self, request: bytes) -> dict[str, Any]:
        """What the process answers. Raises TimeoutError, and EOFError or OSError where it has ended."""
        process = self._process
        assert process and process.stdin and process.stdout
        process.stdin.write(request)
        process.stdin.flush()
        parts: list[bytes] = []
        poll = select.poll()
        poll.register(process.stdout, select.POLLIN | select.POLLHUP)
        deadline = monotonic() + self._limits.seconds
        while not (parts and parts[-1].endswith(b"\n")):
            if not poll.poll(max(0.0, deadline - monotonic()) * 1000):
                raise TimeoutError
            part = os.read(process.stdout.fileno(), 1 << 20)
            if not part:
                raise EOFError
            parts.append(part)
        return json.loads(b"".join(parts))

    def stop(self) -> None:
        """End the process; the next file has a new one."""
        if process := self._process:
            self._process = None
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):  # what it was to read
                    pipe.close()


def _content(answer: dict[str, Any]) -> Content:
    blocks = [
        Block(text, tuple(place) if place else None, level, lines, header)
        for text, place, level, lines, header in answer["blocks"]
    ]
    return Content(blocks, answer["title"], answer["fields"], answer["encoding"], answer["remarks"])
