"""The manifest: what one generation of an index consists of, down to the hash of every file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from vecsearch.files import HEADER_BYTES
from vecsearch.metric import EXACT, Metric
from vecsearch.schema import check, number, one_of, whole
from vecsearch.store.layout import DOCUMENTS, NORMS, SEGMENTS, VECTORS, canonical, damaged, versioned
from vecsearch.text.languages import LANGUAGES

FORMAT = 3
"""The newest format that this version reads and the one it writes."""
KEEP = 3
"""Generations that are kept unless something else is asked for."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_OLD_FAISS = "index.faiss"


@dataclass(frozen=True)
class Manifest:
    """One generation of an index. `docs/index-format.md` says what each key holds."""

    generation: int
    created: str
    metric: str
    dim: int
    rows: int
    goal: dict[str, Any]
    chunks: dict[str, int] | None
    encoder: dict[str, Any] | None
    segments: list[dict[str, Any]]
    deletes: dict[str, Any] | None
    files: dict[str, dict[str, Any]]
    counts: dict[str, int]
    provenance: dict[str, Any]
    previous: dict[str, Any] | None
    keep: int
    clusters: dict[str, Any] | None = None
    language: str | None = None
    weights: list[float] | None = None
    sources: str | None = None
    map: dict[str, Any] | None = None
    format: int = FORMAT

    @property
    def deleted(self) -> int:
        """How many of the rows are deleted."""
        return self.deletes["rows"] if self.deletes else 0

    @property
    def largest(self) -> dict[str, Any]:
        """The segment of the most rows: what it is searched by counts most."""
        return max(self.segments, key=lambda segment: segment["rows"], default={"spec": EXACT, "effort": {}, "recall": None})

    @property
    def spec(self) -> str:
        """The kind of index of the largest segment: "exact", or a FAISS factory string."""
        return self.largest["spec"]

    @property
    def search_parameters(self) -> dict[str, float]:
        """The search parameters of the largest segment, `effort` on disk."""
        return self.largest["effort"]

    @property
    def recall(self) -> dict[str, Any] | None:
        """The recall that was measured over the largest segment, None where none was."""
        return self.largest["recall"]

    def to_bytes(self) -> bytes:
        """Canonical JSON: keys sorted, one space of indent, UTF-8, a newline at the end."""
        return canonical(asdict(self))

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> Manifest:
        """The manifest in `data`; `name` is its file's, for messages.

        Raises:
            UnsupportedIndexError: the format is newer than this program.
            DamagedIndexError: not JSON, a key missing or of a wrong type, figures that contradict each other.
        """
        values = dict.fromkeys(_OPTIONAL) | versioned(data, name, "a manifest", FORMAT)
        try:
            check(values, _BEFORE.get(values["format"], {}))
            values = _upgraded(values)
            check(values, _MANIFEST)
            _check_contradictions(values)
        except ValueError as problem:
            raise damaged(name, str(problem)) from None
        return cls(**{field.name: values[field.name] for field in fields(cls)})


def named_files(values: Mapping[str, Any]) -> set[str]:
    """The relative paths of all files that a manifest's values name, but for the encoder's."""
    paths = {values["deletes"]["file"]} if values["deletes"] else set()
    for segment in values["segments"]:
        names = [VECTORS, NORMS, DOCUMENTS, *([segment["faiss"]] if segment["faiss"] else [])]
        paths |= {f"{SEGMENTS}/{segment['name']}/{name}" for name in names}
    if values["clusters"]:
        paths |= {values["clusters"][name] for name in ("labels", "centres", "summary")}
    if values["map"]:
        paths |= {values["map"][name] for name in ("places", "areas")}
    return paths | ({values["sources"]} if values["sources"] else set())


def _stays_inside(path: str) -> bool:
    """Whether a relative path with slashes stays below the folder it is joined to, on any system."""
    return "\\" not in path and "\0" not in path and all(part not in ("", ".", "..") for part in path.split("/"))


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and "/" not in value and _stays_inside(value)


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _are_weights(value: Any) -> bool:
    """Whether they are those of meaning and words."""
    return isinstance(value, list) and len(value) == 2 and all(map(number(0), value)) and sum(value) > 0


_OPTIONAL = ("clusters", "language", "weights", "sources", "map")
"""Keys that need not be there."""
_FIGURES = {name: number() for name in ("queries", "mean", "low", "high")}
_RECALL = {"k": number(), **_FIGURES, "target": (None, number()), "by?": {...: _FIGURES}}
SEGMENT = {
    "name": _is_name,
    "rows": whole(),
    "documents": whole(),
    "spec": str,
    "effort": {"margin?": number(0), ...: int},
    "recall": (None, _RECALL),
    "faiss": (None, _is_name),
}
FILES = {...: {"bytes": whole(), "sha256": _is_hash}}
_MANIFEST = {
    "generation": whole(1),
    "created": str,
    "metric": one_of(*Metric),
    "dim": whole(1),
    "rows": whole(),
    "goal": {"spec": (None, str), "recall": (None, number()), "k": int, "memory": (None, int)},
    "chunks": (None, {"tokens": whole(), "overlap": whole()}),
    "encoder": (None, {"folder": str, "fingerprint": str}),
    "segments": [SEGMENT],
    "deletes": (None, {"file": _is_name, "rows": whole(1)}),
    "files": FILES,
    "counts": {...: int},
    "provenance": dict,
    "previous": (None, {"generation": whole(), "sha256": _is_hash}),
    "keep": whole(1),
    "clusters": (None, {"labels": _is_name, "centres": _is_name, "summary": _is_name, "rows": whole(), "count": whole()}),
    "language": (None, one_of(*LANGUAGES)),
    "weights": (None, _are_weights),
    "sources": (None, _is_name),
    "map": (None, {"places": _is_name, "areas": _is_name, "rows": whole(), "way": str}),
}
_BEFORE: dict[int, dict[str, Any]] = {
    1: {"segments": [dict], "spec": str},
    2: {"segments": [dict], "spec": str, "effort": dict, "recall": (None, dict)},
}
"""Before format 3 there was one segment, and the manifest itself said how it is searched."""


