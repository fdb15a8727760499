"""One generation of an index, searched: its parts are asked, and what they find is put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from copy import copy
from typing import Any, TypeVar

import numpy as np

from vecsearch import ann
from vecsearch.corpus.document import Document
from vecsearch.encoders.base import Encoder, checked_vectors
from vecsearch.errors import UsageError
from vecsearch.forks import made_once
from vecsearch.index.conditions import Asked, remarks
from vecsearch.index.examples import examples
from vecsearch.index.facets import Facets, shown, unknown_field
from vecsearch.index.field_values import Counted, Field
from vecsearch.index.hits import Hit, Neighbors
from vecsearch.index.keywords import WordTotals
from vecsearch.index.part import Found, How, Part, Pool, Worded
from vecsearch.index.parts import Parts
from vecsearch.metric import Metric, checked_queries
from vecsearch.store.filters import MOST_SECONDS
from vecsearch.store.layout import origin
from vecsearch.store.snapshot import Snapshot

T = TypeVar("T")


class View:
    """One generation of an index: its documents and vectors by row, and what is found among them.

    It stays what it is while newer ones are made, and may be shared by threads.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        parts: Parts,
        encoder: Encoder | None,
        *,
        given: Encoder | None = None,
        condition_seconds: float = MOST_SECONDS,
    ) -> None:
        """`parts` hold its segments, of which the snapshot may have none. `encoder` is that of its queries, if there is one;
        `given` the same where it is a caller's own. A condition may take `condition_seconds`."""
        self.snapshot, self.parts, self.encoder, self.given = snapshot, parts, encoder, given
        self.condition_seconds = condition_seconds
        self.url = origin(snapshot.folder)
        """Where it lies in an object store, of which its folder is a copy; None for a folder of its own."""
        self.dim = snapshot.manifest.dim
        self.documents_alive = sum(self.parts.every(Part.documents_alive))
        """How many documents are not deleted."""

    def close(self) -> None:
        """Let go of its files."""
        self.parts.close()

    def prepare(self) -> None:
        """Ask for what searches have to know of all parts, while all are there."""
        self._field_names  # noqa: B018 - kept from now on
        with suppress(UsageError):  # an index without words
            self.word_totals  # noqa: B018

    def noting(self) -> View:
        """The same generation, for questions of which is to be known afterwards what their answers lack."""
        other = copy(self)
        other.parts = self.parts.noting()
        return other

    # -- queries -----------------------------------------------------------------------------------------------------

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

    def _asked(self, where: str | None) -> Asked | None:
        return None if where is None else Asked(where, self._field_names, self.condition_seconds)

    @made_once
    def _field_names(self) -> frozenset[str]:
        """The names of the fields that its documents have."""
        return frozenset().union(*self.parts.every(Part.field_names))

    def _worded(self, texts: Sequence[str]) -> list[Worded]:
        """Queries for words. Raises UsageError where a part of the index has none."""
        totals = self.word_totals
        counts = zip(*self.parts.ask(Part.word_counts, list(texts), totals), strict=True)
        return [
            Worded(text, np.sum(each, axis=0, dtype=np.int64).tolist(), totals)
            for text, each in zip(texts, counts, strict=True)
        ]

    @made_once
    def word_totals(self) -> WordTotals:
        """How many words its documents have. Raises UsageError where a part of it has none."""
        return WordTotals.sum(self.parts.every(Part.word_totals))

    # -- searching ---------------------------------------------------------------------------------------------------

    def search(
        self, queries: np.ndarray, k: int, *, metric: Metric | None = None, exact: bool = False, where: str | None = None
    ) -> Neighbors:
        """The k best rows for each query (q, dim) float32; equal scores by row.

        `metric` other than the index's own, or `exact`, looks at every vector. Raises UsageError for a condition that is not
        understood.
        """
        found, *others = self.parts.ask(Part.search, queries, How(k, metric, exact, self._asked(where)))
        for more in others:
            scores, rows = ann.merge((found.scores, more.scores), (found.rows, more.rows), k)
            found = Neighbors(rows, scores)
        return found

    def nearest(
        self, queries: np.ndarray, k: int, *, metric: Metric | None = None, exact: bool = False, where: str | None = None
    ) -> list[list[Hit]]:
        """The k best documents for each query."""
        how = How(k, metric, exact, self._asked(where))
        return _merged(self.parts.ask(Part.nearest, queries, how), k, lambda hit: hit.score)

    def nearest_rows(
        self, queries: np.ndarray, k: int, *, exact: bool = False, where: str | None = None
    ) -> list[list[tuple[int, float]]]:
        """The k best documents for each query by their best rows, with their scores, best first."""
        how = How(k, None, exact, self._asked(where))
        return _merged(self.parts.ask(Part.nearest_rows, queries, how), k, lambda found: found[1])

    def query(self, texts: list[str], k: int, **options: Any) -> list[list[Hit]]:
        """The k best documents for each text, by its vector; none for a text without a word that the model knows."""
        vectors = checked_queries(self.encode(texts), self.dim)
        found = self.nearest(vectors, k, **options)
        return [hits if vector.any() else [] for hits, vector in zip(found, vectors, strict=True)]

    def similar(self, ids: Sequence[str], k: int, **options: Any) -> list[list[Hit]]:
        """The k documents most like each of the documents `ids`, itself left out; of a split one, like all of its passages."""
        rows = self.rows(ids)
        vectors = np.split(self.vectors([row for own in rows for row in own]), np.cumsum([len(own) for own in rows])[:-1])
        own = np.array([passages.mean(axis=0) for passages in vectors if len(passages)], np.float32).reshape(-1, self.dim)
        found = self.nearest(own, k + 1, **options)
        return [[hit for hit in hits if hit.id != id][:k] for id, hits in zip(ids, found, strict=True)]

    def keywords(self, texts: Sequence[str], k: int, *, where: str | None = None) -> list[list[Hit]]:
        """The k best documents for each text by the words they share. Raises UsageError as `search` does."""
        found = self.parts.ask(Part.keywords, self._worded(texts), k, self._asked(where))
        return _merged(found, k, lambda hit: hit.score)

    def pools(
        self, queries: np.ndarray, near: Sequence[Sequence[int]], texts: Sequence[str], depth: int, where: str | None
    ) -> list[list[Pool]]:
        """For each query what its parts have of rows and of the best by words, as `Part.pools` has it."""
        worded = self._worded(texts)
        return [
            list(each)
            for each in zip(*self.parts.ask(Part.pools, queries, near, worded, depth, self._asked(where)), strict=True)
        ]

    def browse(self, where: str | None, offset: int, k: int) -> list[Hit]:
        """The documents that meet a condition in the order in which they are stored: k of them after the first `offset`."""
        asked, hits = self._asked(where), list[Hit]()
        for number, count in enumerate(self.parts.every(Part.matching, asked)):
            if offset < count and len(hits) < k:
                hits += self.parts.one(number, Part.browse, asked, offset, k - len(hits))
            offset = max(0, offset - count)
        return hits

    # -- by row ------------------------------------------------------------------------------------------------------

    def hits(self, neighbors: Neighbors) -> list[list[Hit]]:
        """The documents behind rows and scores, a list for each query."""
        lists = zip(neighbors.rows.tolist(), neighbors.scores.tolist(), strict=True)
        return self.shown([[(row, score, None) for row, score in zip(*each, strict=True) if row >= 0] for each in lists])

    def shown(self, found: Sequence[Sequence[Found]]) -> list[list[Hit]]:
        """The documents behind rows and scores, a list for each query."""
        flat = [one for each in found for one in each]
        hits: list[Hit | None] = [None] * len(flat)
        for places, answers in self.parts.routed(Part.shown, [row for row, _, _ in flat], flat):
            for place, hit in zip(places, answers, strict=True):
                hits[place] = hit
        rest = iter(hits)
        return [[next(rest) for _ in each] for each in found]

    def documents(self, rows: list[int]) -> list[Document]:
        """The documents at rows, in that order."""
        return [Document(hit.id, hit.text, hit.fields) for hit in self.shown([[(row, 0.0, None) for row in rows]])[0]]

    def vectors(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """The stored vectors at `rows`: (n, dim) float32, as encoded."""
        wanted = np.asarray(rows, np.int64)
        answers = self.parts.routed(Part.vectors, wanted.tolist(), wanted)
        if len(answers) == 1:
            return answers[0][1]
        found = np.empty((len(wanted), self.dim), np.float32)
        for places, vectors in answers:
            found[places] = vectors
        return found

    def known(self, ids: Sequence[str]) -> dict[str, list[int]]:
        """The rows of those of the documents with these ids that are there."""
        return {id: rows for found in self.parts.every(Part.known, list(ids)) for id, rows in found.items()}

    def rows(self, ids: Sequence[str]) -> list[list[int]]:
        """The rows of each of the documents with these ids. Raises UsageError naming those that the index does not have."""
        found = self.known(ids)
        if missing := [id for id in ids if id not in found]:
            raise UsageError(f"the index has no document with the id {', '.join(map(repr, missing[:5]))}")
        return [found[id] for id in ids]

    def alive(self) -> np.ndarray:
        """The rows that are not deleted, rising: (r,) int64."""
        return np.concatenate([np.empty(0, np.int64), *self.parts.every(Part.alive)])

    def first_rows(self) -> np.ndarray:
        """The first row of each document that is not deleted, rising: (m,) int64; the others of a split one follow it."""
        return np.concatenate([np.empty(0, np.int64), *self.parts.every(Part.first_rows)])

    # -- counted -----------------------------------------------------------------------------------------------------

    def facets(self, names: Sequence[str], where: str | None, words: str | None, limit: int) -> Facets:
        """How many documents meet a condition and have a word of a text, and the most common values of fields among them."""
        worded = None if words is None else self._worded([words])[0]
        answers = self.parts.ask(Part.facets, list(names), self._asked(where), worded)
        fields = {}
        for name in names:
            having = [counted for _, of_part in answers if (counted := of_part[name]) is not None]
            if not having:
                raise unknown_field(name, sorted(self._field_names), clustered=self.snapshot.clustering is not None)
            fields[name] = shown(name, Counted.merged(having), limit)
        return Facets(sum(documents for documents, _ in answers), fields)

    def fields(self) -> list[Field]:
        """What is to be known of the fields of its documents; those that most have come first."""
        return list(self._told[0])

    def examples(self) -> list[str]:
        """Conditions that some of its documents meet."""
        return list(self._told[1])

    @made_once
    def _told(self) -> tuple[list[Field], list[str]]:
        answers = self.parts.every(Part.every_field)
        each = ((name, [of_part[name] for of_part in answers if name in of_part]) for name in sorted(self._field_names))
        found = [field for name, parts in each if (field := Counted.merged(parts).field(name)).documents]
        fields = sorted(found, key=lambda field: -field.documents)
        return fields, examples(fields, self.documents_alive)

    def remarks(self, where: str) -> list[str]:
        """What a person should know of the answer to a condition, a sentence each."""
        return remarks(self.parts.ask(Part.passed_over, self._asked(where)))

    def earlier_words(self) -> bool:
        """Whether a part of it is found by words only as an earlier vecsearch knew them."""
        return any(self.parts.every(Part.earlier_words))


def _merged(parts: Iterable[Sequence[list[T]]], k: int, score: Callable[[T], float]) -> list[list[T]]:
    """The k best of what parts have found for each of some queries, best first; equal ones in the order of the parts."""
    return [
        each[0] if len(each) == 1 else sorted((one for found in each for one in found), key=lambda one: -score(one))[:k]
        for each in zip(*parts, strict=True)
    ]
