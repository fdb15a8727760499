"""Documents and their vectors to files that other programs read: streamed, and there under their names only when whole."""

from __future__ import annotations

import json
import re
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate, pairwise
from os import PathLike
from pathlib import Path
from typing import IO, Any

import numpy as np

from vecsearch.corpus.document import Document
from vecsearch.errors import UsageError, VectorsError, writing
from vecsearch.files import new_file, sync
from vecsearch.progress import Progress
from vecsearch.vectors.hdf5 import new_hdf5

Spans = Sequence[tuple[int, int, int]] | None
"""Of which document of its block each vector is a passage, in order, and from which character to which."""

Block = tuple[Sequence[Document], np.ndarray, Spans]
"""Documents, their vectors (b, dim) float32, and their passages, None where each vector stands for a whole document."""

MOST_COLUMNS = 500
"""Fields that a table of metadata has columns for, those that most documents have."""

_NUMBER = "%.9g"
"""Digits that tell any two numbers in float32 apart."""

_EMPTY = r"\A\Z"
_NO_LINE = re.compile(rf"[\r\n\ufeff]|{_EMPTY}")
_NO_HDF5 = re.compile(rf"\0|{_EMPTY}")
_NO_WORD = re.compile(_EMPTY)
_SPACE = re.compile(r"\s")
_BREAK = re.compile(r"[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Content:
    """What is written: `blocks()` begins anew each time, and gives `rows` vectors of length `dim`, in order.

    `with_vectors` has .jsonl hold the vectors as well. `progress` hears how many rows are written, `note` what could not be
    written as it is.
    """

    blocks: Callable[[], Iterable[Block]]
    rows: int
    dim: int
    with_vectors: bool
    progress: Progress

    def watched(self) -> Iterator[Block]:
        """The blocks, each counted when the next is asked for."""
        done = 0
        for block in self.blocks():
            yield block
            done += len(block[1])
            self.progress.step("vectors", done, self.rows)


def export_files(path: str | PathLike[str]) -> list[Path]:
    """The files that an export to `path` makes: itself, and what its format keeps beside it.

    Raises: UsageError for a suffix that is no format's.
    """
    path = Path(path)
    if path.suffix not in _FORMATS:
        raise UsageError(f"{path}: exports are written to {', '.join(_FORMATS)} files; choose one of these suffixes")
    return [path, *(path.with_suffix(suffix) for suffix in _FORMATS[path.suffix][1])]


def export(path: str | PathLike[str], content: Content) -> list[Path]:
    """Write documents and vectors in the format of the suffix of `path`; the files, which appear only when all are whole.

    In .jsonl a line is a document. In every other format a row is a vector, and has the id of its document, with #0, #1 …
    behind it where vectors stand for passages.

    Raises: UsageError for another suffix; VectorsError for an id that the format cannot hold; ResourceError where the disk
    refuses. Files of these names stay until all the new ones are whole.
    """
    files = export_files(path)
    with ExitStack() as stack:
        # The first to be begun, the file itself, is the last to be put in place.
        unfinished = [stack.enter_context(new_file(file)) for file in files]
        with writing(path):
            _FORMATS[files[0].suffix][0](unfinished, content, files[0])
            if len(files) > 1:
                for file in unfinished:
                    sync(file)
                # Where there is one, what lies beside it belongs to it, whenever the machine stops.
                files[0].unlink(missing_ok=True)
    return files


# -- a line for each document ------------------------------------------------------------------------------------------


def _write_jsonl(unfinished: list[Path], content: Content, path: Path) -> None:
    taken = ("id", "text", "vector", "passages") if content.with_vectors else ("id", "text")
    renamed: Counter[tuple[str, str]] = Counter()
    with _text(unfinished[0]) as file:
        for documents, vectors, spans in content.watched():
            for document, rows in zip(documents, _rows_of_each(documents, spans), strict=True):
                names = _free_names(document.fields, taken)
                renamed.update((old, new) for old, new in names.items() if old != new)
                record = {"id": document.id, "text": document.text}
                record |= {names[name]: value for name, value in document.fields.items()}
                if content.with_vectors:
                    record |= _vectors_of(vectors[rows].tolist(), spans and spans[rows])
                file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
    _note_renamed(renamed, content)


def _rows_of_each(documents: Sequence[Document], spans: Spans) -> Iterator[slice]:
    """Which rows of their block each of the documents has."""
    counts = Counter(range(len(documents)) if spans is None else (place for place, _, _ in spans))
    ends = accumulate((counts[place] for place in range(len(documents))), initial=0)
    return (slice(start, stop) for start, stop in pairwise(ends))


def _vectors_of(vectors: list[list[float]], spans: Spans) -> dict[str, Any]:
    if spans is None:
        return {"vector": vectors[0]}
    placed = zip(spans, vectors, strict=True)
    return {"passages": [{"start": start, "stop": stop, "vector": vector} for (_, start, stop), vector in placed]}


def _free_names(fields: Iterable[str], taken: Collection[str]) -> dict[str, str]:
    """What each of the fields is called where the names `taken` mean something else."""
    names = {name: name for name in fields}
    for name in names.keys() & set(taken):
        new = name + "_"
        while new in taken or new in names:
            new += "_"
        names[name] = new
    return names


def _note_renamed(renamed: Counter[tuple[str, str]], content: Content) -> None:
    for (old, new), count in renamed.items():
        content.progress.note(
            f'note: {count:,} documents have a field "{old}", which means something else here: it is called "{new}"'
        )


# -- a row for each vector ---------------------------------------------------------------------------------------------


def _row_ids(documents: Sequence[Document], spans: Spans) -> list[str]:
    """The id of each row of a block: its document's, and behind it which passage it is."""
    if spans is None:
        return [document.id for document in documents]
    rows_of_each = zip(documents, _rows_of_each(documents, spans), strict=True)
    return [f"{document.id}#{passage}" for document, rows in rows_of_each for passage in range(rows.stop - rows.start)]


def _checked_ids(documents: Sequence[Document], spans: Spans, bad: re.Pattern[str], path: Path) -> list[str]:
    """The id of each row. Raises VectorsError for one that the format at `path` cannot hold."""
    ids = _row_ids(documents, spans)
    for wrong in filter(bad.search, ids):
        raise VectorsError(f"{path} cannot be written: its format cannot hold the id {wrong!r}; write .jsonl, which holds any")
    return ids


def _write_npy(unfinished: list[Path], content: Content, path: Path) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (content.rows, content.dim)}
    with unfinished[0].open("wb") as file, _text(unfinished[1]) as lines:
        np.lib.format.write_array_header_1_0(file, header)
        for documents, vectors, spans in content.watched():
            lines.writelines(f"{id}\n" for id in _checked_ids(documents, spans, _NO_LINE, path))
            file.write(vectors.astype("<f4").tobytes())


