"""Segments that were made elsewhere join an index, or become one, in one commit.

On another machine, another day, by another engine: what made them is compared first with what made the index.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch import checks
from vecsearch.encoders.base import Encoder, check_encoder
from vecsearch.errors import CorpusError, UsageError
from vecsearch.index.build import saved
from vecsearch.index.changes import Gone
from vecsearch.index.indexing import fits, indexed
from vecsearch.index.questions import OpenEncoder, encoder_of
from vecsearch.index.update import lesser, new_generation
from vecsearch.progress import SILENT, Progress, check_progress
from vecsearch.store.alive import documents_of
from vecsearch.store.duplicates import Duplicate, duplicates
from vecsearch.store.layout import DOCUMENTS, NORMS, VECTORS, damaged
from vecsearch.store.manifest import Manifest
from vecsearch.store.segment import Segment
from vecsearch.store.segment_record import SegmentRecord, made_by
from vecsearch.store.snapshot import Snapshot, open_manifest
from vecsearch.store.standalone import Moved, Standalone, put, read_standalone
from vecsearch.store.writer import IndexWriter

_NEW = {"made of": "segments"}
"""What is found of an index that was being made of segments."""
_SHOWN = 5
"""Ids that a refusal names."""
_ALIKE = {
    "dim": "dim",
    "metric": "metric",
    "encoder": "encoder",
    "chunks": "split into passages",
    "language": "language of words",
}
"""What two segments of one index have in common, and what a refusal calls it."""


@dataclass
class Adopted:
    """What came into an index: segments, their documents, how many of the index's they replaced; what was linked and copied."""

    segments: int = 0
    documents: int = 0
    replaced: int = 0
    linked_bytes: int = 0
    copied_bytes: int = 0


def adopt(
    folder: Path,
    paths: Sequence[str | Path],
    *,
    replace: bool = False,
    encoder: Encoder | None = None,
    progress: Progress = SILENT,
) -> Adopted:
    """Have the index in `folder` take in the segments that lie at `paths`; `Index.adopt` says more. `encoder` stands in for the
    one that the index carries, where that is one of the caller's own."""
    paths, replace = checks.paths("paths", paths), checks.flag("replace", replace)
    check_progress(progress)
    with new_generation(folder) as (writer, manifest):
        coming = _Coming(folder, paths)
        own = {name: getattr(manifest, name) for name in _ALIKE} | {"encoder": made_by(manifest.encoder)}
        coming.refuse_others(own, str(folder))
        with open_manifest(folder, manifest, check=False) as snapshot:
            gone, opens = Gone(snapshot), encoder_of(snapshot.encoder_folder, encoder)
            coming.put(writer, manifest.goal, progress)
            coming.check_ids(snapshot, gone if replace else None, progress)
        language = manifest.language or coming.language
        return coming.commit(writer, manifest.goal, progress, opens, manifest=manifest, gone=gone.rows(), language=language)


def from_segments(
    folder: str | Path, paths: Sequence[str | Path], encoder: Encoder | None = None, *, progress: Progress = SILENT
) -> Adopted:
    """Make an index in `folder`, where there is none, of the segments at `paths`; `Index.from_segments` says more."""
    folder, paths = checks.path("folder", folder), checks.paths("paths", paths)
    check_progress(progress)
    if encoder is not None:
        check_encoder(encoder)
    with IndexWriter(folder, resume=True) as writer:
        if any(begun != _NEW for _, begun in writer.folders.unfinished):
            raise UsageError(
                f"{folder} holds an unfinished build: finish it with vecsearch build --resume, or choose another folder"
            )
        writer.folders.discard_unfinished()  # an index of segments that was not finished
        coming = _Coming(folder, paths)
        first = coming.parts[0].record
        said = {name: getattr(first, name) for name in _ALIKE} | {"language": coming.language}
        coming.refuse_others(said, str(coming.parts[0].folder))
        carrying = coming.carrying(first.encoder, encoder)
        goal = coming.indexes[0][1].goal if coming.indexes else _goal_of(first)
        coming.put(writer, goal, progress, begun=_NEW)
        coming.check_ids(None, None, progress)
        said["encoder"] = saved(encoder, writer) if encoder else carrying and coming.put_encoder(writer, *carrying, progress)
        provenance = {"segments": [str(path) for path in paths]}
        opens = encoder_of(folder / writer.encoder if writer.encoder else None, encoder)
        return coming.commit(writer, goal, progress, opens, goal=goal, provenance=provenance, **said)


