"""Jupyter notebooks: their cells, and what these have put out as text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from vecsearch.corpus.folder.content import Block, Content
from vecsearch.corpus.folder.formats.markdown import markdown_blocks
from vecsearch.corpus.folder.formats.source import Problem, Source

OUTPUT_CHARACTERS = 2000
"""Of what a cell has put out, that are read: progress bars and tables of numbers go on for ever."""


def read(source: Source) -> Content:
    try:
        notebook = json.loads(source.text()[0])
    except json.JSONDecodeError as error:
        raise Problem(f"is no notebook: its JSON ends or breaks in line {error.lineno}") from None
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if cells is None and isinstance(notebook, dict):  # before version 4
        cells = [cell for sheet in notebook.get("worksheets", ()) for cell in sheet.get("cells", ())]
    if not isinstance(cells, list):
        raise Problem("is no notebook: it has no cells")
    return Content([block for number, cell in enumerate(cells, 1) for block in _blocks(cell, number)])


def _blocks(cell: dict[str, Any], number: int) -> Iterator[Block]:
    text, kind = _text(cell.get("source", cell.get("input", ""))), cell.get("cell_type")
    place = ("cell", number)
    if kind in ("markdown", "heading"):
        for block in markdown_blocks(text):
            yield replace(block, place=place, level=cell.get("level", 1) if kind == "heading" else block.level)
        return
    if text.strip():
        yield Block(text.rstrip(), place, lines=True)
    for output in cell.get("outputs", ()):
        data = output.get("data") or {}
        shown = _text(output.get("text") or data.get("text/markdown") or data.get("text/plain") or "")
        if shown.strip():
            yield Block(shown.strip()[:OUTPUT_CHARACTERS], place, lines=True)


def _text(source: str | list[str]) -> str:
    return source if isinstance(source, str) else "".join(source)
