"""Proof that a regular expression cannot match anywhere in strings of plain letters.

Most words are nothing but lower-case letters, and the expressions of a language's tokenizer, which look for punctuation,
digits and symbols, are tried on each of them in vain. Where this module can prove that, they need not be tried.
"""

from __future__ import annotations

import re
from re import _constants as op
from re import _parser
from typing import Any

PLAIN = frozenset(map(ord, "abcdefghijklmnopqrstuvwxyz"))
"""Code points of the plain letters."""


def never_matches_plain(pattern: str, flags: int) -> bool:
    """Whether no string of plain letters has a match, empty ones included. False when in doubt.

    Every part of an expression is taken for possible unless it needs a character that is no plain letter: an approximation that
    can only err towards False.
    """
    parsed = _parser.parse(pattern, flags)
    return not _possible(parsed, bool(parsed.state.flags & re.IGNORECASE))  # the pattern may begin with flags of its own


def _possible(sequence: Any, ignore_case: bool) -> bool:
    """Whether all parts of a parsed expression could match at once within plain letters."""
    return all(_part_possible(kind, value, ignore_case) for kind, value in sequence)


def _part_possible(kind: Any, value: Any, ignore_case: bool) -> bool:
    if kind is op.LITERAL:
        return _is_plain(value, ignore_case)
    if kind is op.IN:
        return any(_member_possible(*member, ignore_case) for member in value)
    if kind is op.BRANCH:
        return any(_possible(branch, ignore_case) for branch in value[1])
    if kind is op.SUBPATTERN:
        return _possible(value[3], ignore_case or bool(value[1] & re.IGNORECASE))
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        return value[0] == 0 or _possible(value[2], ignore_case)
    if kind is op.ASSERT:
        return _possible(value[1], ignore_case)
    if kind is op.ATOMIC_GROUP:
        return _possible(value, ignore_case)
    return True


def _member_possible(kind: Any, value: Any, ignore_case: bool) -> bool:
    if kind is op.LITERAL:
        return _is_plain(value, ignore_case)
    if kind is op.RANGE:
        low, high = value
        if ignore_case:
            return high >= ord("A")  # up there are characters whose other case is a plain letter, in ASCII and beyond
        return low <= ord("z") and high >= ord("a")
    return not (kind is op.CATEGORY and value in (op.CATEGORY_DIGIT, op.CATEGORY_SPACE))


def _is_plain(character: int, ignore_case: bool) -> bool:
    # Beyond ASCII there are characters whose other case is an ASCII letter (the Kelvin sign's is k).
    return character in PLAIN or (ignore_case and (character > 127 or chr(character).isalpha()))