def _write_hdf5(unfinished: list[Path], content: Content, path: Path) -> None:
    import h5py

    with new_hdf5(unfinished[0]) as (file, check):
        stored = file.create_dataset("vectors", (content.rows, content.dim), "<f4")
        names = file.create_dataset("ids", (content.rows,), h5py.string_dtype())
        first = 0
        for documents, vectors, spans in content.watched():
            rows = slice(first, first := first + len(vectors))
            names[rows] = _checked_ids(documents, spans, _NO_HDF5, path)
            stored[rows] = vectors
            check()


def _write_word2vec(unfinished: list[Path], content: Content, path: Path) -> None:
    _refuse_equal_words(content, path)
    line = " ".join(["%s", *[_NUMBER] * content.dim]) + "\n"
    changed = 0
    with _text(unfinished[0]) as file:
        file.write(f"{content.rows} {content.dim}\n")
        for documents, vectors, spans in content.watched():
            for id, vector in zip(_checked_ids(documents, spans, _NO_WORD, path), vectors.tolist(), strict=True):
                file.write(line % (word := _word(id), *vector))
                changed += word != id
    if changed:
        content.progress.note(
            f"note: {changed:,} ids have white space, which separates numbers in word2vec text: it is written as _"
        )


def _word(id: str) -> str:
    """The id as word2vec's own phrases have it: New_York."""
    return _SPACE.sub("_", id)


