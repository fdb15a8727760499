"""Documents by the words in them: BM25 over all segments of an index, from their inverted indexes; phrases by SQLite's FTS5."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np

from vecsearch.corpus.document import Document
from vecsearch.errors import UsageError
from vecsearch.index.kept import Kept
from vecsearch.index.query_terms import Reading, Term, terms
from vecsearch.store.documents import Documents
from vecsearch.store.phrases import totals, with_phrase
from vecsearch.store.postings import POSTINGS
from vecsearch.text.analysis import analyser
from vecsearch.text.languages import NONE
from vecsearch.text.wording import compared

K1, B = 1.5, 0.75
"""BM25's: how soon saying a word again counts no more, and how much a long text has to say it more often."""

KEPT, KEPT_BYTES = 128, 64 << 20
"""Texts whose scores are kept at the most, and the memory that these may take."""


class WordTotals(NamedTuple):
    """What BM25 needs to know of all documents of an index: how many there are, with how many words; and the same for phrases,
    as FTS5 counts them, stop words among the words."""

    documents: int
    counted: int
    """Documents whose words are counted: not those of an earlier vecsearch."""
    words: float
    phrase_documents: int
    phrase_words: int

    @classmethod
    def sum(cls, parts: Iterable[WordTotals]) -> WordTotals:
        """Those of several parts of an index as one."""
        return cls(*map(sum, zip(*parts, strict=True)))

    @property
    def average(self) -> float:
        """Words of a document."""
        return max(1.0, self.words / max(1, self.counted))

    @property
    def average_phrase(self) -> float:
        """Words of a document as FTS5 counts them."""
        return max(1.0, self.phrase_words / max(1, self.phrase_documents))


class _Having(NamedTuple):
    """The documents of a segment that have a reading, and what each has of it: BM25's count part, from 0 to K1 + 1, or 1."""

    numbers: np.ndarray
    shares: np.ndarray


_Found = list[tuple[Term, list[list[_Having]]]]
"""Each term of a query, and for each of its readings, the written one last, what each segment has of it."""


class Keywords:
    """The words of the documents in some of an index's segments; all of them have `totals`."""

    def __init__(self, segments: Sequence[Documents], language: str | None, totals: WordTotals) -> None:
        self._segments, self._totals = segments, totals
        self._found = Kept[_Found](KEPT, KEPT_BYTES, _size)
        self._kept = Kept[list[np.ndarray]](KEPT, KEPT_BYTES, lambda scores: sum(part.nbytes for part in scores))
        self._analyse = analyser(language or NONE)

    def counts(self, text: str) -> list[int]:
        """How many documents have each reading of each term of a query: added up over all parts of an index, what `scores`
        asks for."""
        return [sum(len(part.numbers) for part in parts) for _, readings in self._having(text) for parts in readings]

    def scores(self, text: str, counts: Sequence[int]) -> list[np.ndarray]:
        """BM25 of each document of each segment for a query, (documents,) float64 each, only to be read; 0 for what has nothing
        of it. `counts` are those of the whole index. They are kept for a while: who counts what has the words of a text has
        most often searched for it, or will.

        BM25 as Robertson and Zaragoza 2009 have it, with the rarity log(1 + (N - n + 0.5) / (n + 0.5)) of Lucene's; how rare a
        term is and how long a document is on average count over the whole index. Of a form such as C++, which can be found in
        several ways, the others together bring at most as much as having it as it is written, so that this comes first.
        """
        return self._kept.get(text, lambda: self._scored(text, iter(counts)))

    def _scored(self, text: str, counts: Iterator[int]) -> list[np.ndarray]:
        scores = [np.zeros(len(segment)) for segment in self._segments]
        for term, readings in self._having(text):
            for worth, parts in zip(self._worths(term, [next(counts) for _ in readings]), readings, strict=True):
                for of_segment, part in zip(scores, parts, strict=True):
                    of_segment[part.numbers] += term.times * worth * part.shares
        return scores

    def _worths(self, term: Term, counts: Sequence[int]) -> list[float]:
        """What each of the readings of a term, which so many documents have, counts; as it is written last."""
        readings = (*term.other, term.written)
        total = self._totals.documents
        *others, written = [one.weight * idf(count, total) for one, count in zip(readings, counts, strict=True)]
        if not term.written.ranked:
            # Whoever has the words of a form, however often, does not come before who writes it so.
            most = sum((K1 + 1 if one.ranked else 1.0) * worth for one, worth in zip(term.other, others, strict=True))
            share = min(1.0, written / most) if most else 1.0
            others = [share * worth for worth in others]
        return [*others, written]

    def _having(self, text: str) -> _Found:
        return self._found.get(text, lambda: self._looked_up(text))

    def _looked_up(self, text: str) -> _Found:
        return [
            (term, [[self._part(one, reading, term) for one in self._segments] for reading in (*term.other, term.written)])
            for term in terms(text, self._analyse)
        ]

    def _part(self, segment: Documents, reading: Reading, term: Term) -> _Having:
        if POSTINGS not in segment.tables:
            match = term.earlier if reading is term.written else ""
            return self._phrase(segment, match) if match else _Having(np.empty(0, np.int64), np.empty(0))
        if reading.phrase:
            found = self._phrase(segment, reading.phrase)
            if reading.signed:
                numbers = reduce(np.intersect1d, (segment.having((form,))[0] for form in reading.signed), found.numbers)
                return _Having(numbers, np.ones(len(numbers)))
            return found if reading.ranked else _Having(found.numbers, np.ones(len(found.numbers)))
        numbers, counts = segment.having(reading.stems, reading.form)
        if not reading.ranked:
            return _Having(numbers, np.ones(len(numbers)))
        return _Having(numbers, _share(counts, segment.word_counts[numbers] / self._totals.average))

    def _phrase(self, segment: Documents, phrase: str) -> _Having:
        """The documents of a segment that have a phrase of FTS5."""
        with segment.reading() as db:
            numbers, counts, lengths = with_phrase(db, _table(segment), phrase)
        return _Having(numbers, _share(counts, lengths / self._totals.average_phrase))


