"""A segment: vectors, their norms and their documents by row; written in blocks, then read-only for good."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from vecsearch import metric
from vecsearch.corpus.document import Document, place
from vecsearch.errors import CorpusError, UsageError, VectorsError, writing
from vecsearch.files import HEADER_BYTES, npy_header, sync
from vecsearch.store.commit import Writing, write_all
from vecsearch.store.documents import Documents
from vecsearch.store.documents_writer import DocumentsWriter, Stored
from vecsearch.store.layout import DOCUMENTS, NORMS, VECTORS, Closed, damaged, reading
from vecsearch.store.records import Span, extend_digest, to_record
from vecsearch.text.languages import NONE, language_of

_SKIP_BLOCK = 1024
TEXTS_LOOKED_AT = 1000
AT_ONCE = getattr(os, "RWF_NOWAIT", None)
"""Has a read give up where it would have to wait for the disk; only Linux can."""


class RowsFile:
    """A .npy file of float32 rows that grows; its header is written at the end, when the number of rows is known."""

    def __init__(self, path: Path, row_shape: tuple[int, ...], rows: int):
        """Open `path`, new when `rows` is 0, and forget whatever a crash left behind its first `rows` rows.

        Raises: DamagedIndexError: it holds fewer. ResourceError: it cannot be written.
        """
        self._path, self._row_shape = path, row_shape
        self._row_bytes = 4 * int(np.prod(row_shape))
        with writing(path):
            self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
            size, needed = os.fstat(self._file.fileno()).st_size, HEADER_BYTES + rows * self._row_bytes
            if rows and size < needed:
                raise damaged(path, f"has {size} bytes, but the {rows} rows of the unfinished build take {needed}")
            os.ftruncate(self._file.fileno(), needed)

    def write(self, first_row: int, block: np.ndarray) -> None:
        """Write the rows of `block` from `first_row` on, durably."""
        with writing(self._path):
            data = memoryview(block.reshape(-1).view(np.uint8))
            write_all(self._file.fileno(), data, HEADER_BYTES + first_row * self._row_bytes)
            os.fsync(self._file.fileno())

    def finish(self, rows: int) -> None:
        """Write the header for `rows` rows, durably."""
        with writing(self._path):
            os.ftruncate(self._file.fileno(), HEADER_BYTES + rows * self._row_bytes)
            write_all(self._file.fileno(), npy_header((rows, *self._row_shape)), 0)
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class SegmentWriter:
    """Fills a segment's folder block by block. Opened again after a crash it continues after the last whole block."""

    def __init__(self, folder: Path, dim: int, *, anew: str = "anew", first: int = 0):
        """`anew` says how to start again what cannot be resumed; `first` documents of the corpus are in other segments.

        Raises: DamagedIndexError: what a crash left cannot be continued. ResourceError: the folder cannot be written.
        """
        self.folder, self.dim, self._anew, self._first = folder, dim, anew, first
        self._writing = Writing(folder)
        self._documents = DocumentsWriter(folder / DOCUMENTS)
        self.progress: Stored = self._documents.progress()
        self._vectors = RowsFile(folder / VECTORS, (dim,), self.progress.rows)
        self._norms = RowsFile(folder / NORMS, (), self.progress.rows)
        self._open = True
        sync(folder)

    @property
    def rows(self) -> int:
        """Number of rows that are durable."""
        return self.progress.rows

    def append(
        self,
        documents: Sequence[Document],
        vectors: np.ndarray,
        spans: Sequence[Span] | None = None,
        *,
        counts: Mapping[str, int] | None = None,
    ) -> None:
        """Store the documents and their vectors, (b, d) float32, as the next b rows; durable, all of it or nothing.

        `spans` are the passages of the documents that the b vectors stand for, one or more of each document in order; without
        them each document has one vector. `counts` replaces those kept with the progress: figures of the whole build so far.

        Raises:
            VectorsError: NaN, infinity, or a length that float32 cannot hold.
            CorpusError: an id that is taken, or a document that cannot be stored.
            ResourceError: no space left, or an I/O error.
            LockedError: this process was forked from the one that builds.
        """
        self._writing.check()
        if vectors.shape != (len(documents if spans is None else spans), self.dim):
            raise ValueError(f"vectors of shape {vectors.shape} for {len(documents)} documents of dim {self.dim}")
        vectors = np.ascontiguousarray(vectors, dtype="<f4")
        norms = _norms_of(documents if spans is None else [documents[document] for document, _, _ in spans], vectors)
        records = [to_record(document) for document in documents]
        self._refuse_taken_ids(documents)
        # SQLite's commit is the one atomic step: rows beyond what it records do not exist.
        self._vectors.write(self.rows, vectors)
        self._norms.write(self.rows, norms)
        progress = Stored(
            rows=self.rows + len(vectors),
            documents=self.progress.documents + len(records),
            digest=extend_digest(self.progress.digest, records),
            counts=self.progress.counts if counts is None else dict(counts),
        )
        self._documents.append(records, spans, self.progress, progress)
        self.progress = progress

    def _refuse_taken_ids(self, documents: Sequence[Document]) -> None:
        taken = self._documents.known(document.id for document in documents)
        for number, document in enumerate(documents, self.progress.documents):
            earlier = taken.setdefault(document.id, number)
            if earlier != number:
                raise taken_id(place(document), document.id, self._first + earlier)

    def skip(self, documents: Iterator[Document]) -> None:
        """Consume the documents that are stored already from a corpus that is read again.

        Raises:
            UsageError: the corpus does not begin with them any more.
        """
        digest, seen, stored = "", 0, self.progress.documents
        while block := [to_record(document) for document in islice(documents, min(_SKIP_BLOCK, stored - seen))]:
            digest, seen = extend_digest(digest, block), seen + len(block)
        if seen < stored:
            raise UsageError(
                f"the corpus has {seen} documents, but {stored} of it are stored already; start again {self._anew}"
            )
        if digest != self.progress.digest:
            raise UsageError(
                f"the corpus has changed: its first {seen} documents are not those that are stored already; "
                f"start again {self._anew}"
            )

    def language(self, otherwise: str | None) -> str:
        """The code of the language that most documents are in, by 1,000 of them; `otherwise` where that cannot be told."""
        return language_of(self._documents.some_texts(TEXTS_LOOKED_AT), otherwise)

    def finish(self, language: str = NONE) -> int:
        """Complete the files, durably, and return the number of rows; `Segment` reads them from now on. `language` is the code
        of the one that words are read in. Raises as `append`."""
        self._writing.check()
        if self._open:
            self._documents.finish(language)
            self._documents.close()
            self._vectors.finish(self.rows)
            self._norms.finish(self.rows)
            sync(self.folder / DOCUMENTS)
            sync(self.folder)
            self.close()
        return self.rows

    def close(self) -> None:
        """Let go of the files as they are, so that the build can be resumed."""
        self._open = False
        self._documents.close()
        self._vectors.close()
        self._norms.close()


