"""The manifest: what one generation of an index consists of, down to the hash of every file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

from vecsearch.errors import UnsupportedIndexError
from vecsearch.files import HEADER_BYTES
from vecsearch.metric import EXACT, Metric
from vecsearch.store.layout import DOCUMENTS, NORMS, SEGMENTS, VECTORS, damaged
from vecsearch.text.languages import LANGUAGES

FORMAT = 3
"""The newest format that this version reads and the one it writes."""
KEEP = 3
"""Generations that are kept unless something else is asked for."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


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
    def effort(self) -> dict[str, int]:
        """How hard the largest segment is searched."""
        return self.largest["effort"]

    @property
    def recall(self) -> dict[str, Any] | None:
        """The recall that was measured over the largest segment, None where none was."""
        return self.largest["recall"]

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
        if values["format"] < 1:
            raise damaged(name, f"has format {values['format']}, a negative or zero one")
        if values["format"] > FORMAT:
            raise UnsupportedIndexError(
                f"{name} has format {values['format']}; this vecsearch reads up to {FORMAT}: upgrade vecsearch"
            )
        values = {"clusters": None, "language": None, "weights": None} | values  # the keys that need not be there
        if problem := next(_type_problems(values, _TYPES_BEFORE_3 if values["format"] < 3 else _TYPES), None):
            raise damaged(name, problem)
        values = _upgraded(values)
        problem = next(_problems(values), None)
        if problem:
            raise damaged(name, problem)
        return cls(**{field.name: values[field.name] for field in fields(cls)})


_ALWAYS: dict[str, type | tuple[type, ...]] = {
    "generation": int,
    "created": str,
    "metric": str,
    "dim": int,
    "rows": int,
    "encoder": (dict, type(None)),
    "segments": list,
    "files": dict,
    "counts": dict,
    "provenance": dict,
}
_TYPES = _ALWAYS | {
    "goal": dict,
    "chunks": (dict, type(None)),
    "deletes": (dict, type(None)),
    "previous": (dict, type(None)),
    "keep": int,
    "clusters": (dict, type(None)),
    "language": (str, type(None)),
    "weights": (list, type(None)),
}
_CLUSTERS = {"labels": str, "centres": str, "summary": str, "rows": int, "count": int}
"""What is said of clusters: their files, the rows that were compared with them, and how many there are."""
_SEARCHED: dict[str, type | tuple[type, ...]] = {"spec": str, "effort": dict, "recall": (dict, type(None))}
"""How a segment is searched. Before format 3 there was one segment, and the manifest itself held this."""
_TYPES_BEFORE_3 = _ALWAYS | _SEARCHED
_OLD_FAISS = "index.faiss"


def _type_problems(values: dict[str, Any], types: dict[str, type | tuple[type, ...]]) -> Iterator[str]:
    if values["format"] == 1:
        types = {key: kind for key, kind in types.items() if key not in ("effort", "recall")}
    for key, kind in types.items():
        if key not in values:
            yield f"has no key {key!r}"
        elif not isinstance(values[key], kind) or isinstance(values[key], bool):
            yield f"holds {values[key]!r} as {key!r}"


def _upgraded(values: dict[str, Any]) -> dict[str, Any]:
    """What a manifest of an earlier format says, as one of format 3 says it; `format` stays what it was."""
    if values["format"] >= 3:
        return values
    searched = {"spec": EXACT, "effort": {}, "recall": None, "faiss": None}
    if values["format"] == 2 and values["spec"] != EXACT:
        searched = {name: values[name] for name in _SEARCHED} | {"faiss": _OLD_FAISS}
    # A FAISS index of format 1 compares otherwise than we do now: its vectors are searched exactly.
    recall = searched["recall"] or {}
    segments = [
        segment | searched | {"documents": segment.get("rows")} if isinstance(segment, dict) else segment
        for segment in values["segments"]
    ]
    goal = {
        "spec": None if recall.get("target") is not None else values["spec"],
        "recall": recall.get("target"),
        "k": recall.get("k", 10),
        "memory": recall.get("memory"),
    }
    new = {"goal": goal, "chunks": None, "segments": segments, "deletes": None, "previous": None, "keep": KEEP}
    return values | new


def _problems(values: dict[str, Any]) -> Iterator[str]:
    """What is wrong with the values of a manifest, lazily: a later check relies on the earlier ones having passed."""
    if min(values[key] for key in ("generation", "dim", "keep")) < 1 or values["rows"] < 0:
        yield "holds a negative or zero generation, dim, keep or number of rows"
    if values["metric"] not in list(Metric):
        yield f"holds the unknown metric {values['metric']!r}"
    if any(type(value) is not int for value in values["counts"].values()):
        yield "holds something else than integers in 'counts'"
    if (language := values["language"]) is not None and language not in LANGUAGES:
        yield f"holds the unknown language {language!r}"
    if (weights := values["weights"]) is not None and not (
        len(weights) == 2 and all(type(weight) in (int, float) for weight in weights) and min(weights) >= 0 < sum(weights)
    ):
        yield f"holds {weights!r} as 'weights', not those of meaning and words"
    yield from _file_problems(values["files"])
    yield from _encoder_problems(values["encoder"], values["files"])
    for segment in values["segments"]:
        yield from _segment_problems(segment, values)
    yield from _total_problems(values)
    yield from _clusters_problems(values)
    yield from _goal_problems(values["goal"], values["chunks"])
    if (previous := values["previous"]) is not None and not (
        _is_size(previous.get("generation")) and _is_hash(previous.get("sha256"))
    ):
        yield f"holds no generation and sha256 as its 'previous': {previous!r}"


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
        if not _is_hash(entry.get("sha256")):
            yield f"holds no sha256 for {path!r}"


