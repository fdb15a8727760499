"""How much of a string a language's prefix or suffix expression takes, looking at no more of the string than it needs.

spaCy searches all of what is left of a chunk for each affix, trying some hundred alternatives at each letter: quadratic time on
a long run of punctuation or emoji. Two things hold for the rules of every language that it has, as the tests show, and save
most of that: an affix is at the edge of a string, and a word of plain letters has none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from string import ascii_lowercase, punctuation

PREFIX_WINDOW, SUFFIX_WINDOW = 64, 32
"""Characters at the edge of a string that are looked at first."""
_GROWTH = 4
_NOT_IN_A_WORD = "(?![a-z](?<![^a-z][a-z]))"
"""No plain letter is next, or it follows a character that is none, as in 10km."""
_PROBES = [letter + sign for letter in ascii_lowercase for sign in ("", "0", "A", "’", "–", *punctuation)]

Length = Callable[[str, int, int], int]
"""A function of a string, a start and an end: the length of the affix between them, 0 without one."""


def leaves_words(pattern: re.Pattern[str]) -> bool:
    """Whether an expression, like all of spaCy's, takes no plain letter by itself."""
    return not any(map(pattern.search, ascii_lowercase))


def prefix_length(pattern: re.Pattern[str]) -> Length:
    """What an expression of prefixes takes."""
    return _length(pattern, PREFIX_WINDOW, suffix=False)


def suffix_length(pattern: re.Pattern[str]) -> Length:
    """What an expression of suffixes takes."""
    if not any(match and match.start() == 0 for match in map(pattern.search, _PROBES)):  # in Greek some begin within a word
        pattern = re.compile(f"{_NOT_IN_A_WORD}(?:{pattern.pattern})", pattern.flags)
    return _length(pattern, SUFFIX_WINDOW, suffix=True)


def _length(pattern: re.Pattern[str], window: int, *, suffix: bool) -> Length:
    search = pattern.search

    def length(string: str, start: int, end: int) -> int:
        size = window
        while end - start > size:
            match = search(string[end - size : end] if suffix else string[start : start + size])
            found = match.end() - match.start() if match else 0
            if 2 * found < size:
                return found
            size *= _GROWTH  # a run of dots is one affix
        match = search(string[start:end])
        return match.end() - match.start() if match else 0

    return length