def _refuse_equal_words(content: Content, path: Path) -> None:
    """Raise VectorsError where ids become the same word: readers would keep the first alone, and say nothing."""
    ids = (id for documents, _, spans in content.blocks() for id in _row_ids(documents, spans))
    hashes = np.array(array("q", (hash(word) for id in ids if "_" in (word := _word(id)))))  # 8 bytes an id, however long
    values, counts = np.unique(hashes, return_counts=True)
    if (counts < 2).all():
        return
    ids = (id for documents, _, spans in content.blocks() for id in _row_ids(documents, spans))
    same = [id for id in ids if hash(_word(id)) == values[counts > 1][0]]
    names = " and ".join(map(repr, same[:2]))
    raise VectorsError(f"{path} cannot be written: the ids {names} are one word in word2vec text; write .jsonl, .npy or .h5")


def _write_projector(unfinished: list[Path], content: Content, path: Path) -> None:
    counts = Counter(name for documents, _, _ in content.blocks() for document in documents for name in document.fields)
    columns = [name for name, _ in counts.most_common(MOST_COLUMNS)]
    names = _free_names(columns, ("id", "text"))
    line = "\t".join([_NUMBER] * content.dim) + "\n"
    respaced: Counter[str] = Counter()
    with _text(unfinished[0]) as file, _text(unfinished[1]) as metadata:
        metadata.write(_cells(["id", "text", *names.values()], respaced))
        for documents, vectors, spans in content.watched():
            file.writelines(line % tuple(vector) for vector in vectors.tolist())
            ids = iter(_row_ids(documents, spans))
            for document, rows in zip(documents, _rows_of_each(documents, spans), strict=True):
                values = [document.fields.get(name) for name in columns]
                for start, stop in [(0, None)] if spans is None else [span[1:] for span in spans[rows]]:
                    metadata.write(_cells([next(ids), document.text[start:stop], *values], respaced))
    _note_renamed(Counter({(old, new): counts[old] for old, new in names.items() if old != new}), content)
    if respaced["cells"]:
        content.progress.note(
            f"note: tabs and line ends in {respaced['cells']:,} cells became spaces, for which a .tsv file has no place"
        )
    if len(counts) > MOST_COLUMNS:
        content.progress.note(
            f"note: {len(counts) - MOST_COLUMNS:,} fields, those that fewest documents have, are left out of {path}"
        )


def _cells(values: Iterable[Any], respaced: Counter[str]) -> str:
    """A line of a table, which has no place for tabs and newlines in its cells; those that had some are counted."""
    cells = [_cell(value) for value in values]
    plain = [_BREAK.sub(" ", cell) for cell in cells]
    respaced["cells"] += sum(map(str.__ne__, plain, cells))
    return "\t".join(plain) + "\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _text(path: Path) -> IO[str]:
    return path.open("w", encoding="utf-8", newline="\n")


_FORMATS: dict[str, tuple[Callable[[list[Path], Content, Path], None], tuple[str, ...]]] = {
    ".jsonl": (_write_jsonl, ()),
    ".npy": (_write_npy, (".ids.txt",)),
    ".h5": (_write_hdf5, ()),
    ".hdf5": (_write_hdf5, ()),
    ".vec": (_write_word2vec, ()),
    ".txt": (_write_word2vec, ()),
    ".tsv": (_write_projector, (".metadata.tsv",)),
}
"""How each suffix is written, to the unfinished files, and what files lie beside it."""
