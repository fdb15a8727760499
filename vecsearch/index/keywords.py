"""Documents by the words in them: BM25 over all segments of an index, from their inverted indexes; phrases by SQLite's FTS5."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

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


@dataclass(frozen=True)
class _Part:
    """The documents of a segment that have a reading, and what each has of it: BM25's count part, from 0 to K1 + 1, or 1."""

    numbers: np.ndarray
    shares: np.ndarray


class Keywords:
    """The words of an index's documents, a part for each of its segments. Raises UsageError where one part has none."""

    def __init__(self, parts: Sequence[Documents], language: str | None) -> None:
        if any(not {"words", POSTINGS} & part.tables for part in parts):
            raise UsageError("a part of the index was made by an earlier vecsearch, without keywords: vecsearch compact")
        self._parts = parts
        self._kept = Kept[list[np.ndarray]](KEPT, KEPT_BYTES, lambda scores: sum(part.nbytes for part in scores))
        self._analyse = analyser(language or NONE)
        self._total = sum(len(part) for part in parts)
        words = [part.word_counts for part in parts if POSTINGS in part.tables]
        self._average = max(1.0, sum(map(np.sum, words)) / max(1, sum(map(len, words))))
        counted = [_totals(part) for part in parts]
        self._average_phrase = max(1.0, sum(words for _, words in counted) / max(1, sum(rows for rows, _ in counted)))
        """Words of a document as FTS5 counts them, stop words among them."""

    def scores(self, text: str) -> list[np.ndarray]:
        """BM25 of each document of each part for a query, (documents,) float64 each, only to be read; 0 for what has nothing of
        it. They are kept for a while: who counts what has the words of a text has most often searched for it, or will.

        BM25 as Robertson and Zaragoza 2009 have it, with the rarity log(1 + (N - n + 0.5) / (n + 0.5)) of Lucene's; how rare a
        term is and how long a document is on average count over the whole index. Of a form such as C++, which can be found in
        several ways, the others together bring at most as much as having it as it is written, so that this comes first.
        """
        return self._kept.get(text, lambda: self._scored(text))

    def _scored(self, text: str) -> list[np.ndarray]:
        found = [np.zeros(len(part)) for part in self._parts]
        for term in terms(text, self._analyse):
            for worth, parts in self._worths(term):
                for scores, part in zip(found, parts, strict=True):
                    scores[part.numbers] += term.times * worth * part.shares
        return found

    def _worths(self, term: Term) -> list[tuple[float, list[_Part]]]:
        """The readings of a term, as it is written last: what each counts, and the documents that have it."""
        *others, (worth, written) = [self._worth(reading, term) for reading in (*term.other, term.written)]
        if not term.written.ranked:
            # Whoever has the words of a form, however often, does not come before who writes it so.
            most = sum((K1 + 1 if reading.ranked else 1.0) * its for reading, (its, _) in zip(term.other, others, strict=True))
            share = min(1.0, worth / most) if most else 1.0
            others = [(share * its, parts) for its, parts in others]
        return [*others, (worth, written)]

    def _worth(self, reading: Reading, term: Term) -> tuple[float, list[_Part]]:
        parts = [self._part(part, reading, term) for part in self._parts]
        return reading.weight * idf(sum(len(part.numbers) for part in parts), self._total), parts

    def _part(self, part: Documents, reading: Reading, term: Term) -> _Part:
        if POSTINGS not in part.tables:
            match = term.earlier if reading is term.written else ""
            return self._having(part, match) if match else _Part(np.empty(0, np.int64), np.empty(0))
        if reading.phrase:
            found = self._having(part, reading.phrase)
            if reading.signed:
                numbers = reduce(np.intersect1d, (part.having((form,))[0] for form in reading.signed), found.numbers)
                return _Part(numbers, np.ones(len(numbers)))
            return found if reading.ranked else _Part(found.numbers, np.ones(len(found.numbers)))
        numbers, counts = part.having(reading.stems, reading.form)
        if not reading.ranked:
            return _Part(numbers, np.ones(len(numbers)))
        return _Part(numbers, _share(counts, part.word_counts[numbers] / self._average))

    def _having(self, part: Documents, phrase: str) -> _Part:
        """The documents of a segment that have a phrase of FTS5."""
        with part.reading() as db:
            numbers, counts, lengths = with_phrase(db, _table(part), phrase)
        return _Part(numbers, _share(counts, lengths / self._average_phrase))


def _share(counts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """What having a term so often is worth in texts of these lengths, as shares of the average one."""
    return counts * (K1 + 1) / (counts + K1 * (1 - B + B * lengths))


def _table(part: Documents) -> str:
    """The table of FTS5 that a segment has: a new one, or that of an earlier vecsearch."""
    return "terms" if POSTINGS in part.tables else "words"


def _totals(part: Documents) -> tuple[int, int]:
    with part.reading() as db:
        return totals(db, _table(part))


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
