"""Documents by the words in them: BM25 over all segments of an index, from their inverted indexes; phrases by SQLite's FTS5."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np

from vecsearch.corpus.document import Document
from vecsearch.errors import UsageError
from vecsearch.forks import made_once
from vecsearch.index.kept import Kept
from vecsearch.index.pruning import Having, Weighed, best, scored
from vecsearch.index.query_terms import Reading, Term, terms
from vecsearch.store.documents import Documents
from vecsearch.store.phrases import having_phrase, totals, with_phrase
from vecsearch.store.postings import POSTINGS
from vecsearch.text.analysis import analyser
from vecsearch.text.languages import NONE
from vecsearch.text.wording import compared

K1, B = 1.5, 0.75
"""BM25's: how soon saying a word again counts no more, and how much a long text has to say it more often."""

KEPT, KEPT_BYTES = 1 << 16, 128 << 20
"""Words and phrases whose documents are kept at the most, in any number of segments, and the memory that these may take."""
TEXTS = 256
"""Of which it is kept what they ask for: whoever asks how many documents have it asks for these documents next."""


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


class Keywords:
    """The words of the documents in some of an index's segments; all of them have `totals`."""

    def __init__(self, segments: Sequence[Documents], language: str | None, totals: WordTotals) -> None:
        self._segments, self._totals = segments, totals
        self._kept = Kept[list[Having]](KEPT, KEPT_BYTES, lambda parts: sum(having.nbytes for having in parts))
        self._read = Kept[list[Term]](TEXTS, 0, lambda read: 0)
        self._analyse = analyser(language or NONE)

    def counts(self, text: str) -> list[int]:
        """How many documents have each reading of each term of a query: added up over all parts of an index, what the others
        ask for."""
        having = (self._having(term, reading) for term in self._terms(text) for reading in _readings(term))
        return [sum(len(one.numbers) for one in parts) for parts in having]

    def best(
        self, text: str, counts: Sequence[int], k: int, allowed: Sequence[np.ndarray | None]
    ) -> list[tuple[float, int, int]]:
        """The k best of the documents by BM25 that have something of a query: score, segment, number; best first, equal ones in
        order. `counts` are those of the whole index; `allowed` says for each segment which of its documents, (m,) bool, may be
        found, None for all.

        BM25 as Robertson and Zaragoza 2009 have it, with the rarity log(1 + (N - n + 0.5) / (n + 0.5)) of Lucene's; how rare a
        term is and how long a document is on average count over the whole index. Of a form such as C++, which can be found in
        several ways, the others together bring at most as much as having it as it is written, so that this comes first.
        """
        found: list[tuple[float, int, int]] = []
        for place, (lists, mask) in enumerate(zip(self._weighed(text, counts), allowed, strict=True)):
            least = found[-1][0] if len(found) == k else 0.0
            numbers, scores = best(lists, k, len(self._segments[place]), mask, least)
            found += zip(scores.tolist(), [place] * len(numbers), numbers.tolist(), strict=True)
            found = sorted(found, key=lambda hit: (-hit[0], hit[1:]))[:k]
        return found

    def scores(self, text: str, counts: Sequence[int], numbers: np.ndarray) -> np.ndarray:
        """What `best` scores documents by, for those with the numbers (m,), rising, counted through all segments: (m,) float64,
        0 for what has nothing of the query."""
        scores, first = [np.empty(0)], 0
        for segment, lists in zip(self._segments, self._weighed(text, counts), strict=True):
            here = numbers[(numbers >= first) & (numbers < first + len(segment))] - first
            scores.append(scored(lists, here.astype(np.int32)))
            first += len(segment)
        return np.concatenate(scores)

    def matching(self, text: str) -> list[np.ndarray]:
        """Which documents of each segment have something of a query, (documents,) bool each."""
        masks = [np.zeros(len(segment), bool) for segment in self._segments]
        for term in self._terms(text):
            for reading in _readings(term):
                for mask, having in zip(masks, self._having(term, reading), strict=True):
                    mask[having.numbers] = True
        return masks

    def _terms(self, text: str) -> list[Term]:
        return self._read.get(text, lambda: terms(text, self._analyse))

    def _weighed(self, text: str, counts: Sequence[int]) -> list[list[Weighed]]:
        """For each segment the lists that a query adds up, in the order in which they are added."""
        parts: list[list[Weighed]] = [[] for _ in self._segments]
        rest = iter(counts)
        for term in self._terms(text):
            readings = _readings(term)
            for reading, worth in zip(readings, self._worths(term, [next(rest) for _ in readings]), strict=True):
                for lists, having in zip(parts, self._having(term, reading), strict=True):
                    if len(having.numbers):
                        lists.append(Weighed(having, term.times * worth))
        return parts

    def _worths(self, term: Term, counts: Sequence[int]) -> list[float]:
        """What each of the readings of a term, which so many documents have, counts; as it is written last."""
        readings = _readings(term)
        total = self._totals.documents
        *others, written = [one.weight * idf(count, total) for one, count in zip(readings, counts, strict=True)]
        if not term.written.ranked:
            # Whoever has the words of a form, however often, does not come before who writes it so.
            most = sum((K1 + 1 if one.ranked else 1.0) * worth for one, worth in zip(term.other, others, strict=True))
            share = min(1.0, written / most) if most else 1.0
            others = [share * worth for worth in others]
        return [*others, written]

    def _having(self, term: Term, reading: Reading) -> list[Having]:
        """The documents of each segment that have a reading of a term."""
        earlier = term.earlier if reading is term.written else ""
        key = reading.stems, reading.form, reading.phrase, reading.signed, reading.ranked, earlier
        return self._kept.get(key, lambda: [self._part(place, reading, earlier) for place in range(len(self._segments))])

    def _part(self, place: int, reading: Reading, earlier: str) -> Having:
        segment = self._segments[place]
        if POSTINGS not in segment.tables:
            return self._phrase(segment, earlier) if earlier else _alike(np.empty(0, np.int32))
        if reading.phrase and reading.ranked:
            return self._phrase(segment, reading.phrase)
        if reading.phrase:
            with segment.reading() as db:
                found = having_phrase(db, _table(segment), reading.phrase).astype(np.int32)
            return _alike(reduce(np.intersect1d, (segment.having((form,))[0] for form in reading.signed), found))
        numbers, counts = segment.having(reading.stems, reading.form)
        if not reading.ranked or not len(numbers):
            return _alike(numbers)
        beside, least = self._beside[place]
        return Having(numbers, counts, _share(float(counts.max()), least), beside, K1 + 1)

    @made_once
    def _beside(self) -> list[tuple[np.ndarray, float]]:
        """What BM25 has beside the count for each document of each segment, (documents,) float64, and the least of it."""
        counted = [segment.word_counts if POSTINGS in segment.tables else np.empty(0) for segment in self._segments]
        parts = [_beside(words / self._totals.average) for words in counted]
        return [(beside, float(beside.min(initial=math.inf))) for beside in parts]

    def _phrase(self, segment: Documents, phrase: str) -> Having:
        """The documents of a segment that have a phrase of FTS5."""
        with segment.reading() as db:
            numbers, counts, lengths = with_phrase(db, _table(segment), phrase)
        shares = _share(counts, _beside(lengths / self._totals.average_phrase))
        return Having(numbers.astype(np.int32), shares, float(shares.max(initial=0.0)))


