"""An index in an object store: objects named by their content, and commits by a number that only one writer can have.

    vecsearch.json           says that an index lies here, in which format; never changed
    clock                    written over again and again: when, by the store's own clock, is it now?
    commits/000012.json      one generation: its manifest, and which objects its files are
    objects/<sha256>         a file

A commit is put if there is none of its number: of several writers one succeeds. An object is never changed, and a name that
an earlier commit's object had is never given to a new one: so what is collected as garbage is nobody's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from vecsearch.errors import ResourceError, UnsupportedIndexError, UsageError
from vecsearch.remote.store import ObjectStore, Stored, damaged_object
from vecsearch.schema import check, whole
from vecsearch.store.manifest import Manifest

FORMAT = 1
MARK = "vecsearch.json"
CLOCK = "clock"
COMMITS, OBJECTS = "commits/", "objects/"
SPARED = timedelta(days=3)
"""What is younger is no garbage: a push that is under way may need it."""
REUSED = timedelta(days=2)
"""An object that the commit before does not name is used again while it is younger: a day before it could be garbage."""

_COMMIT = re.compile(rf"{COMMITS}(\d{{6,}})\.json")
_OBJECT = re.compile(rf"{OBJECTS}[0-9a-f]{{64}}(-[0-9a-f]{{8}})?")
_OWN = re.compile(rf"{re.escape(MARK)}|{CLOCK}|{_COMMIT.pattern}|{_OBJECT.pattern}")


@dataclass(frozen=True)
class Commit:
    """One generation of an index as it lies in a store."""

    number: int
    manifest: Manifest
    data: bytes
    """The manifest's file, byte for byte."""
    copies: dict[str, str]
    """Names of objects by the sha256 of their content, where they are called otherwise."""
    follows: str | None
    """sha256 of the manifest of the commit before; None in the first one, and where another index was replaced."""
    created: str

    @cached_property
    def sha256(self) -> str:
        """Of the manifest's file."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def name(self) -> str:
        """The object's."""
        return commit_name(self.number)

    def object_of(self, sha256: str) -> str:
        """The name of the object with this content."""
        return self.copies.get(sha256, OBJECTS + sha256)

    @property
    def objects(self) -> set[str]:
        """The names of all its objects."""
        return {self.object_of(entry["sha256"]) for entry in self.manifest.files.values()}

    @property
    def said(self) -> str:
        """What it is, for people."""
        return f"generation {self.manifest.generation} of {self.created} (commit {self.number}, {self.sha256[:12]})"

    def to_bytes(self) -> bytes:
        """The object's."""
        values = {
            "format": FORMAT,
            "created": self.created,
            "follows": self.follows,
            "sha256": self.sha256,
            "copies": self.copies,
            "manifest": self.data.decode(),
        }
        return json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes, number: int, where: str) -> Commit:
        """The commit in an object. Raises DamagedIndexError, UnsupportedIndexError."""
        values = _values(data, where)
        try:
            check(values, {"created": str, "follows": (None, str), "sha256": str, "manifest": str, "copies": {...: _is_object}})
        except ValueError as problem:
            raise damaged_object(where, str(problem)) from None
        text = values["manifest"].encode()
        made = cls(number, Manifest.from_bytes(text, where), text, values["copies"], values["follows"], values["created"])
        if made.sha256 != values["sha256"]:
            raise damaged_object(where, f"holds a manifest with sha256 {made.sha256}, not {values['sha256']}")
        return made


@dataclass(frozen=True)
class Inventory:
    """What lies in an index's place, and when that was, by the store's clock."""

    now: datetime
    commits: dict[int, Stored]
    objects: dict[str, Stored]

    @property
    def newest(self) -> int:
        """The newest commit's number; 0 where there is none."""
        return max(self.commits, default=0)


