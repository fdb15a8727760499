"""The stock models of fast.ai: the only part of vecsearch that uses the network, and only when asked to.

fastai's own downloader, fastdownload, would begin an interrupted download again.
"""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vecsearch.errors import DataError, ResourceError, UsageError, writing
from vecsearch.files import put_in_place

HEAD_BYTES = 2**20
"""So much of a file fastai's checksums cover."""
TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Archive:
    """A file to download: its size in bytes and the MD5 of its first HEAD_BYTES."""

    url: str
    size: int
    md5: str


# URLs: fastai 2, fastai/data/external.py. Sizes and checksums: fastai 1, fastai/datasets.py; fastai 2 has none for these two.
PRETRAINED = {
    "wt103-fwd": Archive(
        "https://s3.amazonaws.com/fast-ai-modelzoo/wt103-fwd.tgz", 105_067_061, "7d1114cd9684bf9d1ca3c9f6a54da6f9"
    ),
    "wt103-bwd": Archive(
        "https://s3.amazonaws.com/fast-ai-modelzoo/wt103-bwd.tgz", 105_205_312, "20b06f5830fd5a891d21044c28d3097f"
    ),
}


def download(name: str, folder: Path, *, progress: Callable[[int], None] = lambda _: None) -> Path:
    """Path of the stock model `name` ("wt103-fwd" or "wt103-bwd") in `folder`, fetched unless it is already there.

    `progress` is told how many bytes came, piece by piece. Raises UsageError for another name, and what `fetch` raises.
    """
    if name not in PRETRAINED:
        raise UsageError(f"no stock model {name!r}; there are {', '.join(PRETRAINED)}")
    path = folder / f"{name}.tgz"
    if not (path.is_file() and path.stat().st_size == PRETRAINED[name].size and _md5(path) == PRETRAINED[name].md5):
        fetch(PRETRAINED[name], path, progress=progress)
    return path


def fetch(archive: Archive, path: Path, *, progress: Callable[[int], None] = lambda _: None) -> None:
    """Download `archive` to `path`, which appears only when size and checksum are right.

    What came before an interruption stays in `path`.part, and the next call goes on from there.
    Raises ResourceError when the network or the disk fails, DataError when the file is not the expected one.
    """
    part = path.with_name(f"{path.name}.part")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as file:
            if file.tell() > archive.size:
                _restart(file)
            progress(file.tell())
            if file.tell() < archive.size:
                for block in _blocks(archive, file.tell()):
                    # A server that cannot resume begins again at the first byte.
                    if block is None:
                        progress(-file.tell())
                        _restart(file)
                        continue
                    file.write(block)
                    progress(len(block))
    _check(archive, part)
    put_in_place(part, path)


def _restart(file: BinaryIO) -> None:
    file.seek(0)
    file.truncate()


def _blocks(archive: Archive, start: int) -> Iterator[bytes | None]:
    """The file's bytes from `start` on; None first where the server sends it from the beginning instead."""
    request = urllib.request.Request(archive.url, headers={"Range": f"bytes={start}-"} if start else {})
    received = start
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            if start and response.status != http.client.PARTIAL_CONTENT:
                received = 0
                yield None
            announced = response.headers.get("Content-Length")
            if announced is not None and received + int(announced) != archive.size:
                raise DataError(_wrong(archive, f"{received + int(announced):,} bytes", f"{archive.size:,}"))
            while received < archive.size and (block := response.read(min(2**18, archive.size - received))):
                received += len(block)
                yield block
    except urllib.error.HTTPError as error:
        raise ResourceError(f"cannot download {archive.url}: the server answers {error.code} {error.reason}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ResourceError(_interrupted(archive, received, getattr(error, "reason", error))) from None
    if received < archive.size:
        raise ResourceError(_interrupted(archive, received, "the connection closed"))


def _check(archive: Archive, part: Path) -> None:
    if (found := _md5(part)) != archive.md5:
        part.unlink()
        raise DataError(_wrong(archive, f"a first megabyte with MD5 {found}", archive.md5))


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.md5(file.read(HEAD_BYTES), usedforsecurity=False).hexdigest()


def _wrong(archive: Archive, found: str, expected: str) -> str:
    return (
        f"{archive.url} is not the expected file: it has {found}, expected {expected}; run the command again, "
        "and if it stays so, download the file by other means and give its path"
    )


def _interrupted(archive: Archive, received: int, reason: object) -> str:
    return (
        f"cannot download {archive.url}: {reason}, after {received:,} of {archive.size:,} bytes; "
        "run the same command again to go on from there, or give the path of a file you have"
    )
