"""One generation of an index, searched: each of its segments in the fastest way, without what is deleted or filtered out."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
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
from vecsearch.index.hits import Candidates, Fusion, Hit, Neighbors, added, best_of_each, fused
from vecsearch.index.kept import Kept
from vecsearch.index.keywords import Keywords, best, best_passage
from vecsearch.index.segment_searcher import SegmentSearcher
from vecsearch.metric import SHORTEST, Metric, checked_queries
from vecsearch.store.alive import documents_alive, documents_of, known
from vecsearch.store.filters import MOST_SECONDS
from vecsearch.store.snapshot import Snapshot

MANY_ROWS = 256
"""Vectors that are asked for at once from which on they are read from the file, not from where it is mapped."""
PASSAGES = 3
"""Rows that are looked for, for each document, where documents have several."""
FUSED = 100
"""Documents by meaning, and as many by words, that `hybrid` weighs at the least."""
CONDITIONS, CONDITIONS_BYTES = 256, 64 << 20
"""Conditions whose answers are kept, a byte for each row, and bytes of all: the same one is often asked with many queries."""


class View:
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
        self.snapshot, self.encoder, self.given = snapshot, encoder, given
        self.condition_seconds = condition_seconds
        self._metric = Metric(snapshot.manifest.metric)
        little = bool(snapshot.manifest.goal["memory"])
        entries = zip(snapshot.segments, snapshot.manifest.segments, strict=True)
        self._parts = [SegmentSearcher(segment, entry, self._metric, little=little) for segment, entry in entries]
        self._first = list(accumulate((segment.rows for segment in snapshot.segments), initial=0))[:-1]
        self._met = Kept[list[np.ndarray]](CONDITIONS, CONDITIONS_BYTES, lambda masks: sum(mask.nbytes for mask in masks))
        self._counts = FieldCounts(snapshot)
        self.documents_alive = documents_alive(snapshot)
        """How many documents are not deleted."""

    @property
    def dim(self) -> int:
        """Length of its vectors."""
        return self.snapshot.manifest.dim

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

    def alive(self) -> np.ndarray:
        """The rows that are not deleted, rising: (r,) int64."""
        parts = zip(self._first, self.snapshot.segments, self.snapshot.alive, strict=True)
        rows = [first + (np.arange(part.rows) if alive is None else np.flatnonzero(alive)) for first, part, alive in parts]
        return np.concatenate([np.empty(0, np.int64), *rows])

    def first_rows(self) -> np.ndarray:
        """The first row of each document that is not deleted, rising: (m,) int64; the others of a split one follow it."""
        parts = zip(self._first, self.snapshot.segments, self.snapshot.alive, strict=True)
        rows = []
        for first, part, alive in parts:
            starts = part.documents.first_rows()
            rows.append(first + (starts if alive is None else starts[alive[starts]]))
        return np.concatenate([np.empty(0, np.int64), *rows])

    def rows(self, ids: Sequence[str]) -> list[list[int]]:
        """The rows of each of the documents with these ids. Raises UsageError naming those that the index does not have."""
        found = self.known(ids)
        if missing := [id for id in ids if id not in found]:
            raise UsageError(f"the index has no document with the id {', '.join(map(repr, missing[:5]))}")
        return [found[id] for id in ids]

    def known(self, ids: Sequence[str]) -> dict[str, list[int]]:
        """The rows of those of the documents with these ids that are there."""
        return {
            id: (self._first[part] + self.snapshot.segments[part].documents.rows(np.array([number]))).tolist()
            for id, (part, number) in known(self.snapshot, ids).items()
        }

    def vectors(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """The stored vectors at `rows`: (n, dim) float32, as encoded."""
        out = np.empty((len(rows), self.dim), np.float32)
        wanted = np.asarray(rows, np.int64)
        for first, segment in zip(self._first, self.snapshot.segments, strict=True):
            here = (wanted >= first) & (wanted < first + segment.rows)
            local = wanted[here] - first
            # For a row that is touched the system may map megabytes: many rows would make all of the file resident.
            out[here] = segment.read(local) if len(local) > MANY_ROWS else segment.vectors[local]
        return out

    def stored(self, row: int) -> tuple[Document, str | None]:
        """The document at a row, and the passage of it that the row stands for, if that is not all of it."""
        place = bisect_right(self._first, row) - 1
        documents, local = self.snapshot.segments[place].documents, row - self._first[place]
        document = documents.get(documents.numbers(np.array([local])).tolist())[0]
        span = documents.span(local)
        return document, document.text[slice(*span)] if span else None

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
        known: dict[int, tuple[Document, str | None]] = {}
        return [
            [
                Hit(document.id, score, document.text, document.fields, passage, self.snapshot.cluster(row))
                for row, score in zip(rows, scores, strict=True)
                if row >= 0
                for document, passage in (known.get(row) or known.setdefault(row, self.stored(row)),)
            ]
            for rows, scores in zip(neighbors.rows.tolist(), neighbors.scores.tolist(), strict=True)
        ]

    def nearest(self, queries: np.ndarray, k: int, **options: Any) -> list[list[Hit]]:
        """The k best documents for each query; where texts are split, as many rows are looked for as that takes."""
        wanted = k if self.snapshot.manifest.chunks is None else PASSAGES * k
        while True:
            neighbors = self.search(queries, wanted, **options)
            hits = [best_of_each(found, k) for found in self.hits(neighbors)]
            if wanted == k or neighbors.rows.shape[1] < wanted or all(len(found) == k for found in hits):
                return hits
            wanted *= 2

    def query(self, texts: list[str], k: int, **options: Any) -> list[list[Hit]]:
        """The k best documents for each text, by its vector; none for a text without a word that the model knows."""
        vectors = self._asked(texts)
        found = self.nearest(vectors, k, **options)
        return [hits if vector.any() else [] for hits, vector in zip(found, vectors, strict=True)]

    def _asked(self, texts: list[str]) -> np.ndarray:
        return checked_queries(self.encode(texts), self.dim)

    def similar(self, ids: Sequence[str], k: int, **options: Any) -> list[list[Hit]]:
        """The k documents most like each of the documents `ids`, itself left out; of a split one, like all of its passages."""
        own = np.array([self.vectors(rows).mean(axis=0) for rows in self.rows(ids)], np.float32).reshape(-1, self.dim)
        found = self.nearest(own, k + 1, **options)
        return [[hit for hit in hits if hit.id != id][:k] for id, hits in zip(ids, found, strict=True)]

    def keywords(self, texts: Sequence[str], k: int, *, where: str | None = None) -> list[list[Hit]]:
        """The k best documents for each text by the words they share. Raises UsageError as `search` does."""
        words, allowed = self._words, self._allowed(where)
        return [self._with_words(text, best(words.scores(text), k, allowed)) for text in texts]

    def hybrid(self, texts: list[str], k: int, weights: tuple[float, float], fusion: Fusion, **options: Any) -> list[list[Hit]]:
        """The k best documents for each text by meaning and by words, their scores or their ranks put together."""
        found = self.candidates(texts, max(FUSED, k), **options)
        if fusion is Fusion.RANKS:
            return [fused((near, worded), weights, k) for near, worded, _ in found]
        return [added(both, weights, k) for _, _, both in found]

    def candidates(
        self, texts: list[str], depth: int = FUSED, *, exact: bool = False, where: str | None = None
    ) -> Iterator[tuple[list[Hit], list[Hit], Candidates]]:
        """For each text the `depth` best documents by meaning, those by words, and both with all their scores."""
        queries = self._asked(texts)
        by_meaning = self.nearest(queries, depth, exact=exact, where=where)
        words, allowed = self._words, self._allowed(where)
        for text, query, near in zip(texts, queries, by_meaning, strict=True):
            scores = words.scores(text)
            lists = near if query.any() else [], self._with_words(text, best(scores, depth, allowed))
            yield *lists, self._both(query, scores, lists)

    def _both(self, query: np.ndarray, words: Sequence[np.ndarray], lists: Sequence[Sequence[Hit]]) -> Candidates:
        hits = list({hit.id: hit for hits in lists for hit in hits}.values())
        rows = self.rows([hit.id for hit in hits])
        firsts = np.array([own[0] for own in rows], np.int64)
        parts = np.searchsorted(self._first, firsts, "right") - 1
        by_words = np.zeros(len(hits))
        for part, scores in enumerate(words):
            here = parts == part
            by_words[here] = scores[self.snapshot.segments[part].documents.numbers(firsts[here] - self._first[part])]
        if not hits or not query.any():
            return Candidates(hits, np.zeros(len(hits)), by_words)
        vectors = self.vectors(np.concatenate(rows)).astype(np.float64)
        products, lengths = vectors @ query, np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
        # From the least that there could be, so that 0 is nothing.
        cosine = self._metric is Metric.COSINE
        above = products / np.maximum(lengths, SHORTEST) + 1 if cosine else products + lengths.max()
        return Candidates(hits, np.maximum.reduceat(above, np.cumsum([0, *map(len, rows[:-1])])), by_words)

    @made_once
    def _words(self) -> Keywords:
        return Keywords([segment.documents for segment in self.snapshot.segments], self.snapshot.manifest.language)

    def browse(self, where: str | None, offset: int, k: int) -> list[Hit]:
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
        masks = self._allowed(where)
        if words is not None:
            scores = self._words.scores(words)
            masks = [of_part > 0 if mask is None else mask & (of_part > 0) for of_part, mask in zip(scores, masks, strict=True)]
        return joined(masks, [len(segment.documents) for segment in self.snapshot.segments])

    def _masks(self, where: str | None) -> Sequence[np.ndarray | None]:
        """The rows of each segment that meet a condition and are not deleted; threads that ask by the same one have it computed
        once, and hold up nobody who asks by another."""
        if where is None:
            return self.snapshot.alive
        return self._met.get(where, lambda: masks(self.snapshot, where, self.condition_seconds))

    def _allowed(self, where: str | None) -> list[np.ndarray | None]:
        parts = zip(self.snapshot.segments, self._masks(where), strict=True)
        return [None if mask is None else documents_of(segment.documents, mask) for segment, mask in parts]

    def _with_words(self, text: str, found: Sequence[tuple[float, int, int]]) -> list[Hit]:
        return [self._keyword_hit(part, number, score, text) for score, part, number in found]

    def _keyword_hit(self, part: int, number: int, score: float, text: str) -> Hit:
        documents = self.snapshot.segments[part].documents
        document = documents.get([number])[0]
        passage = best_passage(documents, document, number, text)
        row = self._first[part] + int(documents.rows(np.array([number]))[0])
        return Hit(document.id, score, document.text, document.fields, passage, self.snapshot.cluster(row))
