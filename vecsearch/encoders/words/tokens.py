"""Which words a text has, where only the words themselves can say how the model's texts were split."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, groupby

import numpy as np

from vecsearch.text.forms import composed, plain_form

MARKS = ".,;:!?…\"'`()[]{}<>«»“”„‘’‚—–"
"""What stands before and after words without belonging to them."""
REMEMBERED = 1 << 18
"""Chunks between spaces whose words are remembered."""
_PART = re.compile(r"[^\W_]+")
_JOINERS = "\u200c\u200d"

Word = tuple[str, int]
"""A word as the text has it, lower-cased where the model has no capitals, and its row; -1 for an unknown one."""


class WordSplitter:
    """Splits texts into words that a model has. `find` gives the rows of words, -1 for what is none.

    A chunk between white space is a word if the model has it as it is; else without the MARKS around it; else in its plain
    form (`plain_form`), where that is another; else it is split into runs of letters and digits with the marks on them, each of
    which is a word, known or not. Everything is looked up in Unicode's normal form C, then decomposed; as it is written, then
    in lower case, of a model without capitals in lower case only.
    """

    def __init__(self, find: Callable[[Sequence[str]], np.ndarray], *, cased: bool) -> None:
        self._find, self._cased = find, cased
        self._known: dict[str, tuple[Word, ...]] = {}

    def of(self, texts: Sequence[str]) -> list[list[Word]]:
        """The words of each text."""
        chunks = [composed(text if self._cased else text.lower()).split() for text in texts]
        if len(self._known) > REMEMBERED:
            self._known.clear()
        new = [chunk for chunk in dict.fromkeys(chain.from_iterable(chunks)) if chunk not in self._known]
        self._known.update(zip(new, self._split(new), strict=True))
        return [[word for chunk in part for word in self._known[chunk]] for part in chunks]

    def _split(self, chunks: Sequence[str]) -> Iterable[tuple[Word, ...]]:
        rows = self._rows(chunks)
        bare = {chunk: chunk.strip(MARKS) for chunk in chunks if rows[chunk] < 0}
        rows |= self._rows([word for word in bare.values() if word not in rows])
        plain = {chunk: self._plain(word) for chunk, word in bare.items() if not word.isascii() and rows[word] < 0}
        plain = {chunk: words for chunk, words in plain.items() if words is not None}
        parts = {chunk: _parts(word) for chunk, word in bare.items() if chunk not in plain and (not word or rows[word] < 0)}
        rows |= self._rows([part for part in chain.from_iterable(parts.values()) if part not in rows])
        for chunk in chunks:
            words = parts.get(chunk, [bare.get(chunk, chunk)])
            yield plain[chunk] if chunk in plain else tuple((word, rows[word]) for word in words)

    def _plain(self, word: str) -> tuple[Word, ...] | None:
        """The words of the plain form of an unknown one; none where it is in that form, or only falls apart in it."""
        whole = plain_form(word)
        if whole == word:
            return None
        # With a zero-width space it is one word, or several.
        pieces = [whole] if (self._rows([whole])[whole] >= 0 or "\u200b" not in word) else plain_form(word, between=" ").split()
        words = tuple(chain.from_iterable(self._split(pieces)))
        return words if len(words) < 2 or any(row >= 0 for _, row in words) else None

    def _rows(self, words: Iterable[str]) -> dict[str, int]:
        names = list(dict.fromkeys(words))
        rows = self._find(names)
        for turned in (str.lower,) * self._cased + (_decomposed,):
            missing = [i for i in np.flatnonzero(rows < 0) if turned(names[i]) != names[i]]
            if missing:
                rows[missing] = self._find([turned(names[i]) for i in missing])
        return dict(zip(names, rows.tolist(), strict=True))


def _parts(word: str) -> list[str]:
    """Runs of letters and digits, with the marks that belong to them: vowels of Hindi, for instance."""
    if word.isascii():
        return _PART.findall(word)
    return ["".join(run) for belongs, run in groupby(word, _belongs) if belongs]


def _belongs(character: str) -> bool:
    return character.isalnum() or character in _JOINERS or unicodedata.category(character)[0] == "M"


def _decomposed(word: str) -> str:
    return word if word.isascii() else unicodedata.normalize("NFD", word)
