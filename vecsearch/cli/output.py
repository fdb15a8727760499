"""What a command prints: data on stdout, as a table for people or JSON lines for programs; everything else on stderr."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any

import click

NARROWEST = 8
"""Characters that a table leaves of a column, however narrow the terminal is."""


def emit(rows: Iterable[Mapping[str, Any]], *, as_json: bool, columns: Sequence[str] | None = None) -> None:
    """Print rows as JSON lines, whole, or as a table of `columns` (else the first row's keys) cut to the terminal's width."""
    if as_json:
        for row in rows:
            # JSON has no infinity, which an inner product of very long vectors can be.
            finite = {name: None if isinstance(value, float) and not isfinite(value) else value for name, value in row.items()}
            click.echo(json.dumps(finite, ensure_ascii=False, allow_nan=False))
        return
    rows = list(rows)
    if rows:
        click.echo(_table(rows, columns or list(rows[0])))


def note(message: str) -> None:
    """Print a timing, a count or a warning on stderr."""
    click.echo(message, err=True)


def is_terminal() -> bool:
    """Whether stdout is looked at by a person."""
    return sys.stdout.isatty()


def is_coloured() -> bool:
    """Whether a person looks at stdout who has not asked for no colours."""
    return is_terminal() and not os.environ.get("NO_COLOR")


def printable(text: str) -> str:
    """A text with spaces for control characters: a terminal would obey those of a document."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _table(rows: list[Mapping[str, Any]], columns: Sequence[str]) -> str:
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in [list(columns), *cells]) for i in range(len(columns))]
    numeric = [all(isinstance(row.get(column), int | float) for row in rows) for column in columns]
    room = shutil.get_terminal_size((110, 24)).columns - 2 * (len(widths) - 1)
    widths = [min(width, room) for width in widths]
    while sum(widths) > room and max(widths) > NARROWEST:
        widths[widths.index(max(widths))] -= 1
    lines = []
    for line in [list(columns), *cells]:
        parts = (_fit(text, width, right) for text, width, right in zip(line, widths, numeric, strict=True))
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return " ".join(printable(str(value)).split())


def _fit(text: str, width: int, right: bool) -> str:
    if len(text) > width:
        text = text[: width - 1] + "…"
    return text.rjust(width) if right else text.ljust(width)
