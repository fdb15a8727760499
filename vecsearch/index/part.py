"""Segments of one generation of an index that one process holds, searched: each in the fastest way, without what is deleted or
filtered out."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from vecsearch import ann
from vecsearch.corpus.document import Document
from vecsearch.index.conditions import Asked, PassedOver, masks, passed_over
from vecsearch.index.facets import FieldCounts, joined
from vecsearch.index.field_values import Counted
from vecsearch.index.hits import Hit, Neighbors
from vecsearch.index.kept import Kept
from vecsearch.index.keywords import Keywords, WordTotals, best_passage, word_totals
from vecsearch.index.segment_searcher import SegmentSearcher
from vecsearch.index.stored import Stored
from vecsearch.metric import SHORTEST, Metric
from vecsearch.store.alive import documents_of
from vecsearch.store.postings import POSTINGS
from vecsearch.store.snapshot import Snapshot

PASSAGES = 3
"""Rows that are looked for, for each document, where documents have several."""
CONDITIONS, CONDITIONS_BYTES = 256, 64 << 20
"""Conditions whose answers are kept, a byte for each row, and bytes of all: the same one is often asked with many queries."""


class How(NamedTuple):
    """How vectors are searched: the k best, by a metric other than the index's own, looking at every one, under a condition."""

    k: int
    metric: Metric | None = None
    exact: bool = False
    where: Asked | None = None


class Worded(NamedTuple):
    """A query for words: its text, how many documents of the whole index have each reading of it, and how many words these
    have."""

    text: str
    counts: Sequence[int]
    totals: WordTotals


Found = tuple[int, float, str | None]
"""A row with its score, and the text by whose words the document is shown; None: by the passage that the row stands for."""


class Pool(NamedTuple):
    """Documents of a part, by their first rows, that may be among the best of a query: the `near`, of which rows were given,
    and the best by their words with the scores of these, best first."""

    near: dict[int, int]
    """By first row the row that was given."""
    worded: list[tuple[int, float]]
    scores: dict[int, tuple[float, float, float]]
    """Of all of them: the inner product of the nearest passage with the query, the length of the longest times the query's (of
    cosines 1 stands for that), and the score by words."""


