"""Texts as token ids, with the part of each that its vector is made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vecsearch.encoders.base import Tally
from vecsearch.errors import DataError
from vecsearch.forks import made_once
from vecsearch.text.tokenizer import Tokenizer
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
        ids = _in_a_row(self.ids)
        return Tally(
            texts=len(self.ids),
            empty=int(np.count_nonzero(self.stop == 0)),
            tokens=len(ids),
            words=int(np.count_nonzero(is_word[ids])),
            unknown=int(np.count_nonzero(ids == Vocabulary.unknown)),
        )

    def __getitem__(self, chosen: np.ndarray) -> Sequences:
        return Sequences([self.ids[i] for i in chosen], self.start[chosen], self.stop[chosen])

    def backward(self) -> Sequences:
        """The same texts as a backward model reads them: from the last token to the first, xxbos at the end."""
        lengths = np.array([len(i) for i in self.ids], np.int64)
        return Sequences([i[::-1] for i in self.ids], lengths - self.stop, lengths - self.start)


class Reader:
    """Texts as a model reads them: fastai's tokens, as rows of its embedding, cut at `max_tokens` if it is given."""

    def __init__(self, tokenizer: Tokenizer, vocabulary: Vocabulary) -> None:
        self._tokenizer, self._vocabulary = tokenizer, vocabulary
        self._numbered = tokenizer.numbering(vocabulary)

    def tokens(self, texts: Sequence[str]) -> Iterator[list[str]]:
        """All tokens of each text, unknown words in a form that is known."""
        return self._tokenizer.tokens_for(self._vocabulary, texts)

    def read(self, texts: Sequence[str], max_tokens: int | None) -> tuple[Sequences, Tally]:
        """Texts of which all is pooled, and what there is in them."""
        cut = Tally()
        sequences = Sequences.whole([_cut(ids, max_tokens, cut) for ids in self._numbered(texts)])
        # Without a known word there is nothing to go by: nothing is pooled, which gives the zero vector.
        texts_of = np.repeat(np.arange(len(sequences.ids)), sequences.stop)
        has_known_word = np.zeros(len(sequences.ids), bool)
        has_known_word[texts_of[self._known(_in_a_row(sequences.ids))]] = True
        sequences.stop[~has_known_word] = 0
        return sequences, sequences.tally(self.is_word) + cut

    def read_marked(self, texts: Sequence[str], max_tokens: int | None) -> tuple[Sequences, Tally]:
        """Texts of which the marked word is pooled. Raises DataError for a mark that is not around whole words."""
        cut = Tally()
        ids, spans = [], []
        for text in texts:
            whole, start, stop = self._marked(text)
            ids.append(_cut(np.array(self._vocabulary.numericalise(whole), np.int64), max_tokens, cut))
            span = ids[-1][start:stop]
            spans.append((start, start + len(span)) if self.has_known_word(span) else (0, 0))
        sequences = Sequences(ids, *np.array(spans, np.int64).reshape(-1, 2).T)
        return sequences, sequences.tally(self.is_word) + cut

    def has_known_word(self, ids: np.ndarray) -> bool:
        """Whether any of the tokens is a word of the vocabulary."""
        return bool(self._known(ids).any())

    @made_once
    def is_word(self) -> np.ndarray:
        """(V,) bool: which rows are those of words, the one of all unknown words among them."""
        # Marks of capitals, repeats and ends are no words. An unknown word is one, and its place in a raw mean is worth
        # keeping: without it the correlation on STS12 falls from 49.6 to 45.9.
        is_word = np.ones(len(self._vocabulary), bool)
        is_word[[i for i in self._vocabulary.special_ids if i != Vocabulary.unknown]] = False
        return is_word

    def _known(self, ids: np.ndarray) -> np.ndarray:
        """Which of the tokens (t,) are words of the vocabulary: (t,) bool."""
        return self.is_word[ids] & (ids != Vocabulary.unknown)

    def _marked(self, text: str) -> tuple[list[str], int, int]:
        """The tokens of a text, and where those of its marked word begin and end."""
        before, word, after = split_mark(text)
        whole, first, both = self.tokens([before + word + after, before, before + word])
        if not word:
            return whole, 0, len(whole)
        start, stop = len(first), len(both)
        if whole[:start] != first or whole[:stop] != both:
            raise DataError(
                f"{shortened(text)!r}: the mark is not around whole words: the tokens are {shortened(' '.join(whole))}"
            )
        # The mark of a capital is a token of its own; the word's state is that of the word.
        while start < stop - 1 and whole[start] in ("xxmaj", "xxup"):
            start += 1
        return whole, start, stop


def _cut(ids: np.ndarray, max_tokens: int | None, cut: Tally) -> np.ndarray:
    if max_tokens is not None and len(ids) > max_tokens:
        cut.cut_texts += 1
        cut.cut_tokens += len(ids) - max_tokens
    return ids[:max_tokens]


def _in_a_row(ids: list[np.ndarray]) -> np.ndarray:
    """The ids of all texts, one behind the other."""
    return np.concatenate([np.zeros(0, np.int64), *ids])


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
