"""Spreadsheets (.xlsx, .xls, .ods …): the rows of each sheet, below its name."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

from python_calamine import CalamineError, CalamineWorkbook, PasswordError

from vecsearch.corpus.folder.content import Block, Content
from vecsearch.corpus.folder.formats.source import Problem, Source
from vecsearch.corpus.folder.formats.zipped import opened


def read(source: Source) -> Content:
    if source.data.startswith(b"PK"):
        opened(source).close()  # does it unpack to more than it may?
    try:
        book = CalamineWorkbook.from_filelike(BytesIO(source.data))
        return Content([block for name in book.sheet_names for block in _blocks(book, name)])
    except PasswordError:
        raise Problem("is encrypted: it opens with a password only") from None
    except CalamineError as error:
        raise Problem(f"is no spreadsheet, or damaged ({error})") from None


def _blocks(book: CalamineWorkbook, name: str) -> Iterator[Block]:
    place = ("sheet", name)
    yield Block(name, place, level=1)
    rows = [line for row in book.get_sheet_by_name(name).to_python() if (line := " | ".join(map(_shown, row)).strip(" |"))]
    if rows:
        yield Block("\n".join(rows), place, lines=True, header=rows[0] if len(rows) > 1 else "")


def _shown(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return " ".join(str(value).split())
