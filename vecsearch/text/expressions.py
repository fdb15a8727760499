"""Regular expressions that take long to compile, compiled once a string needs them.

spaCy's expressions hold classes of all letters and signs of Unicode, a dozen times each: Python takes 75 ms to compile those of
English, which a cold query would wait for. Most strings are ASCII, and for these an expression matches the same without the
other characters of its classes, which leaves little to compile.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from functools import lru_cache

from vecsearch.forks import made_once

_SIGNS = "‘’“”–—…"
"""What text in print has beside ASCII."""
_SHORT = 64
_CLASS = r"\[\^?\]?(?:\\.|[^\]\\])*\]"
_PART = re.compile(rf"\\.|{_CLASS}|[()|]|[^\\\[()|]", re.DOTALL)
_CHARACTER = re.compile(rf"\\\W|{_CLASS}|[^\\\[\](){{}}^$.|?*+]", re.DOTALL)
_ELEMENT = re.compile(r"\\(?:u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|x[0-9A-Fa-f]{2}|.)|.", re.DOTALL)
_OTHER_LETTERS = re.compile(r"\(\?[a-zA-Z-]*[ix]")
"""Flags within an expression with which a character of a class is not just itself."""
_ANY, _NONE = r"[\x00-\U0010ffff]", r"[^\x00-\U0010ffff]"
"""Take any character, and none; both have the length of one, which counts in a lookbehind."""


class Expression:
    """A regular expression for searching strings, compiled when it first has to be: for all strings, or for those of few
    characters, which are ASCII's, the signs of print and `others`."""

    def __init__(self, pattern: str, flags: int, others: frozenset[str] = frozenset()) -> None:
        self.pattern, self.flags, self.others = pattern, flags, others
        self._few = others.union(_SIGNS, map(chr, range(128)))

    @made_once
    def whole(self) -> re.Pattern[str]:
        """It, compiled. Raises re.error where it is none."""
        return re.compile(self.pattern, self.flags)

    @made_once
    def narrow(self) -> re.Pattern[str]:
        """What matches the same in every string of the few characters, compiled. Raises re.error where `whole` does."""
        if self.flags & re.IGNORECASE or _OTHER_LETTERS.search(self.pattern):
            return self.whole
        parts = parts_of(self.pattern)
        if "".join(parts) != self.pattern:
            return self.whole  # a class without an end is no part
        beyond = tuple(sorted(map(ord, self.others.union(_SIGNS))))
        narrow = (_narrowed(part, beyond) if part[0] == "[" else part for part in parts)
        return re.compile("".join(narrow), self.flags)

    def of(self, string: str) -> re.Pattern[str]:
        """What to search a string with."""
        # Python knows whether a string is ASCII; of a long one that is not, looking at each character would take long.
        return self.narrow if string.isascii() or self._holds(string) else self.whole

    def _holds(self, string: str) -> bool:
        return len(string) <= _SHORT and self._few.issuperset(string)

    def matches(self, string: str) -> bool:
        """Whether it matches at the beginning of a string."""
        return self.of(string).match(string) is not None


def parts_of(pattern: str) -> list[str]:
    """An expression in parts: characters, escapes, classes, signs."""
    return _PART.findall(pattern)


def is_character(part: str = "") -> bool:
    """Whether a part takes exactly one character."""
    return _CHARACTER.fullmatch(part) is not None


@lru_cache(maxsize=256)
def _narrowed(part: str, beyond: tuple[int, ...]) -> str:
    """A class without the characters that are neither of ASCII nor `beyond`; as it is where it is anything but a plain one."""
    no = "^" if part[1] == "^" else ""
    elements, kept, at = _ELEMENT.findall(part[1 + len(no) : -1]), [], 0
    if not elements:
        return part  # to Python its end is its first character
    codes = list(map(_code, elements))
    while at < len(elements):
        first = last = codes[at]
        is_range = elements[at + 1 : at + 2] == ["-"] and at + 2 < len(elements)
        if is_range:
            last = codes[at + 2]
        if first is None or last is None:
            # \w and its like stay; what these may be the end of is not for us to say.
            if is_range or not elements[at][1:].isalpha() or elements[at] == r"\N":
                return part
            kept.append(elements[at])
        elif first > last:
            return part
        else:
            if first < 128:
                kept.append(f"\\x{first:02x}-\\x{min(last, 127):02x}" if is_range else f"\\x{first:02x}")
            kept += [f"\\U{code:08x}" for code in beyond[bisect_left(beyond, first) : bisect_right(beyond, last)]]
        at += 3 if is_range else 1
    return f"[{no}{''.join(kept)}]" if kept else _ANY if no else _NONE


def _code(element: str) -> int | None:
    """The code of the one character that an element of a class is, if it is one."""
    if len(element) == 1:
        return ord(element)
    if len(element) > 2:
        return int(element[2:], 16)
    return None if element[1].isalnum() else ord(element[1])
