"""A corpus file, whatever its format, as a stream of documents."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from glob import glob, has_magic
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any

from vecsearch import checks
from vecsearch.corpus.corpus import Corpus
from vecsearch.corpus.delimited import csv_records, tsv_records
from vecsearch.corpus.document import Document
from vecsearch.corpus.hdf5_records import hdf5_records
from vecsearch.corpus.layout import Layout
from vecsearch.corpus.lines import COMPRESSIONS, byte_lines, json_records, plain_records
from vecsearch.corpus.parquet import DATASET_STATE, arrow_records, parquet_records, require_pyarrow
from vecsearch.corpus.source import BadRecord, CorpusSource, CorpusTally, Records, guarded
from vecsearch.corpus.sqlite_records import PREFIX, sqlite_file, sqlite_records
from vecsearch.errors import CorpusError, UsageError

_LINE_FORMATS = {
    "txt": plain_records,
    "jsonl": json_records,
    "ndjson": json_records,
    "csv": csv_records,
    "tsv": tsv_records,
}
_CELLS = ("csv", "tsv")
_COLUMN_FORMATS = {"parquet": parquet_records, "arrow": arrow_records, "h5": hdf5_records, "hdf5": hdf5_records}
_CALLED = {"parquet": "Parquet", "arrow": "Arrow", "h5": "HDF5", "hdf5": "HDF5", "sqlite": "SQLite"}
_KNOWN = (
    f"known are {', '.join(_LINE_FORMATS)} (each also with .gz or .xz), {', '.join(_COLUMN_FORMATS)}, "
    f"{PREFIX}PATH?table=NAME, and a folder of BEIR's or of the datasets library"
)


def read_corpus(
    path: str | PathLike[str],
    *,
    text_fields: Sequence[str] = (),
    id_field: str | None = None,
    format: str | None = None,
    skip_bad: bool = False,
    tally: CorpusTally | None = None,
) -> Corpus:
    """Documents of the file or BEIR folder `path` ("-" is standard input), read as they are asked for and counted in `tally`.

    `format` (a suffix such as "jsonl.gz") stands in for the file's own. The text is the field "text", or `text_fields` joined
    by newlines; in a BEIR folder title and text. The id is `id_field`, else "id" or "_id" where the first record has it, else
    the number of the line or record. Every other field is kept; `skip_bad` leaves out what cannot be used.

    Raises: UsageError for an unknown format; CorpusError for a file that cannot be used, naming it and the line.
    """
    text_fields = checks.fields("text_fields", text_fields)
    id_field = None if id_field is None else checks.field("id_field", id_field)
    tally, skip_bad = CorpusTally() if tally is None else tally, checks.flag("skip_bad", skip_bad)
    records, source = read_records(path, format=format, skip_bad=skip_bad, tally=tally)
    layout = partial(Layout.of, text_fields=text_fields, id_field=id_field, beir=Path(path).is_dir(), cells=source.has_cells)
    options = {"text_fields": text_fields, "id_field": id_field, "format": format, "skip_bad": skip_bad}
    return Corpus(
        _documents(records, layout, source),
        str(path) if str(path) == "-" or str(path).startswith(PREFIX) else str(Path(path).absolute()),
        {name: value for name, value in options.items() if value},
        tally,
    )


def read_corpora(
    paths: Iterable[str | PathLike[str]],
    note: Callable[[str], None] = lambda line: None,
    *,
    tally: CorpusTally | None = None,
    **options: Any,
) -> Corpus:
    """Documents of several corpora, each as `read_corpus` reads it with the same options, numbered on where they have no ids.
    A path may be a glob pattern of files; `note` hears how each was read, where that is not as usual."""
    tally = CorpusTally() if tally is None else tally
    corpora = [read_corpus(path, tally=tally, **options) for given in paths for path in expanded(given)]
    names, said = ", ".join(corpus.name for corpus in corpora), corpora[0].options if corpora else {}
    return Corpus(_one_after_another(corpora, tally, note), names, said, tally)


def _one_after_another(corpora: Sequence[Corpus], tally: CorpusTally, note: Callable[[str], None]) -> Iterator[Document]:
    shift, number, of_one = 0, 0, tally.fraction

    def fraction() -> float:
        return (number + of_one()) / len(corpora)

    try:
        for number, corpus in enumerate(corpora):  # noqa: B007 - `fraction` looks at it
            last = 0
            for document in corpus:
                if tally.fraction is not fraction:  # the reader of this one has begun
                    of_one, tally.fraction = tally.fraction, fraction
                if document.numbered:
                    last = int(document.id)
                    document = replace(document, id=str(shift + last)) if shift else document
                yield document
            shift += last
    finally:
        for remark in tally.remarks():
            note(remark)


def expanded(path: str | PathLike[str]) -> list[str]:
    """The paths that a path or a glob pattern stands for, sorted; itself where there is such a path, or it is no pattern.

    Raises CorpusError for a pattern that nothing meets.
    """
    given = str(path)
    if not has_magic(given) or given.startswith(PREFIX) or os.path.lexists(given):
        return [given]
    if not (found := sorted(glob(given, recursive=True))):
        raise CorpusError(f"{given} stands for no file; check the pattern")
    return found


def record_files(paths: Iterable[str], note: Callable[[str], None], *, format: str | None = None) -> list[str]:
    """The files of records that paths stand for: a pattern for what meets it, a folder for the files in it that have the suffix
    of a format, all of them where one is given. `note` hears what of a folder is left out.

    Raises CorpusError for a path or a pattern without such a file.
    """
    return [file for given in paths for path in expanded(given) for file in _files_at(path, note, format)]


def stands_for_files(path: str) -> bool:
    """Whether `record_files` takes a path for a pattern or a folder of files, and not for a file. Raises as `expanded`."""
    place = checks.path("path", path)
    return expanded(path) != [path] or (place.is_dir() and _corpus_in(place) is None)


def _files_at(path: str, note: Callable[[str], None], format: str | None) -> list[str]:
    if not Path(path).is_dir() or _corpus_in(Path(path)):
        return [path]
    within = sorted(its for its in Path(path).iterdir() if not its.name.startswith("."))
    found = [its for its in within if its.is_file() and (format is not None or holds_records(its))]
    if not found:
        raise CorpusError(f"{path} is a folder without a file of records in it; check the path")
    if others := [its.name for its in within if its not in found]:
        more = f" and {len(others) - 1:,} more" if others[1:] else ""
        note(f"{path}: {others[0]}{more} left out: no file of records, or a folder of its own")
    return [str(its) for its in found]


def read_records(
    path: str | PathLike[str], *, format: str | None = None, skip_bad: bool = False, tally: CorpusTally | None = None
) -> tuple[Records, CorpusSource]:
    """The records of a file that `read_corpus` takes, whatever fields they have, and the source that refuses bad ones.

    Raises: UsageError for an unknown format; CorpusError for a file that cannot be opened.
    """
    path, skip_bad = checks.path("path", path), checks.flag("skip_bad", skip_bad)
    format = _named(format)
    if tally is not None:
        checks.instance("tally", tally, CorpusTally, give="CorpusTally()")
    file = _find(path)
    kind, compression = format_of(file, format)
    name = "stdin" if file == "-" else file
    unit = "line" if kind in _LINE_FORMATS else "record"
    source = CorpusSource(name, unit, skip_bad, tally or CorpusTally(), has_cells=kind in _CELLS)
    if kind in _LINE_FORMATS:
        records = _LINE_FORMATS[kind](byte_lines(file, compression, source), source)
    elif kind == "sqlite":
        records = sqlite_records(file, source)
    else:
        records = _COLUMN_FORMATS[kind](file, source)
    return guarded(records, source, _CALLED.get(kind, kind)), source


def _named(format: str | None) -> str | None:
    """The format that was asked for, if one was. Raises TypeError, and UsageError for an empty one."""
    if format is not None and not checks.text("format", format):
        raise UsageError(f"format is empty; give one, or leave it out: {_KNOWN}")
    return format


def holds_records(path: str | PathLike[str]) -> bool:
    """Whether `path` is a corpus of records, as `read_corpus` reads it, by its name or its form, and no document itself."""
    if str(path) == "-" or str(path).startswith(PREFIX):
        return True
    if Path(path).is_dir():
        return _corpus_in(Path(path)) is not None
    return _split(Path(path).name)[0] in (*_LINE_FORMATS, *_COLUMN_FORMATS)


def _find(path: str | PathLike[str]) -> str:
    """The file to read: `path`, or the corpus in a folder of BEIR's or of the datasets library."""
    place = Path(path)
    if str(path).startswith(PREFIX):
        sqlite_file(str(path))
        return str(path)
    if str(place) == "-":
        return "-"
    if not place.exists():
        raise CorpusError(f"{place} does not exist; check the path")
    if not place.is_dir():
        return str(place)
    found = _corpus_in(place)
    if found is None:
        raise CorpusError(f"{place} is a folder of files, not a corpus of records; vecsearch build and sync read such folders")
    return str(found)


