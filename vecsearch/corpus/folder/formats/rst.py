"""reStructuredText: its headings, paragraphs and code, without the marks of roles and directives."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vecsearch.corpus.folder.content import Block, Content
from vecsearch.corpus.folder.formats.source import Source

_LINE = re.compile(r"([!-/:-@\[-`{-~])\1{2,}\s*")
"""What stands below a heading, and perhaps above it."""
_ROLE = re.compile(r":[\w:+.-]+:`[~!]?([^`<]*?)(?:\s*<[^`>]*>)?`")
_QUOTED = re.compile(r"``(.+?)``|`([^`<]+?)(?:\s*<[^`>]*>)?`_{0,2}")
_DIRECTIVE = re.compile(r"\.\.(?:\s+(?:\|[^|]*\|\s+)?([\w:+.-]+)::\s*(.*)|\s.*|)")
_OPTION = re.compile(r"\s+:[\w-]+:.*")
_CODE = ("code", "code-block", "sourcecode", "parsed-literal", "highlight", "doctest", "testcode", "literalinclude")
_NO_TEXT = ("image", "figure", "toctree", "include", "raw", "index", "contents", "highlight", "module", "currentmodule", "math")


def read(source: Source) -> Content:
    text, encoding = source.text()
    return Content(list(_blocks(text.expandtabs(8).split("\n"))), encoding=encoding)


def _blocks(lines: list[str]) -> Iterator[Block]:
    levels: list[tuple[str, bool]] = []
    """How each level of headings is marked, outermost first: by which sign, and whether above as well."""
    number = 0
    while number < len(lines):
        if found := _heading(lines, number):
            title, mark, taken = found
            if mark not in levels:
                levels.append(mark)
            yield Block(_plain(title), ("line", number + taken - 1), levels.index(mark) + 1)
            number += taken
        elif not lines[number].strip():
            number += 1
        else:
            end = number + 1
            while end < len(lines) and lines[end].strip() and not (end > number + 1 and _heading(lines, end)):
                end += 1
            block, number = _paragraph(lines, number, end)
            if block is not None:
                yield block


def _heading(lines: list[str], number: int) -> tuple[str, tuple[str, bool], int] | None:
    """Title and mark of a heading that begins here, and how many lines it takes."""
    first, second, third = (lines[i].rstrip() if i < len(lines) else "" for i in range(number, number + 3))
    if _LINE.fullmatch(first) and second.strip() and first == third and len(first) >= len(second.rstrip()):
        return second.strip(), (first[0], True), 3
    if (
        first
        and not first[0].isspace()
        and not _LINE.fullmatch(first)
        and _LINE.fullmatch(second)
        and len(second) >= len(first)
    ):
        return first, (second[0], False), 2
    return None


def _paragraph(lines: list[str], number: int, end: int) -> tuple[Block | None, int]:
    """The block of the lines number..end, None where a person reads nothing there, and where the next one begins."""
    place, first = ("line", number + 1), lines[number]
    directive = _DIRECTIVE.fullmatch(first.strip()) if first.lstrip().startswith("..") else None
    if directive:
        name, said = directive[1], directive[2] or ""
        body, after = _indented(lines, number + 1, _indent(first))
        if name is None or name in _NO_TEXT:
            return None, after
        body = [line for line in body if not _OPTION.fullmatch(line)]
        if name in _CODE:
            return (Block(_dedented(body), place, lines=True) if any(map(str.strip, body)) else None), after
        # What a note, a warning or a description of a function says is read on its own.
        return (Block(_plain(said), place) if said else None), number + 1 + _options(lines, number + 1)
    text = "\n".join(line.strip() for line in lines[number:end])
    if text.endswith("::"):
        body, after = _indented(lines, end, _indent(first))
        code = _dedented(body)
        return Block("\n\n".join(filter(None, (_plain(text[:-1].rstrip(":")), code))), place, lines=bool(code)), after
    is_table = _LINE.fullmatch(first.strip().replace(" ", "").replace("+", "-").replace("=", "-")) is not None
    if is_table:
        rows = [line.strip() for line in lines[number:end] if not re.fullmatch(r"[-=+| ]+", line.strip())]
        return (Block(_plain("\n".join(rows)), place, lines=True) if rows else None), end
    return Block(_plain(text), place), end


def _options(lines: list[str], number: int) -> int:
    """How many lines from here on are options of a directive."""
    count = 0
    while number + count < len(lines) and _OPTION.fullmatch(lines[number + count]):
        count += 1
    return count


def _indented(lines: list[str], number: int, indent: int) -> tuple[list[str], int]:
    """The lines from here on that are empty or further in, and where they end."""
    end = number
    while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > indent):
        end += 1
    return lines[number:end], end


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _dedented(lines: list[str]) -> str:
    least = min((_indent(line) for line in lines if line.strip()), default=0)
    return "\n".join(line[least:].rstrip() for line in lines).strip("\n")


def _plain(text: str) -> str:
    text = _ROLE.sub(r"\1", text)
    text = _QUOTED.sub(lambda found: found[1] or found[2], text)
    return re.sub(r"\*{1,2}(\S(?:.*?\S)?)\*{1,2}", r"\1", text)
