"""Source code: its functions and classes, by Python's own parser or by tree-sitter's, which run nothing; else its pieces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import PurePath
from typing import Any

from vecsearch.corpus.folder.content import Block, Content
from vecsearch.corpus.folder.formats import python_code
from vecsearch.corpus.folder.formats.source import Problem, Source

LONGEST_MEAN = 400
"""Characters that lines have on average from which on a program has written them."""
DEEPEST = 50
"""Definitions within one another that are looked at."""
_GRAMMARS = {
    "bash": ".sh .bash",
    "c": ".c .h",
    "c_sharp": ".cs",
    "cpp": ".cc .cpp .cxx .hpp",
    "go": ".go",
    "java": ".java",
    "javascript": ".js .jsx .mjs",
    "php:language_php": ".php",
    "ruby": ".rb",
    "rust": ".rs",
    "typescript:language_tsx": ".tsx",
    "typescript:language_typescript": ".ts",
}
_OF_SUFFIX = {suffix: grammar for grammar, suffixes in _GRAMMARS.items() for suffix in suffixes.split()}
_DEFINES = re.compile(
    r"(?:function|method|constructor|class|interface|struct|enum|trait|impl|mod|module|namespace|type|generator_function"
    r"|singleton_method|record)(?:_(?:definition|declaration|item|specifier|alias))?"
)
"""What the grammars call the nodes of functions, classes and their like."""
_NAMES = ("name", "declarator", "type")
"""The parts of such a node that say what it is called."""


def read(source: Source) -> Content:
    text, encoding = source.text()
    if (mean := len(text) // (1 + text.count("\n"))) > LONGEST_MEAN:
        raise Problem(f"is written by a program for another: its lines have {mean:,} characters on average")
    suffix = PurePath(source.name).suffix.lower()
    blocks = python_code.blocks(text) if suffix in (".py", ".pyi") else _parsed(text, suffix)
    return Content(list(pieces(text) if blocks is None else blocks), encoding=encoding)


def pieces(text: str) -> Iterator[Block]:
    """Code of which no parser is there: pieces that begin where a line without indentation follows an empty one."""
    lines, begun = text.split("\n"), 0
    for number in range(1, len(lines)):
        if lines[number].strip() and not lines[number][0].isspace() and not lines[number - 1].strip():
            yield from python_code.lines_of(lines, begun + 1, number)
            begun = number
    yield from python_code.lines_of(lines, begun + 1, len(lines))


def _parsed(text: str, suffix: str) -> Iterator[Block] | None:
    """The blocks of code by its grammar; None where there is none, or where it is not installed."""
    module, _, function = _OF_SUFFIX.get(suffix, "").partition(":")
    try:
        from tree_sitter import Language, Parser

        grammar = getattr(import_module(f"tree_sitter_{module}"), function or "language")
    except (ImportError, AttributeError):
        return None
    root = Parser(Language(grammar())).parse(text.encode()).root_node
    lines = text.split("\n")
    return _blocks(root, lines, 1, len(lines), level=1)


def _blocks(node: Any, lines: list[str], first: int, last: int, level: int) -> Iterator[Block]:
    """The lines first..last of a node, each definition in it below a heading of its name."""
    for found, name in _definitions(node):
        begin, end = found.start_point[0] + 1, found.end_point[0] + 1
        if begin < first:
            continue
        begin = _with_comment(lines, first, begin)
        yield from python_code.lines_of(lines, first, begin - 1)
        yield Block(name, ("line", begin), level)
        yield from _blocks(found, lines, begin, end, level + 1) if level < DEEPEST else python_code.lines_of(lines, begin, end)
        first = end + 1
        if first <= last:
            # What follows is not below that name.
            yield Block("", ("line", first), level)
    yield from python_code.lines_of(lines, first, last)


def _definitions(node: Any) -> Iterator[tuple[Any, str]]:
    """The outermost definitions inside of a node, with their names."""
    waiting = list(node.children)[::-1]
    while waiting:
        inner = waiting.pop()
        name = _name_of(inner) if _DEFINES.fullmatch(inner.type) else ""
        if name:
            yield inner, name
        else:
            waiting += list(inner.children)[::-1]


def _name_of(node: Any) -> str:
    for field in _NAMES:
        part = node.child_by_field_name(field)
        while part is not None and (inner := part.child_by_field_name("declarator")) is not None:
            part = inner  # C: the name is inside of what it is declared as
        if part is not None:
            return " ".join(part.text.decode(errors="replace").split())
    return ""


def _with_comment(lines: list[str], first: int, begin: int) -> int:
    """The line where the comment above a definition begins."""
    while begin > first and lines[begin - 2].lstrip().startswith(("//", "#", "*", "/*", "--", "@")):
        begin -= 1
    return begin
