"""Word's .docx: as mammoth makes HTML of it, with its headings, tables, notes and comments."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import mammoth

from vecsearch.corpus.folder.content import Content
from vecsearch.corpus.folder.formats.html import html_blocks
from vecsearch.corpus.folder.formats.source import Source
from vecsearch.corpus.folder.formats.zipped import core_properties, opened


def read(source: Source) -> Content:
    with opened(source) as parts:
        title, fields = core_properties(parts)
    # A picture has no text. Files that a document refers to are not read: mammoth does so only if it is told to.
    pictures = mammoth.images.img_element(lambda picture: {})
    html = mammoth.convert_to_html(BytesIO(source.data), convert_image=pictures).value
    return Content([replace(block, place=None) for block in html_blocks(html.encode())[0]] if html else [], title, fields)