def _encoder_problems(encoder: dict[str, Any] | None, files: dict[str, Any]) -> Iterator[str]:
    if encoder is None:
        return
    folder = encoder.get("folder")
    if not isinstance(folder, str) or not isinstance(encoder.get("fingerprint"), str):
        yield "does not say the encoder's folder and fingerprint"
    if not any(path.startswith(f"{folder}/") for path in files):
        yield f"names no file of the encoder's folder {folder!r}"


def _segment_problems(segment: Any, values: dict[str, Any]) -> Iterator[str]:
    if not isinstance(segment, dict) or not isinstance(segment.get("name"), str) or not _is_size(segment.get("rows")):
        yield f"holds the segment {segment!r} without a name or a number of rows"
    if "/" in segment["name"] or not _stays_inside(segment["name"]):
        yield f"names the segment {segment['name']!r}, which is not below the index folder"
    for key, kind in _SEARCHED.items():
        if not isinstance(segment.get(key, 0), kind):
            yield f"holds {segment.get(key)!r} as {key!r} of the segment {segment['name']!r}"
    if not _is_size(segment.get("documents")) or segment["documents"] > segment["rows"]:
        yield f"says that the {segment['rows']} rows of {segment['name']!r} are {segment.get('documents')!r} documents"
    if any(type(value) is not int for value in segment["effort"].values()):
        yield f"holds something else than integers in the 'effort' of {segment['name']!r}"
    if segment["recall"] is not None and not _is_recall(segment["recall"]):
        yield f"holds no {', '.join(_RECALL[:-1])} and {_RECALL[-1]} as its recall: {segment['recall']!r}"
    expected = {VECTORS: HEADER_BYTES + 4 * segment["rows"] * values["dim"], NORMS: HEADER_BYTES + 4 * segment["rows"]}
    faiss = segment.get("faiss")
    if (faiss is None) != (segment["spec"] == EXACT) or not isinstance(faiss, str | None) or "/" in (faiss or ""):
        yield f"names {faiss!r} as the FAISS index of {segment['name']!r}, whose spec is {segment['spec']!r}"
    for file in (VECTORS, NORMS, DOCUMENTS, *([faiss] if faiss else [])):
        path = f"{SEGMENTS}/{segment['name']}/{file}"
        size = values["files"].get(path, {}).get("bytes")
        if size is None:
            yield f"does not name the file {path!r}"
        elif size != expected.get(file, size):
            yield f"gives {path!r} {size} bytes, but {segment['rows']} rows take {expected[file]}"


def _total_problems(values: dict[str, Any]) -> Iterator[str]:
    names = [segment["name"] for segment in values["segments"]]
    if len(set(names)) < len(names):
        yield "names a segment twice"
    total = sum(segment["rows"] for segment in values["segments"])
    if total != values["rows"]:
        yield f"says {values['rows']} rows, but its segments hold {total}"
    if (deletes := values["deletes"]) is None:
        return
    file, rows = deletes.get("file"), deletes.get("rows")
    if not isinstance(file, str) or "/" in file or not _is_size(rows) or not 0 < rows <= total:
        yield f"says {rows!r} deleted rows in the file {file!r}; there are {total}"
    if values["files"].get(file, {}).get("bytes") != HEADER_BYTES + 8 * rows:
        yield f"does not name the file {file!r} of {HEADER_BYTES + 8 * rows} bytes"


def _clusters_problems(values: dict[str, Any]) -> Iterator[str]:
    if (clusters := values["clusters"]) is None:
        return
    if any(type(clusters.get(key)) is not kind for key, kind in _CLUSTERS.items()):
        yield f"holds no {', '.join(_CLUSTERS)} as its 'clusters': {clusters!r}"
    rows, count = clusters["rows"], clusters["count"]
    if not (0 <= rows <= values["rows"] and count >= 0):
        yield f"says that {rows} of its {values['rows']} rows are in {count} clusters"
    expected = {"labels": HEADER_BYTES + 4 * rows, "centres": HEADER_BYTES + 4 * count * values["dim"], "summary": None}
    for key, size in expected.items():
        found = values["files"].get(clusters[key], {}).get("bytes")
        if "/" in clusters[key] or found is None or found != (size or found):
            yield f"does not name the file {clusters[key]!r} of its clusters, or not with {size} bytes"


def _goal_problems(goal: dict[str, Any], chunks: dict[str, Any] | None) -> Iterator[str]:
    kinds = {"spec": str | None, "recall": int | float | None, "k": int, "memory": int | None}
    if any(not isinstance(goal.get(key, ...), kind) for key, kind in kinds.items()):
        yield f"holds no {', '.join(kinds)} as its 'goal': {goal!r}"
    if chunks is not None and not (_is_size(chunks.get("tokens")) and _is_size(chunks.get("overlap"))):
        yield f"holds no tokens and overlap as its 'chunks': {chunks!r}"


def _stays_inside(path: str) -> bool:
    """Whether a relative path with slashes stays below the folder it is joined to, on any system."""
    return "\\" not in path and "\0" not in path and all(part not in ("", ".", "..") for part in path.split("/"))


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _is_size(value: Any) -> bool:
    return type(value) is int and value >= 0
