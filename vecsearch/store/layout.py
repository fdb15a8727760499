"""Which file lies where in an index folder, how JSON and row files are written and begin, and how damage to them is told."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch.errors import DamagedIndexError, ResourceError, UnsupportedIndexError
from vecsearch.files import HEADER_BYTES, npy_header

CURRENT = "CURRENT"
CURRENT_TMP = "CURRENT.tmp"
LOCK = "LOCK"
ORIGIN = "ORIGIN"
"""Names the URL that a folder of the cache is a copy of: it is read, and never changed."""
REMOTES = "REMOTES"
"""Which generation a folder and each object store last had in common."""
SEGMENTS = "segments"
ENCODER = "encoder"

VECTORS = "vectors.npy"
NORMS = "norms.npy"
DOCUMENTS = "documents.sqlite"
BUILD = "build.json"
RECORD = "segment.json"
CLAIM = "claim.json"

WAY_OUT = "restore it from a copy, or build the index again; nothing was changed"

_MANIFEST = re.compile(r"manifest-(\d{6,})\.json")
_DELETES = r"deletes-\d{6,}\.npy"
_CLUSTERS = r"(labels|centres)-\d{6,}\.npy|clusters-\d{6,}\.json"
_MAP = r"places-\d{6,}\.npy|areas-\d{6,}\.json"
_SOURCES = r"sources-\d{6,}\.json"
_ATTEMPT = r"\d{6,}-\d+-[0-9a-f]{8}"
_SEGMENT = re.compile(rf"{SEGMENTS}/(\d{{6,}})-(\d+(-[0-9a-f]{{8}})?|shards-[0-9a-f]{{8}})/")
_SEGMENT_FILE = (
    rf"{_SEGMENT.pattern}(vectors\.npy|norms\.npy|documents\.sqlite(-journal)?|index(-\d{{6,}}(-[0-9a-f]{{8}})?)?\.faiss|"
    r"queries-[0-9a-f]{16}\.npy|(build|segment|claim|\d+-[0-9a-f]{16})\.json|segment\.json\.tmp)"
)
_ENCODER_FILE = rf"{ENCODER}/\w{{1,16}}-\d{{6,}}/.+"
_OWN = re.compile(
    rf"CURRENT\.tmp|({_MANIFEST.pattern}|{_DELETES}|{_CLUSTERS}|{_MAP}|{_SOURCES}|{_SEGMENT_FILE}|{_ENCODER_FILE})(\.part)?",
    re.ASCII,
)


def manifest_name(generation: int) -> str:
    """File name of the manifest of a generation."""
    return f"manifest-{generation:06d}.json"


def faiss_name(generation: int, attempt: str | None = None) -> str:
    """File name, in its segment's folder, of a FAISS index that a generation made; `attempt` are eight hex digits where several
    processes may make one at a time."""
    return f"index-{generation:06d}{f'-{attempt}' if attempt else ''}.faiss"


def deletes_name(generation: int) -> str:
    """File name of the rows that are deleted from a generation on."""
    return f"deletes-{generation:06d}.npy"


def clusters_names(generation: int) -> dict[str, str]:
    """File names of what a generation said of clusters: which row is in which, their centres, and what they are."""
    number = f"{generation:06d}"
    return {"labels": f"labels-{number}.npy", "centres": f"centres-{number}.npy", "summary": f"clusters-{number}.json"}


def map_names(generation: int) -> dict[str, str]:
    """File names of the map that a generation made: the place of each row, and the areas that have names."""
    return {"places": f"places-{generation:06d}.npy", "areas": f"areas-{generation:06d}.json"}


def sources_name(generation: int) -> str:
    """File name of what a generation keeps of the files that it was made of."""
    return f"sources-{generation:06d}.json"


def shards_name(generation: int, build: str) -> str:
    """Name of the folder, below segments/, in which the shards of a build are claimed; `build` are eight hex digits."""
    return f"{generation:06d}-shards-{build}"


def attempt_name(generation: int, shard: int, attempt: str) -> str:
    """Name of the folder, below segments/, in which somebody makes a shard; `attempt` are eight hex digits."""
    return f"{generation:06d}-{shard}-{attempt}"


def is_attempt(name: object) -> bool:
    """Whether it is a name that `attempt_name` gives."""
    return isinstance(name, str) and re.fullmatch(_ATTEMPT, name, re.ASCII) is not None


def claim_name(shard: int, digest: str) -> str:
    """File name of what says where a shard is that was made of the documents with this digest (hex)."""
    return f"{shard}-{digest[:16]}.json"


def queries_name(digest: str) -> str:
    """File name of queries with this sha256 (hex), by which the shards of a build are asked what their indexes are worth."""
    return f"queries-{digest[:16]}.npy"


def manifest_generations(folder: Path) -> list[int]:
    """Generations whose manifests lie in `folder`, whether current or not, in no order."""
    return [int(match[1]) for name in os.listdir(folder) if (match := _MANIFEST.fullmatch(name))]


def has_index(folder: Path) -> bool:
    """Whether there is, or was until CURRENT was lost, an index in the folder."""
    return (folder / CURRENT).exists() or bool(manifest_generations(folder))


def segment_generations(folder: Path) -> list[int]:
    """Generations that segments in `folder` are named after, in no order."""
    return [int(match[1]) for path in files_below(folder) if (match := _SEGMENT.match(path))]


def files_below(folder: Path) -> Iterator[str]:
    """Paths, relative to `folder` and with slashes, of its own files and of those below segments/ and encoder/."""
    for name in sorted(os.listdir(folder)):
        if not (folder / name).is_dir():
            yield name
    for top in (ENCODER, SEGMENTS):
        for parent, folders, names in os.walk(folder / top):
            folders.sort()
            yield from ((Path(parent) / name).relative_to(folder).as_posix() for name in sorted(names))


def origin(folder: Path) -> str | None:
    """The URL that a folder is the cache's copy of; None for one that is an index of its own."""
    try:
        return (folder / ORIGIN).read_text(encoding="utf-8").strip()
    except OSError:
        return None