def word_totals(segments: Sequence[Documents]) -> WordTotals:
    """Those of the documents in some segments. Raises UsageError where one has no words."""
    if any(not {"words", POSTINGS} & segment.tables for segment in segments):
        raise UsageError("a part of the index was made by an earlier vecsearch, without keywords: vecsearch compact")
    words = [segment.word_counts for segment in segments if POSTINGS in segment.tables]
    counted = [_totals(segment) for segment in segments]
    return WordTotals(
        sum(map(len, segments)),
        sum(map(len, words)),
        float(sum(map(np.sum, words))),
        sum(rows for rows, _ in counted),
        sum(words for _, words in counted),
    )


def _size(found: _Found) -> int:
    """Bytes of what was looked up for a query."""
    every = (having for _, readings in found for parts in readings for having in parts)
    return sum(having.numbers.nbytes + having.shares.nbytes for having in every)


def _share(counts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """What having a term so often is worth in texts of these lengths, as shares of the average one."""
    return counts * (K1 + 1) / (counts + K1 * (1 - B + B * lengths))


def _table(segment: Documents) -> str:
    """The table of FTS5 that a segment has: a new one, or that of an earlier vecsearch."""
    return "terms" if POSTINGS in segment.tables else "words"


def _totals(segment: Documents) -> tuple[int, int]:
    with segment.reading() as db:
        return totals(db, _table(segment))


def idf(count: int, total: int) -> float:
    """How rare a term of `count` among `total` documents is: (float) above 0."""
    return math.log1p((total - count + 0.5) / (count + 0.5))


def best(scores: Sequence[np.ndarray], k: int, allowed: Sequence[np.ndarray | None]) -> list[tuple[float, int, int]]:
    """The k best of the documents of several parts that score above 0: score, part, number; best first, equal ones in order.

    `allowed` says for each part which of its documents, (m,) bool, may be found; None for all.
    """
    found: list[tuple[float, int, int]] = []
    for part, (of_part, mask) in enumerate(zip(scores, allowed, strict=True)):
        numbers = np.flatnonzero(of_part if mask is None else of_part * mask)
        values = of_part[numbers]
        if len(numbers) > k:
            # All that are as good as the k-th: the first of equal ones are wanted.
            least = np.partition(values, len(values) - k)[len(values) - k]
            numbers, values = numbers[values >= least], values[values >= least]
        found += zip(values.tolist(), [part] * len(numbers), numbers.tolist(), strict=True)
    return sorted(found, key=lambda hit: (-hit[0], hit[1:]))[:k]


def best_passage(documents: Documents, document: Document, number: int, text: str) -> str | None:
    """The passage of a split document with the most of a query's terms, the first of several; None where it is not split."""
    if not documents.split:
        return None
    wanted = compared(text)
    passages = [document.text[slice(*documents.span(row))] for row in documents.rows(np.array([number])).tolist()]
    return max(passages, key=lambda passage: len(wanted & compared(passage)))
