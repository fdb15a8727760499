"""What a cell of a CSV or TSV file is: a number where it is written as one, and otherwise the text that it is."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?", re.ASCII)


def cell_value(cell: str) -> int | float | str:
    """The number that `cell` is written as, digit for digit; else the cell: 01234, 1.10, 1e5 and +49 stay what they are."""
    if not _NUMBER.fullmatch(cell):
        return cell
    number = float(cell) if "." in cell else int(cell) if len(cell) < 4000 else cell
    return number if str(number) == cell and cell != "-0.0" else cell
