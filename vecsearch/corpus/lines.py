"""Records of the text formats: a line a document, JSON lines, comma- or tab-separated values; plain, gz or xz."""

from __future__ import annotations

import codecs
import csv
import gzip
import json
import lzma
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import IO, Any

from vecsearch.corpus.source import BadRecord, Records, Source
from vecsearch.errors import CorpusError

Lines = Iterator[tuple[int, bytes | None]]
"""Lines with their 1-based numbers; None stands for one that is too long."""

COMPRESSIONS = {"gz": gzip.open, "xz": lzma.open}
_LONGEST = 1 << 27
"""Bytes of a line, characters of a cell. Bounded, so that neither a file without newlines nor a quote that is never closed
reads the rest of a large file into memory."""
_REST = 1 << 20
"""Bytes of a line's rest passed over at once."""


def byte_lines(path: str, compression: str, source: Source) -> Lines:
    """Lines, read one at a time, newlines kept and a byte-order mark left out.

    Raises: CorpusError where the file cannot be opened, or breaks off.
    """
    number = 0
    try:
        with _open(path) as file, _decompressed(file, compression) as stream:
            if path != "-":
                # What is compressed is measured as it is on disk: how much text will come of it is not known.
                size = max(1, os.fstat(file.fileno()).st_size)
                source.tally.fraction = lambda: 1.0 if file.closed else file.tell() / size
            for number, line in enumerate(_bounded(stream), 1):
                yield number, line.removeprefix(codecs.BOM_UTF8) if line and number == 1 else line
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        remedy = f"check that it is a whole .{compression} file, or make it again" if compression else "check the file"
        reason = getattr(error, "strerror", None) or error
        raise CorpusError(f"{source.name} cannot be read after line {number}: {reason}; {remedy}") from error


def _open(path: str) -> AbstractContextManager[IO[bytes]]:
    if path != "-":
        return open(path, "rb")
    if sys.stdin is None:
        raise CorpusError("standard input is closed; pipe the corpus in, or name a file")
    return nullcontext(sys.stdin.buffer)


def _decompressed(file: IO[bytes], compression: str) -> AbstractContextManager[IO[bytes]]:
    return COMPRESSIONS[compression](file, "rb") if compression else nullcontext(file)


def _bounded(stream: IO[bytes]) -> Iterator[bytes | None]:
    """Lines; None in the place of one longer than `_LONGEST`, of which no more than that is ever in memory."""
    while line := stream.readline(_LONGEST + 1):
        if len(line) <= _LONGEST:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(_REST)
        yield None


def _decode(line: bytes | None) -> str:
    if line is None:
        raise BadRecord(f"longer than {_LONGEST:,} bytes", "check that it is text with one document a line")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        problem = f"byte {error.start + 1} of the line (0x{line[error.start]:02x}) is not UTF-8"
        raise BadRecord(problem, "convert the file to UTF-8") from error
    if "\0" in text:
        raise BadRecord(f"byte {line.index(0) + 1} of the line is NUL", "check that the file is text, in UTF-8")
    return text


def _text_lines(lines: Lines, source: Source) -> Iterator[tuple[int, str]]:
    for number, line in lines:
        try:
            text = _decode(line).removesuffix("\n").removesuffix("\r")
        except BadRecord as bad:
            source.refuse(number, bad)
            continue
        if text.strip():
            yield number, text
        else:
            source.tally.blank += 1


def plain_records(lines: Lines, source: Source) -> Records:
    """A record for each line that is not blank: {"text": the line}."""
    for number, text in _text_lines(lines, source):
        yield number, {"text": text}


def json_records(lines: Lines, source: Source) -> Records:
    """A record for each line that is not blank: its JSON object."""
    for number, text in _text_lines(lines, source):
        try:
            record = _parse_json(text)
        except BadRecord as bad:
            source.refuse(number, bad)
        else:
            yield number, record


def _parse_json(text: str) -> dict[str, Any]:
    try:
        record = json.loads(text)
        if "\\ud" in text.lower():  # an escaped half of a surrogate pair parses, and could never be stored or printed
            json.dumps(record, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise BadRecord(f"broken JSON at column {error.colno}: {error.msg}", "mend the line") from error
    except (ValueError, RecursionError) as error:
        raise BadRecord(f"JSON that cannot be used: {error}", "mend the line") from error
    if not isinstance(record, dict):
        raise BadRecord(f"holds {_JSON_NAMES[type(record)]}, not a JSON object", 'write one object a line: {"text": "…"}')
    return record


_JSON_NAMES = {list: "a list", str: "a string", int: "a number", float: "a number", bool: "true or false", type(None): "null"}


def delimited_records(lines: Lines, source: Source, *, delimiter: str) -> Records:
    """A record for each row below the header: {column: cell}, cells as strings; a row is named by its first line."""
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST))
    faults: list[tuple[int, BadRecord]] = []
    reader = csv.reader(_cell_text(lines, faults), delimiter=delimiter, strict=True)
    try:
        # A bad header is never skipped: the next row would take its place.
        header_line, header = next(_rows(reader, faults, replace(source, skip_bad=False)), (0, []))
    except CorpusError as error:
        raise CorpusError(str(error)) from None
    if twice := [name for name in header if header.count(name) > 1]:
        raise CorpusError(f'{source.where(header_line)}: the column "{twice[0]}" is there twice; give each its own name')
    for number, row in _rows(reader, faults, source):
        if len(row) == len(header):
            yield number, dict(zip(header, row, strict=True))
        else:
            problem = f"{len(row)} columns, but the header has {len(header)}"
            source.refuse(number, BadRecord(problem, "mend the row (a cell that holds the separator needs double quotes)"))


def _cell_text(lines: Lines, faults: list[tuple[int, BadRecord]]) -> Iterator[str]:
    """Lines for csv.reader; a bad one still goes through, noted in `faults`, so that rows of several lines stay whole."""
    for number, line in lines:
        try:
            yield _decode(line)
        except BadRecord as bad:
            faults.append((number, bad))
            yield line.decode(errors="replace") if line else "\n"


def _rows(reader: Any, faults: list[tuple[int, BadRecord]], source: Source) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, with their first line's number; `reader` goes on after a broken one."""
    while True:
        start = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            remedy = "mend its quotes (a cell with quotes goes in double quotes, with those inside doubled)"
            faults.append((start, BadRecord(f"broken row: {error}", remedy)))
            row = []
        if faults:
            number, bad = faults[0]
            faults.clear()
            source.refuse(number, bad, units=reader.line_num - start + 1)
        elif row:
            yield start, row
        else:
            source.tally.blank += 1