def own_folders(folder: Path) -> Iterator[str]:
    """Paths, as of `files_below`, of the folders that this program makes; what is within another comes before it."""
    for top in (ENCODER, SEGMENTS):
        for parent, _, _ in os.walk(folder / top, topdown=False):
            path = Path(parent).relative_to(folder).as_posix()
            if path == top or is_own(f"{path}/{BUILD}"):
                yield path


def is_own(path: str) -> bool:
    """Whether this program writes files by this relative path, and may therefore remove them."""
    return _OWN.fullmatch(path) is not None


def foreign_entries(folder: Path) -> list[str]:
    """What in `folder` this program has not written: names, sorted; an empty list for an empty folder."""
    known = {CURRENT, LOCK, REMOTES}
    tops = sorted(os.listdir(folder))
    foreign = [name for name in tops if name not in known | {SEGMENTS, ENCODER} and not is_own(name)]
    return foreign or [path for path in files_below(folder) if path not in known and not is_own(path)]


def damaged(path: Path | str, what: str) -> DamagedIndexError:
    """The error for a file of an index that is not what was written."""
    return DamagedIndexError(f"{path} {what}; {WAY_OUT}")


class Closed(ValueError):
    """An index was closed while another thread used it."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is closed: the index was closed while it was being used; open it again")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to read `path`, a file of an index, into the error that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise damaged(path, "is missing") from error
    except PermissionError as error:
        raise ResourceError(f"cannot read {path}: permission denied; ask for the right to read it") from error
    except OSError as error:
        raise damaged(path, f"cannot be read ({error.strerror or error})") from error


def array_bytes(array: np.ndarray) -> bytes:
    """A .npy file of ours: the header of 128 bytes, then the numbers."""
    return npy_header(array.shape, array.dtype.str) + np.ascontiguousarray(array).tobytes()


def canonical(values: Mapping[str, Any]) -> bytes:
    """The same values as the same JSON: keys sorted, one space of indent, UTF-8, a newline at the end."""
    return json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def versioned(data: bytes, name: str, what: str, newest: int) -> dict[str, Any]:
    """The values of a JSON file whose format has a number; `name` is the file's and `what` what it should be, for messages.

    Raises:
        UnsupportedIndexError: the format is above `newest`.
        DamagedIndexError: no JSON, or no format number.
    """
    try:
        values = json.loads(data)
    except ValueError as error:
        raise damaged(name, f"is not JSON ({error})") from error
    if not isinstance(values, dict) or type(values.get("format")) is not int:
        raise damaged(name, f"is not {what}: it has no format number")
    if values["format"] < 1:
        raise damaged(name, f"has format {values['format']}, a negative or zero one")
    if values["format"] > newest:
        raise UnsupportedIndexError(
            f"{name} has format {values['format']}; this vecsearch reads up to {newest}: upgrade vecsearch"
        )
    return values


def read_array(path: Path, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """The numbers in a .npy file of ours, of this shape. Raises DamagedIndexError for anything else."""
    with reading(path):
        data = path.read_bytes()
    size = HEADER_BYTES + int(np.prod(shape)) * np.dtype(dtype).itemsize
    if data[:HEADER_BYTES] != npy_header(shape, dtype) or len(data) != size:
        raise damaged(path, f"does not hold numbers of the shape {shape}")
    return np.frombuffer(data, dtype, offset=HEADER_BYTES).reshape(shape)