def _readings(term: Term) -> tuple[Reading, ...]:
    """The ways in which a document can have a term, the one that is written last."""
    return *term.other, term.written


def _alike(numbers: np.ndarray) -> Having:
    """Documents of which each counts the same."""
    return Having(numbers, np.broadcast_to(1.0, len(numbers)), 1.0)


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


def _beside(lengths: np.ndarray) -> np.ndarray:
    """What texts of these lengths, as shares of the average one, have beside the count in BM25's divisor."""
    return K1 * (1 - B + B * lengths)


def _share(counts: np.ndarray, beside: np.ndarray) -> np.ndarray:
    """What having a term so often is worth."""
    return counts * (K1 + 1) / (counts + beside)


def _table(segment: Documents) -> str:
    """The table of FTS5 that a segment has: a new one, or that of an earlier vecsearch."""
    return "terms" if POSTINGS in segment.tables else "words"


def _totals(segment: Documents) -> tuple[int, int]:
    with segment.reading() as db:
        return totals(db, _table(segment))


def idf(count: int, total: int) -> float:
    """How rare a term of `count` among `total` documents is: (float) above 0."""
    return math.log1p((total - count + 0.5) / (count + 0.5))


def best_passage(documents: Documents, document: Document, number: int, text: str) -> str | None:
    """The passage of a split document with the most of a query's terms, the first of several; None where it is not split."""
    if not documents.split:
        return None
    wanted = compared(text)
    passages = [document.text[slice(*documents.span(row))] for row in documents.rows(np.array([number])).tolist()]
    return max(passages, key=lambda passage: len(wanted & compared(passage)))
