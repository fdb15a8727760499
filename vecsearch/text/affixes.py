"""How much of a string a language's prefix and suffix expressions take, without scanning or copying the whole of a long one.

spaCy searches all of what is left of a chunk for each affix, which is quadratic on a long run of punctuation or emoji. Which of
an expression's alternatives can match is told by the first or the last character; where these are proved to match at the
beginning, or near the end alone, they are tried only there, in the string itself instead of a copy of what is left of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from re import _compiler, _parser
from re import _constants as op
from typing import Any, NamedTuple

_REPEATS = (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT)
_ONE_CHARACTER = (op.LITERAL, op.NOT_LITERAL, op.IN, op.ANY)

Length = Callable[[str, int, int], int]
"""The length of the first match in string[start:end], 0 without one."""


def prefix_length(pattern: re.Pattern[str]) -> Length:
    """A function of a string, a start and an end: the length of the first match of `pattern` between them, 0 without one."""
    parsed = _parser.parse(pattern.pattern, pattern.flags)
    if _other_flags(parsed) or not _begins(parsed):
        return lambda string, start, end: _length(pattern.search(string[start:end]))
    bare = _unanchored(parsed)
    if not _looks_ahead_only(bare):
        return lambda string, start, end: _length(pattern.match(string[start:end]))
    return _Prefixes(parsed.state, _alternatives(bare)).length


def suffix_length(pattern: re.Pattern[str]) -> Length:
    """A function of a string, a start and an end: the length of the first match of `pattern` between them, 0 without one."""
    parsed = _parser.parse(pattern.pattern, pattern.flags)
    if _other_flags(parsed) or not all(map(_ends, _alternatives(parsed))):
        return lambda string, start, end: _length(pattern.search(string[start:end]))
    return _Suffixes(pattern, parsed).length


def matcher(pattern: re.Pattern[str]) -> Callable[[str, int, int], bool]:
    """A function of a string, a start and an end: whether a match of `pattern` begins where what is between them does."""
    parsed = _parser.parse(pattern.pattern, pattern.flags)
    if not _other_flags(parsed) and _begins(parsed) and _looks_ahead_only(bare := _unanchored(parsed)):
        match = _compiled(parsed.state, [bare]).match
        return lambda string, start, end: match(string, start, end) is not None
    return lambda string, start, end: pattern.match(string[start:end]) is not None


class _Prefixes:
    """Alternatives of which the first that matches counts, by the first character."""

    def __init__(self, state: Any, alternatives: Sequence[Any]) -> None:
        self._edges = _Edges(state, alternatives, first=True)
        self._of: dict[str, tuple[int, re.Pattern[str] | None]] = {}

    def length(self, string: str, start: int, end: int) -> int:
        if start >= end:
            return _length(self._edges.pattern(self._edges.every).match(string, start, end))
        known = self._of.get(string[start])
        if known is None:
            known = self._of[string[start]] = self._for(string[start])
        length, pattern = known
        return _length(pattern.match(string, start, end)) if pattern else length

    def _for(self, character: str) -> tuple[int, re.Pattern[str] | None]:
        possible = self._edges.possible(character)
        if not possible:
            return 0, None
        if _is_one_character(self._edges.alternatives[possible[0]]):
            return 1, None
        return 0, self._edges.pattern(possible)


class _Ending(NamedTuple):
    """What can match before a last character: `one` is a length that is known, or -1; `near` begins at most `most` before the
    end and looks at `before` before that; `run` is how many of the character are taken, if any; `far` begins anywhere."""

    one: int
    near: re.Pattern[str] | None
    most: int
    before: int
    run: int
    far: re.Pattern[str] | None


class _Suffixes:
    """Alternatives of which that counts which begins first, by the last character."""

    def __init__(self, pattern: re.Pattern[str], parsed: Any) -> None:
        self._search = pattern.search
        self._edges = _Edges(parsed.state, _alternatives(parsed), first=False)
        self._of: dict[str, _Ending] = {}

    def length(self, string: str, start: int, end: int) -> int:
        last = string[end - 1] if start < end else "\n"
        if last == "\n":  # a match may end before it
            return _length(self._search(string[start:end]))
        ending = self._of.get(last)
        if ending is None:
            ending = self._of[last] = self._for(last)
        one, near, most, before, run, far = ending
        if one >= 0:
            return one
        length = 0
        if near:
            first = max(start, end - most)
            if start and first - before <= start:  # it would see what stands before the start
                string, first, start, end = string[start:end], first - start, 0, end - start
            length = _length(near.search(string, first, end))
        if run:
            first = end - 1
            while first > start and string[first - 1] == last:
                first -= 1
            if end - first >= run:
                length = max(length, end - first)
        if far:
            length = max(length, _length(far.search(string[start:end])))
        return length

    def _for(self, character: str) -> _Ending:
        edges = self._edges
        near, far, runs = [], [], []
        for number in edges.possible(character):
            alternative = edges.alternatives[number]
            least = _run_of(alternative, character)
            if least is not None:
                runs.append(max(1, least))
            elif not math.isinf(_width(alternative) + _lookbehind(alternative)):
                near.append(number)
            else:
                far.append(number)
        one = -1
        if not runs and not far and all(_is_last_character(edges.alternatives[number]) for number in near):
            one = int(bool(near))
        most, before = (
            max((int(size(edges.alternatives[number])) for number in near), default=0) for size in (_width, _lookbehind)
        )
        patterns = [edges.pattern(chosen) if chosen else None for chosen in (near, far)]
        return _Ending(one, patterns[0], most, before + 1, min(runs, default=0), patterns[1])


class _Edges:
    """The alternatives of an expression, and which of them can match beside a first or a last character."""

    def __init__(self, state: Any, alternatives: Sequence[Any], *, first: bool) -> None:
        self.alternatives = alternatives
        self.every = range(len(alternatives))
        self._state, self._first = state, first
        self._tests: dict[int, re.Pattern[str]] = {}
        self._patterns: dict[tuple[int, ...], re.Pattern[str]] = {}
        self._literals: dict[str, set[int]] = {}
        self._others: list[tuple[int, Any]] = []
        for number in self.every:
            for kind, value in self._edge(alternatives[number]):
                if kind is op.LITERAL:
                    self._literals.setdefault(chr(value), set()).add(number)
                else:
                    self._others.append((number, (kind, value)))

    def possible(self, character: str) -> list[int]:
        """The numbers of all that may match, and perhaps of some that do not."""
        others = {number for number, item in self._others if self._fits(item, character)}
        return sorted(others | self._literals.get(character, set()))

    def pattern(self, numbers: Iterable[int]) -> re.Pattern[str]:
        """Some of the alternatives as an expression."""
        chosen = tuple(numbers)
        if chosen not in self._patterns:
            self._patterns[chosen] = _compiled(self._state, [self.alternatives[number] for number in chosen])
        return self._patterns[chosen]

    def _edge(self, sequence: Any) -> Iterator[Any]:
        """The parts of a parsed expression of which one is at its edge, beside what takes no character."""
        items = sequence if self._first else reversed(list(sequence))
        kind, value = item = next((item for item in items if item[0] not in (op.AT, op.ASSERT, op.ASSERT_NOT)), (None, None))
        if kind is op.BRANCH:
            for branch in value[1]:
                yield from self._edge(branch)
        elif kind is op.SUBPATTERN and not value[1]:
            yield from self._edge(value[3])
        elif kind in _REPEATS and value[0]:
            yield from self._edge(value[2])
        else:
            yield item

    def _fits(self, item: Any, character: str) -> bool:
        """Whether a part of a parsed expression can be the character. True when in doubt."""
        if item[0] not in _ONE_CHARACTER:
            return True
        test = self._tests.get(id(item[1]))
        if test is None:
            test = self._tests[id(item[1])] = _compiled(self._state, [[item]])
        return test.fullmatch(character) is not None


def _compiled(state: Any, alternatives: Sequence[Any]) -> re.Pattern[str]:
    sequences = [_parser.SubPattern(state, list(alternative)) for alternative in alternatives]
    return _compiler.compile(_parser.SubPattern(state, [(op.BRANCH, (None, sequences))]), re.UNICODE)


def _length(match: re.Match[str] | None) -> int:
    return match.end() - match.start() if match else 0


def _other_flags(parsed: Any) -> bool:
    return bool(parsed.state.flags & ~re.UNICODE)  # the pattern may begin with flags of its own


def _alternatives(parsed: Any) -> list[Any]:
    branches = parsed[0][1][1] if len(parsed) == 1 and parsed[0][0] is op.BRANCH else [parsed]
    return [list(branch) for branch in branches]


def _begins(sequence: Any) -> bool:
    """Whether a parsed expression matches at the beginning of a string alone."""
    return len(sequence) > 0 and _anchored(*sequence[0], op.AT_BEGINNING, _begins)


def _ends(sequence: Any) -> bool:
    """Whether a match of a parsed expression reaches the end of the string, or the line break before it."""
    return len(sequence) > 0 and _anchored(*sequence[-1], op.AT_END, _ends)


def _anchored(kind: Any, value: Any, anchor: Any, inner: Callable[[Any], bool]) -> bool:
    if kind is op.BRANCH:
        return all(map(inner, value[1]))
    if kind is op.SUBPATTERN:
        return not value[1] and inner(value[3])  # flags within a pattern may change what an anchor is
    return kind is op.AT and value is anchor


def _unanchored(sequence: Any) -> list[Any]:
    """A parsed expression that matches at the beginning alone, without the anchor that says so."""
    (kind, value), *rest = sequence
    if kind is op.BRANCH:
        return [(kind, (value[0], [_like(branch, _unanchored(branch)) for branch in value[1]])), *rest]
    if kind is op.SUBPATTERN:
        return [(kind, (*value[:3], _like(value[3], _unanchored(value[3])))), *rest]
    return rest


def _like(sequence: Any, items: list[Any]) -> Any:
    return _parser.SubPattern(sequence.state, items)


def _looks_ahead_only(sequence: Any) -> bool:
    """Whether a match of a parsed expression depends on nothing that stands before it, nor on where the string begins."""
    return all(_part_looks_ahead_only(kind, value) for kind, value in sequence)


def _part_looks_ahead_only(kind: Any, value: Any) -> bool:
    if kind is op.AT:
        return value is op.AT_END
    if kind in (op.ASSERT, op.ASSERT_NOT):
        return value[0] > 0 and _looks_ahead_only(value[1])
    if kind is op.BRANCH:
        return all(map(_looks_ahead_only, value[1]))
    if kind is op.SUBPATTERN:
        return not value[1] and _looks_ahead_only(value[3])
    if kind in _REPEATS:
        return _looks_ahead_only(value[2])
    return kind in _ONE_CHARACTER


def _is_one_character(sequence: Any) -> bool:
    return len(sequence) == 1 and sequence[0][0] in _ONE_CHARACTER


def _is_last_character(sequence: Any) -> bool:
    return _is_one_character(sequence[:-1]) and sequence[-1] == (op.AT, op.AT_END)


def _run_of(sequence: Any, character: str) -> int | None:
    """How often a parsed expression needs the character at least, where it is a run of it to the end, such as `\\.\\.+$`."""
    if len(sequence) < 2 or sequence[-1] != (op.AT, op.AT_END) or sequence[-2][0] is not op.MAX_REPEAT:
        return None
    *literals, (_, (least, most, repeated)), _ = sequence
    once = (op.LITERAL, ord(character))
    if most is not op.MAXREPEAT or any(item != once for item in chain(literals, repeated)) or len(repeated) != 1:
        return None
    return len(literals) + int(least)


def _width(sequence: Any) -> float:
    """The most characters that a match takes."""
    return sum(_part_width(kind, value) for kind, value in sequence)


def _part_width(kind: Any, value: Any) -> float:
    if kind in _ONE_CHARACTER:
        return 1
    if kind in (op.AT, op.ASSERT, op.ASSERT_NOT):
        return 0
    if kind is op.BRANCH:
        return max(map(_width, value[1]))
    if kind is op.SUBPATTERN and not value[1]:
        return _width(value[3])
    if kind in _REPEATS and value[1] is not op.MAXREPEAT:
        return value[1] * _width(value[2])
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