def _goal_of(record: SegmentRecord) -> dict[str, Any]:
    """What a segment was indexed for."""
    recall = record.recall or {}
    target = recall.get("target")
    spec = record.spec if target is None else None
    return {"spec": spec, "recall": target, "k": recall.get("k", 10), "memory": recall.get("memory")}


class _Coming:
    """Segments on their way into an index: where each was and is now, and what the commit has to know of them."""

    def __init__(self, folder: Path, paths: Sequence[Path]) -> None:
        """Raises UsageError where there is nothing to take in, or the index's own; and as `read_standalone`."""
        self.parts: list[Standalone] = []
        self.indexes: list[tuple[Path, Manifest]] = []
        """Those of the paths that are whole indexes."""
        self._index = folder
        self._made = Adopted()
        self._folders: list[Path] = []
        self._kept: list[bool] = []
        """Which of the segments keep the index of FAISS that they come with."""
        self._files: dict[str, dict[str, Any]] = {}
        for path in paths:
            resolved = path.resolve()
            if folder.resolve() in (resolved, *resolved.parents):
                raise UsageError(f"{path} lies in the index {folder} itself; give a segment that lies elsewhere")
            parts, manifest = read_standalone(path)
            self.parts += parts
            if manifest:
                self.indexes.append((path, manifest))
        if not self.parts:
            raise UsageError(
                f"there is no segment in {', '.join(map(str, paths)) or 'nothing'}: give one, or an index that has some"
            )

    @property
    def language(self) -> str | None:
        """The code of the language that their words are read in."""
        return next((part.record.language for part in self.parts if part.record.language), None)

    def refuse_others(self, wanted: Mapping[str, Any], name: str) -> None:
        """Raise UsageError for a segment that was made otherwise than `wanted`, as what is called `name` was."""
        for part in self.parts:
            found = {key: getattr(part.record, key) for key in _ALIKE}
            if not (found["language"] and wanted["language"]):  # words of an earlier vecsearch go with any
                found["language"] = wanted["language"]
            differ = [
                f"its {_ALIKE[key]} is {_shown(found[key])}, not {_shown(wanted[key])}"
                for key in found
                if found[key] != wanted[key]
            ]
            if differ:
                raise UsageError(f"{part.folder} does not go together with {name}: {'; '.join(differ)}; nothing was adopted")

    def put(
        self,
        writer: IndexWriter,
        goal: Mapping[str, Any],
        progress: Progress,
        *,
        begun: Mapping[str, Any] | None = None,
    ) -> None:
        """Have all files in the index's folder, each compared with its hash; `begun` says what is interrupted otherwise."""
        moved = []
        for part in self.parts:
            folder, record = writer.folders.loose(begun), part.record
            self._folders.append(folder)
            self._kept.append(record.faiss is not None and fits(record.entry(""), goal))
            names = {name: name for name in (VECTORS, NORMS, DOCUMENTS)}
            if record.faiss and self._kept[-1]:
                names[record.faiss] = writer.faiss_name
            moved += [Moved(part.folder / name, folder / own, record.files[name]) for name, own in names.items()]
        self._put(moved, progress)
        self._made.segments = len(self.parts)

    def _put(self, moved: Sequence[Moved], progress: Progress) -> None:
        copied = put(moved, self._index, progress)
        self._made.copied_bytes += copied
        self._made.linked_bytes += sum(file.expected["bytes"] for file in moved) - copied
        self._files |= {file.target.relative_to(self._index).as_posix(): dict(file.expected) for file in moved}

    def carrying(self, wanted: Mapping[str, Any] | None, given: Encoder | None) -> tuple[Path, Manifest] | None:
        """The index among the paths that carries the encoder of the segments; None where they have none, or it is given.

        Raises UsageError where there is none that does, and for another encoder.
        """
        if given is not None:
            own = {"fingerprint": given.fingerprint, "dtype": given.dtype}
            if own != wanted:
                raise UsageError(
                    f"the encoder is {_shown(own)}, that of the segments {_shown(wanted)}: give the one that made them"
                )
            return None
        if wanted is None:
            return None
        if found := next((index for index in self.indexes if made_by(index[1].encoder) == wanted), None):
            return found
        raise UsageError(
            f"the segments were made by the encoder {_shown(wanted)}, which none of them carries: give it by --encoder"
        )

    def put_encoder(self, writer: IndexWriter, path: Path, manifest: Manifest, progress: Progress) -> dict[str, Any]:
        """Have the encoder of another index in this one, and return what the manifest says of it."""
        said = dict(manifest.encoder or {})
        before = f"{said.pop('folder')}/"
        folder = writer.encoder_folder(said["fingerprint"])
        files = {name: entry for name, entry in manifest.files.items() if name.startswith(before)}
        self._put([Moved(path / name, folder / name.removeprefix(before), entry) for name, entry in files.items()], progress)
        return said

    def check_ids(self, snapshot: Snapshot | None, gone: Gone | None, progress: Progress) -> None:
        """Refuse ids that come twice. Documents of the index that have one go to `gone`, where that is given.

        Raises: CorpusError: with the first few, and how many they are.
        """
        own = list(zip(snapshot.segments, snapshot.alive, strict=True)) if snapshot else []
        folders = [segment.folder for segment, _ in own]
        alive = [None if rows is None else documents_of(segment.documents, rows) for segment, rows in own]
        count, shown, last = 0, list[Duplicate](), None
        replaced: dict[int, list[int]] = defaultdict(list)
        for found in duplicates([*folders, *self._folders], [*alive, *self._alive()], progress=progress):
            if gone is not None and found.first[0] < len(own) and found.id != last:
                replaced[found.first[0]].append(found.first[1])
            else:
                count += 1
                shown += [found] if count <= _SHOWN else []
            last = found.id
        if count:
            places = [*folders, *(part.folder for part in self.parts)]
            examples = "; ".join(f"{found.id!r} in {places[found.first[0]]} and {places[found.later[0]]}" for found in shown)
            inside = gone is None and own and any(found.first[0] < len(own) for found in shown)
            hint = "--replace puts the new ones in the place of the index's" if inside else "every document needs its own id"
            raise CorpusError(
                f"{count:,} ids come twice ({examples}{'; …' if count > _SHOWN else ''}); nothing was adopted: {hint}"
            )
        for part, numbers in replaced.items():
            assert gone is not None
            gone.add(part, numbers)
            self._made.replaced += len(numbers)

    def _alive(self) -> list[np.ndarray | None]:
        """Which documents of each segment are not deleted; opens each of them, which are as they were described.

        Raises: DamagedIndexError.
        """
        found: list[np.ndarray | None] = []
        for part, folder in zip(self.parts, self._folders, strict=True):
            record, rows = part.record, np.ones(part.record.rows, bool)
            rows[part.deleted] = False
            segment = Segment(folder, rows=record.rows, dim=record.dim)
            try:
                if len(segment.documents) != record.documents:
                    raise damaged(part.folder, f"holds {len(segment.documents)} documents, not {record.documents}")
                found.append(documents_of(segment.documents, rows) if len(part.deleted) else None)
            finally:
                segment.close()
            self._made.documents += record.documents if found[-1] is None else int(found[-1].sum())
        return found

    def commit(
        self,
        writer: IndexWriter,
        towards: Mapping[str, Any],
        progress: Progress,
        opens: OpenEncoder,
        *,
        manifest: Manifest | None = None,
        gone: np.ndarray | None = None,
        **said: Any,
    ) -> Adopted:
        """Index what needs it `towards` a goal, and commit, behind the segments of a manifest, without the rows `gone`. `opens`
        gives the encoder of their texts."""
        entries, deleted = list(manifest.segments) if manifest else [], [np.empty(0, np.int64) if gone is None else gone]
        first = manifest.rows if manifest else 0
        for part, folder, kept in zip(self.parts, self._folders, self._kept, strict=True):
            shape = (part.record.rows, part.record.dim)
            if kept:
                entries.append(part.record.entry(folder.name) | {"faiss": writer.faiss_name})
            else:
                goal = lesser(towards, shape)
                made = indexed(folder, writer.faiss_name, shape, part.record.metric, goal, encoder=opens, progress=progress)
                entries.append(made[0])
            deleted.append(first + part.deleted)
            first += shape[0]
        counts = Counter(manifest.counts if manifest else {})
        for some in (*(part.record.counts for part in self.parts), *(other.counts for _, other in self.indexes)):
            counts.update(some)
        writer.commit(entries, np.concatenate(deleted), files=self._files, counts=dict(counts), **said)
        return self._made


def _shown(value: Any) -> str:
    """What differs, in few words: of an encoder the beginning of its fingerprint."""
    if isinstance(value, Mapping):
        return " ".join(f"{key} {str(its)[:16]}" for key, its in value.items())
    return "none" if value is None else str(value)
