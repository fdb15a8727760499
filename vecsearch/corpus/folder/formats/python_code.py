"""Python's source code, by Python's own parser."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Sequence

from vecsearch.corpus.folder.content import Block

_NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def blocks(text: str) -> Iterator[Block] | None:
    """The lines of the text, each function and class below a heading of its name; None for what another Python is for."""
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    lines = text.split("\n")
    return _blocks(tree.body, lines, 1, len(lines), level=1)


def _blocks(body: Sequence[ast.stmt], lines: list[str], first: int, last: int, level: int) -> Iterator[Block]:
    for statement in body:
        if isinstance(statement, _NAMED):
            begin = min([statement.lineno, *(decorator.lineno for decorator in statement.decorator_list)])
            end = statement.end_lineno or begin
            yield from lines_of(lines, first, begin - 1)
            yield Block(statement.name, ("line", begin), level)
            if isinstance(statement, ast.ClassDef):
                yield from _blocks(statement.body, lines, begin, end, level + 1)
            else:
                yield from lines_of(lines, begin, end)
            first = end + 1
            if first <= last:
                # What follows is not below that name.
                yield Block("", ("line", first), level)
    yield from lines_of(lines, first, last)


def lines_of(lines: list[str], first: int, last: int) -> Iterator[Block]:
    """The lines first..last, counted from 1, as one block, without empty ones at its ends."""
    while first <= last and not lines[first - 1].strip():
        first += 1
    if text := "\n".join(lines[first - 1 : last]).rstrip():
        yield Block(text, ("line", first), lines=True)
