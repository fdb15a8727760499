"""The index: documents and their vectors on disk; searched by vector, by text, by words, or by a document of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from vecsearch import checks
from vecsearch.corpus.document import Document
from vecsearch.encoders import Encoder
from vecsearch.engine import Engine
from vecsearch.forks import QuietLock
from vecsearch.index.opening import newer_view, open_view, pickled
from vecsearch.index.reader import Reader
from vecsearch.index.view import View
from vecsearch.progress import SILENT, Progress
from vecsearch.store.filters import MOST_SECONDS
from vecsearch.store.manifest import Manifest

if TYPE_CHECKING:
    from vecsearch.ann import Goal
    from vecsearch.index.adopt import Adopted
    from vecsearch.index.build import Options
    from vecsearch.index.changes import Changes
    from vecsearch.index.sync import FileChanges
    from vecsearch.store.verify import Verification

T = TypeVar("T")


class Index(Reader):
    """An index folder, opened at one generation. Use `Index.build` to make one and `Index.open` to open it.

    What changes it (`add`, `delete`, `compact` …) makes a new generation and shows that; other processes go on seeing theirs
    until they `refresh`. `Index.verify` and `Index.repair` take a folder: what is damaged cannot be opened.
    """

    # -- making and opening ------------------------------------------------------------------------------------------

    @classmethod
    def build(
        cls,
        folder: str | Path,
        documents: Iterable[Document],
        encoder: Encoder | None = None,
        options: Options | None = None,
        *,
        vectors: Iterable[np.ndarray] | None = None,
        replace: bool = False,
        resume: bool = False,
        progress: Progress = SILENT,
    ) -> Index:
        """Encode `documents` with `encoder` into a new index at `folder`, and open it.

        With `vectors`, blocks (b, dim) float32 that together hold a row for each document, nothing is encoded; `encoder` is
        then the one that made them, if it is known. Documents stream: memory does not grow with their number. What a `Corpus`
        knows of where they come from is kept in the manifest.

        The recall that `options` ask for is proved and kept in the manifest. Where the kind asked for does not reach it, the
        index is made all the same, and `manifest.recall` says how far it comes.

        `replace` puts the new index in an old one's place once it is whole; `resume` goes on with an interrupted build of the
        same corpus and options. `progress` is told the documents on disk, the vectors added to an index of FAISS, and what is
        tried.

        Raises UsageError, CorpusError, VectorsError and ResourceError; whatever happens, an old index at `folder` stays whole.
        """
        from vecsearch.index.build import build

        build(folder, documents, encoder, options, vectors=vectors, replace=replace, resume=resume, progress=progress)
        return cls.open(folder, encoder=encoder, check=False)

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        generation: int | None = None,
        encoder: Encoder | None = None,
        check: bool = True,
        condition_seconds: float = MOST_SECONDS,
        engine: Engine | None = None,
        workers: int | None = None,
        partial: bool = False,
        progress: Progress = SILENT,
    ) -> Index:
        """The index at `folder`, every file of it checked against its hash (`check=False`: only against its size).

        `folder` may be the URL of an index in an object store, such as "s3://bucket/films". Its files come into the cache, as
        far as they are not there, and `progress` is told the bytes that come. Such an index is only read.

        `generation` is one that is kept, the newest without it. `encoder` stands in for the one that the index carries, for
        encoders of your own; it must have the same fingerprint. A condition that takes longer than `condition_seconds` is given
        up, by every method of the open index.

        With an `engine`, `Pool()` or `RayEngine(address)`, its segments are opened by so many `workers`, by default one on each
        machine, which all see `folder` under the same path. What is found, and its scores, are the same. The engine stays
        yours to close, after the index. Where a worker is lost, whatever needs its documents raises LostError, until another
        has taken its place; with `partial`, searches answer from the others, and `missing` says what they lacked.

        Raises UnsupportedIndexError, DamagedIndexError, UsageError, and where something has to come from a store, or workers
        find no place, ResourceError.
        """
        how = {"generation": generation, "encoder": encoder, "check": check, "condition_seconds": condition_seconds}
        return cls(open_view(folder, engine=engine, workers=workers, partial=partial, progress=progress, **how))

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._refreshing, self._replacing = QuietLock(), QuietLock()

    @classmethod
    def from_segments(
        cls,
        folder: str | Path,
        paths: Sequence[str | Path],
        encoder: Encoder | None = None,
        *,
        progress: Progress = SILENT,
    ) -> Index:
        """Make an index at `folder`, where there is none, of segments that were made elsewhere, and open it.

        `paths` are as `adopt` takes them; metric, passages and language are those that they have, and the goal is that of the
        first index among them, or else of the first segment. `encoder` is the one that made them, where none of `paths` is an
        index that carries it. An interrupted one is made again by the same call. Raises as `adopt`.
        """
        from vecsearch.index.adopt import from_segments

        from_segments(folder, paths, encoder, progress=progress)
        return cls.open(folder, encoder=encoder, check=False)

    @staticmethod
    def verify(folder: str | Path) -> Verification:
        """Every problem of the index at `folder`, and every file beside it that is no part of it, found by a child process: a
        damaged file may crash the library that reads it. Raises UnsupportedIndexError, ResourceError."""
        from vecsearch.index.verify import verify_apart

        return verify_apart(folder)

    @staticmethod
    def repair(
        folder: str | Path,
        *,
        spec: str | None = None,
        goal: Goal | None = None,
        queries: np.ndarray | None = None,
        progress: Progress = SILENT,
    ) -> Manifest:
        """`rebuild` of the index at `folder`, which may be one that cannot be opened because of its FAISS index."""
        from vecsearch.index.update import rebuild

        return rebuild(folder, spec=spec, goal=goal, queries=queries, progress=progress)

    def refresh(self) -> bool:
        """Show the newest generation; whether there was a newer one. Raises as `open` does, and shows what it did then.

        A search that is under way in another thread ends with the generation that it began with. Threads that refresh at a time
        wait for each other: none opens what another has opened, or shows an older one again.
        """
        with self._refreshing:
            if (newer := newer_view(self._view)) is None:
                return False
            with self._replacing:
                # The one before is not closed: another thread may be searching it. It goes when nothing refers to it any more.
                if self._opened is not None:
                    self._opened = newer
                    return True
        newer.close()  # the index was closed meanwhile
        self._view  # noqa: B018 - says so
        return False

    def reader(self) -> Reader:
        """What it shows now, for several questions whose answers have to be of one generation: a `refresh` does not change it.

        It costs nothing, and is closed with the index if that shows the same generation then. What its own answers have lacked
        is in its `missing`.
        """
        return Reader(self._view.noting())

    def newer(self) -> Index | None:
        """The newest generation as an index of its own, where that is not the one that is shown here, and stays so. Both share
        their encoder, unless the index was built anew. Raises as `open` does."""
        newer = newer_view(self._view)
        return None if newer is None else type(self)(newer)

    def close(self) -> None:
        """Let go of the files, as soon as no other thread reads them; a second time it does nothing.

        What is asked of a closed index raises ValueError; only `folder` still tells where it lies.
        """
        with self._replacing:
            view, self._opened = self._opened, None
        if view:
            view.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """For another process: there the same generation of the same folder is opened, with the same encoder.

        Raises TypeError for an encoder of your own that cannot be pickled.
        """
        return _opened_again, pickled(self._view)

    def __enter__(self) -> Index:
        self._view  # noqa: B018 - a closed one cannot be entered
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- changing ----------------------------------------------------------------------------------------------------

    def _change(self, change: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """What a function of `update` returns, after the generation that it has made is shown."""
        changed = change(self._view.snapshot.folder, *arguments, **options)
        self.refresh()
        return changed

    def add(
        self,
        documents: Iterable[Document],
        *,
        vectors: Iterable[np.ndarray] | None = None,
        resume: bool = False,
        progress: Progress = SILENT,
    ) -> Changes:
        """Add documents, in one commit. One with an id that the index has takes the old one's place; one that has not changed
        is passed over and not encoded. Those of a corpus without ids are new, and numbered on from where the index ends. Ready
        `vectors`, blocks (b, dim) float32, belong to an index that carries no encoder.

        `resume` goes on with an interrupted add of the same. Raises CorpusError, VectorsError, UsageError, ResourceError; the
        index is then what it was.
        """
        from vecsearch.index.update import add

        encoder = None if vectors is not None else self.encoder
        return self._change(add, documents, encoder, vectors=vectors, resume=resume, progress=progress)

    def adopt(self, paths: Sequence[str | Path], *, replace: bool = False, progress: Progress = SILENT) -> Adopted:
        """Take in segments that were made elsewhere, in one commit: folders with a segment.json, or whole indexes.

        Their files are linked where the file system does that, and copied where not; what lies at `paths` is not changed, and
        must not be changed later. All hashes are compared, and what made the vectors and words has to be what made the index's.
        Rows that an index has deleted stay deleted; its clusters stay behind. An id that comes twice is refused; with `replace`
        a document of this index gives way to the one that comes. A segment keeps its index of FAISS where that is of the kind
        and has the recall that this index was built for; otherwise it is indexed as by `add`.

        Raises UsageError, CorpusError, DamagedIndexError, ResourceError; the index is then what it was.
        """
        from vecsearch.index.adopt import adopt

        return self._change(adopt, paths, replace=replace, encoder=self._view.given, progress=progress)

    def sync(
        self,
        paths: Sequence[str | PathLike[str]] = (),
        *,
        strict: bool = False,
        dry_run: bool = False,
        allow_empty: bool = False,
        tell: Callable[[str, str], None] = lambda name, said: None,
        progress: Progress = SILENT,
    ) -> FileChanges:
        """Bring an index of files to the state that they are in now, in one commit: new files are added, changed ones replaced,
        lost ones deleted. A text that the index has, in a renamed file for instance, is not encoded again.

        `paths` are followed from now on as well. With `dry_run` nothing is read or changed. `tell` is called with the name of
        each file that is left out or cannot be read, and why; with `strict` one that cannot be read is an error. A folder that
        holds none of its files any more is one, but with `allow_empty`. An interrupted sync is resumed by the next one.

        Raises CorpusError, UsageError, ResourceError; the index is then what it was.
        """
        from vecsearch.index.sync import planned, sync

        snapshot, allow_empty = self._view.snapshot, checks.flag("allow_empty", allow_empty)
        more = [str(path) for path in checks.paths("paths", paths)] if not isinstance(paths, tuple) or paths else []
        options = {"paths": more, "strict": strict, "allow_empty": allow_empty, "tell": tell}
        if checks.flag("dry_run", dry_run):
            return planned(snapshot, **options)
        return self._change(sync, lambda: self.encoder, progress=progress, **options)

    def delete(self, ids: Sequence[str] = (), *, where: str | None = None) -> int:
        """Delete the documents with these ids, or those that meet a condition; returns how many. Raises UsageError."""
        from vecsearch.index.update import delete

        return self._change(delete, ids=ids, where=where, condition_seconds=self._view.condition_seconds).deleted

    def compact(
        self,
        *,
        rows: int | None = None,
        queries: np.ndarray | None = None,
        language: str | None = None,
        progress: Progress = SILENT,
    ) -> None:
        """Merge segments without what was deleted, index them again, and measure their recall again.

        An index of at most `rows` rows, by default 4,000,000, becomes one segment. In a larger one, segments become others of
        about as many rows; what has no more, and a quarter at the least, and nothing deleted, stays as it is. `language` is the
        code of the one that words are read in from now on; without it, it stays what it is. An interrupted compaction is
        resumed by the next one. Raises UsageError, ResourceError; the index is then what it was.
        """
        from vecsearch.index.compact import compact

        given = self._view.given
        self._change(compact, rows=rows, queries=queries, language=language, encoder=given, progress=progress)

    def rebuild(
        self,
        *,
        spec: str | None = None,
        goal: Goal | None = None,
        queries: np.ndarray | None = None,
        progress: Progress = SILENT,
    ) -> None:
        """Make the FAISS indexes of all segments again from their vectors, towards the goal the index has, or another one.

        No document is encoded again. Raises UsageError, ResourceError.
        """
        from vecsearch.index.update import rebuild

        given = self._view.given
        self._change(rebuild, spec=spec, goal=goal, queries=queries, encoder=given, progress=progress)

    def collect(self, keep: int) -> list[str]:
        """Remove the generations before the last `keep`, and what interrupted work has left; returns the paths removed."""
        from vecsearch.index.update import collect

        return collect(self._view.snapshot.folder, keep)

    def rollback(self, generation: int) -> None:
        """Bring a generation back that is kept, as the newest. Raises UsageError for another."""
        from vecsearch.index.update import rollback

        self._change(rollback, generation)

    def keep_weights(self, weights: tuple[float, float]) -> None:
        """Have `hybrid` weigh meaning and words so from now on, where it is not told otherwise."""
        from vecsearch.index.update import weigh

        self._change(weigh, weights)


def _opened_again(folder: str | Path, generation: int, encoder: Encoder | None, seconds: float) -> Index:
    return Index.open(folder, generation=generation, encoder=encoder, check=False, condition_seconds=seconds)
