"""Building an index: under the lock, beside the old one, visible only when it is whole."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vecsearch.errors import DamagedIndexError, ResourceError, UsageError, writing
from vecsearch.files import sync
from vecsearch.metric import Metric
from vecsearch.store.commit import Lock, collect_garbage, remove_files, replace_current, sync_files, write_file
from vecsearch.store.layout import (
    BUILD,
    CURRENT,
    ENCODER,
    SEGMENTS,
    files_below,
    foreign_entries,
    is_own,
    manifest_generations,
    reading,
    segment_generations,
)
from vecsearch.store.manifest import Manifest
from vecsearch.store.segment import SegmentWriter
from vecsearch.store.snapshot import read_manifest

Signature = Mapping[str, Any]
"""What a build is made from (corpus, options, encoder …), as JSON values: a build resumes only with an equal one."""


def find_unfinished(folder: Path, manifest: Manifest | None) -> list[tuple[str, dict[str, Any]]]:
    """Name and signature of each segment that a build began and no commit made part of the index, in order of names."""
    live = set() if manifest is None else {segment["name"] for segment in manifest.segments}
    found = []
    for path in sorted((folder / SEGMENTS).glob(f"*/{BUILD}")):
        if path.parent.name in live or not is_own(path.relative_to(folder).as_posix()):
            continue
        # A crash while build.json was being written: nothing had been stored yet.
        with suppress(ValueError), reading(path):
            signature = json.loads(path.read_bytes())
            if isinstance(signature, dict):
                found.append((path.parent.name, signature))
    return found


class IndexWriter:
    """Builds a new index in a folder, or a new generation in the place of the old one, which stays whole until `commit`.

    Leaving it without a commit keeps the finished blocks, for `resume`.
    """

    def __init__(self, folder: Path, *, replace: bool = False, resume: bool = False):
        self.folder = Path(folder)
        self._replace, self._resume = replace, resume
        self._segments: dict[str, SegmentWriter] = {}
        self._encoder: str | None = None
        self._undo = ExitStack()

    def __enter__(self) -> IndexWriter:
        """Take the lock.

        Raises:
            UsageError: the folder is not an index, is one already, or holds an unfinished build, and was not asked for.
            LockedError: another process is writing.
            ResourceError: the folder cannot be written.
        """
        self._make_folder()
        with ExitStack() as undo:
            undo.enter_context(Lock(self.folder))
            undo.callback(self._leave)
            manifest = self._current_manifest()
            self._unfinished = find_unfinished(self.folder, manifest)
            self._refuse_unasked()
            self._generation = self._next_generation(manifest)
            if not self._resume:
                self._discard_unfinished()
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._undo.__exit__(*exception)

    def _make_folder(self) -> None:
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(f"{self.folder} is a file, not a folder; choose another -o")
        with writing(self.folder):
            missing = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
            self.folder.mkdir(parents=True, exist_ok=True)
            for path in missing:
                sync(path.parent)
            foreign = [] if (self.folder / CURRENT).exists() else foreign_entries(self.folder)
        if foreign:
            raise UsageError(f"{self.folder} exists and is not an index (it holds {foreign[0]}); choose another -o")

    def _current_manifest(self) -> Manifest | None:
        """The manifest in force; None when there is none, or when it is damaged and about to be replaced."""
        if not (self.folder / CURRENT).exists():
            return None
        try:
            return read_manifest(self.folder)
        except DamagedIndexError:
            if self._replace:
                return None
            raise

    def _has_index(self) -> bool:
        """Whether there is, or was until CURRENT was lost, an index in the folder."""
        return (self.folder / CURRENT).exists() or bool(manifest_generations(self.folder))

    def _next_generation(self, manifest: Manifest | None) -> int:
        if manifest is not None:
            return manifest.generation + 1
        if not self._has_index():
            return 1
        # A damaged manifest does not tell which files are its own, and it may yet be restored: no name is used again.
        return 1 + max([*manifest_generations(self.folder), *segment_generations(self.folder)], default=0)

    def _refuse_unasked(self) -> None:
        if self._replace or (self._resume and self._unfinished):
            return
        if self._unfinished:
            raise UsageError(f"{self.folder} holds an unfinished build: --resume continues it, --replace starts again")
        if self._has_index():
            nothing = "nothing in it is unfinished; " if self._resume else ""
            raise UsageError(f"{self.folder} is an index already; {nothing}--replace builds it anew, or choose another -o")

    def _discard_unfinished(self) -> None:
        for name, _ in self._unfinished:
            self._remove_own(f"{SEGMENTS}/{name}")
        self._unfinished = []

    def _remove_own(self, path: str) -> None:
        remove_files(self.folder, [name for name in files_below(self.folder) if name.startswith(f"{path}/") and is_own(name)])

    def _fresh_folder(self, path: str) -> Path:
        """A new, empty folder; what a crash left under its name, which no manifest can name, goes."""
        self._remove_own(path)
        with writing(self.folder / path):
            (self.folder / path).mkdir(parents=True, exist_ok=True)
        return self.folder / path

    def segment(self, dim: int, signature: Signature) -> SegmentWriter:
        """A segment to fill: a new one, or the unfinished one where the build resumes.

        Raises:
            UsageError: the unfinished one was begun with another signature.
        """
        signature = json.loads(json.dumps({**signature, "dim": dim}))
        name = f"{self._generation:06d}-{len(self._segments)}"
        if self._unfinished:
            name, begun = self._unfinished.pop(0)
            self._refuse_difference(begun, signature)
        else:
            folder = self._fresh_folder(f"{SEGMENTS}/{name}")
            write_file(folder / BUILD, json.dumps(signature, indent=1, sort_keys=True).encode() + b"\n")
            sync(folder)
            sync(folder.parent)
        self._segments[name] = SegmentWriter(self.folder / SEGMENTS / name, dim)
        return self._segments[name]

    def _refuse_difference(self, begun: dict[str, Any], signature: dict[str, Any]) -> None:
        for key in sorted(begun.keys() | signature.keys()):
            if begun.get(key) != signature.get(key):
                raise UsageError(
                    f"the unfinished build in {self.folder} was begun with {key} {begun.get(key)!r}, not "
                    f"{signature.get(key)!r}: give --resume the same options, or start again with --replace"
                )

    def encoder_folder(self, fingerprint: str) -> Path:
        """A new, empty folder for the encoder to save itself into."""
        stem = re.sub(r"\W", "_", fingerprint[:16], flags=re.ASCII) or "_"
        self._encoder = f"{ENCODER}/{stem}-{self._generation:06d}"
        return self._fresh_folder(self._encoder)

    def commit(
        self,
        *,
        metric: Metric,
        dim: int,
        spec: str,
        effort: Mapping[str, int] | None = None,
        recall: Mapping[str, Any] | None = None,
        encoder: Mapping[str, Any] | None,
        counts: Mapping[str, int],
        provenance: Mapping[str, Any],
    ) -> Manifest:
        """Make what was built the index, and return its manifest; what it replaces is removed.

        `effort` is how hard an index of the kind `spec` searches, `recall` what that was measured to give. `encoder` holds at
        least the "fingerprint" of the encoder saved in `encoder_folder`; None for ready vectors.

        Raises:
            ResourceError: the system refuses; the old index is whole and the build can be resumed.
        """
        segments = [{"name": name, "rows": writer.finish()} for name, writer in self._segments.items()]
        tops = tuple(f"{SEGMENTS}/{name}/" for name in self._segments) + ((f"{self._encoder}/",) if self._encoder else ())
        paths = [
            path for path in files_below(self.folder) if path.startswith(tops) and is_own(path) and not path.endswith(BUILD)
        ]
        manifest = Manifest(
            generation=self._generation,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            metric=str(metric),
            dim=dim,
            rows=sum(segment["rows"] for segment in segments),
            spec=spec,
            effort=dict(effort or {}),
            recall=None if recall is None else dict(recall),
            encoder=None if encoder is None else {"folder": self._encoder, **encoder},
            segments=segments,
            files=sync_files(self.folder, paths),
            counts=dict(counts),
            provenance=dict(provenance),
        )
        # What could not be opened again must not be committed.
        Manifest.from_bytes(manifest.to_bytes(), str(self.folder))
        replace_current(self.folder, manifest)
        self._segments = {}
        # The commit stands; what cannot be removed now is garbage to the next one.
        with suppress(ResourceError):
            collect_garbage(self.folder, manifest)
        return manifest

    def _leave(self) -> None:
        """Close what is open, and drop segments that nothing was stored in: there is nothing to resume."""
        for name, writer in self._segments.items():
            writer.close()
            if writer.rows == 0:
                with suppress(ResourceError):
                    self._remove_own(f"{SEGMENTS}/{name}")
