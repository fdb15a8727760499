"""Plain text: its paragraphs, which empty lines separate."""

from __future__ import annotations

from collections.abc import Iterator

from vecsearch.corpus.folder.content import Block, Content
from vecsearch.corpus.folder.formats.source import Source


def read(source: Source) -> Content:
    text, encoding = source.text()
    return Content(list(paragraphs(text)), encoding=encoding)


def paragraphs(text: str, first: int = 1) -> Iterator[Block]:
    """The paragraphs of a text whose first line has this number."""
    begun, lines = first, list[str]()
    for number, line in enumerate([*text.split("\n"), ""], first):
        if line.strip():
            if not lines:
                begun = number
            lines.append(line.rstrip())
        elif lines:
            yield Block("\n".join(lines), ("line", begun))
            lines = []
