"""Which words a text has, where only the words themselves can say how the model's texts were split."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import numpy as np

MARKS = ".,;:!?…\"'`()[]{}<>«»“”„‘’‚—–"
"""What stands before and after words without belonging to them."""
REMEMBERED = 1 << 18
"""Chunks between spaces whose words are remembered."""
_PART = re.compile(r"[^\W_]+")

Word = tuple[str, int]
"""A word as the text has it, lower-cased where the model has no capitals, and its row; -1 for an unknown one."""


class Splitter:
    """Splits texts into words that a model has. `find` gives the rows of words, -1 for what is none.

    A chunk between white space is a word if the model has it as it is; else without the MARKS around it; else it is split into
    runs of letters and digits, each of which is a word, known or not. Everything is looked up as it is written, then in lower
    case; of a model without capitals in lower case only.
    """

    def __init__(self, find: Callable[[Sequence[str]], np.ndarray], *, cased: bool) -> None:
        self._find, self._cased = find, cased
        self._known: dict[str, tuple[Word, ...]] = {}

    def of(self, texts: Sequence[str]) -> list[list[Word]]:
        """The words of each text."""
        chunks = [(text if self._cased else text.lower()).split() for text in texts]
        if len(self._known) > REMEMBERED:
            self._known.clear()
        new = [chunk for chunk in dict.fromkeys(chain.from_iterable(chunks)) if chunk not in self._known]
        self._known.update(zip(new, self._split(new), strict=True))
        return [[word for chunk in part for word in self._known[chunk]] for part in chunks]

    def _split(self, chunks: Sequence[str]) -> Iterable[tuple[Word, ...]]:
        rows = self._rows(chunks)
        bare = {chunk: chunk.strip(MARKS) for chunk in chunks if rows[chunk] < 0}
        rows |= self._rows([word for word in bare.values() if word not in rows])
        parts = {chunk: _PART.findall(word) for chunk, word in bare.items() if not word or rows[word] < 0}
        rows |= self._rows([part for part in chain.from_iterable(parts.values()) if part not in rows])
        for chunk in chunks:
            words = parts.get(chunk, [bare.get(chunk, chunk)])
            yield tuple((word, rows[word]) for word in words)

    def _rows(self, words: Iterable[str]) -> dict[str, int]:
        names = list(dict.fromkeys(words))
        rows = self._find(names)
        if self._cased and len(missing := np.flatnonzero(rows < 0)):
            rows[missing] = self._find([names[i].lower() for i in missing])
        return dict(zip(names, rows.tolist(), strict=True))
