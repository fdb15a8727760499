"""One generation of an index, searched: each of its segments in the fastest way, without what is deleted or filtered out."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vecsearch import ann
from vecsearch.corpus.document import Document
from vecsearch.encoders.base import Encoder, checked_vectors
from vecsearch.errors import UsageError
from vecsearch.forks import made_once
from vecsearch.index.conditions import masks
from vecsearch.index.facets import Facets, FieldCounts, joined
from vecsearch.index.field_values import Field
from vecsearch.index.hits import Hit, Neighbors
from vecsearch.index.kept import Kept
from vecsearch.index.keywords import Keywords, best, best_passage
from vecsearch.index.segment_searcher import SegmentSearcher
from vecsearch.index.stored import Stored
from vecsearch.metric import Metric, checked_queries
from vecsearch.store.alive import documents_of
from vecsearch.store.filters import MOST_SECONDS
from vecsearch.store.layout import origin
from vecsearch.store.snapshot import Snapshot

PASSAGES = 3
"""Rows that are looked for, for each document, where documents have several."""
CONDITIONS, CONDITIONS_BYTES = 256, 64 << 20
"""Conditions whose answers are kept, a byte for each row, and bytes of all: the same one is often asked with many queries."""


class View(Stored):
    """One generation of an index: its documents and vectors by row, and what is found among them.

    It stays what it is while newer ones are made, and may be shared by threads.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        encoder: Encoder | None,
        *,
        given: Encoder | None = None,
        condition_seconds: float = MOST_SECONDS,
    ) -> None:
        """`encoder` is that of its queries, if there is one; `given` the same where it is a caller's own. A condition may take
        `condition_seconds`."""
        # Everything is opened here: a writer that replaces this generation may remove its files at any time after.
        super().__init__(snapshot)
        self.encoder, self.given = encoder, given
        self.condition_seconds = condition_seconds
        self.url = origin(snapshot.folder)
        """Where it lies in an object store, of which its folder is a copy; None for a folder of its own."""
        self._metric = Metric(snapshot.manifest.metric)
        little = bool(snapshot.manifest.goal["memory"])
        entries = zip(snapshot.segments, snapshot.manifest.segments, strict=True)
        self._parts = [SegmentSearcher(segment, entry, self._metric, little=little) for segment, entry in entries]
        self._met = Kept[list[np.ndarray]](CONDITIONS, CONDITIONS_BYTES, lambda masks: sum(mask.nbytes for mask in masks))
        self._counts = FieldCounts(snapshot)

    @property
    def queries_encoder(self) -> Encoder:
        """The encoder of its queries. Raises UsageError where there is none."""
        if self.encoder:
            return self.encoder
        if self.snapshot.manifest.encoder:
            raise UsageError(
                "this index was built by an encoder of your own: give it to Index.open(encoder=…), "
                "or search with vectors or ids"
            )
        raise UsageError("this index was built from ready vectors and carries no encoder: search it with vectors or ids")

    def encode(self, texts: list[str], *, marked: bool = False) -> np.ndarray:
        """The vectors of texts, (n, dim) float32, as `Index.encode` has it."""
        encoder = self.queries_encoder
        return checked_vectors(encoder, (encoder.encode_in_context if marked else encoder.encode)(texts), len(texts))

    def search(
        self, queries: np.ndarray, k: int, *, metric: Metric | None = None, exact: bool = False, where: str | None = None
    ) -> Neighbors:
        """The k best rows for each query (q, dim) float32; equal scores by row.

        `metric` other than the index's own, or `exact`, looks at every vector. Raises UsageError for a condition that is not
        understood.
        """
        metric = metric or self._metric
        exact = exact or metric is not self._metric
        scores, rows = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        for part, first, mask in zip(self._parts, self._first, self._masks(where), strict=True):
            more_scores, more = part.search(queries, k, metric, mask, exact=exact)
            if first:
                more = np.where(more < 0, -1, more + first)
            scores, rows = (more_scores, more) if not rows.size else ann.merge((scores, more_scores), (rows, more), k)
        return Neighbors(rows, scores)

    def hits(self, neighbors: Neighbors) -> list[list[Hit]]:
        """The documents behind rows and scores, a list for each query."""
        lists = zip(neighbors.rows.tolist(), neighbors.scores.tolist(), strict=True)
        return self.hits_of([[found for found in zip(*each, strict=True) if found[0] >= 0] for each in lists])

    def nearest(self, queries: np.ndarray, k: int, **options: Any) -> list[list[Hit]]:
        """The k best documents for each query."""
        return self.hits_of(self.nearest_rows(queries, k, **options))

    def nearest_rows(self, queries: np.ndarray, k: int, **options: Any) -> list[list[tuple[int, float]]]:
        """The k best documents for each query by their best rows, with their scores, best first; where texts are split, as many
        rows are looked for as that takes."""
        split = self.snapshot.manifest.chunks is not None
        wanted = PASSAGES * k if split else k
        while True:
            neighbors = self.search(queries, wanted, **options)
            best = []
            for rows, scores in zip(*neighbors, strict=True):
                places = np.flatnonzero(rows >= 0)
                if split:
                    places = places[np.sort(np.unique(self.numbered(rows[places]), return_index=True)[1])]
                places = places[:k]
                best.append(list(zip(rows[places].tolist(), scores[places].tolist(), strict=True)))
            if wanted == k or neighbors.rows.shape[1] < wanted or all(len(found) == k for found in best):
                return best
            wanted *= 2

    def query(self, texts: list[str], k: int, **options: Any) -> list[list[Hit]]:
        """The k best documents for each text, by its vector; none for a text without a word that the model knows."""
        vectors = checked_queries(self.encode(texts), self.dim)
        found = self.nearest(vectors, k, **options)
        return [hits if vector.any() else [] for hits, vector in zip(found, vectors, strict=True)]

    def similar(self, ids: Sequence[str], k: int, **options: Any) -> list[list[Hit]]:
        """The k documents most like each of the documents `ids`, itself left out; of a split one, like all of its passages."""
        own = np.array([self.vectors(rows).mean(axis=0) for rows in self.rows(ids)], np.float32).reshape(-1, self.dim)
        found = self.nearest(own, k + 1, **options)
        return [[hit for hit in hits if hit.id != id][:k] for id, hits in zip(ids, found, strict=True)]

    def keywords(self, texts: Sequence[str], k: int, *, where: str | None = None) -> list[list[Hit]]:
        """The k best documents for each text by the words they share. Raises UsageError as `search` does."""
        allowed = self.allowed(where)
        found = [
            [(self.row_of(part, number), score) for score, part, number in best(self.words.scores(text), k, allowed)]
            for text in texts
        ]
        return [
            [self.shown_by_words(hit, row, text) for hit, (row, _) in zip(hits, rows, strict=True)]
            for hits, rows, text in zip(self.hits_of(found), found, texts, strict=True)
        ]

    def shown_by_words(self, hit: Hit, row: int, text: str) -> Hit:
        """The hit of the document at a row, by the passage that has most of the words of a text."""
        place = bisect_right(self._first, row) - 1
        documents = self.snapshot.segments[place].documents
        if not documents.split:
            return hit
        (number,) = documents.numbers(np.array([row - self._first[place]])).tolist()
        return replace(hit, passage=best_passage(documents, Document(hit.id, hit.text, hit.fields), number, text))

    @made_once
    def words(self) -> Keywords:
        """The words of its documents. Raises UsageError where a part has none."""
        return Keywords([segment.documents for segment in self.snapshot.segments], self.snapshot.manifest.language)

    def browse(self, where: str | None, offset: int, k: int) -> list[Hit]:
        """The documents that meet a condition in the order in which they are stored: k of them after the first `offset`."""
        hits: list[Hit] = []
        for segment, first, mask in zip(self.snapshot.segments, self._first, self.allowed(where), strict=True):
            numbers = np.arange(len(segment.documents)) if mask is None else np.flatnonzero(mask)
            here = numbers[offset : offset + k - len(hits)].tolist()
            offset = max(0, offset - len(numbers))
            rows = (first + segment.documents.first_rows()[here]).tolist()
            hits += [
                Hit(document.id, None, document.text, document.fields, cluster=self.snapshot.cluster(row))
                for document, row in zip(segment.documents.get(here), rows, strict=True)
            ]
        return hits

    def facets(self, names: Sequence[str], where: str | None, words: str | None, limit: int) -> Facets:
        """How many documents meet a condition and have a word of a text, and the most common values of fields among them."""
        among = self._among(where, words)
        documents = self._counts.documents if among is None else int(np.count_nonzero(among))
        return Facets(documents, {name: self._counts.facet(name, among, limit) for name in names})

    def fields(self) -> list[Field]:
        """What is to be known of the fields of its documents."""
        return self._counts.fields(self._among(None, None))

    def examples(self) -> list[str]:
        """Conditions that some of its documents meet."""
        return self._counts.examples(self._among(None, None))

    def _among(self, where: str | None, words: str | None) -> np.ndarray | None:
        """Which documents of all segments meet a condition and have a word of a text, (n,) bool; None where all do."""
        masks = self.allowed(where)
        if words is not None:
            scores = self.words.scores(words)
            masks = [of_part > 0 if mask is None else mask & (of_part > 0) for of_part, mask in zip(scores, masks, strict=True)]
        return joined(masks, [len(segment.documents) for segment in self.snapshot.segments])

    def _masks(self, where: str | None) -> Sequence[np.ndarray | None]:
        """The rows of each segment that meet a condition and are not deleted; threads that ask by the same one have it computed
        once, and hold up nobody who asks by another."""
        if where is None:
            return self.snapshot.alive
        return self._met.get(where, lambda: masks(self.snapshot, where, self.condition_seconds))

    def allowed(self, where: str | None) -> list[np.ndarray | None]:
        """Which documents of each segment meet a condition and are not deleted, (documents,) bool; None where all do."""
        parts = zip(self.snapshot.segments, self._masks(where), strict=True)
        return [None if mask is None else documents_of(segment.documents, mask) for segment, mask in parts]
