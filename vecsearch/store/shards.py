"""Shards of one build: segments that several processes make, on whatever machines; who is the first with one, claims it.

Each is made in a folder of its own that nobody else writes to, and is whole when its record lies there. Then a file that names
it is put where there must be none yet, by a link: so of two that made the same shard one counts. Nothing is renamed afterwards.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vecsearch.errors import ResourceError, UsageError, VecsearchError, writing
from vecsearch.files import sync
from vecsearch.schema import check
from vecsearch.store.commit import describe_file, remove_files, write_file
from vecsearch.store.layout import (
    BUILD,
    CLAIM,
    RECORD,
    SEGMENTS,
    attempt_name,
    claim_name,
    damaged,
    faiss_name,
    files_below,
    is_attempt,
    is_own,
    reading,
)
from vecsearch.store.segment_record import SegmentRecord

_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


class Claim(NamedTuple):
    """Which folder below segments/ a shard is in, and the sha256 of the record there."""

    segment: str
    sha256: str


@dataclass(frozen=True)
class Shards:
    """The shards of one build of the index in `folder`: `name` is that of the folder below segments/ in which they are claimed.

    It is sent to other processes, on machines that see the same folder.
    """

    folder: Path
    name: str

    @property
    def generation(self) -> int:
        """The one that is being built."""
        return int(self.name.split("-")[0])

    @property
    def place(self) -> Path:
        """The folder in which they are claimed, and what they have in common lies."""
        return self.folder / SEGMENTS / self.name

    def check_there(self, machine: str) -> None:
        """Raise UsageError where that is not seen here, on the machine of this name."""
        if not (self.place / BUILD).is_file():
            raise UsageError(
                f"the machine {machine} does not see {self.folder}: all machines have to share the index's folder, under the "
                "same path"
            )

    def attempt(self, number: int) -> Path:
        """A new folder to make a shard in. Raises ResourceError."""
        path = self.folder / SEGMENTS / attempt_name(self.generation, number, os.urandom(4).hex())
        with writing(path):
            path.mkdir()
        return path

    def claim(self, number: int, attempt: Path, record: SegmentRecord) -> Claim:
        """Have the shard made in the folder `attempt`, whose record has been written, count, unless another counts already,
        whose files are there; returns the one that does. Raises ResourceError."""
        sync(attempt.parent)  # what is claimed is there, whatever happens
        claim = Claim(attempt.name, hashlib.sha256(record.to_bytes()).hexdigest())
        path = self._path(number, record.digest)
        own = attempt / CLAIM
        write_file(own, json.dumps(claim._asdict()).encode())
        while not self._linked(own, path):
            if (first := self.claimed(number, record.digest)) and first != claim and self.record(first):
                self.remove(attempt.name)
                return first
            self.drop(number, record.digest)  # of no use: what it names is gone, or is not what it was
        sync(path.parent)
        with writing(own):
            own.unlink()
        return claim

    def _linked(self, own: Path, path: Path) -> bool:
        """Put a claim where there must be none; whether it is there."""
        with writing(path):
            try:
                os.link(own, path)
            except FileExistsError:
                # A server of files may have done it, and its answer been lost.
                with suppress(FileNotFoundError):
                    return os.path.samefile(own, path)
                return False
            except OSError as error:
                if error.errno in _NO_LINKS:
                    raise ResourceError(
                        f"{path.parent} is on a file system without hard links, by which shards are claimed; choose another"
                    ) from error
                raise
        return True

    def claimed(self, number: int, digest: str) -> Claim | None:
        """Who claims the shard of this number that was made of the documents with this digest; None where nobody does."""
        try:
            values = json.loads(self._path(number, digest).read_bytes())
            check(values, {"segment": is_attempt, "sha256": str})
        except (OSError, ValueError):
            return None
        return Claim(**values)

    def drop(self, number: int, digest: str) -> None:
        """Have nobody claim a shard any more. Raises ResourceError."""
        with writing(path := self._path(number, digest)):
            path.unlink(missing_ok=True)

    def record(self, claim: Claim, *, hashed: bool = False) -> SegmentRecord | None:
        """The record of a claimed shard, with which its files were compared, by their sizes or also their hashes; None where
        anything differs, or is missing."""
        folder = self.place_of(claim.segment)
        try:
            data = (folder / RECORD).read_bytes()
            if hashlib.sha256(data).hexdigest() != claim.sha256:
                return None
            record = SegmentRecord.from_bytes(data, str(folder / RECORD))
            for name, expected in record.files.items():
                found = describe_file(folder / name) if hashed else {"bytes": (folder / name).stat().st_size}
                if found != {key: expected[key] for key in found}:
                    return None
        except (OSError, VecsearchError):
            return None
        return record

    def trusted(self, claim: Claim) -> SegmentRecord:
        """`record`, where there has to be one. Raises DamagedIndexError."""
        if (record := self.record(claim)) is None:
            raise damaged(self.place_of(claim.segment), "is not what was written there a moment ago")
        return record

    @property
    def is_empty(self) -> bool:
        """Whether no shard is claimed."""
        return not any(self._claims())

    def _claims(self) -> Iterator[Path]:
        return (path for path in self.place.glob("*.json") if path.name != BUILD)

    def new_index(self) -> str:
        """A file name for a FAISS index, of a shard or for all, that nobody else writes to."""
        return faiss_name(self.generation, os.urandom(4).hex())

    def place_of(self, segment: str) -> Path:
        """The folder of a claimed segment."""
        return self.folder / SEGMENTS / segment

    def tidy(self) -> None:
        """Remove what interrupted work has left, and nobody claims, and all that indexes were made with, for these are made
        again. Raises ResourceError."""
        named = set()
        for path in self._claims():
            with reading(path), suppress(ValueError, KeyError, TypeError):
                named.add(json.loads(path.read_bytes())["segment"])
        attempts = self._attempts()
        self._remove(attempts - named)
        self._remove(attempts & named, ".faiss")
        self._remove({self.name}, ".faiss", ".npy")

    def remove_all(self) -> None:
        """Remove all shards and claims: the build is given up. Raises ResourceError."""
        self._remove(self._attempts() | {self.name})

    def remove(self, name: str) -> None:
        """Remove a folder below segments/, as far as it is this program's. Raises ResourceError."""
        self._remove({name})

    def _remove(self, names: set[str], *suffixes: str) -> None:
        own = [path for path in files_below(self.folder) if path.startswith(SEGMENTS) and path.split("/")[1] in names]
        remove_files(self.folder, [path for path in own if is_own(path) and path.endswith(suffixes or "")])
        for name in names:
            with suppress(OSError):  # it is gone, or holds what is a stranger's
                (self.folder / SEGMENTS / name).rmdir()

    def _attempts(self) -> set[str]:
        """The folders of this generation in which shards were made, or begun."""
        names = os.listdir(self.folder / SEGMENTS)
        return {name for name in names if is_attempt(name) and int(name.split("-")[0]) == self.generation}

    def _path(self, number: int, digest: str) -> Path:
        return self.place / claim_name(number, digest)
