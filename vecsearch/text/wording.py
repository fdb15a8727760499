"""What the words of a text are, in every script: the same for texts that are stored and for what is asked.

In a folded text all that is no letter, digit or mark divides words (in ASCII for SQLite to see). Scripts that have no
spaces between words become pairs of neighboring characters, as in Lucene's CJKBigramFilter, so that any run of characters is a
phrase of its pairs. What is written with signs, such as C++, .NET or e-mail, is a form, kept beside the words it is made of.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np

from vecsearch.text.expressions import Expression
from vecsearch.text.folding import SIGNS, folded

LONGEST_FORM = 64
"""Characters of a form; a longer one, an address for instance, is found by its words in their order."""

_UNSPACED = (
    "\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303c\u3041-\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff"
    "\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u2e80-\u2fdf\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00016fe0-\U00018cff\U0001aff0-\U0001b2ff\U00020000-\U0003ffff"  # Han, kana
    "\u1100-\u11ff\u3131-\u318e\ua960-\ua97f\uac00-\ud7ff"  # Hangul: its words carry particles
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u0edc-\u0edf"  # Thai, Lao
    "\u1000-\u103f\u104e\u1050-\u108f\u109a-\u109d\ua9e0-\ua9ef\ua9fa-\ua9fe\uaa60-\uaa7f"  # Burmese
    "\u1780-\u17d3\u17d7\u17dc\u17dd\u1950-\u19cf"
    "\u1a20-\u1a7f\u1b00-\u1b4c\ua000-\ua48c\ua980-\ua9c0\uaa80-\uaadf"  # Khmer, and their like
)
_SPACED_OR_PAIR = Expression(rf"[{_UNSPACED}]{{1,2}}|[^\s{_UNSPACED}]+", 0)
_IS_SIGN = re.compile(f"[{SIGNS}]")
_RUN = Expression(f"[{_UNSPACED}]+", 0)
_RUN_OR_SIGN = Expression(f"[{_UNSPACED}]+|[{SIGNS}]", 0)
_MARKS = "\u3099\u309a" + "".join(
    letter
    for first, last in ((0xE00, 0xF00), (0x1000, 0x10A0), (0x1780, 0x1800), (0x1950, 0x1C00), (0xA980, 0xAB00))
    for letter in map(chr, range(first, last))
    if unicodedata.category(letter)[0] == "M"
)
_HAS_MARK = re.compile(f"[{_MARKS}]")
_UNIT = re.compile(f"[^{_MARKS}]?[{_MARKS}]*", re.DOTALL)

_BEFORE = "\"'`([{<*_~,;:!?|\\/=>)]}"
_BEHIND = _BEFORE + ".-"
_BEGINS = re.compile(r"(?:\.|--?)[^\W_]")
_DIVIDES = Expression(f'[\x00-\x20\x7f"{_UNSPACED}]', 0)
_PIECES = re.compile(r"[\x00-\x20\x7f\"'`()\[\]{}<>*~,;:!?|\\/=\-]+")
"""Between these a form may stand within a longer one: the C++ of C++/C# and of C++'s."""
_MARKED = re.compile(
    r"(?<!\w)__\w{1,60}__(?!\w)|(?<!\w)\w[\w.]{0,60}\(\)|</?\w{1,60}/?>|(?<![\w~/])~/\w{1,60}"
    r"|(?<![\w*])\*{1,2}\w{1,60}(?![\w*(-])|(?<![\w*])\w{1,3}\*(?![\w*])|(?<![\w-])\w{1,3}--?(?![\w-])"
)
"""What signs that are punctuation elsewhere make of a word: __init__, foo(), <br>, ~/bin, *args, A*, C--.

Their lengths are bounded, so that a long text without spaces takes no longer than others.
"""
_JOINTS = re.compile(r"(?<=\w)['-](?=\w)")
_WORD = re.compile(r"[^\x00-/:-@\[-`{-\x7f]+")
_LETTER = re.compile(rf"[0-9A-Za-z]|[^\x00-\x7f{SIGNS}]")
_SIGN = re.compile(rf"[\x00-/:-@\[-`{{-\x7f{SIGNS}]")


_SPACE, _LETTER_KIND, _INNER, _OPENING, _ENDING = range(5)
"""Kinds of bytes: what divides words, letters and digits, signs; those that open a word, those that may end one, as in C++."""
_KINDS = np.full(256, _LETTER_KIND, np.uint8)
_KINDS[:33] = _KINDS[127] = _SPACE
_KINDS[[code for code in range(33, 127) if not chr(code).isalnum()]] = _INNER
_KINDS[list(b"([{<\"'_`")] = _OPENING
# The signs beyond ASCII begin with these two bytes in UTF-8.
_KINDS[[*b"+#$%&@*->", 0xC2, 0xE2]] = _ENDING


def words(text: str) -> str:
    """The words of a folded text, for SQLite's tokenizer "ascii": runs without spaces are pairs, and their last character."""
    return text if text.isascii() else _RUN_OR_SIGN.of(text).sub(_spread, text)


def _spread(match: re.Match[str]) -> str:
    return " " if _IS_SIGN.match(match[0]) else f" {' '.join(pairs(match[0], last=True))} "