def taken_id(place: str, id: str, earlier: int) -> CorpusError:
    """The error for a document, at a place, with an id that an earlier one has, which is known by its number."""
    return CorpusError(
        f"{place}: the id {id!r} is already that of document {earlier} (counted from 0); every document needs its own id"
    )


def _norms_of(documents: Sequence[Document], vectors: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.ascontiguousarray(metric.norms(vectors), dtype="<f4")
    for row in np.flatnonzero(~np.isfinite(norms)):
        bad = vectors[row][~np.isfinite(vectors[row])]
        what = f"holds {bad[0]}" if len(bad) else "is too long for float32; scale the vectors down"
        raise VectorsError(f"{place(documents[row])}: the vector of {documents[row].id!r} {what}")
    return norms


class Segment:
    """The rows of one finished segment. Every file is open from construction on, so unlinking one later does no harm."""

    def __init__(self, folder: Path, *, rows: int, dim: int, faiss: str | None = None, conditions: int = 1):
        """`conditions` may be asked of its documents at a time.

        Raises: DamagedIndexError: a file is missing, or is not what `rows` and `dim` ask for.
        """
        self.folder, self.rows, self.dim = folder, rows, dim
        self.vectors: np.ndarray = _map_rows(folder / VECTORS, (rows, dim))
        """(n, d) float32, memory-mapped, read-only."""
        with reading(folder / VECTORS):
            self._file: _File | None = _File(folder / VECTORS)
        self.norms: np.ndarray = np.array(_map_rows(folder / NORMS, (rows,)))
        """(n,) float32."""
        self.documents = Documents(folder / DOCUMENTS, rows, conditions=conditions)
        self.index_path: Path | None = folder / faiss if faiss else None
        """The FAISS index of these rows, where one was built."""

    def read(self, rows: np.ndarray) -> np.ndarray:
        """The vectors at `rows` (r,) int64: a new (r, d) float32, read from the file, so that none of it gets mapped.

        Raises: DamagedIndexError: the file became shorter. Closed: it was closed.
        """
        path, row_bytes = self.folder / VECTORS, 4 * self.dim
        if (opened := self._file) is None:
            raise Closed(path)
        found = np.empty((len(rows), self.dim), "<f4")
        # Rows that follow each other are read at once.
        starts = np.flatnonzero(np.diff(rows, prepend=rows[:1] - 2) != 1).tolist()
        places = (HEADER_BYTES + rows[starts] * row_bytes).tolist()
        file, wanted = opened.descriptor, list(zip(pairwise([*starts, len(rows)]), places, strict=True))
        with reading(path):
            if AT_ONCE is not None:
                # What memory holds is taken from there. All of the rest is asked for before any of it is waited for: a disk
                # that serves a thousand reads a second one by one serves many times as many together.
                wanted = [part for part in wanted if not _read_at_once(file, found[slice(*part[0])], part[1])]
                for (start, end), place in wanted:
                    os.posix_fadvise(file, place, (end - start) * row_bytes, os.POSIX_FADV_WILLNEED)
            for (start, end), place in wanted:
                if os.preadv(file, [found[start:end]], place) != (end - start) * row_bytes:
                    raise damaged(path, f"ends before the end of row {rows[end - 1]}")
        return found

    def close(self) -> None:
        """Close the documents; the vectors stay mapped for as long as an array refers to them."""
        self.documents.close()
        self._file = None


class _File:
    """A file to read, closed when nothing refers to it any more: a thread that reads finds no other file under its number."""

    def __init__(self, path: Path):
        self._file = path.open("rb", buffering=0)
        self.descriptor = self._file.fileno()

    def __del__(self) -> None:
        with suppress(AttributeError):  # it could not be opened
            self._file.close()


def _read_at_once(file: int, rows: np.ndarray, place: int) -> bool:
    """Fill `rows` from the file, if all of it is in memory; whether it is."""
    try:
        return os.preadv(file, [rows], place, AT_ONCE) == rows.nbytes
    except OSError:  # not in memory, or a file system that cannot tell
        return False


def _map_rows(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The float32 array in a .npy file of ours; the header is compared, never parsed."""
    expected = npy_header(shape)
    with reading(path), path.open("rb") as file:
        header, size = file.read(HEADER_BYTES), os.fstat(file.fileno()).st_size
        if header != expected:
            raise damaged(path, f"does not begin with the header of {shape} float32")
        needed = HEADER_BYTES + 4 * int(np.prod(shape))
        if size != needed:
            raise damaged(path, f"has {size} bytes, not {needed}")
        # As np.memmap has it, which takes five times as long.
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.ndarray(shape, "<f4", buffer=data, offset=HEADER_BYTES)
