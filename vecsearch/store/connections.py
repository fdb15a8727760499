"""Connections to a segment's SQLite file, opened with it: one for short reads, several for conditions, which may be long."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition

from vecsearch.errors import UsageError
from vecsearch.forks import inherited
from vecsearch.sqlite import Database
from vecsearch.store.layout import Closed
from vecsearch.store.records import sound


class Connection:
    """Reads a file, one thread at a time.

    It keeps no locks of the file, and is at rest when a process is forked: the child goes on reading, even where the file has
    been removed since.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Immutable: no lock, no journal, so a read-only disk serves, and the file may be unlinked once it is open.
        with sound(path):
            self._database = Database(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)

    @property
    def broken(self) -> bool:
        """Whether it is of no use in this process, which was forked while another thread was reading."""
        return self._database.broken

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for this thread alone; what SQLite finds damaged names the file.

        Raises: Closed: it was closed. UsageError: it is broken.
        """
        with sound(self._path), self._database.quiet() as db:
            if self.broken:
                raise forked(self._path)
            if self._database.closed:
                raise Closed(self._path)
            yield db

    def close(self) -> None:
        """Close it, as soon as no other thread reads."""
        self._database.close()


class Pool:
    """Several connections to a file: each thread that asks gets one that is free, or waits for the first that will be."""

    def __init__(self, path: Path, count: int) -> None:
        self._path = path
        self._connections = [Connection(path) for _ in range(count)]
        self._free, self._changed = list(self._connections), Condition()
        inherited(self)

    def in_child(self) -> None:
        """Those that other threads had are free, or broken: the threads are not there."""
        self._changed = Condition()
        self._free = [connection for connection in self._connections if not connection.broken]

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One of the connections, for this thread alone. Raises as `Connection.reading` does."""
        with self._changed:
            if all(connection.broken for connection in self._connections):
                raise forked(self._path)
            self._changed.wait_for(lambda: self._free)
            connection = self._free.pop()
        try:
            with connection.reading() as db:
                yield db
        finally:
            with self._changed:
                self._free.append(connection)
                self._changed.notify()

    def close(self) -> None:
        """Close them, each as soon as no other thread reads by it."""
        for connection in self._connections:
            connection.close()


def forked(path: Path) -> UsageError:
    """The refusal of a connection that another thread of the parent was reading by."""
    return UsageError(f"this process was forked while another thread was searching {path}: open the index in it")
