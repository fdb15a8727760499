"""The folders of segments that are being made: new ones, what interrupted work has left, what goes where no commit follows."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from vecsearch.errors import writing
from vecsearch.files import sync
from vecsearch.store.commit import remove_below, write_file
from vecsearch.store.layout import BUILD, RECORD, SEGMENTS, attempt_name, is_attempt
from vecsearch.store.shards import Shards


class SegmentFolders:
    """Below an index's folder, for the generation that is being made. What interrupted work has left is there until others
    begin: another command may resume it."""

    def __init__(self, folder: Path, generation: int, unfinished: Sequence[tuple[str, dict[str, Any]]]) -> None:
        self._folder, self._generation = folder, generation
        self._loose: list[str] = []
        self.unfinished = list(unfinished)
        """Name and signature of each segment that was begun, as `commit.find_unfinished` has them."""

    def discard_unfinished(self) -> None:
        """Remove what interrupted work has left."""
        for name, _ in self.unfinished:
            Shards(self._folder, name).remove_all()
        self.unfinished.clear()

    def begin(self, name: str, signature: Mapping[str, Any]) -> Path:
        """A new folder, which is found again by its signature: what the segment is made from, as JSON values."""
        folder = fresh_folder(self._folder, f"{SEGMENTS}/{name}")
        write_file(folder / BUILD, json.dumps(signature, indent=1, sort_keys=True).encode() + b"\n")
        sync(folder)
        sync(folder.parent)
        return folder

    def attempt(self, number: int, signature: Mapping[str, Any]) -> Path:
        """A new folder, as of `begin`, in which somebody makes a segment, and nobody else writes."""
        return self.begin(attempt_name(self._generation, number, os.urandom(4).hex()), signature)

    def loose(self, signature: Mapping[str, Any] | None = None) -> Path:
        """A new folder for a segment that the caller fills with finished files; it goes where no commit follows. What is killed
        is found again by its signature, where there is one."""
        name = self._free_name()
        self._loose.append(f"{SEGMENTS}/{name}")
        return fresh_folder(self._folder, self._loose[-1]) if signature is None else self.begin(name, signature)

    def units(self, signatures: Sequence[Mapping[str, Any]]) -> list[Path]:
        """A folder for each of the segments of a job: the one that was begun with this signature, where there is one, else a
        new one. What was begun otherwise is removed; so are attempts of other processes, which may still be at it, but for
        those that are whole."""
        begun: dict[str, str] = {}
        for name, signature in self.unfinished:
            whole = (self._folder / SEGMENTS / name / RECORD).exists()
            if whole or not (is_attempt(name) or _text(signature) in begun):
                begun[_text(signature)] = name
        names = [begun.pop(_text(signature), None) for signature in signatures]
        for name in {name for name, _ in self.unfinished}.difference(names):
            remove_below(self._folder, f"{SEGMENTS}/{name}")
        self.unfinished.clear()
        return [
            self._folder / SEGMENTS / name if name else self.begin(self._free_name(), signature)
            for name, signature in zip(names, signatures, strict=True)
        ]

    def _free_name(self) -> str:
        names = (f"{self._generation:06d}-{number}" for number in count())
        return next(name for name in names if not (self._folder / SEGMENTS / name).exists())

    def committed(self) -> None:
        """What was made is part of an index now, if it is to be."""
        self._loose = []

    def remove_loose(self) -> None:
        """Remove what no commit has made part of an index."""
        for path in self._loose:
            remove_below(self._folder, path)


def fresh_folder(folder: Path, path: str) -> Path:
    """A new, empty folder below an index's; what a crash left under its name, which no manifest can name, goes."""
    if (folder / path).is_dir():
        remove_below(folder, path)
    with writing(folder / path):
        (folder / path).mkdir(parents=True, exist_ok=True)
    return folder / path


def _text(signature: Mapping[str, Any]) -> str:
    return json.dumps(signature, sort_keys=True)
