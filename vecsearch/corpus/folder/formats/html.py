"""HTML: what a page says, without its navigation, each part with the anchor that opens it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree, html

from vecsearch.corpus.folder.content import Block, Content, Place
from vecsearch.corpus.folder.formats.source import Problem, Source

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
TERM = 7
"""The level of a term with an anchor in a list of definitions, as documentation of functions has them; one further for each
list that it is inside of."""
_NO_TEXT = frozenset(
    (
        "script",
        "style",
        "noscript",
        "template",
        "svg",
        "math",
        "nav",
        "footer",
        "aside",
        "form",
        "button",
        "select",
        "iframe",
        "head",
    )
)
_ROLES = frozenset(("navigation", "banner", "contentinfo", "search", "complementary"))
_CLASSES = re.compile(r"(?:^|\s)(?:headerlink|nav(?:bar|header|footer)|sphinxsidebar|breadcrumbs?|toc)(?:\s|$)")
"""Navigation that says so by its class alone, in what Sphinx and DocBook make. A DocBook "sidebar" is text."""
_INLINE = frozenset(
    (
        *(
            "a",
            "abbr",
            "acronym",
            "b",
            "bdi",
            "bdo",
            "big",
            "cite",
            "code",
            "data",
            "del",
            "dfn",
            "em",
            "font",
            "i",
            "img",
            "ins",
        ),
        *(
            "kbd",
            "label",
            "mark",
            "q",
            "rp",
            "rt",
            "ruby",
            "s",
            "samp",
            "small",
            "span",
            "strike",
            "strong",
            "sub",
            "sup",
            "time",
        ),
        *("tt", "u", "var", "wbr"),
    )
)
_SPACE = re.compile(r"\s+")
_DECLARED = re.compile(rb"charset\s*=|encoding\s*=", re.IGNORECASE)


def read(source: Source) -> Content:
    if source.is_binary:
        raise Problem("is a binary file")
    blocks, title, encoding = html_blocks(source.data, source)
    return Content(blocks, title, encoding=encoding)


def html_blocks(data: bytes, source: Source | None = None) -> tuple[list[Block], str, str]:
    """The blocks of a page, its title, and its encoding where that is not UTF-8."""
    encoding, shown = "utf-8", ""
    try:
        data.decode()
    except UnicodeDecodeError:
        encoding = ""
        if source is not None and not _DECLARED.search(data[:2048]):
            text, shown = source.text()
            data, encoding = text.encode(), "utf-8"
    # A parser of its own for each page: entities are not looked up, and nothing is fetched.
    parser = html.HTMLParser(encoding=encoding or None, no_network=True, remove_comments=True, remove_pis=True, huge_tree=True)
    try:
        root = html.document_fromstring(data, parser=parser)
    except (etree.ParserError, ValueError) as error:
        raise Problem(f"has no page in it ({error})") from None
    if not encoding:
        shown = (root.getroottree().docinfo.encoding or "").lower()
    main = root.xpath("(//main | //*[@role='main'])[1]")
    blocks = list(_Page(main[0] if main else root).blocks())
    first = next((block.text for block in blocks if block.level == 1), "")
    return blocks, first or _flat(root.findtext(".//title") or ""), shown


class _Page:
    """One page, from its first element to its last."""

    def __init__(self, root: html.HtmlElement) -> None:
        self._root = root
        self._parts: list[str] = []
        self._place: Place = None
        self._mark = ""
        self._lists = 0

    def blocks(self) -> Iterator[Block]:
        walk = etree.iterwalk(self._root, events=("start", "end"))
        for event, element in walk:
            if event == "start":
                if _has_no_text(element):
                    walk.skip_subtree()
                elif element.tag in _INLINE or element.tag == "br":
                    self._parts.append("\n" if element.tag == "br" else "")
                    self._note(element)
                    self._parts.append(element.text or "")
                else:
                    yield from self._ended()
                    self._note(element)
                    whole = self._whole(element)
                    if whole is None:
                        self._enter(element)
                    else:
                        walk.skip_subtree()
                        yield from whole
            else:
                if element.tag not in _INLINE and element.tag != "br" and not _has_no_text(element):
                    yield from self._ended()
                    yield from self._left(element)
                if element is not self._root:
                    self._parts.append(element.tail or "")
        yield from self._ended()

    def _note(self, element: html.HtmlElement) -> None:
        """Take an element's anchor as the place of what follows."""
        anchor = element.get("id") or (element.get("name") if element.tag == "a" else None)
        if anchor and "sidebar" not in anchor:
            self._place = ("anchor", anchor)

    def _whole(self, element: html.HtmlElement) -> list[Block] | None:
        """The blocks of an element that are made of all that is in it at once; None for those that are walked through."""
        if element.tag in _HEADINGS:
            inner = element.xpath("string(.//@id | .//a/@name)")
            self._place = ("anchor", inner) if inner and not element.get("id") else self._place
            return [Block(_text_of(element), self._place, level=_HEADINGS[element.tag])]
        if element.tag == "dt" and self._lists and (anchor := element.get("id") or element.xpath("string(.//@id)")):
            self._place = ("anchor", anchor)
            return [Block(_text_of(element), self._place, level=TERM + self._lists - 1)]
        if element.tag == "pre":
            return [Block("".join(element.itertext()).strip("\n").rstrip(), self._place, lines=True)]
        if element.tag == "table" and not element.xpath(".//table | .//h1 | .//h2 | .//h3 | .//h4 | .//pre | .//dl"):
            rows = [row for row in map(_row, element.iter("tr")) if row.strip(" |")]
            return [Block("\n".join(rows), self._place, lines=True, header=rows[0] if len(rows) > 1 else "")]
        return None

    def _enter(self, element: html.HtmlElement) -> None:
        if element.tag == "dl":
            self._lists += 1
        if element.tag == "li":
            self._mark = "- "
        self._parts.append(element.text or "")

    def _left(self, element: html.HtmlElement) -> Iterator[Block]:
        if element.tag == "dl":
            self._lists -= 1
            # What follows is not below the terms of the list.
            yield Block("", self._place, level=TERM + self._lists)

    def _ended(self) -> Iterator[Block]:
        text = _flat("".join(self._parts))
        self._parts = []
        if text:
            yield Block(self._mark + text, self._place)
            self._mark = ""


def _has_no_text(element: html.HtmlElement) -> bool:
    return (
        element.tag in _NO_TEXT
        or not isinstance(element.tag, str)
        or element.get("role") in _ROLES
        or element.get("hidden") is not None
        or element.get("aria-hidden") == "true"
        or _CLASSES.search(element.get("class") or "") is not None
    )


def _text_of(element: html.HtmlElement) -> str:
    return _flat("".join(_texts(element)))


def _texts(element: html.HtmlElement) -> Iterator[str]:
    walk = etree.iterwalk(element, events=("start", "end"))
    for event, inner in walk:
        if event == "start":
            if _has_no_text(inner):
                walk.skip_subtree()
            else:
                yield inner.text or ""
        elif inner is not element:
            yield inner.tail or ""


def _row(row: html.HtmlElement) -> str:
    return " | ".join(_text_of(cell) for cell in row if cell.tag in ("td", "th"))


def _flat(text: str) -> str:
    return _SPACE.sub(" ", text).strip()
