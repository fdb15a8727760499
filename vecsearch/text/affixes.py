"""How much of a string a language's prefix and suffix expressions take, without scanning the whole of a long one.

spaCy searches all of what is left of a chunk for each affix, which is quadratic on a long run of punctuation or emoji. Where
an expression is proved to match at the beginning, or near the end alone, it is tried only there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from re import _constants as op
from re import _parser
from typing import Any

_REPEATS = (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT)
_ONE_CHARACTER = (op.LITERAL, op.NOT_LITERAL, op.IN, op.ANY)


def prefix_length(pattern: re.Pattern[str]) -> Callable[[str], int]:
    """A function that returns the length of the first match of `pattern` in a string, 0 without one."""
    parsed = _parser.parse(pattern.pattern, pattern.flags)
    # At the beginning alone, a match is what a search finds.
    find = pattern.match if not _other_flags(parsed) and _begins(parsed) else pattern.search
    return lambda string: _length(find(string))


def suffix_length(pattern: re.Pattern[str]) -> Callable[[str], int]:
    """A function that returns the length of the first match of `pattern` in a string, 0 without one.

    Matches at the end have a bounded length, but for repeated literals such as the dots of `\\.\\.+$`. One that begins before
    the last `near` characters therefore needs nearly all of these to be such literals; where they are not, it is enough to
    look from there on, with what lookbehinds see before.
    """
    search = pattern.search
    parsed = _parser.parse(pattern.pattern, pattern.flags)
    repeated: set[str] = set()
    most = _width(parsed, repeated) + 1  # `$` is also before a line break that ends the string
    before = _lookbehind(parsed)
    if _other_flags(parsed) or not _ends(parsed) or math.isinf(most + before):
        return lambda string: _length(search(string))
    near = 8 * int(most)
    window = near + int(before)

    def length(string: str) -> int:
        if len(string) > window:
            tail = string[-near:]
            if near - sum(map(tail.count, repeated)) > most:
                return _length(search(string[-window:], window - near))
        return _length(search(string))

    return length


def _length(match: re.Match[str] | None) -> int:
    return match.end() - match.start() if match else 0


def _other_flags(parsed: Any) -> bool:
    return bool(parsed.state.flags & ~re.UNICODE)  # the pattern may begin with flags of its own


def _begins(sequence: Any) -> bool:
    """Whether a parsed expression matches at the beginning of a string alone."""
    return bool(sequence) and _anchored(*sequence[0], op.AT_BEGINNING, _begins)


def _ends(sequence: Any) -> bool:
    """Whether a match of a parsed expression reaches the end of the string, or the line break before it."""
    return bool(sequence) and _anchored(*sequence[-1], op.AT_END, _ends)


def _anchored(kind: Any, value: Any, anchor: Any, inner: Callable[[Any], bool]) -> bool:
    if kind is op.BRANCH:
        return all(map(inner, value[1]))
    if kind is op.SUBPATTERN:
        return not value[1] and inner(value[3])  # flags within a pattern may change what an anchor is
    return kind is op.AT and value is anchor


def _width(sequence: Any, repeated: set[str]) -> float:
    """The most characters that a match takes beside literals repeated without bound, which are added to `repeated`."""
    return sum(_part_width(kind, value, repeated) for kind, value in sequence)


def _part_width(kind: Any, value: Any, repeated: set[str]) -> float:
    if kind in _ONE_CHARACTER:
        return 1
    if kind in (op.AT, op.ASSERT, op.ASSERT_NOT):
        return 0
    if kind is op.BRANCH:
        return max(_width(branch, repeated) for branch in value[1])
    if kind is op.SUBPATTERN and not value[1]:
        return _width(value[3], repeated)
    if kind in _REPEATS:
        _, high, item = value
        if high is not op.MAXREPEAT:
            return high * _width(item, repeated)
        if len(item) == 1 and item[0][0] is op.LITERAL:
            repeated.add(chr(item[0][1]))
            return 0
    return math.inf


def _lookbehind(sequence: Any) -> float:
    """The most characters before a match that a parsed expression looks at."""
    return max((_part_lookbehind(kind, value) for kind, value in sequence), default=0)


def _part_lookbehind(kind: Any, value: Any) -> float:
    if kind in (op.ASSERT, op.ASSERT_NOT):
        direction, item = value
        return _lookbehind(item) + (item.getwidth()[1] if direction < 0 else 0)
    if kind is op.BRANCH:
        return max(map(_lookbehind, value[1]))
    if kind is op.SUBPATTERN:
        return _lookbehind(value[3])
    if kind in _REPEATS:
        return _lookbehind(value[2])
    return 0 if kind in _ONE_CHARACTER or kind is op.AT else math.inf
