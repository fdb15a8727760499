"""The parts that a generation of an index is asked by: one where all of its segments are open in this process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from vecsearch.index.part import Part
from vecsearch.store.snapshot import Snapshot

T = TypeVar("T")


class Missing(NamedTuple):
    """Documents that an answer lacks: the rows that they have, and how many they are, deleted ones among them."""

    rows: range
    documents: int


class Parts(ABC):
    """The parts of a generation, in the order of the index. What they are asked is a method of `Part`, with its arguments."""

    def __init__(self) -> None:
        self._missed: list[Missing] = []

    @abstractmethod
    def ask(self, function: Callable[..., T], *arguments: Any) -> list[T]:
        """What each part answers; where partial answers were asked for, without those that are out of reach, which are `missed`
        then. Raises LostError where one is out of reach, or all are."""

    @abstractmethod
    def every(self, function: Callable[..., T], *arguments: Any) -> list[T]:
        """What each part answers. Raises LostError where one is out of reach."""

    @abstractmethod
    def one(self, number: int, function: Callable[..., T], *arguments: Any) -> T:
        """What the part of this number answers. Raises as `every`."""

    @abstractmethod
    def routed(self, function: Callable[..., T], rows: Sequence[int], things: Sequence[Any]) -> list[tuple[list[int], T]]:
        """What parts answer to those of the things whose rows they hold, and the places of these. Raises as `every`."""

    @abstractmethod
    def noting(self) -> Parts:
        """The same parts, whose `missed` begins anew."""

    @property
    def missed(self) -> list[Missing]:
        """What answers have lacked so far, each once."""
        return list(dict.fromkeys(self._missed))

    @abstractmethod
    def close(self) -> None:
        """Let go of them."""


class Here(Parts):
    """The only part of a generation whose segments are all open in this process."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self._part = Part(snapshot)

    def ask(self, function: Callable[..., T], *arguments: Any) -> list[T]:
        return [function(self._part, *arguments)]

    every = ask

    def one(self, number: int, function: Callable[..., T], *arguments: Any) -> T:
        return function(self._part, *arguments)

    def routed(self, function: Callable[..., T], rows: Sequence[int], things: Sequence[Any]) -> list[tuple[list[int], T]]:
        return [(list(range(len(rows))), function(self._part, things))]

    def noting(self) -> Here:
        return self

    def close(self) -> None:
        self._part.snapshot.close()