def _upgraded(values: dict[str, Any]) -> dict[str, Any]:
    """What a manifest of an earlier format says, as one of format 3 says it; `format` stays what it was."""
    if values["format"] >= 3:
        return values
    searched = {"spec": EXACT, "effort": {}, "recall": None, "faiss": None}
    if values["format"] == 2 and values["spec"] != EXACT:
        searched = {name: values[name] for name in ("spec", "effort", "recall")} | {"faiss": _OLD_FAISS}
    # A FAISS index of format 1 compares otherwise than we do now: its vectors are searched exactly.
    recall = searched["recall"] or {}
    segments = [segment | searched | {"documents": segment.get("rows")} for segment in values["segments"]]
    goal = {
        "spec": None if recall.get("target") is not None else values["spec"],
        "recall": recall.get("target"),
        "k": recall.get("k", 10),
        "memory": recall.get("memory"),
    }
    new = {"goal": goal, "chunks": None, "segments": segments, "deletes": None, "previous": None, "keep": KEEP}
    return values | new


def _check_contradictions(values: dict[str, Any]) -> None:
    """Raise ValueError for values that do not go together, each of which can be."""
    for path in values["files"]:
        if not _stays_inside(path):
            raise ValueError(f"names the file {path!r}, which is not below the index folder")
    if (encoder := values["encoder"]) and not any(path.startswith(f"{encoder['folder']}/") for path in values["files"]):
        raise ValueError(f"names no file of the encoder's folder {encoder['folder']!r}")
    for segment in values["segments"]:
        _check_segment(segment, values)
    if values["sources"] is not None and values["sources"] not in values["files"]:
        raise ValueError(f"does not name the file {values['sources']!r} of its sources")
    _check_total(values)
    _check_clusters(values)
    _check_map(values)


def _check_segment(segment: dict[str, Any], values: dict[str, Any]) -> None:
    name, rows, faiss = segment["name"], segment["rows"], segment["faiss"]
    if segment["documents"] > rows:
        raise ValueError(f"says that the {rows} rows of {name!r} are {segment['documents']} documents")
    if (faiss is None) != (segment["spec"] == EXACT):
        raise ValueError(f"names {faiss!r} as the FAISS index of {name!r}, whose spec is {segment['spec']!r}")
    expected = {VECTORS: HEADER_BYTES + 4 * rows * values["dim"], NORMS: HEADER_BYTES + 4 * rows}
    for file in (VECTORS, NORMS, DOCUMENTS, *([faiss] if faiss else [])):
        path = f"{SEGMENTS}/{name}/{file}"
        size = values["files"].get(path, {}).get("bytes")
        if size is None:
            raise ValueError(f"does not name the file {path!r}")
        elif size != expected.get(file, size):
            raise ValueError(f"gives {path!r} {size} bytes, but {rows} rows take {expected[file]}")


def _check_total(values: dict[str, Any]) -> None:
    names = [segment["name"] for segment in values["segments"]]
    if len(set(names)) < len(names):
        raise ValueError("names a segment twice")
    total = sum(segment["rows"] for segment in values["segments"])
    if total != values["rows"]:
        raise ValueError(f"says {values['rows']} rows, but its segments hold {total}")
    if (deletes := values["deletes"]) is None:
        return
    file, rows = deletes["file"], deletes["rows"]
    if rows > total:
        raise ValueError(f"says {rows} deleted rows in the file {file!r}; there are {total}")
    if values["files"].get(file, {}).get("bytes") != HEADER_BYTES + 8 * rows:
        raise ValueError(f"does not name the file {file!r} of {HEADER_BYTES + 8 * rows} bytes")


def _check_clusters(values: dict[str, Any]) -> None:
    if (clusters := values["clusters"]) is None:
        return
    rows, count = clusters["rows"], clusters["count"]
    if rows > values["rows"]:
        raise ValueError(f"says that {rows} of its {values['rows']} rows are in {count} clusters")
    expected = {"labels": HEADER_BYTES + 4 * rows, "centres": HEADER_BYTES + 4 * count * values["dim"], "summary": None}
    for key, size in expected.items():
        found = values["files"].get(clusters[key], {}).get("bytes")
        if found is None or found != (size or found):
            raise ValueError(f"does not name the file {clusters[key]!r} of its clusters, or not with {size} bytes")


def _check_map(values: dict[str, Any]) -> None:
    if (made := values["map"]) is None:
        return
    rows, places, areas = made["rows"], made["places"], made["areas"]
    if rows > values["rows"]:
        raise ValueError(f"says that {rows} of its {values['rows']} rows are on a map")
    if values["files"].get(places, {}).get("bytes") != HEADER_BYTES + 8 * rows or areas not in values["files"]:
        raise ValueError(f"does not name the files {places!r} and {areas!r} of its map, or not with {rows} rows")
