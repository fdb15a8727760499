"""Connections to SQLite in a process that may be forked: all of them share locks, which a child would find held for ever."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vecsearch.forks import QuietLock, keep_for_ever


class Database:
    """A connection that one thread uses at a time, and none while this process is forked: the child may go on using it."""

    def __init__(self, address: str, **settings: Any) -> None:
        """As sqlite3.connect does, and raises what it raises. Any thread may use it."""
        self.closed, self._lock = True, QuietLock()
        with self._lock:
            self._db = sqlite3.connect(address, check_same_thread=False, **settings)
            self.closed = False

    @property
    def broken(self) -> bool:
        """Whether it is of no use in this process, which was forked while another thread was using it for long."""
        return self._lock.broken

    @contextmanager
    def quiet(self) -> Iterator[sqlite3.Connection]:
        """The connection, for this thread alone."""
        with self._lock:
            yield self._db

    def batches(self, cursor: sqlite3.Cursor, count: int) -> Iterator[list[Any]]:
        """The rows that are left of a query, `count` at a time. Between two batches other threads may use it, or fork."""
        while True:
            with self._lock:
                rows = cursor.fetchmany(count)
            if not rows:
                return
            yield rows

    def close(self) -> None:
        """Close it, as soon as no other thread uses it."""
        with self._lock:
            self.closed = True
            if self.broken:
                keep_for_ever(self._db)
            else:
                self._db.close()

    def __del__(self) -> None:
        # A connection of Python's refers to itself: by itself it would keep the file until garbage is collected.
        if not self.closed:
            self.close()