class Part(Stored):
    """Segments of one generation. Rows are those of the whole index, and what is found comes best first, equal scores by row.

    It stays what it is while newer generations are made, and may be shared by threads.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        # Everything is opened here: a writer that replaces this generation may remove its files at any time after.
        super().__init__(snapshot)
        self._metric = Metric(snapshot.manifest.metric)
        little = bool(snapshot.manifest.goal["memory"])
        entries = zip(snapshot.segments, snapshot.entries, strict=True)
        self._searchers = [SegmentSearcher(segment, entry, self._metric, little=little) for segment, entry in entries]
        self._met = Kept[list[np.ndarray]](CONDITIONS, CONDITIONS_BYTES, lambda masks: sum(mask.nbytes for mask in masks))
        self._words = Kept[Keywords](1, 0, lambda words: 0)
        self._counts = FieldCounts(snapshot)

    # -- by vectors --------------------------------------------------------------------------------------------------

    def search(self, queries: np.ndarray, how: How) -> Neighbors:
        """The best rows for each query (q, dim) float32."""
        metric = how.metric or self._metric
        exact = how.exact or metric is not self._metric
        scores, rows = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        for searcher, first, mask in zip(self._searchers, self._first, self._masks(how.where), strict=True):
            more_scores, more = searcher.search(queries, how.k, metric, mask, exact=exact)
            if first:
                more = np.where(more < 0, -1, more + first)
            scores, rows = (more_scores, more) if not rows.size else ann.merge((scores, more_scores), (rows, more), how.k)
        return Neighbors(rows, scores)

    def nearest_rows(self, queries: np.ndarray, how: How) -> list[list[tuple[int, float]]]:
        """The best documents for each query by their best rows, with their scores; where texts are split, as many rows are
        looked for as that takes."""
        split, k = self.snapshot.manifest.chunks is not None, how.k
        wanted = PASSAGES * k if split else k
        while True:
            neighbors = self.search(queries, how._replace(k=wanted))
            best = []
            for rows, scores in zip(*neighbors, strict=True):
                places = np.flatnonzero(rows >= 0)
                if split:
                    places = places[_first_places(self.documents_at(rows[places]).tolist())]
                places = places[:k]
                best.append(list(zip(rows[places].tolist(), scores[places].tolist(), strict=True)))
            if wanted == k or neighbors.rows.shape[1] < wanted or all(len(found) == k for found in best):
                return best
            wanted *= 2

    def nearest(self, queries: np.ndarray, how: How) -> list[list[Hit]]:
        """The best documents for each query."""
        return self.hits_of(self.nearest_rows(queries, how))

    # -- by words ----------------------------------------------------------------------------------------------------

    def word_totals(self) -> WordTotals:
        """How many words its documents have. Raises UsageError where some have none."""
        return word_totals([segment.documents for segment in self.snapshot.segments])

    def word_counts(self, texts: Sequence[str], totals: WordTotals) -> list[list[int]]:
        """How many of its documents have each reading of each text."""
        return [self._keywords(totals).counts(text) for text in texts]

    def keywords(self, queries: Sequence[Worded], k: int, where: Asked | None) -> list[list[Hit]]:
        """The k best documents for each query by the words they share."""
        found = [self._best(query, k, where) for query in queries]
        return [
            [self._shown_by_words(hit, row, query.text) for hit, (row, _) in zip(hits, rows, strict=True)]
            for hits, rows, query in zip(self.hits_of(found), found, queries, strict=True)
        ]

    def _best(self, query: Worded, k: int, where: Asked | None) -> list[tuple[int, float]]:
        """The first rows of the best documents by words, with their scores."""
        found = self._keywords(query.totals).best(query.text, query.counts, k, self._allowed(where))
        segments = self.snapshot.segments
        return [
            (self._first[place] + int(segments[place].documents.first_rows(np.array([number]))[0]), score)
            for score, place, number in found
        ]

    def _keywords(self, totals: WordTotals) -> Keywords:
        documents = [segment.documents for segment in self.snapshot.segments]
        return self._words.get(totals, lambda: Keywords(documents, self.snapshot.manifest.language, totals))

    def _shown_by_words(self, hit: Hit, row: int, text: str) -> Hit:
        """The hit of the document at a row, by the passage that has most of the words of a text."""
        place = bisect_right(self._first, row) - 1
        documents = self.snapshot.segments[place].documents
        if not documents.split:
            return hit
        (number,) = documents.numbers(np.array([row - self._first[place]])).tolist()
        return replace(hit, passage=best_passage(documents, Document(hit.id, hit.text, hit.fields), number, text))

    # -- by both -----------------------------------------------------------------------------------------------------

    def pools(
        self, queries: np.ndarray, near: Sequence[Sequence[int]], worded: Sequence[Worded], depth: int, where: Asked | None
    ) -> list[Pool]:
        """Of each query (q, dim) those of its documents that rows `near` are of, and the `depth` best by words, with what all
        have of both. Rows of other parts are passed over."""
        return [self._pool(*one, depth, where) for one in zip(queries, near, worded, strict=True)]

    def _pool(self, query: np.ndarray, near: Sequence[int], worded: Worded, depth: int, where: Asked | None) -> Pool:
        given = np.array([row for row in near if self.holds(row)], np.int64)
        found = dict(zip(self.documents_at(given).tolist(), given.tolist(), strict=True))
        by_words = self._best(worded, depth, where)
        documents = np.array(sorted({*found, *(row for row, _ in by_words)}), np.int64)
        words = self._keywords(worded.totals).scores(worded.text, worded.counts, self.numbered(documents))
        each = zip(documents.tolist(), *self._meaning(query, documents), words.tolist(), strict=True)
        return Pool(found, by_words, {row: tuple(scores) for row, *scores in each})

    def _meaning(self, query: np.ndarray, documents: np.ndarray) -> tuple[list[float], list[float]]:
        """What documents, by their first rows (n,), rising, score by a query's vector (dim,), each by its best passage: the
        product, and the largest that there could be."""
        if not len(documents):
            return [], []
        rows, firsts = self.rows_of(documents)
        vectors, query = self.vectors(rows).astype(np.float64), query.astype(np.float64)
        # Row by row, so that a product does not depend on what else is asked of this part.
        products, lengths = np.einsum("nd,d->n", vectors, query), np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
        if self._metric is Metric.COSINE:
            products, lengths = products / np.maximum(lengths, SHORTEST), np.ones(len(rows))
        return np.maximum.reduceat(products, firsts).tolist(), np.maximum.reduceat(lengths, firsts).tolist()

    def shown(self, found: Sequence[Found]) -> list[Hit]:
        """The documents behind rows and scores, those with a text by the passage that has most of its words."""
        (hits,) = self.hits_of([[(row, score) for row, score, _ in found]])
        each = zip(hits, found, strict=True)
        return [hit if text is None else self._shown_by_words(hit, row, text) for hit, (row, _, text) in each]

    # -- by conditions -----------------------------------------------------------------------------------------------

    def matching(self, where: Asked | None) -> int:
        """How many documents meet a condition."""
        masks = zip(self.snapshot.segments, self._allowed(where), strict=True)
        return sum(len(segment.documents) if mask is None else int(np.count_nonzero(mask)) for segment, mask in masks)

    def browse(self, where: Asked | None, offset: int, k: int) -> list[Hit]:
        """The documents that meet a condition in the order in which they are stored: k of them after the first `offset`."""
        hits: list[Hit] = []
        for segment, first, mask in zip(self.snapshot.segments, self._first, self._allowed(where), strict=True):
            numbers = np.arange(len(segment.documents)) if mask is None else np.flatnonzero(mask)
            here = numbers[offset : offset + k - len(hits)].tolist()
            offset = max(0, offset - len(numbers))
            rows = (first + segment.documents.first_rows()[here]).tolist()
            hits += [
                Hit(document.id, None, document.text, document.fields, cluster=self.snapshot.cluster(row))
                for document, row in zip(segment.documents.get(here), rows, strict=True)
            ]
        return hits

    def passed_over(self, where: Asked) -> PassedOver:
        """What should be known of the answer to a condition."""
        return passed_over(self.snapshot, where)

    # -- counted -----------------------------------------------------------------------------------------------------

    def facets(self, names: Sequence[str], where: Asked | None, worded: Worded | None) -> tuple[int, dict[str, Counted | None]]:
        """How many documents meet a condition and have a word of a text, and the values of fields among them; None for a field
        that no document has."""
        among = self._among(where, worded)
        documents = self._counts.documents if among is None else int(np.count_nonzero(among))
        return documents, {name: self._counts.counted(name, among) for name in names}

    def field_names(self) -> list[str]:
        """The names of the fields that its documents have."""
        return self._counts.names()

    def every_field(self) -> dict[str, Counted]:
        """The values of all fields of the documents that are not deleted."""
        return self._counts.every(self._among(None, None))

    def earlier_words(self) -> bool:
        """Whether some of its documents are found by words only as an earlier vecsearch knew them."""
        return any(POSTINGS not in segment.documents.tables for segment in self.snapshot.segments)

    def _among(self, where: Asked | None, worded: Worded | None) -> np.ndarray | None:
        """Which documents of all segments meet a condition and have a word of a text, (n,) bool; None where all do."""
        masks = self._allowed(where)
        if worded is not None:
            having = self._keywords(worded.totals).matching(worded.text)
            masks = [of_part if mask is None else mask & of_part for of_part, mask in zip(having, masks, strict=True)]
        return joined(masks, [len(segment.documents) for segment in self.snapshot.segments])

    def _masks(self, where: Asked | None) -> Sequence[np.ndarray | None]:
        """The rows of each segment that meet a condition and are not deleted; threads that ask by the same one have it computed
        once, and hold up nobody who asks by another."""
        if where is None:
            return self.snapshot.alive
        return self._met.get(where.where, lambda: masks(self.snapshot, where))

    def _allowed(self, where: Asked | None) -> list[np.ndarray | None]:
        """Which documents of each segment meet a condition and are not deleted, (documents,) bool; None where all do."""
        parts = zip(self.snapshot.segments, self._masks(where), strict=True)
        return [None if mask is None else documents_of(segment.documents, mask) for segment, mask in parts]


def _first_places(things: Sequence[int]) -> list[int]:
    """Where each of the things is first, rising."""
    first: dict[int, int] = {}
    for place, thing in enumerate(things):
        first.setdefault(thing, place)
    return list(first.values())
