"""Texts as token ids, with the part of each that its vector is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vecsearch.encoders.base import Tally
from vecsearch.errors import DataError
from vecsearch.text.vocabulary import Vocabulary

SHOWN = 80
"""Characters of a text that a message shows."""


@dataclass(frozen=True, slots=True)
class Sequences:
    """Texts as token ids. Only the tokens start <= t < stop of each text are pooled; the others are its context."""

    ids: list[np.ndarray]
    start: np.ndarray
    stop: np.ndarray

    @classmethod
    def whole(cls, ids: list[np.ndarray]) -> Sequences:
        lengths = np.array([len(i) for i in ids], np.int64)
        return cls(ids, np.zeros_like(lengths), lengths)

    def tally(self, is_word: np.ndarray) -> Tally:
        """What there is in these texts; `is_word` (V,) bool tells words from marks."""
        return Tally(
            texts=len(self.ids),
            empty=int(np.count_nonzero(self.stop == 0)),
            tokens=sum(map(len, self.ids)),
            words=sum(int(np.count_nonzero(is_word[ids])) for ids in self.ids),
            unknown=sum(int(np.count_nonzero(ids == Vocabulary.unknown)) for ids in self.ids),
        )

    def __getitem__(self, chosen: np.ndarray) -> Sequences:
        return Sequences([self.ids[i] for i in chosen], self.start[chosen], self.stop[chosen])

    def backward(self) -> Sequences:
        """The same texts as a backward model reads them: from the last token to the first, xxbos at the end."""
        lengths = np.array([len(i) for i in self.ids], np.int64)
        return Sequences([i[::-1] for i in self.ids], lengths - self.stop, lengths - self.start)


def shortened(text: str) -> str:
    """The beginning of a long text, for messages."""
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def split_mark(text: str) -> tuple[str, str, str]:
    """What stands before the [[marked]] word of a text, the word, and what stands after; without a mark all is after.

    Raises DataError for a mark that is empty or not closed, and for a second one.
    """
    before, opening, rest = text.partition("[[")
    word, closing, after = rest.partition("]]")
    if not opening:
        return "", "", text
    if not closing or not word.strip() or "[[" in after:
        raise DataError(f"{shortened(text)!r}: mark one word of the text, as in 'on the [[bank]] of the river'")
    return before, word, after
