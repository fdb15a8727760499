"""Records of delimited text: comma-separated values, in which quotes hold a cell together, and tab-separated ones without."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from vecsearch.corpus.lines import LONGEST, Lines, decoded, text_lines
from vecsearch.corpus.source import BadRecord, CorpusSource, Records
from vecsearch.errors import CorpusError

_QUOTED = re.compile(r'"[^"]*("|\Z)')
_OTHERS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
"""What else than a comma columns are separated by, and its name."""


def tsv_records(lines: Lines, source: CorpusSource) -> Records:
    """A record for each line below the header: {column: cell}, a cell being what stands between tabs, quotes and all."""
    rows = text_lines(lines, source)
    try:
        # A bad header is never skipped: the next row would take its place.
        number, line = next(text_lines(lines, replace(source, skip_bad=False)), (0, ""))
    except CorpusError as error:
        raise CorpusError(str(error)) from None
    header = _names(line.split("\t"), number, source)
    remedy = "mend it (a cell can hold no tab and no line end: for a file that puts such cells in quotes give --format csv)"
    doubled = False
    for number, line in rows:
        cells = line.split("\t")
        if len(cells) != len(header):
            source.refuse(number, BadRecord(_unlike(len(cells), header, "\t"), remedy))
            continue
        if '""' in line and not doubled:
            doubled = True
            source.tally.notes.append(
                f"{source.where(number)} has doubled quotes, which stay as they are: tab-separated files have no quoting; "
                "one that was written with it is read with --format csv"
            )
        source.tally.several_lines += "\r" in line
        yield number, dict(zip(header, cells, strict=True))


def csv_records(lines: Lines, source: CorpusSource) -> Records:
    """A record for each row below the header: {column: cell}, cells as strings; a row is named by its first line.

    Columns whose header has no comma, but semicolons, tabs or bars, are separated by these; spaces behind the separators are
    left out where the whole header has them. `source` counts the records of several lines, and notes the rest.
    """
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST))
    faults: list[tuple[int, BadRecord]] = []
    cells = _cell_text(lines, faults)
    head = _head(cells)
    delimiter, spaced = _dialect(head[-1] if head else "")
    reader = csv.reader(chain(head, cells), delimiter=delimiter, skipinitialspace=spaced, strict=True)
    try:
        # A bad header is never skipped: the next row would take its place.
        header_line, names = next(_rows(reader, faults, replace(source, skip_bad=False)), (0, []))
    except CorpusError as error:
        raise CorpusError(str(error)) from None
    header = _names(names, header_line, source)
    if delimiter != ",":
        source.tally.notes.append(f"the columns of {source.name} are separated by {_OTHERS[delimiter]}, as its header has it")
    if spaced:
        source.tally.notes.append(f"spaces behind the separators of {source.name} are left out, as its header has them")
    for number, row in _rows(reader, faults, source):
        if len(row) == len(header):
            source.tally.several_lines += reader.line_num > number
            yield number, dict(zip(header, row, strict=True))
        else:
            remedy = "mend the row (a cell that holds the separator needs double quotes)"
            source.refuse(number, BadRecord(_unlike(len(row), header, delimiter), remedy))


def _names(cells: Sequence[str], line: int, source: CorpusSource) -> list[str]:
    """The columns' names. Those without one are called as pandas calls them: it writes an index into such a column.

    Raises: CorpusError for a name that is there twice.
    """
    stripped = [cell.strip() for cell in cells]
    if stripped != list(cells) and any(stripped):
        source.tally.notes.append(f"spaces around the columns' names in {source.name} are left out")
    names = [name or f"Unnamed: {place}" for place, name in enumerate(stripped)]
    if twice := [name for name in names if names.count(name) > 1]:
        raise CorpusError(f'{source.where(line)}: the column "{twice[0]}" is there twice; give each its own name')
    for name in (new for new, old in zip(names, stripped, strict=True) if not old and any(stripped)):
        source.tally.notes.append(f'a column of {source.name} has no name and is called "{name}"')
    return names


def _unlike(count: int, header: Sequence[str], delimiter: str) -> str:
    by = "" if delimiter == "," else f", separated by {_OTHERS[delimiter]}"
    return f"{count} columns, but the header has {len(header)}{by}"


def _head(cells: Iterator[str]) -> list[str]:
    """The lines up to the first that is not blank, which is the header or begins it."""
    head = []
    for line in cells:
        head.append(line)
        if line.strip():
            break
    return head


def _dialect(header: str) -> tuple[str, bool]:
    """What separates the columns, and whether each separator in the header has a space behind it."""
    bare = _QUOTED.sub("x", header).rstrip("\r\n")
    counts = {separator: bare.count(separator) for separator in _OTHERS}
    delimiter = "," if "," in bare or not any(counts.values()) else max(counts, key=lambda separator: counts[separator])
    behind = bare.split(delimiter)[1:]
    return delimiter, bool(behind) and all(cell.startswith(" ") for cell in behind)


def _cell_text(lines: Lines, faults: list[tuple[int, BadRecord]]) -> Iterator[str]:
    """Lines for csv.reader; a bad one still goes through, noted in `faults`, so that rows of several lines stay whole."""
    for number, line in lines:
        try:
            yield decoded(line)
        except BadRecord as bad:
            faults.append((number, bad))
            yield line.decode(errors="replace") if line else "\n"


def _rows(reader: Any, faults: list[tuple[int, BadRecord]], source: CorpusSource) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, with their first line's number; `reader` goes on after a broken one."""
    while True:
        start = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            remedy = "mend its quotes (a cell with quotes goes in double quotes, with those inside doubled)"
            if "new-line" in str(error):
                remedy = "remove the carriage return in it, or put its cell in double quotes"
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
