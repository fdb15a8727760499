"""What was computed lately, kept for those who ask again; threads that ask for the same at once have it computed once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import CancelledError, Future
from typing import Generic, TypeVar

from vecsearch.forks import QuietLock, inherited

T = TypeVar("T")


class Kept(Generic[T]):
    """Things by what they were computed for: at most `most` of them, of `most_bytes` together as `size` counts them.

    What nobody has asked for longest goes first; the newest stays however large it is. May be shared by threads: those that ask
    for what another is computing wait for that alone, and get what it got, or the error that it met.
    """

    def __init__(self, most: int, most_bytes: int, size: Callable[[T], int]) -> None:
        self._most, self._most_bytes, self._size = most, most_bytes, size
        self._lock = QuietLock()
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._begun: dict[Hashable, Future[T]] = {}
        self._bytes = 0
        inherited(self)

    def in_child(self) -> None:
        """Forget what other threads were computing: they are not there."""
        self._begun = {}

    def get(self, key: Hashable, compute: Callable[[], T]) -> T:
        """What is kept for `key`, or else what `compute` returns. Raises what it raises, which is not kept."""
        while True:
            with self._lock:
                if key in self._values:
                    self._values.move_to_end(key)
                    return self._values[key]
                if (begun := self._begun.get(key)) is None:
                    own = self._begun[key] = Future[T]()
                    break
            try:
                return begun.result()
            except CancelledError:  # that thread was interrupted, which is nothing to this one
                continue
        try:
            value = compute()
        except BaseException as error:
            with self._lock:
                self._begun.pop(key, None)
            if isinstance(error, Exception):
                own.set_exception(error)
            else:
                own.cancel()
            raise
        self.put(key, value)
        own.set_result(value)
        return value

    def put(self, key: Hashable, value: T) -> None:
        """Keep a thing that was computed together with others."""
        with self._lock:
            self._begun.pop(key, None)
            if key not in self._values:
                self._bytes += self._size(value)
            self._values[key] = value
            while len(self._values) > 1 and (len(self._values) > self._most or self._bytes > self._most_bytes):
                self._bytes -= self._size(self._values.popitem(last=False)[1])
