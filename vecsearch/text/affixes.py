"""How much of a string a language's prefix or suffix expression takes, looking at no more of the string than it needs.

spaCy searches all of what is left of a chunk for each affix, trying some hundred alternatives at each letter: quadratic time on
a long run of punctuation or emoji. Two things hold for the rules of every language that it has, as the tests show, and save
most of that: an affix is at the edge of a string, and a word of plain letters has none. What is only a search of what could not
match is saved as well: an expression is taken apart at its | for the characters that an affix may begin or end with.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from string import ascii_lowercase, punctuation

from vecsearch.text.expressions import Expression, is_character, parts_of

PREFIX_WINDOW, SUFFIX_WINDOW = 64, 32
"""Characters at the edge of a string that are looked at first."""
_GROWTH = 4
_NOT_IN_A_WORD = "(?![a-z](?<![^a-z][a-z]))"
"""No plain letter is next, or it follows a character that is none, as in 10km."""
_PROBES = [letter + sign for letter in ascii_lowercase for sign in ("", "0", "A", "’", "–", *punctuation)]
_OPTIONAL = (["?"], ["*"], ["{"])
_ANY, _NOTHING = ".", "(?!)"
_ASCII = [chr(code) for code in range(128)]

Length = Callable[[str, int, int], int]
"""A function of a string, a start and an end: the length of the affix between them, 0 without one."""


def leaves_words(expression: Expression) -> bool:
    """Whether an expression, like all of spaCy's, takes no plain letter by itself."""
    return not any(map(expression.narrow.search, ascii_lowercase))


def ends_of_words(prefix: Expression, suffix: Expression) -> set[str]:
    """The signs that are an affix by themselves after any word of plain letters, with which they make no other."""
    begin = _one_of({_first(parts) for parts in _alternatives(prefix.pattern)}, prefix)
    if any(map(begin.matches, ascii_lowercase)) or _begins_in_words(suffix):
        return set()
    ends = set()
    for parts in _alternatives(suffix.pattern):
        if parts[-1:] == ["$"] and is_character(*parts[-2:-1]) and _follows_letters(parts[:-2], suffix):
            ends.update(filter(_one_of({parts[-2]}, suffix).matches, punctuation))
    return ends


def _follows_letters(behind: list[str], like: Expression) -> bool:
    """Whether an expression's beginning is none, or looks for one character behind it, which any plain letter is."""
    looks = behind[:4] == ["(", "?", "<", "="] and len(behind) == 6
    return not behind or (looks and all(map(_one_of({behind[4]}, like).matches, ascii_lowercase)))


def _begins_in_words(expression: Expression) -> bool:
    """Whether an affix may begin with a plain letter behind another, as some in Greek do."""
    found = (expression.of(probe).search(probe) for probe in _PROBES)
    return any(match and match.start() == 0 for match in found)


def outside_words(expression: Expression) -> Expression:
    """An expression of infixes that is not tried where a plain letter is next, if none of its alternatives begins with one."""
    begin = _one_of({first for parts in _alternatives(expression.pattern) for first in _first_of(parts)}, expression)
    if any(map(begin.matches, ascii_lowercase)):
        return expression
    return Expression(f"(?![a-z])(?:{expression.pattern})", expression.flags, expression.others)


def prefix_length(expression: Expression) -> Length:
    """What an expression of prefixes takes.

    Most alternatives are a single character, which one look tells where no other alternative can begin with it.
    """
    alternatives = _alternatives(expression.pattern)
    single = [parts for parts in alternatives if parts[:1] == ["^"] and len(parts) == 2 and is_character(parts[1])]
    may_begin = _one_of({_first(parts) for parts in alternatives if parts not in single}, expression)
    one = _one_of({parts[1] for parts in single}, expression)
    sure = {character: int(one.matches(character)) for character in _ASCII if not may_begin.matches(character)}
    searched = _length(expression, PREFIX_WINDOW, suffix=False)

    def length(string: str, start: int, end: int) -> int:
        if start == end:
            return 0
        first = string[start]
        return sure[first] if first in sure else searched(string, start, end)

    return length


