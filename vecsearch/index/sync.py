"""An index of files, brought to the state that these are in now: in one commit, and without encoding a text that it has."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from vecsearch import checks
from vecsearch.corpus.document import Document
from vecsearch.corpus.folder.conversion import Read
from vecsearch.corpus.folder.corpus import Reading
from vecsearch.corpus.folder.files import Files
from vecsearch.corpus.folder.walk import Found
from vecsearch.encoders.base import Encoder, encode_blocks
from vecsearch.errors import CorpusError, UsageError
from vecsearch.files import sha256
from vecsearch.index.blocks import encoded
from vecsearch.index.changes import Gone
from vecsearch.index.update import finished, new_generation
from vecsearch.progress import Progress, check_progress
from vecsearch.store.alive import known
from vecsearch.store.records import to_record
from vecsearch.store.snapshot import Snapshot, open_manifest
from vecsearch.store.sources import read_sources

Tell = Callable[[str, str], None]
PATH = "path"
"""The field that says which file a document is of."""


@dataclass(slots=True)
class FileChanges:
    """What has happened to the files of an index since they were read, by their names, and what an update has done about it."""

    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    """The old name of each file that has another now, and the same content."""
    gone: list[str] = field(default_factory=list)
    unchanged: int = 0
    passages: int = 0
    """Documents that were written."""
    encoded: int = 0
    """Those of them whose text the index did not have."""
    remarks: list[str] = field(default_factory=list)
    """What should be known of how the files were read, as sentences."""

    def keep(self, name: str) -> None:
        """Take note that a file stays as it was read, whatever its time says."""
        for names in (self.new, self.changed):
            if name in names:
                names.remove(name)
        self.unchanged += 1

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.new or self.changed or self.renamed or self.gone)


def files_of(snapshot: Snapshot) -> Files:
    """The files that an index was made of. Raises UsageError for one that was made of something else."""
    data = read_sources(snapshot.folder, snapshot.manifest)
    if data is None:
        raise UsageError(
            f"{snapshot.folder} was built from records, and follows no files: add more records, or build an index of files"
        )
    return Files.from_bytes(data)


def compared(files: Files, found: Sequence[Found]) -> tuple[FileChanges, list[Found]]:
    """What has happened to the files, told by their sizes and times, and those that have to be read."""
    changes = FileChanges(gone=files.gone(found))
    to_read = [one for one in found if not files.has(one)]
    changes.unchanged = len(found) - len(to_read)
    lost = {(files.states[name].size, files.states[name].sha256): name for name in changes.gone}
    sizes = {size for size, _ in lost}
    for one in to_read:
        if one.name in files.states:
            changes.changed.append(one.name)
        elif one.size in sizes and (old := lost.pop((one.size, _sha256(one)), None)) is not None:
            changes.renamed[old] = one.name
            changes.gone.remove(old)
        else:
            changes.new.append(one.name)
    return changes, to_read


def _sha256(found: Found) -> str:
    try:
        return sha256(Path(found.path))
    except OSError:  # gone again, or not ours to read: reading it will say so
        return ""


def planned(snapshot: Snapshot, *, paths: Sequence[str], strict: bool, allow_empty: bool, tell: Tell) -> FileChanges:
    """What `sync` would find to do; nothing is read but the files that may have been renamed."""
    reading = _reading(snapshot, paths, strict, tell)
    changes, _ = _looked_at(reading, str(snapshot.folder), allow_empty)
    changes.remarks = reading.remarks()
    return changes


def sync(
    folder: Path,
    encoder_of: Callable[[], Encoder],
    *,
    paths: Sequence[str],
    strict: bool,
    allow_empty: bool,
    tell: Tell,
    progress: Progress,
) -> FileChanges:
    """Bring the index to the state of its files; `Index.sync` says more. The encoder is opened when it is needed."""
    check_progress(progress)
    with new_generation(folder, resume=True) as (writer, manifest), open_manifest(folder, manifest, check=False) as snapshot:
        reading = _reading(snapshot, paths, strict, tell)
        files = reading.files
        changes, to_read = _looked_at(reading, str(folder), allow_empty)
        if not (changes or paths):
            changes.remarks = reading.remarks()
            return changes
        encoder = encoder_of()
        reading.tokens = encoder.tokens
        changing = _Changing(snapshot, files, changes, Gone(snapshot))
        signed = {"sync generation": manifest.generation, "files": _digest(to_read), "encoder": encoder.fingerprint}
        segment = writer.segment(manifest.dim, signed, discard_others=True)
        documents = changing.documents(reading.documents(to_read), progress, len(to_read))
        segment.skip(documents)
        for block, rows, _ in encoded(documents, lambda texts: changing.vectors(texts, encoder)):
            segment.append(block, rows)
        changes.remarks = reading.remarks()
        if not (changes or paths):
            return changes
        changing.remove_gone()
        entries, language = [], manifest.language
        if segment.rows:
            entry, language = finished(segment, writer, manifest, encoder, progress)
            entries.append(entry)
        sources = writer.write_sources(files.to_bytes())
        writer.commit([*manifest.segments, *entries], changing.gone.rows(), sources=sources, language=language)
        changes.passages = segment.rows
        return changes


def _looked_at(reading: Reading, index: str, allow_empty: bool) -> tuple[FileChanges, list[Found]]:
    """What has happened to the files, those that have to be read, and again what is wrong with the others.

    Raises: CorpusError for a folder of which nothing is left: a disk that is not mounted looks so.
    """
    files, found = reading.files, reading.found(index)
    for root in files.tree.roots:
        lost = files.below(root)
        if lost and root not in files.single and not files.below(root, [one.name for one in found]) and not allow_empty:
            raise CorpusError(
                f"{files.tree.path(root)} holds none of its {len(lost):,} files any more, and nothing was changed: look "
                "whether it is the right folder; if they are gone for good, sync with --allow-empty"
            )
    changes, to_read = compared(files, found)
    to_come = {one.name for one in to_read}
    waiting = [one for one in to_read if not reading.can_read(one)]
    for one in waiting:  # what was read of it when its reader was there stays
        changes.keep(one.name)
    to_read = [one for one in to_read if one not in waiting]
    for one in found:
        if one.name not in to_come and (problem := files.states[one.name].problem):
            reading.note_problem(one.name, problem)
    return changes, to_read


def _reading(snapshot: Snapshot, paths: Sequence[str], strict: bool, tell: Tell) -> Reading:
    """How the files of an index are read again, and those below more `paths`."""
    strict = checks.flag("strict", strict)
    checks.functions(tell=tell)
    files = files_of(snapshot)
    tree = files.tree
    more = [path if os.getcwd() == tree.base else os.path.abspath(path) for path in paths]
    files.tree = replace(tree, roots=tuple(dict.fromkeys([*tree.roots, *more])))
    return Reading(files, strict=strict, tell=tell)


class _Changing:
    """The documents of files that are read again: what they take the place of, and which vectors there are already."""

    def __init__(self, snapshot: Snapshot, files: Files, changes: FileChanges, gone: Gone) -> None:
        self.gone = gone
        self._snapshot, self._files, self._changes = snapshot, files, changes
        self._of_file: dict[str, list[tuple[int, int]]] = {}
        self._by_text: dict[bytes, tuple[int, int]] = {}
        names = {*changes.changed, *changes.gone, *changes.renamed}
        for part, (segment, alive) in enumerate(zip(snapshot.segments, snapshot.alive, strict=True)):
            for number, name in segment.documents.with_field(PATH, names):
                row = int(segment.documents.rows(np.array([number]))[0])
                document = segment.documents.get([number])[0]
                # A document that was added otherwise may have a path as well.
                if (alive is None or alive[row]) and document.id.startswith(name):
                    self._of_file.setdefault(name, []).append((part, number))
                    self._by_text[_key(document.text)] = part, row

    def documents(self, read: Iterable[tuple[Read, list[Document]]], progress: Progress, total: int) -> Iterator[Document]:
        """The documents of the files that have changed indeed. Those that the index has of these files are gone with that."""
        for number, (one, documents) in enumerate(read, 1):
            name = one.found.name
            progress.step("files", number, total)
            if one.passing or (documents and self._has(name, documents)):
                # What was read of it before stays, until it can be read again, or for good.
                self._changes.keep(name)
                continue
            self._remove(name)
            for part, row in known(self._snapshot, [document.id for document in documents]).values():
                self.gone.add(part, [row])
            yield from documents

    def _has(self, name: str, documents: Sequence[Document]) -> bool:
        """Whether these are the documents that the index has of a file."""
        stored = (self._snapshot.segments[part].documents.get([number])[0] for part, number in self._of_file.get(name, ()))
        return list(map(to_record, stored)) == list(map(to_record, documents))

    def remove_gone(self) -> None:
        """Delete the documents of files that are gone, and forget these."""
        for name in (*self._changes.gone, *self._changes.renamed):
            self._remove(name)
            del self._files.states[name]

    def _remove(self, name: str) -> None:
        for part, number in self._of_file.get(name, ()):
            self.gone.add(part, [number])

    def vectors(self, blocks: Iterable[list[str]], encoder: Encoder) -> Iterator[np.ndarray]:
        """Vectors of the texts of each block, (b, dim) float32: of those that the index has, the ones that it has."""
        for texts in blocks:
            places = [self._by_text.get(_key(text)) for text in texts]
            new = [text for text, place in zip(texts, places, strict=True) if place is None]
            vectors = np.empty((len(texts), self._snapshot.manifest.dim), np.float32)
            if new:
                missing = [place is None for place in places]
                vectors[missing] = np.concatenate(list(encode_blocks(encoder, [new])))
            for i, place in enumerate(places):
                if place is not None:
                    vectors[i] = self._snapshot.segments[place[0]].vectors[place[1]]
            self._changes.encoded += len(new)
            yield vectors


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _digest(found: Sequence[Found]) -> str:
    """Which files are read, in which state: an interrupted update goes on only with the same ones."""
    state = hashlib.blake2b(digest_size=16)
    for one in found:
        state.update(repr((one.name, one.size, one.modified_ns)).encode())
    return state.hexdigest()
