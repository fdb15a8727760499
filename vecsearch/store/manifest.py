"""The manifest: what one generation of an index consists of, down to the hash of every file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

from vecsearch.errors import UnsupportedIndexError
from vecsearch.metric import Metric
from vecsearch.store.layout import DOCUMENTS, HEADER_BYTES, NORMS, SEGMENTS, VECTORS, damaged

FORMAT = 2
"""The newest format that this version reads and the one it writes."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Manifest:
    """One generation of an index. `docs/index-format.md` says what each key holds."""

    generation: int
    created: str
    metric: str
    dim: int
    rows: int
    spec: str
    effort: dict[str, int]
    recall: dict[str, Any] | None
    encoder: dict[str, Any] | None
    segments: list[dict[str, Any]]
    files: dict[str, dict[str, Any]]
    counts: dict[str, int]
    provenance: dict[str, Any]
    format: int = FORMAT

    def to_bytes(self) -> bytes:
        """Canonical JSON: keys sorted, one space of indent, UTF-8, a newline at the end."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> Manifest:
        """The manifest in `data`; `name` is its file's, for messages.

        Raises:
            UnsupportedIndexError: the format is newer than this program.
            DamagedIndexError: not JSON, a key missing or of a wrong type, figures that contradict each other.
        """
        try:
            values = json.loads(data)
        except ValueError as error:
            raise damaged(name, f"is not JSON ({error})") from error
        if not isinstance(values, dict) or type(values.get("format")) is not int:
            raise damaged(name, "is not a manifest: it has no format number")
        if values["format"] > FORMAT:
            raise UnsupportedIndexError(
                f"{name} has format {values['format']}; this vecsearch reads up to {FORMAT}: upgrade vecsearch"
            )
        if values["format"] == 1:
            values = {"effort": {}, "recall": None} | values
        problem = next(_problems(values), None)
        if problem:
            raise damaged(name, problem)
        return cls(**{field.name: values[field.name] for field in fields(cls)})


_TYPES: dict[str, type | tuple[type, ...]] = {
    "generation": int,
    "created": str,
    "metric": str,
    "dim": int,
    "rows": int,
    "spec": str,
    "effort": dict,
    "recall": (dict, type(None)),
    "encoder": (dict, type(None)),
    "segments": list,
    "files": dict,
    "counts": dict,
    "provenance": dict,
}


def _problems(values: dict[str, Any]) -> Iterator[str]:
    """What is wrong with a decoded manifest, lazily: a later check relies on the earlier ones having passed."""
    for key, kind in _TYPES.items():
        if key not in values:
            yield f"has no key {key!r}"
        elif not isinstance(values[key], kind) or isinstance(values[key], bool):
            yield f"holds {values[key]!r} as {key!r}"
    if values["format"] < 1 or values["generation"] < 1 or values["dim"] < 1 or values["rows"] < 0:
        yield "holds a negative or zero format, generation, dim or number of rows"
    if values["metric"] not in list(Metric):
        yield f"holds the unknown metric {values['metric']!r}"
    yield from _file_problems(values["files"])
    yield from _encoder_problems(values["encoder"], values["files"])
    yield from _segment_problems(values)
    for key in ("counts", "effort"):
        if any(type(value) is not int for value in values[key].values()):
            yield f"holds something else than integers in {key!r}"
    if values["recall"] is not None and not _is_recall(values["recall"]):
        yield f"holds no {', '.join(_RECALL[:-1])} and {_RECALL[-1]} as its recall: {values['recall']!r}"


_RECALL = ("k", "queries", "mean", "low", "high", "target")


def _is_recall(recall: dict[str, Any]) -> bool:
    """Whether all its figures are there and numbers; there need not have been a target."""
    figures = [recall.get(key) for key in _RECALL if key != "target" or recall.get(key, 0) is not None]
    return all(type(figure) in (int, float) for figure in figures) and "target" in recall


def _file_problems(files: dict[str, Any]) -> Iterator[str]:
    for path, entry in files.items():
        if not _stays_inside(path):
            yield f"names the file {path!r}, which is not below the index folder"
        if not isinstance(entry, dict) or not _is_size(entry.get("bytes")):
            yield f"holds no size for {path!r}"
        if not isinstance(entry.get("sha256"), str) or not _SHA256.fullmatch(entry["sha256"]):
            yield f"holds no sha256 for {path!r}"


def _encoder_problems(encoder: dict[str, Any] | None, files: dict[str, Any]) -> Iterator[str]:
    if encoder is None:
        return
    folder = encoder.get("folder")
    if not isinstance(folder, str) or not isinstance(encoder.get("fingerprint"), str):
        yield "does not say the encoder's folder and fingerprint"
    if not any(path.startswith(f"{folder}/") for path in files):
        yield f"names no file of the encoder's folder {folder!r}"


def _segment_problems(values: dict[str, Any]) -> Iterator[str]:
    for segment in values["segments"]:
        if not isinstance(segment, dict) or not isinstance(segment.get("name"), str) or not _is_size(segment.get("rows")):
            yield f"holds the segment {segment!r} without a name or a number of rows"
        if "/" in segment["name"] or not _stays_inside(segment["name"]):
            yield f"names the segment {segment['name']!r}, which is not below the index folder"
        expected = {VECTORS: HEADER_BYTES + 4 * segment["rows"] * values["dim"], NORMS: HEADER_BYTES + 4 * segment["rows"]}
        for file in (VECTORS, NORMS, DOCUMENTS):
            path = f"{SEGMENTS}/{segment['name']}/{file}"
            size = values["files"].get(path, {}).get("bytes")
            if size is None:
                yield f"does not name the file {path!r}"
            elif size != expected.get(file, size):
                yield f"gives {path!r} {size} bytes, but {segment['rows']} rows take {expected[file]}"
    names = [segment["name"] for segment in values["segments"]]
    if len(set(names)) < len(names):
        yield "names a segment twice"
    total = sum(segment["rows"] for segment in values["segments"])
    if total != values["rows"]:
        yield f"says {values['rows']} rows, but its segments hold {total}"


def _stays_inside(path: str) -> bool:
    """Whether a relative path with slashes stays below the folder it is joined to, on any system."""
    return "\\" not in path and "\0" not in path and all(part not in ("", ".", "..") for part in path.split("/"))


def _is_size(value: Any) -> bool:
    return type(value) is int and value >= 0