def suffix_length(expression: Expression) -> Length:
    """What an expression of suffixes takes.

    Most alternatives are a single character at the end, which one look tells. Only the others are searched for, where the last
    character may be theirs; the longer is what begins first.
    """
    alternatives = _alternatives(expression.pattern)
    single = [parts for parts in alternatives if parts[1:] == ["$"] and is_character(parts[0])]
    others = [parts for parts in alternatives if parts not in single]
    one = _one_of({parts[0] for parts in single}, expression)
    may_end = _one_of({last for parts in others for last in _last(parts)}, expression)
    sure = {character: int(one.matches(character)) for character in _ASCII if not may_end.matches(character)}
    rest = Expression("|".join(map("".join, others)) or _NOTHING, expression.flags, expression.others)
    if not _begins_in_words(rest):
        rest = Expression(f"{_NOT_IN_A_WORD}(?:{rest.pattern})", expression.flags, expression.others)
    searched = _length(rest, SUFFIX_WINDOW, suffix=True)

    def length(string: str, start: int, end: int) -> int:
        if start == end:
            return 0
        last = string[end - 1]
        return sure[last] if last in sure else searched(string, start, end) or int(one.matches(last))

    return length


def _one_of(characters: set[str], like: Expression) -> Expression:
    return Expression("|".join(sorted(characters)) or _NOTHING, like.flags | re.DOTALL, like.others)


def _first(parts: list[str]) -> str:
    """The characters, as an expression of one, that a prefix may begin with."""
    anchored = parts[:1] == ["^"] and is_character(*parts[1:2]) and parts[2:3] not in _OPTIONAL
    return parts[1] if anchored else _ANY


def _first_of(parts: list[str]) -> set[str]:
    """The characters, as expressions of one, that an alternative may begin with, whatever it looks at before them."""
    if parts[:1] != ["("]:
        return {parts[0] if is_character(*parts[:1]) and parts[1:2] not in _OPTIONAL else _ANY}
    depth, end = 1, 1
    while depth and end < len(parts):
        depth += (parts[end] == "(") - (parts[end] == ")")
        end += 1
    if parts[1:4] in (["?", "<", "="], ["?", "<", "!"]):
        return _first_of(parts[end:])
    if parts[1:3] != ["?", ":"] or parts[end : end + 1] in _OPTIONAL:
        return {_ANY}
    return {first for inner in _alternatives("".join(parts[3 : end - 1])) for first in _first_of(inner)}


def _last(parts: list[str]) -> set[str]:
    """The characters, as expressions of one, that a suffix may end with."""
    return _last_of(parts[:-1]) if parts[-1:] == ["$"] else {_ANY}


def _last_of(parts: list[str]) -> set[str]:
    if parts[-1:] == ["+"]:
        return _last_of(parts[:-1])
    if parts[-1:] != [")"]:
        return {parts[-1] if is_character(*parts[-1:]) else _ANY}
    depth, begin = 1, len(parts) - 1
    while depth and begin:
        begin -= 1
        depth += (parts[begin] == ")") - (parts[begin] == "(")
    if parts[begin + 1 : begin + 3] != ["?", ":"]:
        return {_ANY}
    return {last for inner in _alternatives("".join(parts[begin + 3 : -1])) for last in _last_of(inner)}


def _alternatives(pattern: str) -> list[list[str]]:
    """What stands between the | of an expression that are in no group: the parts of each."""
    found: list[list[str]] = [[]]
    depth = 0
    for part in parts_of(pattern):
        depth += (part == "(") - (part == ")")
        if part == "|" and not depth:
            found.append([])
        else:
            found[-1].append(part)
    return found


def _length(expression: Expression, window: int, *, suffix: bool) -> Length:
    def search(string: str) -> int:
        match = expression.of(string).search(string)
        return match.end() - match.start() if match else 0

    def length(string: str, start: int, end: int) -> int:
        size = window
        while end - start > size:
            found = search(string[end - size : end] if suffix else string[start : start + size])
            if 2 * found < size:
                return found
            size *= _GROWTH  # a run of dots is one affix
        return search(string[start:end])

    return length
