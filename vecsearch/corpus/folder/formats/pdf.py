"""PDF: the text of each page, by pdfium, below the headings of its outline."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress

import pypdfium2

from vecsearch.corpus.folder.content import Block, Content
from vecsearch.corpus.folder.formats.source import Problem, Source

FEW_PAGES = 4
"""Pages from which on a line that stands first or last on half of them is a header or a footer."""
_BROKEN = re.compile("[\ufffe\x02\u00ad]\n?")
"""What pdfium writes for a hyphen that only the end of a line has brought."""
_NUMBERS = re.compile(r"\d+")


def read(source: Source) -> Content:
    try:
        document = pypdfium2.PdfDocument(source.data)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise Problem("is encrypted: it opens with a password only") from None
        raise Problem(f"is no PDF, or damaged ({error})") from None
    with document:
        pages = list(_without_margins([_lines(document, number) for number in range(len(document))]))
        headings = _outline(document)
        told = document.get_metadata_dict(skip_empty=True)
    blocks = [block for number, lines in enumerate(pages) for block in _blocks(number, "\n".join(lines), headings[number])]
    fields = {"author": told["Author"]} if "Author" in told else {}
    return Content(blocks, told.get("Title", ""), fields)


def _lines(document: pypdfium2.PdfDocument, number: int) -> list[str]:
    page = document[number]
    text_page = page.get_textpage()
    try:
        text = text_page.get_text_range().replace("\r\n", "\n").replace("\r", "\n")
    finally:
        text_page.close()
        page.close()
    return [line.strip() for line in _BROKEN.sub("", text).split("\n") if line.strip()]


def _without_margins(pages: list[list[str]]) -> Iterator[list[str]]:
    """The pages without the lines that their headers and footers repeat, whatever numbers these have."""
    edges = Counter(edge for lines in pages for edge in {_edge(line) for line in (*lines[:1], *lines[-1:])})
    margins = {edge for edge, count in edges.items() if len(pages) >= FEW_PAGES and count > len(pages) / 2}
    for lines in pages:
        first = 1 if lines and _edge(lines[0]) in margins else 0
        last = len(lines) - 1 if len(lines) > first and _edge(lines[-1]) in margins else len(lines)
        yield lines[first:last]


def _edge(line: str) -> str:
    return _NUMBERS.sub("0", line)


def _outline(document: pypdfium2.PdfDocument) -> dict[int, list[tuple[int, str]]]:
    """Level and title of the outline's entries, by the page that each leads to."""
    headings: dict[int, list[tuple[int, str]]] = defaultdict(list)
    with suppress(pypdfium2.PdfiumError):  # the text is there without it
        for entry in document.get_toc():
            destination = entry.get_dest()
            page = destination.get_index() if destination else None
            if page is not None:
                headings[page].append((entry.level + 1, " ".join(entry.get_title().split())))
    return headings


def _blocks(number: int, text: str, headings: list[tuple[int, str]]) -> Iterator[Block]:
    """A page's text, each heading before the line that repeats it, else before the page's text."""
    place, begin = ("page", number + 1), 0
    for level, title in headings:
        words = r"\s+".join(map(re.escape, title.split()))
        found = re.compile(rf"^[\d.\s]*{words}", re.MULTILINE).search(text, begin) if words else None
        if found:
            yield Block(text[begin : found.start()].strip(), place)
            begin = found.end()
        yield Block(title, place, level)
    yield Block(text[begin:].strip(), place)