def single_words(text: str) -> list[str]:
    """The words of a folded text one by one, as SQLite's tokenizer divides them."""
    return _WORD.findall(words(text))


def word_spans(text: str) -> list[tuple[int, int]]:
    """Where each word of a text as it is written begins and ends, in characters, with what is written to it without a space;
    runs without spaces are divided into two characters each."""
    return [match.span() for match in _SPACED_OR_PAIR.of(text).finditer(text)]


def pairs(run: str, *, last: bool) -> list[str]:
    """Each pair of neighboring characters of a run, marks with what they are on; the `last` one alone as well, if asked."""
    units = _units(run)
    found = [first + second for first, second in pairwise(units)]
    return found + units[-1:] if last or not found else found


def _units(run: str) -> list[str]:
    return [unit for unit in _UNIT.findall(run) if unit] if _HAS_MARK.search(run) else [*run]


def segments(text: str) -> list[tuple[str, bool]]:
    """A folded text in parts, each with whether it is a run without spaces; signs and spaces stay in the others."""
    found, end = [], 0
    for match in _RUN.of(text).finditer(text):
        found += [(text[end : match.start()], False), (match[0], True)]
        end = match.end()
    found.append((text[end:], False))
    return [(part, run) for part, run in found if run or has_word(part)]


def has_word(text: str) -> bool:
    """Whether a folded text has a letter, digit or mark."""
    return bool(_LETTER.search(text))


def has_sign(text: str) -> bool:
    """Whether a folded text has a sign, or a space."""
    return bool(_SIGN.search(text))


def forms(texts: Sequence[str]) -> list[set[str]]:
    """What each of the folded texts has that is written with signs: c++, .net, e-mail, 9001:2015; and email for e-mail."""
    parts = [(text if text.isascii() else _RUN.of(text).sub(" ", text)).encode() for text in texts]
    # Most words have no sign: numpy finds those that have one in a tenth of the time that Python takes to look at each.
    data = b"\n".join([b"", *parts, b""])
    codes = np.frombuffer(data, np.uint8)
    kinds = _KINDS[codes]
    signs = np.flatnonzero(kinds >= _INNER)
    before, behind = kinds[signs - 1], kinds[signs + 1]
    inside = (behind == _LETTER_KIND) & ((before != _SPACE) | (kinds[signs] != _OPENING))
    called = (codes[signs] == ord("(")) & (codes[signs + 1] == ord(")"))
    signs = signs[inside | ((kinds[signs] == _ENDING) & (before != _SPACE)) | called]
    spaces = np.flatnonzero(kinds == _SPACE)
    chunks = np.unique(np.searchsorted(spaces, signs))
    ends = np.cumsum([len(part) + 1 for part in parts])
    numbers = np.searchsorted(ends, spaces[chunks - 1] + 1, "right")
    found: list[set[str]] = [set() for _ in parts]
    for number, start, stop in zip(numbers.tolist(), spaces[chunks - 1].tolist(), spaces[chunks].tolist(), strict=True):
        chunk = data[start + 1 : stop]
        found[number] |= _of_chunk(chunk) if len(chunk) <= LONGEST_FORM else _of_chunk.__wrapped__(chunk)
    return found


@lru_cache(maxsize=1 << 16)
def _of_chunk(chunk: bytes) -> frozenset[str]:
    text = chunk.decode()
    parts = [part for part in map(_trimmed, (text, _owner(text), *_PIECES.split(text))) if _is_form(part)]
    together = (word for part in parts if (word := joined(part)) is not None)
    return frozenset([*parts, *filter(_is_form, _MARKED.findall(text)), *together])


def _owner(text: str) -> str:
    """The o'neil of o'neil's."""
    return _trimmed(text).removesuffix("'s")


def form(chunk: str) -> str | None:
    """The form that a folded chunk without spaces is, brackets and full stops around it aside; None for a plain word."""
    trimmed = _trimmed(chunk)
    if _is_form(trimmed):
        return trimmed
    return next(filter(_is_form, _MARKED.findall(chunk)), None)


def _trimmed(chunk: str) -> str:
    trimmed = chunk.lstrip(_BEFORE).rstrip(_BEHIND)
    # .NET, -5 and --help, but not the end of a sentence or a dash.
    return trimmed if trimmed[:1] not in (".", "-") or _BEGINS.match(trimmed) else trimmed.lstrip(".-" + _BEFORE)


def _is_form(text: str) -> bool:
    return (
        1 < len(text) <= LONGEST_FORM
        and _SIGN.search(text) is not None
        and _LETTER.search(text) is not None
        and _DIVIDES.of(text).search(text) is None
    )


def without_signs(word: str) -> str:
    """How a word that is `joined` of a form is told from the word itself: no form begins so."""
    return "=" + word


def joined(form: str) -> str | None:
    """The word that a form is without hyphens and apostrophes: email for e-mail, oneil for o'neil; None where it is none."""
    together = _JOINTS.sub("", form)
    return together if together != form and not _SIGN.search(together) and not together.isdecimal() else None


def compared(text: str) -> set[str]:
    """All that a text may share with what is asked: words, pairs, single characters of runs, forms."""
    text = folded(text)
    runs = [match[0] for match in _RUN.of(text).finditer(text)]
    return {*single_words(text), *forms([text])[0], *(unit for run in runs for unit in _units(run))}
