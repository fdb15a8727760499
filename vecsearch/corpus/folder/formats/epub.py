"""EPUB: the pages of a book, in the order in which they are read."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from urllib.parse import unquote

from vecsearch.corpus.folder.content import Content
from vecsearch.corpus.folder.formats.html import html_blocks
from vecsearch.corpus.folder.formats.source import Source
from vecsearch.corpus.folder.formats.zipped import opened, parsed

_PAGES = ("application/xhtml+xml", "text/html")


def read(source: Source) -> Content:
    with opened(source) as book:
        container = parsed(book, "META-INF/container.xml")
        package_name = container.xpath("string(//*[local-name()='rootfile']/@full-path)")
        package = parsed(book, package_name)
        items = {item.get("id"): item for item in package.xpath("//*[local-name()='manifest']/*")}
        spine = [items.get(item.get("idref")) for item in package.xpath("//*[local-name()='spine']/*")]
        names = [unquote(item.get("href", "")) for item in spine if item is not None and item.get("media-type") in _PAGES]
        blocks = []
        for name in names:
            path = posixpath.normpath(posixpath.join(posixpath.dirname(package_name), name))
            if path in book.namelist():
                for block in html_blocks(book.read(path))[0]:
                    anchor = f"{path}#{block.place[1]}" if block.place else path
                    blocks.append(replace(block, place=("anchor", anchor)))
    title, author = (
        package.xpath(f"string(//*[local-name()='metadata']/*[local-name()='{name}'])").strip() for name in ("title", "creator")
    )
    return Content(blocks, title, {"author": author} if author else {})
