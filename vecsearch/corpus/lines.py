"""Lines of text files, plain, gz or xz, and the formats in which a line is a record: texts and JSON lines."""

from __future__ import annotations

import codecs
import gzip
import json
import lzma
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import IO, Any

from vecsearch.corpus.source import BadRecord, CorpusSource, Records
from vecsearch.errors import CorpusError

Lines = Iterator[tuple[int, bytes | None]]
"""Lines with their 1-based numbers; None stands for one that is too long."""

COMPRESSIONS = {"gz": gzip.open, "xz": lzma.open}
LONGEST = 1 << 27
"""Bytes of a line, characters of a cell. Bounded, so that neither a file without newlines nor a quote that is never closed
reads the rest of a large file into memory."""
REST_BYTES = 1 << 20
"""Bytes of a line's rest passed over at once."""


def byte_lines(path: str, compression: str, source: CorpusSource) -> Lines:
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
            for number, line in enumerate(_bounded(stream, source), 1):
                yield number, _without_mark(line, source) if line and number == 1 else line
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


def _without_mark(line: bytes, source: CorpusSource) -> bytes:
    """The first line without its byte-order mark. Raises CorpusError for the mark of another encoding than UTF-8."""
    if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise CorpusError(
            f"{source.where(1)}: the byte-order mark is UTF-16's (as in Excel's \"Unicode text\"), not UTF-8; "
            "convert the file: iconv -f UTF-16 -t UTF-8"
        )
    return line.removeprefix(codecs.BOM_UTF8)


def _bounded(stream: IO[bytes], source: CorpusSource) -> Iterator[bytes | None]:
    """Lines; None in the place of one longer than `LONGEST`, of which no more than that is ever in memory.

    A file without a line feed, but with carriage returns, has these for its lines' ends.
    """
    first = True
    while line := stream.readline(LONGEST + 1):
        if first and not line.endswith(b"\n") and b"\r" in line[:-1] and len(line) <= LONGEST:
            source.tally.notes.append(f"the lines of {source.name} end in carriage returns, as on old Macs, and are read so")
            yield from line.splitlines(keepends=True)
            return
        first = False
        if len(line) <= LONGEST:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(REST_BYTES)
        yield None


def decoded(line: bytes | None) -> str:
    if line is None:
        raise BadRecord(f"longer than {LONGEST:,} bytes", "check that it is text with one document a line")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        problem = f"byte {error.start + 1} of the line (0x{line[error.start]:02x}) is not UTF-8"
        raise BadRecord(problem, "convert the file to UTF-8") from error
    if "\0" in text:
        raise BadRecord(f"byte {line.index(0) + 1} of the line is NUL", "check that the file is text, in UTF-8")
    return text


def text_lines(lines: Lines, source: CorpusSource) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, without their ends; the others are counted, and bad ones refused."""
    for number, line in lines:
        try:
            text = decoded(line).removesuffix("\n").removesuffix("\r")
        except BadRecord as bad:
            source.refuse(number, bad)
            continue
        if text.strip():
            yield number, text
        else:
            source.tally.blank += 1


def plain_records(lines: Lines, source: CorpusSource) -> Records:
    """A record for each line that is not blank: {"text": the line}."""
    for number, text in text_lines(lines, source):
        source.tally.several_lines += "\r" in text
        yield number, {"text": text}


def json_records(lines: Lines, source: CorpusSource) -> Records:
    """A record for each line that is not blank: its JSON object."""
    for number, text in text_lines(lines, source):
        try:
            record = _parse_json(text)
        except BadRecord as bad:
            source.refuse(number, bad)
        else:
            yield number, record


def _json_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON. Raises BadRecord for a key that is there twice, of which only the last would be left."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadRecord(f'the key "{twice}" is there twice', "keep one of them, or give each its own name")
    return found


_JSON = json.JSONDecoder(object_pairs_hook=_json_object)


def _parse_json(text: str) -> dict[str, Any]:
    try:
        record = _JSON.decode(text)
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
