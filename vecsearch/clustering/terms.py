"""What a name may be made of: the words of texts, and pairs of them, that are neither stop words nor numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from vecsearch.text.folding import folded
from vecsearch.text.languages import NONE, Language
from vecsearch.text.wording import pairs, segments

if TYPE_CHECKING:
    from scipy.sparse import csr_array

FEWEST = 2
"""Texts that a term has to be in."""
READ = 3000
"""Characters of a text that are read: it soon says what it is about."""
BOUND = 0.35
"""Least normalised pointwise mutual information of two words that are a pair (Bouma 2009): film noir is one, and American film,
which is two frequent words beside each other, is none."""
COMPLETED = 0.75
"""Share of a word's texts from which on what follows it in these makes a pair all the same: reinforcement learning."""
LONGEST = 40
"""Characters of a word; what is longer is none that a person would read."""

_DIVIDES = re.compile(r"\\\w+|[.!?…]+(?=\s|$)|[^\w\s'’.&+#-]+|\s[-–—.&]+(?=\s)|\n\s*\n")
"""What stands between two words that are no pair."""
_ENDING = re.compile(r"['’]s?$")
_ELISION = re.compile(r"^\w{1,4}['’](?=\w{3})")
_OF_NAME = re.compile(r"[A-Z][a-z]?['’][A-Z]\w+")
"""O'Brien, and not l'homme."""
_EDGES = "'’.&-_"
_NUMBER = re.compile(r"\d[\d.,:/-]*\w{0,2}")
_WORD = re.compile(r"[^\W\d_][^\W_]|\d[^\W\d_]|[^\W\d_][+#]")
_PLURAL = re.compile(r"(?<=[A-Z])s$")
"""Of what is written in capitals, which no stemmer knows: CNNs."""
_SHORT = re.compile(r"[A-Za-z][a-z]")
"""Of two letters words are seldom more than parts of names, Jr or De, unless they are capitals, as AI and TV."""


@dataclass(frozen=True)
class Terms:
    """Which of t texts have which of m terms, in any of their forms."""

    has: csr_array
    """(t, m) float32, 1 where a text has a term."""
    written: list[str]
    """Each term as most texts write it."""
    stems: list[tuple[str, ...]]
    """Those of its words, one or two."""


class Reader:
    """Takes texts of a language apart into terms."""

    def __init__(self, code: str) -> None:
        self._language = Language(code)
        parts = {part for word in self._language.stop_words for part in re.split(r"['’\s]", word.lower())}
        self._stop_words = self._language.stop_words | parts
        self._word = lru_cache(maxsize=1 << 18)(self._as_written)
        self._stem = lru_cache(maxsize=1 << 18)(lambda word: self._language.stem(_PLURAL.sub("", word).lower()))

    def terms(self, text: str) -> set[str]:
        """The terms of a text, as written. A word of a name that goes on, as New in New York, is there only with the next, and
        one before a number, as June in June 1938, not at all."""
        found: set[str] = set()
        for phrase in self._phrases(text[:READ]):
            for word, following in pairwise([*map(self._word, phrase), None]):
                if not word:
                    continue
                if following:
                    found.add(f"{word} {following}")
                if following is None or (following and not (word[0].isupper() and following[0].isupper())):
                    found.add(word)
        return found

    def stems(self, term: str) -> tuple[str, ...]:
        """What the forms of a term have in common: the stem of each of its words."""
        return tuple(map(self._stem, term.split()))

    @staticmethod
    def _phrases(text: str) -> Iterator[list[str]]:
        for part, unspaced in [(text, False)] if text.isascii() else segments(text):
            if unspaced:  # in scripts without spaces every two characters stand for a word
                yield from ([pair] for pair in pairs(part, last=False))
            else:
                yield from map(str.split, _DIVIDES.split(part))

    def _as_written(self, word: str) -> str | None:
        """A word without the signs around it; "" for a number, and None for what else may not be in a name."""
        word = _ENDING.sub("", word.strip(_EDGES))
        if not _OF_NAME.fullmatch(word):
            word = _ELISION.sub("", word)
            if "'" in word or "’" in word:
                return None
        lower = word.lower()
        if len(word) > LONGEST or lower in self._stop_words or folded(lower) in self._stop_words:
            return None
        if _NUMBER.fullmatch(word):
            return ""
        return word if _WORD.search(word) and not _SHORT.fullmatch(word) else None


def number_of_words(text: str) -> int:
    """How many words a text has, about: of scripts without spaces, one for every two characters."""
    parts = [(text, False)] if text.isascii() else segments(text)
    return sum(len(part) // 2 if unspaced else len(part.split()) for part, unspaced in parts)


def terms_of(texts: Sequence[str], language: str | None) -> Terms | None:
    """The terms that FEWEST of the texts have or more, None where there are none; `language` is the code of that which the
    texts are in, None or "none" where no one language is."""
    from scipy.sparse import csr_array
    from sklearn.feature_extraction.text import CountVectorizer

    reader = Reader(language or NONE)
    vectorizer = CountVectorizer(analyzer=reader.terms, dtype=np.float32)
    try:
        forms = csr_array(vectorizer.fit_transform(texts))
    except ValueError:  # no text has a term
        return None
    names = vectorizer.get_feature_names_out().tolist()
    numbers: dict[tuple[str, ...], int] = {}
    number = np.array([numbers.setdefault(reader.stems(name), len(numbers)) for name in names])
    same = csr_array((np.ones(len(names), np.float32), (np.arange(len(names)), number)))
    has = csr_array(forms @ same)
    has.data[:] = 1
    kept = _kept(has, numbers)
    if not len(kept):
        return None
    # Forms that more texts have come first, equally common ones by the alphabet.
    order = np.argsort(-np.bincount(forms.indices, minlength=len(names)), kind="stable")
    _, first = np.unique(number[order], return_index=True)
    stems = list(numbers)
    return Terms(csr_array(has[:, kept]), [names[order[first[i]]] for i in kept], [stems[i] for i in kept])


def _kept(has: csr_array, numbers: Mapping[tuple[str, ...], int]) -> np.ndarray:
    """The numbers of the terms that FEWEST texts have, without pairs of words that are none: (k,) int64, rising."""
    counts = np.bincount(has.indices, minlength=len(numbers)).tolist()
    often = ((stems, number) for stems, number in numbers.items() if counts[number] >= FEWEST)
    return np.array([number for stems, number in often if len(stems) == 1 or _is_pair(stems, counts, numbers, has.shape[0])])


def _is_pair(stems: tuple[str, ...], counts: Sequence[int], numbers: Mapping[tuple[str, ...], int], texts: int) -> bool:
    """Whether two words are together in more of the texts than they would be by chance."""
    own = counts[numbers[stems]]
    first, second = (max(own, counts[numbers[stem,]] if (stem,) in numbers else 0) for stem in stems)
    bound = math.log(own * texts / (first * second)) >= BOUND * math.log((texts + 1) / own)
    return bound or own >= COMPLETED * first