class Place:
    """Where an index lies, or is to lie, in an object store."""

    def __init__(self, url: str, *, create: bool = False) -> None:
        """Raises UsageError for what is no URL of a store, ResourceError where it cannot be reached."""
        self.store = ObjectStore(url, create=create)
        self.url = self.store.url

    def numbers(self) -> list[int]:
        """The numbers of the commits that are kept, rising."""
        return sorted(_commits(self.store.objects(COMMITS)))

    def commit(self, number: int) -> Commit | None:
        """The commit of a number; None where there is none (any more). Raises DamagedIndexError, UnsupportedIndexError."""
        name = commit_name(number)
        data = self.store.read(name)
        return None if data is None else Commit.from_bytes(data, number, self.store.where(name))

    def newest(self) -> Commit | None:
        """The newest commit; None where there is none. Raises ResourceError, DamagedIndexError, UnsupportedIndexError."""
        return next(self.newest_first(), None)

    def newest_first(self) -> Iterator[Commit]:
        """The commits that are kept, the newest first. Raises as `newest`."""
        for number in reversed(self.numbers()):
            if (found := self.commit(number)) is not None:
                yield found

    def wanted(self, generation: int | None = None) -> Commit:
        """The newest commit, or the newest of a generation.

        Raises: UnsupportedIndexError: there is no index. UsageError: the generation is not kept.
        """
        numbers = []
        for commit in self.newest_first():
            if generation in (None, commit.manifest.generation):
                return commit
            numbers.append(commit.manifest.generation)
        if numbers:
            raise UsageError(f"{self.url} does not keep generation {generation}; it keeps {', '.join(map(str, numbers))}")
        raise UnsupportedIndexError(f"there is no index at {self.url}; vecsearch push takes one there")

    def inventory(self) -> Inventory:
        """All that lies there. Raises ResourceError."""
        self.store.put(CLOCK, datetime.now(UTC).isoformat().encode())
        found = self.store.objects()
        if CLOCK not in found:
            raise ResourceError(f"{self.store.where(CLOCK)} was put there and is not listed: this store cannot be relied on")
        objects = {name: stored for name, stored in found.items() if _OBJECT.fullmatch(name)}
        return Inventory(found[CLOCK].modified, _commits(found), objects)

    def prepare(self) -> None:
        """See that the place holds an index of ours or nothing, and that the store does put only what is absent where it is
        asked to: some do as if the condition was not there, and have two writers win.

        Raises: UnsupportedIndexError: another format, or something else. ResourceError: no such store.
        """
        mark = json.dumps({"format": FORMAT}).encode()
        if self.store.put_if_absent(MARK, mark):
            if others := [name for name in self.store.objects() if not _OWN.fullmatch(name)]:
                self.store.remove([MARK])
                raise UsageError(f"{self.url} holds other things, such as {min(others)}; choose another prefix")
            if self.store.put_if_absent(MARK, mark):
                raise ResourceError(
                    f"{self.url} is in a store that puts an object in another's place even where it is told not to "
                    "(If-None-Match: *): two writers could both win; use another store"
                )
        _values(self.store.read(MARK) or b"", self.store.where(MARK))

    def put(self, commit: Commit) -> bool:
        """Make a commit the newest; False where another writer had its number first. Raises ResourceError."""
        return self.store.put_if_absent(commit.name, commit.to_bytes())


def commit_name(number: int) -> str:
    """The name of a commit's object."""
    return f"{COMMITS}{number:06d}.json"


def _values(data: bytes, where: str) -> dict[str, Any]:
    """What an object of ours says. Raises DamagedIndexError for what is none, UnsupportedIndexError for a newer format."""
    try:
        values = json.loads(data)
    except ValueError as error:
        raise damaged_object(where, f"is not JSON ({error})") from None
    try:
        check(values, {"format": whole(1)})
    except ValueError as problem:
        raise damaged_object(where, f"is not vecsearch's: it {problem}") from None
    if values["format"] > FORMAT:
        raise UnsupportedIndexError(
            f"{where} has format {values['format']}; this vecsearch reads up to {FORMAT}: upgrade vecsearch"
        )
    return values


def _commits(found: dict[str, Stored]) -> dict[int, Stored]:
    return {int(match[1]): stored for name, stored in found.items() if (match := _COMMIT.fullmatch(name))}


def _is_object(value: Any) -> bool:
    return isinstance(value, str) and _OBJECT.fullmatch(value) is not None
