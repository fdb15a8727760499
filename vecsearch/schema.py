"""What a JSON value must look like, written down as a value of the same form, and what in one that was read does not.

a type                      a value of this very type: true is no int
a function                  what it is true for: `whole`, `number` and `one_of` make some
(None, X)                   null, or X
[X], [X, ...]               a list of X; of one at least
{"name": X, ...: Y}         an object that has these fields; any others are Y, or where nothing is said, whatever they are
{"name?": X}                the same, where the field may be left out
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

Check = Callable[[Any], bool]


def check(value: Any, expected: Any, where: str = "") -> None:
    """Raise ValueError with the first that does not fit: "holds -1 as segments[0].rows", or "has no segments[0].rows"."""
    match expected:
        case (None, other):
            if value is not None:
                check(value, other, where)
        case [item, *more] if type(value) is list and len(value) >= len(more):
            for place, its in enumerate(value):
                check(its, item, f"{where}[{place}]")
        case dict() if type(value) is dict:
            _check_fields(value, expected, where)
        case _ if not _fits(value, expected):
            raise ValueError(f"holds {value!r:.200} as {where or 'all there is'}")


def _check_fields(value: dict[str, Any], expected: dict[Any, Any], where: str) -> None:
    dot = f"{where}." if where else ""
    named = {name.removesuffix("?"): its for name, its in expected.items() if name is not ...}
    for name in named:
        if name not in value and f"{name}?" not in expected:
            raise ValueError(f"has no {dot}{name}")
    for name, its in value.items():
        if name in named:
            check(its, named[name], f"{dot}{name}")
        elif ... in expected:
            check(its, expected[...], f"{where}[{name!r}]")


def _fits(value: Any, expected: Any) -> bool:
    return type(value) is expected if isinstance(expected, type) else callable(expected) and expected(value)


def whole(least: int = 0, most: float = math.inf) -> Check:
    """Whole numbers from `least` to `most`."""
    return lambda value: type(value) is int and least <= value <= most


def number(least: float = -math.inf, most: float = math.inf) -> Check:
    """Finite numbers, whole or not, from `least` to `most`."""
    return lambda value: type(value) in (int, float) and abs(value) <= sys.float_info.max and least <= value <= most


def one_of(*values: Any) -> Check:
    """These values and no others."""
    return lambda value: value in values
