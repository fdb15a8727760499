"""Files as documents: one for each passage, with the fields of its file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from vecsearch.corpus.document import Document
from vecsearch.corpus.folder.content import Content, address
from vecsearch.corpus.folder.conversion import Read
from vecsearch.corpus.folder.kinds import CODE
from vecsearch.corpus.folder.sections import Passage, Sections
from vecsearch.corpus.values import json_value

OWN = ("path", "title", "kind", "modified", "size", "heading", "line", "page", "cell", "slide", "sheet", "message", "anchor")
"""Fields that every file, or its places, have. A field of the same name that a file has of its own is kept as front_…"""


def documents_of(read: Read, sections: Sections) -> Iterator[Document]:
    """The documents of a file that could be read.

    The text of each is the path of its headings and its passage; its id is where it begins, with a number where another begins
    there: notes/a.md:12, report.pdf#page=3, report.pdf#page=3~2.
    """
    assert read.content is not None
    fields = _fields(read, read.content)
    met: Counter[str] = Counter()
    for passage in sections.passages(read.content):
        id = address(read.found.name, passage.place)
        met[id] += 1
        place = dict([passage.place]) if passage.place else {}
        own = {"heading": passage.heading, **place}
        id = id if met[id] == 1 else f"{id}~{met[id]}"
        yield Document(id, _text(passage), fields | own, where=id)


def _text(passage: Passage) -> str:
    return "\n\n".join(filter(None, (passage.heading, passage.text)))


def _fields(read: Read, content: Content) -> dict[str, Any]:
    others = {(f"front_{name}" if name in OWN else name): value for name, value in content.fields.items()}
    name, is_code = PurePosixPath(read.found.name), read.found.kind == CODE
    first = next((block.text for block in content.blocks if block.level and block.text.strip() and not is_code), "")
    return others | {
        "path": read.found.name,
        "title": " ".join((content.title or first).split()) or (name.name if is_code else name.stem),
        "kind": read.found.kind,
        "modified": json_value(datetime.fromtimestamp(read.modified_ns // 1_000_000_000, UTC)),
        "size": read.size,
    }
