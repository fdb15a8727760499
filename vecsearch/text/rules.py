"""fastai's default text rules: the same output, several times faster.

Source: `defaults.text_proc_rules` of fastai 2's `text/core.py`, in its order: `fix_html`, `replace_rep`, `replace_wrep`,
`spec_add_spaces`, `rm_useless_spaces`, `replace_all_caps`, `replace_maj`, `lowercase`. Many texts are cleaned in one step, and
what is slow runs only on what passes a cheap test which every match has to pass.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from itertools import compress, islice
from operator import eq

import numpy as np

SPECIAL_TOKENS = ("xxunk", "xxpad", "xxbos", "xxeos", "xxfld", "xxrep", "xxwrep", "xxup", "xxmaj")
"""fastai's nine marks, in its order."""
BOS = "xxbos"
CASE_MARKS = ("xxup", "xxmaj")
"""Those that stand before a word for its capitals."""

_MENDS = (
    ("#", "#39;", "'"),
    (";", "amp;", "&"),
    ("#", "#146;", "'"),
    (";", "nbsp;", " "),
    ("#", "#36;", "$"),
    ("\\", "\\n", "\n"),
    (";", "quot;", "'"),
    ("<", "<br />", "\n"),
    ("\\", '\\"', '"'),
    ("<", "<unk>", "xxunk"),
    ("@", " @.@ ", "."),
    ("@", " @-@ ", "-"),
    (".", "...", " …"),
)
"""A sign that is found at once where there is one, what has it, and what takes its place."""
# Beyond the last character either way; Python refuses to read a number of more than 4,300 digits, zeros before it included.
_LONG_NUMBERS = ((re.compile("&#0{9,}"), "&#0"), (re.compile("&#0*[1-9][0-9]{8,}"), "&#999999999"))
_REPEATED_WORD = re.compile(r"(?:\s|^)(\w+)\s+((?:\1\s+)+)\1(\s|\W|$)")
_WORD = re.compile(r"\w+")
_SPACES = re.compile(" {2,}")
_BETWEEN = "\n\0\n"
"""Stands between texts that are cleaned together: no rule takes or makes a NUL, and a line's end is to each a text's."""
_CAPITALISED = re.compile(r"(?<!\S)[A-Z]\S*")
_ALL_CAPS = re.compile("[A-Z][^a-z]*")
_SENTENCE_CASE = re.compile("[A-Z][^A-Z]*")


def apply_rules(text: str) -> str:
    """`text` as fastai's default rules leave it: marked, lower-cased, beginning with `xxbos `."""
    cleaned = single_spaces(clean_with_repeated_words(text))
    return f"{BOS} {_CAPITALISED.sub(lambda match: mark_case(match[0]), cleaned).lower().strip()}"


def clean(texts: Sequence[str]) -> list[str]:
    """Each text after the rules that look beyond a chunk, but for those of repeated words and of runs of spaces."""
    joined = _BETWEEN.join(texts)
    if joined.count("\0") != len(texts) - 1:  # a text has the sign that is to stand between them
        return [_space_signs(_mark_repeats(_fix_html(text))) for text in texts]
    return _space_signs(_mark_repeats(_fix_html(joined))).split(_BETWEEN)


def repeated_words(words: Sequence[str]) -> list[int]:
    """Where words begin that may make a text another by the rule of repeated words."""
    twice = compress(range(len(words) - 2), map(eq, words, islice(words, 1, None)))
    return [i for i in twice if words[i + 2].startswith(words[i]) and _WORD.fullmatch(words[i])]


def clean_with_repeated_words(text: str) -> str:
    """`clean` with the rule of repeated words: another text only where a word comes three times in a row."""
    return _space_signs(_REPEATED_WORD.sub(_count_words, _mark_repeats(_fix_html(text))))


def single_spaces(text: str) -> str:
    """`text` with one space in the place of several."""
    return _SPACES.sub(" ", text)


def mark_case(chunk: str) -> str:
    """A chunk without whitespace in lower case, after `xxup ` or `xxmaj ` where its capitals earn one.

    The last three rules act on each chunk alone: their expressions take a whole chunk or nothing, and even the one letter
    whose lower case depends on its neighbors, the Greek final sigma, looks no further than the next whitespace.
    """
    if not "A" <= chunk[:1] <= "Z":
        return chunk.lower()
    if _ALL_CAPS.fullmatch(chunk):
        mark = "xxup "
    elif _SENTENCE_CASE.fullmatch(chunk):
        mark = "xxmaj "
    else:
        return chunk.lower()
    return mark + chunk.lower() if len(chunk) > 1 else chunk.lower()


def _fix_html(text: str) -> str:
    for sign, old, new in _MENDS:
        if sign in text:
            text = text.replace(old, new)
    if "&#" in text:
        for number, short in _LONG_NUMBERS:
            text = number.sub(short, text)
    return html.unescape(text)


def _mark_repeats(text: str) -> str:
    """A character other than whitespace that comes three times or more is said once, with its number."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    same = codes[1:] == codes[:-1]
    thrice = np.flatnonzero(same[1:] & same[:-1])
    thrice = thrice[codes[thrice] != ord(" ")]
    begins = np.diff(thrice, prepend=-2) > 1
    ends = np.roll(begins, -1)
    parts, at = [], 0
    for start, stop in zip(thrice[begins].tolist(), (thrice[ends] + 3).tolist(), strict=True):
        if not text[start].isspace():
            parts += [text[at:start], f" xxrep {stop - start} {text[start]} "]
            at = stop
    return "".join([*parts, text[at:]]) if parts else text


def _count_words(match: re.Match[str]) -> str:
    word, others, end = match.groups()
    return f" xxwrep {len(others.split()) + 2} {word} {end}"


def _space_signs(text: str) -> str:
    return text.replace("/", " / ").replace("#", " # ").replace("\\", " \\ ")
