"""The record of a segment that stands by itself: made anywhere, by anyone, to become part of an index later.

The folder has the files of a segment and segment.json, this record, which is written last: where it is, the segment is whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from vecsearch.files import HEADER_BYTES, put_in_place
from vecsearch.metric import EXACT, Metric
from vecsearch.schema import check, one_of, whole
from vecsearch.store.commit import sync_files, write_file
from vecsearch.store.documents_writer import Stored
from vecsearch.store.layout import DOCUMENTS, NORMS, RECORD, VECTORS, canonical, damaged, reading, versioned
from vecsearch.store.manifest import FILES, SEGMENT
from vecsearch.text.languages import LANGUAGES

FORMAT = 1
"""The newest format that this version reads and the one it writes."""
_OF_ENTRY = ("rows", "documents", "spec", "effort", "recall", "faiss")
"""What a manifest's entry of a segment says as well."""


@dataclass(frozen=True)
class SegmentRecord:
    """What a segment is, and what its vectors and words were made by. `docs/index-format.md` says what each key holds."""

    dim: int
    metric: str
    rows: int
    documents: int
    digest: str
    """Of its documents, as `records.extend_digest` has it, in hex."""
    counts: dict[str, int]
    spec: str
    effort: dict[str, float]
    recall: dict[str, Any] | None
    faiss: str | None
    files: dict[str, dict[str, Any]]
    """Size and sha256 of each of its files, by the name that it has in the folder."""
    encoder: dict[str, Any] | None = None
    """Its fingerprint and dtype, as `made_by` has them; None where the vectors were ready."""
    chunks: dict[str, int] | None = None
    language: str | None = None
    format: int = FORMAT

    def entry(self, name: str) -> dict[str, Any]:
        """What a manifest says of the segment, where it is called so there."""
        return {"name": name} | {key: getattr(self, key) for key in _OF_ENTRY}

    def to_bytes(self) -> bytes:
        """Canonical JSON: keys sorted, one space of indent, UTF-8, a newline at the end."""
        return canonical(asdict(self))

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> SegmentRecord:
        """The record in `data`; `name` is its file's, for messages.

        Raises:
            UnsupportedIndexError: the format is newer than this program.
            DamagedIndexError: not JSON, a key missing or of a wrong type, figures that contradict each other.
        """
        values = versioned(data, name, "the record of a segment", FORMAT)
        try:
            check(values, _RECORD)
            _check_contradictions(values)
        except ValueError as problem:
            raise damaged(name, str(problem)) from None
        return cls(**{field.name: values[field.name] for field in fields(cls)})


_RECORD: dict[Any, Any] = {key: expected for key, expected in SEGMENT.items() if key in _OF_ENTRY} | {
    "dim": whole(1),
    "metric": one_of(*Metric),
    "digest": str,
    "counts": {...: int},
    "encoder": (None, {"fingerprint": str, "dtype": (None, str)}),
    "chunks": (None, {"tokens": whole(), "overlap": whole()}),
    "language": (None, one_of(*LANGUAGES)),
    "files": FILES,
}


def _check_contradictions(values: dict[str, Any]) -> None:
    """Raise ValueError for values that do not go together, each of which can be."""
    rows, faiss = values["rows"], values["faiss"]
    if values["documents"] > rows:
        raise ValueError(f"says that its {rows} rows are {values['documents']} documents")
    if (faiss is None) != (values["spec"] == EXACT):
        raise ValueError(f"names {faiss!r} as its FAISS index, and {values['spec']!r} as its spec")
    if values["files"].keys() != (names := {VECTORS, NORMS, DOCUMENTS, *([faiss] if faiss else [])}):
        raise ValueError(f"names the files {sorted(values['files'])}, not {sorted(names)}")
    for name, width in ((VECTORS, values["dim"]), (NORMS, 1)):
        if (size := values["files"][name]["bytes"]) != (expected := HEADER_BYTES + 4 * rows * width):
            raise ValueError(f"gives {name} {size} bytes, but {rows} rows take {expected}")


def made_by(encoder: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What two manifests have to say alike of the encoder whose vectors are compared."""
    return {key: encoder.get(key) for key in ("fingerprint", "dtype")} if encoder else None


def describe_segment(
    folder: Path,
    entry: Mapping[str, Any],
    stored: Stored,
    *,
    dim: int,
    metric: str,
    encoder: Mapping[str, Any] | None,
    chunks: Mapping[str, int] | None,
    language: str | None,
) -> SegmentRecord:
    """The record of a finished segment, whose files have reached the disk, and are hashed.

    `entry` is what `index.indexing.indexed` returns of it, `stored` the `progress` of its `SegmentWriter`; the others are
    those of a manifest. Raises ResourceError.
    """
    names = [VECTORS, NORMS, DOCUMENTS, *([entry["faiss"]] if entry["faiss"] else [])]
    return SegmentRecord(
        **{key: entry[key] for key in _OF_ENTRY},
        dim=dim,
        metric=str(metric),
        digest=stored.digest,
        counts=dict(stored.counts),
        encoder=made_by(encoder),
        chunks=dict(chunks) if chunks else None,
        language=language,
        files=sync_files(folder, names),
    )


def write_record(folder: Path, record: SegmentRecord) -> None:
    """Put segment.json into the segment's folder, durably and at once: from now on it is whole. Raises ResourceError."""
    unfinished = folder / f"{RECORD}.tmp"
    write_file(unfinished, record.to_bytes())
    put_in_place(unfinished, folder / RECORD)


def read_record(folder: Path) -> SegmentRecord:
    """The record of the segment in a folder. Raises as `SegmentRecord.from_bytes`; one that is missing is damage, too."""
    path = folder / RECORD
    with reading(path):
        data = path.read_bytes()
    return SegmentRecord.from_bytes(data, str(path))