def _corpus_in(folder: Path) -> Path | None:
    """The corpus in a folder of BEIR's, or a folder that the datasets library has saved; None for other folders."""
    names = ("corpus.jsonl", *(f"corpus.jsonl.{suffix}" for suffix in COMPRESSIONS))
    if (folder / DATASET_STATE).is_file():
        return folder
    return next((folder / name for name in names if (folder / name).is_file()), None)


def format_of(file: str, format: str | None) -> tuple[str, str]:
    """The kind and the compression of a corpus file: ("jsonl", "gz"), ("csv", "").

    Raises UsageError for one that is unknown, and where the library that reads it is missing.
    """
    if file == "-" and format is None:
        return "txt", ""
    if file.startswith(PREFIX):
        return "sqlite", ""
    if Path(file).is_dir():
        require_pyarrow()
        return "arrow", ""
    _, own_compression = _split(Path(file).name)
    kind, compression = _split(format or Path(file).name)
    compression = compression or own_compression
    if kind not in _LINE_FORMATS and kind not in _COLUMN_FORMATS:
        what = f"format {format!r}" if format else f"suffix of {file}"
        raise UsageError(f"unknown {what}; {_KNOWN}; say which it is with --format")
    if kind in _COLUMN_FORMATS and (compression or file == "-"):
        place = "standard input" if file == "-" else file
        raise UsageError(f"{kind} is read only from a file that is not compressed, not from {place}; save it as one")
    if kind in ("parquet", "arrow"):
        require_pyarrow()
    return kind, compression


def _split(name: str) -> tuple[str, str]:
    stem, _, last = name.lower().rpartition(".")
    compression = last if last in COMPRESSIONS else ""
    return (stem if compression else name.lower()).rpartition(".")[2], compression


def _documents(records: Records, layout_of: partial[Layout], source: CorpusSource) -> Iterator[Document]:
    first = next(records, None)
    found = False
    if first is not None:
        layout = layout_of(first[1])
        for number, record in chain([first], records):
            try:
                document = layout.document(number, record, source.where(number))
            except BadRecord as bad:
                source.refuse(number, bad)
                continue
            found = True
            yield document
    if not found:
        reason = f" (the first problem: {source.tally.first_problem})" if source.tally.first_problem else ""
        raise CorpusError(f"{source.name} holds no documents{reason}; check that it is the file you mean")
