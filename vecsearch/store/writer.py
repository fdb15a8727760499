"""Building an index: under the lock, beside the old one, visible only when it is whole."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch.errors import DamagedIndexError, ResourceError, UsageError
from vecsearch.resume import refuse_difference
from vecsearch.store.clusters import Clustering
from vecsearch.store.commit import (
    Lock,
    Writing,
    collect_garbage,
    find_unfinished,
    make_folder,
    remove_below,
    remove_files,
    replace_current,
    sync_files,
    write_file,
)
from vecsearch.store.layout import (
    CURRENT,
    ENCODER,
    LOCK,
    SEGMENTS,
    array_bytes,
    clusters_names,
    deletes_name,
    faiss_name,
    files_below,
    has_index,
    is_own,
    manifest_generations,
    segment_generations,
    shards_name,
    sources_name,
)
from vecsearch.store.manifest import FORMAT, KEEP, Manifest, named_files
from vecsearch.store.places import Places, write_places
from vecsearch.store.segment import SegmentWriter
from vecsearch.store.segment_folders import SegmentFolders, fresh_folder
from vecsearch.store.shards import Shards
from vecsearch.store.snapshot import generations, read_current, read_manifest
from vecsearch.text.languages import NONE


class IndexWriter:
    """Builds a new index in a folder, or a new generation of the one that is there, which stays whole until `commit`.

    Leaving it without a commit keeps the finished blocks, for `resume`.
    """

    def __init__(self, folder: Path, *, update: bool = False, replace: bool = False, resume: bool = False):
        """`update` makes a generation from the one in force, `replace` one that has nothing of it."""
        self.folder = Path(folder)
        self.manifest: Manifest | None = None
        """What is in force; None when there is none, or when it is damaged and about to be replaced."""
        self._update, self._replace, self._resume = update, replace, resume
        self._segments: dict[str, SegmentWriter] = {}
        self.folders = SegmentFolders(self.folder, 0, ())
        self._shards: Shards | None = None
        self.encoder: str | None = None
        """Where the encoder lies that `encoder_folder` was asked for, below the folder."""
        self._made: list[Path] = []
        """The folder and those that it lies in, as far as they were not there before."""
        self._undo = ExitStack()
        self._writing = Writing(self.folder)

    def __enter__(self) -> IndexWriter:
        """Take the lock.

        Raises:
            UsageError: the folder is not an index, is one already, or holds an unfinished build, and was not asked for.
            UnsupportedIndexError, DamagedIndexError: there is no index to update.
            LockedError: another process is writing.
            ResourceError: the folder cannot be written.
        """
        if self._update:
            read_current(self.folder)
        else:
            self._made = make_folder(self.folder)
        with ExitStack() as undo:
            undo.enter_context(Lock(self.folder))
            undo.callback(self._leave)
            self.manifest = self._current_manifest()
            unfinished = find_unfinished(self.folder, self.manifest)
            if not self._update:
                self._refuse_unasked(begun=bool(unfinished))
            self._generation = self._next_generation(self.manifest)
            self.folders = SegmentFolders(self.folder, self._generation, unfinished)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._undo.__exit__(*exception)

    def _current_manifest(self) -> Manifest | None:
        if not (self.folder / CURRENT).exists():
            return None
        try:
            return read_manifest(self.folder)
        except DamagedIndexError:
            if self._replace:
                return None
            raise

    def _next_generation(self, manifest: Manifest | None) -> int:
        if manifest is not None:
            return manifest.generation + 1
        if not has_index(self.folder):
            return 1
        # A damaged manifest does not tell which files are its own, and it may yet be restored: no name is used again.
        return 1 + max([*manifest_generations(self.folder), *segment_generations(self.folder)], default=0)

    def _refuse_unasked(self, *, begun: bool) -> None:
        if self._replace or (self._resume and begun):
            return
        if begun:
            raise UsageError(f"{self.folder} holds an unfinished build: --resume continues it, --replace starts again")
        if has_index(self.folder):
            nothing = "nothing in it is unfinished; " if self._resume else ""
            raise UsageError(f"{self.folder} is an index already; {nothing}--replace builds it anew, or choose another -o")

    @property
    def faiss_name(self) -> str:
        """File name of the FAISS indexes that are made now."""
        return faiss_name(self._generation)

    def segment(self, dim: int, signature: Mapping[str, Any], *, discard_others: bool = False) -> SegmentWriter:
        """A segment to fill: a new one, or the unfinished one where the build resumes; with `discard_others` only if that was
        begun with this signature: what the segment is made from (corpus, options, encoder …), as JSON values.

        Raises:
            UsageError: the unfinished one was begun with another signature.
        """
        signature = json.loads(json.dumps({**signature, "dim": dim}))
        name = f"{self._generation:06d}-{len(self._segments)}"
        anew = "without --resume" if self._update else "with --replace instead of --resume"
        anew = f"after vecsearch gc {self.folder}" if discard_others else anew
        # Not sooner: what is refused, or commits nothing, leaves the work that another command can resume.
        unfinished = self.folders.unfinished
        others = discard_others and unfinished and unfinished[0][1] != signature
        if others or not self._resume:
            self.folders.discard_unfinished()
        if unfinished:
            name, begun = unfinished.pop(0)
            refuse_difference(self.folder, begun, signature, anew=anew)
            # One that was interrupted may be half written.
            remove_files(self.folder, [f"{SEGMENTS}/{name}/{self.faiss_name}"])
        else:
            self.folders.begin(name, signature)
        self._segments[name] = SegmentWriter(self.folder / SEGMENTS / name, dim, anew=anew)
        return self._segments[name]

    def shards(self, dim: int, signature: Mapping[str, Any]) -> Shards:
        """Where several processes make segments at a time: a new place, or that of the unfinished build which this one resumes,
        with what was done of it. Raises UsageError as `segment`."""
        signature = json.loads(json.dumps({**signature, "dim": dim}))
        name = shards_name(self._generation, os.urandom(4).hex())
        if not self._resume:
            self.folders.discard_unfinished()
        if self.folders.unfinished:
            name, begun = self.folders.unfinished.pop(0)
            refuse_difference(self.folder, begun, signature, anew="with --replace instead of --resume")
        else:
            self.folders.begin(name, signature)
        self._shards = Shards(self.folder.absolute(), name)  # other processes may be elsewhere
        self._shards.tidy()
        return self._shards

    def encoder_folder(self, fingerprint: str) -> Path:
        """A new, empty folder for the encoder to save itself into."""
        stem = re.sub(r"\W", "_", fingerprint[:16], flags=re.ASCII) or "_"
        self.encoder = f"{ENCODER}/{stem}-{self._generation:06d}"
        return fresh_folder(self.folder, self.encoder)

    def write_clusters(self, clustering: Clustering) -> dict[str, Any]:
        """Write clusters, for a commit, and return the manifest's entry of them."""
        names = clusters_names(self._generation)
        write_file(self.folder / names["centres"], array_bytes(clustering.centres.astype("<f4")))
        write_file(self.folder / names["summary"], clustering.summary())
        return self.write_labels({**names, "count": len(clustering.centres)}, clustering.labels)

    def write_labels(self, entry: Mapping[str, Any], labels: np.ndarray) -> dict[str, Any]:
        """Write which row is in which of the clusters of `entry`, (n,) int, and return the manifest's entry with them."""
        write_file(self.folder / (name := clusters_names(self._generation)["labels"]), array_bytes(labels.astype("<i4")))
        return {**entry, "labels": name, "rows": len(labels)}

    def write_map(self, places: Places) -> dict[str, Any]:
        """Write a map, for a commit, and return the manifest's entry of it."""
        return write_places(self.folder, self._generation, places)

    def write_sources(self, data: bytes) -> str:
        """Write what is kept of the files that the index is made of, for a commit, and return its name for the manifest."""
        write_file(self.folder / (name := sources_name(self._generation)), data)
        return name

    def commit(
        self, segments: Sequence[Mapping[str, Any]], deleted: np.ndarray, *, files: Mapping[str, Any] | None = None, **said: Any
    ) -> Manifest:
        """Make these segments the index, and return its manifest; generations that are not to be kept any more are removed.

        `segments` are the manifest's entries, new ones and ones in force, `deleted` those of their rows that are, (r,) int64,
        rising. `files` are entries of another generation whose files come back. `said` are other keys of the manifest: where a
        generation is updated, the others stay what they are.

        Raises:
            ResourceError: the system refuses; the old index is whole and the build can be resumed.
            LockedError: this process was forked from the one that writes.
        """
        self._writing.check()
        new = dict.fromkeys(("chunks", "encoder", "clusters", "weights", "sources", "map")) | {"keep": KEEP, "language": NONE}
        values = (vars(self.manifest) if self._update else new) | said
        for writer in self._segments.values():
            writer.finish(values["language"] or NONE)
        if self.encoder:
            values["encoder"] = {"folder": self.encoder, **values["encoder"]}
        values["segments"] = [dict(segment) for segment in segments]
        values["deletes"] = self._write_deletes(segments, deleted)
        made = Manifest(
            **values
            | {
                "format": FORMAT,
                "generation": self._generation,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "rows": sum(segment["rows"] for segment in segments),
                "files": self._files(values, files or {}),
                "previous": self.manifest
                and {
                    "generation": self.manifest.generation,
                    "sha256": read_current(self.folder)[1],
                },
            }
        )
        # What could not be opened again must not be committed.
        Manifest.from_bytes(made.to_bytes(), str(self.folder))
        replace_current(self.folder, made)
        self._segments, self._shards = {}, None
        self.folders.committed()
        # The commit stands; what cannot be removed now is garbage to the next one.
        with suppress(ResourceError, DamagedIndexError):
            self.collect(made)
        return made

    def collect(self, manifest: Manifest, keep: int | None = None) -> list[str]:
        """Remove what only generations before the last `keep` need, by default the manifest's number; returns the paths."""
        return collect_garbage(self.folder, list(islice(generations(self.folder, manifest), keep or manifest.keep)))

    def _write_deletes(self, segments: Sequence[Mapping[str, Any]], deleted: np.ndarray) -> dict[str, Any] | None:
        if not len(deleted):
            return None
        name = deletes_name(self._generation)
        write_file(self.folder / name, array_bytes(deleted.astype("<i8")))
        return {"file": name, "rows": len(deleted)}

    def _files(self, values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Size and hash of every file that the manifest's values name: of those known as they are, of new ones once synced."""
        paths = named_files(values)
        if values["encoder"]:
            folder = f"{values['encoder']['folder']}/"
            paths |= {path for path in files_below(self.folder) if path.startswith(folder) and is_own(path)}
        known = {**(self.manifest.files if self.manifest else {}), **others}
        made = sync_files(self.folder, paths - known.keys())
        return made | {path: known[path] for path in paths & known.keys()}

    def _leave(self) -> None:
        """Close what is open, and drop segments that nothing was stored in: there is nothing to resume; and a new folder that
        holds nothing then."""
        if not self._writing.is_ours:
            return  # forked meanwhile: the parent goes on
        for name, writer in self._segments.items():
            writer.close()
            if writer.rows == 0:
                with suppress(ResourceError):
                    remove_below(self.folder, f"{SEGMENTS}/{name}")
        with suppress(ResourceError):
            self.folders.remove_loose()
            if self._shards and self._shards.is_empty:
                self._shards.remove_all()
                if self.encoder:
                    remove_below(self.folder, self.encoder)
        if self._made and set(os.listdir(self.folder)) == {LOCK}:
            with suppress(OSError):
                (self.folder / LOCK).unlink()
                for path in self._made:
                    path.rmdir()
