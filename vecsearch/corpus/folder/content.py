"""What a file holds: its text as blocks in their order, each with its place, and what the file says of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Place = tuple[str, int | str] | None
"""Where in a file a block begins: ("line", 12), ("page", 3), ("cell", 5), ("slide", 2), ("sheet", "Costs"), ("message", 1), or
("anchor", "install"); None where a format has no places."""


@dataclass(frozen=True, slots=True)
class Block:
    """A heading, a paragraph, a table or a piece of code."""

    text: str
    place: Place = None
    level: int = 0
    """Of a heading, 1 for the outermost; 0 for what is none."""
    lines: bool = False
    """Whether its lines belong together, as those of a table or of code: where it has to be split, then between them."""
    header: str = ""
    """What each part of a table that is split begins with: its first line."""


@dataclass(slots=True)
class Content:
    """A file's blocks, its title, the fields that it has of its own, its encoding where that is not UTF-8, and what of it could
    not be read, as what is said after its name."""

    blocks: list[Block] = field(default_factory=list)
    title: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    encoding: str = ""
    remarks: list[str] = field(default_factory=list)


def address(path: str, place: Place) -> str:
    """A file and a place in it, as editors and browsers open them: notes/a.md:12, report.pdf#page=3, page.html#install."""
    if place is None:
        return path
    name, value = place
    if name == "line":
        return f"{path}:{value}"
    return f"{path}#{value}" if name == "anchor" else f"{path}#{name}={value}"
