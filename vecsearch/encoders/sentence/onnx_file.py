"""An .onnx file as it lies on disk, looked at before onnxruntime opens it: what goes in, what comes out, what lies beside it.

It is a protocol buffer: fields with a number, of four kinds, in messages that lie in one another (protobuf.dev, Encoding). The
numbers are those of onnx.proto, which never change. Weights are stepped over, not read. onnxruntime itself does not name the
files beside a model, which an index has to copy, and opening a model with it takes as long as reading all of its weights.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from vecsearch.errors import CheckpointError

MOST_BYTES = (1 << 31) - 1
"""The largest protocol buffer there may be; larger models keep their weights in files beside it."""
MOST_FIELDS = 5_000_000
"""Fields that are looked at: a hundred times what the largest models have, and seconds of work."""
MOST_LEVELS = 100
"""Levels of messages, as protobuf's own readers limit them."""
STRING = 8
"""The type of tensors of texts."""
PARTS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 11: "value", 12: "value", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
"""Which fields of a message are messages that are looked into; a value's and an entry's are read where they are met."""
NAMES = {"tensor": 8, "value": 1}
IN, OUT, DOMAIN = 11, 12, 7


class Value(NamedTuple):
    """An input or output: its type's number, and its shape, where None is a size that is not fixed; no shape is None."""

    type: int
    shape: tuple[int | None, ...] | None


@dataclass(slots=True)
class Graph:
    """What a model takes and gives, the domains of its operators, and the files beside it that hold its weights."""

    inputs: dict[str, Value] = field(default_factory=dict)
    outputs: dict[str, Value] = field(default_factory=dict)
    domains: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)


class _Field(NamedTuple):
    number: int
    value: int
    """Of a whole number; else 0."""
    start: int
    stop: int
    """Where its bytes lie; a number has none."""


def read_graph(path: Path) -> Graph:
    """The graph of an .onnx file. Raises CheckpointError, with the byte, for a file that is damaged, too large, or names files
    outside its own folder, or such as are not there."""
    size = path.stat().st_size
    if not 0 < size <= MOST_BYTES:
        raise CheckpointError(f"{path} has {size:,} bytes, and an .onnx file from 1 to {MOST_BYTES:,}; export the model again")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        graph = _Reader(path, data).graph()
    if not graph.outputs:
        raise CheckpointError(f"{path} holds no graph with an output: it is no .onnx file, or is cut short; export it again")
    for name in graph.files:
        _check_beside(path, name)
    return graph


def _check_beside(path: Path, name: str) -> None:
    place = path.parent / name
    if not name or Path(name).is_absolute() or not place.resolve().is_relative_to(path.parent.resolve()):
        raise CheckpointError(f"{path} names {name!r} for its weights, which is not below its own folder; export it again")
    if not place.is_file():
        raise CheckpointError(f"{path} has its weights in {name!r}, which is missing; copy it beside it")


class _Reader:
    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self._path, self._data, self._left = path, data, MOST_FIELDS

    def graph(self) -> Graph:
        graph = Graph()
        initial: set[str] = set()
        own: set[str] = set()
        waiting = [("model", 0, len(self._data), 0)]
        while waiting:
            kind, start, stop, level = waiting.pop()
            if level > MOST_LEVELS:
                raise self._damage(start, f"more than {MOST_LEVELS} messages in one another")
            for found in self._fields(start, stop):
                part = PARTS[kind].get(found.number)
                if part == "entry":
                    key, value = self._entry(found)
                    if key == "location":
                        graph.files.add(value)
                elif part == "value":
                    # Graphs within graphs have inputs and outputs of their own.
                    if level == 1:
                        name, value = self._value(found)
                        (graph.inputs if found.number == IN else graph.outputs)[name] = value
                elif part:
                    waiting.append((part, found.start, found.stop, level + 1))
                elif kind == "node" and found.number == DOMAIN:
                    graph.domains.add(self._text(found))
                elif kind == "function" and found.number == 10:
                    own.add(self._text(found))
                elif kind == "tensor" and found.number == NAMES[kind] and level == 2:
                    initial.add(self._text(found))
        graph.domains -= own
        # Older files name their weights among the inputs.
        graph.inputs = {name: value for name, value in graph.inputs.items() if name not in initial}
        return graph

    def _value(self, found: _Field) -> tuple[str, Value]:
        """A ValueInfoProto: name, and type.tensor_type.{elem_type, shape.dim.dim_value}."""
        name, number, shape = "", 0, None
        for part in self._fields(found.start, found.stop):
            if part.number == 1:
                name = self._text(part)
            elif part.number == 2:
                for kind in self._within(part, 1):
                    for fact in self._fields(kind.start, kind.stop):
                        if fact.number == 1:
                            number = fact.value
                        elif fact.number == 2:
                            shape = tuple(self._size(dim) for dim in self._within(fact, 1))
        return name, Value(number, shape)

    def _size(self, dim: _Field) -> int | None:
        return next((size.value for size in self._within(dim, 1)), None) or None

    def _entry(self, found: _Field) -> tuple[str, str]:
        """A StringStringEntryProto."""
        texts = {part.number: self._text(part) for part in self._fields(found.start, found.stop)}
        return texts.get(1, ""), texts.get(2, "")

    def _within(self, found: _Field, number: int) -> Iterator[_Field]:
        return (part for part in self._fields(found.start, found.stop) if part.number == number)

    def _text(self, found: _Field) -> str:
        try:
            return self._data[found.start : found.stop].decode()
        except UnicodeDecodeError:
            raise self._damage(found.start, "a name that is no UTF-8") from None

    def _fields(self, at: int, stop: int) -> Iterator[_Field]:
        while at < stop:
            begin = at
            self._left -= 1
            if self._left < 0:
                raise self._damage(begin, f"more than {MOST_FIELDS:,} fields")
            tag, at = self._varint(at, stop)
            number, wire = tag >> 3, tag & 7
            value, size = 0, {1: 8, 5: 4}.get(wire, 0)
            if wire in (0, 2):
                value, at = self._varint(at, stop)
            if wire == 2:
                value, size = 0, value
            if number == 0 or wire in (3, 4, 6, 7):
                raise self._damage(begin, "what is no field")
            if at + size > stop:
                raise self._damage(begin, f"a field that ends {at + size - stop:,} bytes behind what holds it")
            yield _Field(number, value, at, at + size if wire == 2 else at)
            at += size

    def _varint(self, at: int, stop: int) -> tuple[int, int]:
        value = 0
        for place in range(at, min(stop, at + 10)):
            byte = self._data[place]
            value |= (byte & 127) << 7 * (place - at)
            if byte < 128:
                return value, place + 1
        raise self._damage(at, "a number that does not end")

    def _damage(self, at: int, what: str) -> CheckpointError:
        return CheckpointError(
            f"{self._path}, byte {at:,}: {what}; it is no .onnx file, is cut short or damaged: export the model again"
        )
