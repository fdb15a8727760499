"""PowerPoint's .pptx: what each slide says, its tables, and the notes below it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Any

from pptx import Presentation

from vecsearch.corpus.folder.content import Block, Content, Place
from vecsearch.corpus.folder.formats.source import Source
from vecsearch.corpus.folder.formats.zipped import core_properties, opened


def read(source: Source) -> Content:
    with opened(source) as parts:
        title, fields = core_properties(parts)
    slides = Presentation(BytesIO(source.data)).slides
    blocks = [block for number, slide in enumerate(slides, 1) for block in _blocks(slide, ("slide", number))]
    return Content(blocks, title, fields)


def _blocks(slide: Any, place: Place) -> Iterator[Block]:
    heading = slide.shapes.title
    yield Block(heading.text_frame.text if heading is not None else "", place, level=1)
    yield from _shapes((shape for shape in slide.shapes if heading is None or shape.shape_id != heading.shape_id), place)
    if slide.has_notes_slide and (notes := slide.notes_slide.notes_text_frame) is not None:
        yield Block(notes.text, place)


def _shapes(shapes: Iterable[Any], place: Place) -> Iterator[Block]:
    waiting = list(shapes)[::-1]
    while waiting:
        shape = waiting.pop()
        if hasattr(shape, "shapes"):  # a group
            waiting += list(shape.shapes)[::-1]
        elif shape.has_text_frame:
            yield Block(shape.text_frame.text, place)
        elif getattr(shape, "has_table", False):
            rows = [" | ".join(" ".join(cell.text.split()) for cell in row.cells) for row in shape.table.rows]
            yield Block("\n".join(rows), place, lines=True, header=rows[0] if len(rows) > 1 else "")
