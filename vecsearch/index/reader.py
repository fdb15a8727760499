"""How an open index is searched: by vector, by text, by words, or by a document of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vecsearch import checks
from vecsearch.errors import UsageError
from vecsearch.index.conditions import checked_condition
from vecsearch.index.contents import Contents
from vecsearch.index.hits import Candidates, Fusion, Hit, Neighbors, checked_neighbors, two_weights
from vecsearch.index.hybrid import candidates, hybrid
from vecsearch.index.view import View
from vecsearch.metric import Metric, checked_queries

EQUAL = (1.0, 1.0)
"""Weights of meaning and words where nothing else is known."""


class Reader(Contents):
    """A generation of an index, open: what it holds, and what is found in it. `Index` is one that can be changed as well."""

    def search(
        self,
        vectors: np.ndarray,
        k: int = 10,
        *,
        metric: Metric | str | None = None,
        exact: bool = False,
        where: str | None = None,
    ) -> Neighbors:
        """The k best rows for each query vector: (q, dim) float -> Neighbors (q, k'); k' is k, or how many rows there are.

        `metric` other than the index's own, or `exact`, looks at every vector. `where` is a condition on the fields, such as
        "year > 1990 and genre = 'noir'". Raises UsageError for k < 1, another dimension, a query that is not finite, or a
        condition that is not understood.
        """
        view, options = self._view, _options(metric, exact, where)
        k = _hits_wanted(k, view)
        return view.search(checked_queries(vectors, view.dim), k, **options)

    def nearest(
        self,
        vectors: np.ndarray,
        k: int = 10,
        *,
        metric: Metric | str | None = None,
        exact: bool = False,
        where: str | None = None,
    ) -> list[list[Hit]]:
        """The k best documents for each query vector (q, dim), with the options of `search`."""
        view, options = self._view, _options(metric, exact, where)
        k = _hits_wanted(k, view)
        return view.nearest(checked_queries(vectors, view.dim), k, **options)

    def query(
        self,
        texts: Sequence[str],
        k: int = 10,
        *,
        metric: Metric | str | None = None,
        exact: bool = False,
        where: str | None = None,
    ) -> list[list[Hit]]:
        """The k best documents for each text, best first; none for a text without a word that the model knows."""
        view, texts = self._view, checks.texts("texts", texts, call="index.query")
        return view.query(texts, _hits_wanted(k, view), **_options(metric, exact, where))

    def similar(
        self,
        ids: Sequence[str],
        k: int = 10,
        *,
        metric: Metric | str | None = None,
        exact: bool = False,
        where: str | None = None,
    ) -> list[list[Hit]]:
        """The k documents most like each of the documents `ids`, itself left out; of a split one, like all of its passages."""
        view, ids = self._view, checks.texts("ids", ids, call="index.similar")
        return view.similar(ids, _hits_wanted(k, view), **_options(metric, exact, where))

    def keywords(self, texts: Sequence[str], k: int = 10, *, where: str | None = None) -> list[list[Hit]]:
        """The k best documents for each text by the words they share, scored by BM25; a "phrase in quotes" has to be there.

        Finds names, codes and rare words that the model has never seen. Raises UsageError as `search` does.
        """
        view, texts = self._view, checks.texts("texts", texts, call="index.keywords")
        return view.keywords(texts, _hits_wanted(k, view), where=checked_condition(where))

    def hybrid(
        self,
        texts: Sequence[str],
        k: int = 10,
        *,
        weights: tuple[float, float] | None = None,
        fusion: Fusion | str = Fusion.SCORES,
        exact: bool = False,
        where: str | None = None,
        vectors: np.ndarray | None = None,
    ) -> list[list[Hit]]:
        """The k best documents for each text by meaning and by words together; `weights` are those of the two, without them
        those that `keep_weights` has kept, or equal ones.

        Each of the best by either is given both scores, as a share of the best one's from the least that there could be: cosine
        from -1, BM25 from 0. A document's score is their weighted mean (Bruch, Gai and Ingber 2023, An Analysis of Fusion
        Functions for Hybrid Retrieval). With `fusion` "ranks" it is the sum of weight / (60 + rank) over the two lists
        (Cormack et al. 2009, Reciprocal rank fusion). `vectors`, (q, dim), are those of the texts where `encode` has made them.
        """
        view, texts = self._view, checks.texts("texts", texts, call="index.hybrid")
        weights = two_weights((view.snapshot.manifest.weights or EQUAL) if weights is None else weights)
        k, fusion, exact = _hits_wanted(k, view), Fusion(fusion), checks.flag("exact", exact)
        if vectors is not None and len(vectors := checked_queries(vectors, view.dim)) != len(texts):
            raise UsageError(f"{len(vectors)} vectors for {len(texts)} texts; give one for each")
        return hybrid(view, texts, k, weights, fusion, exact=exact, where=checked_condition(where), vectors=vectors)

    def candidates(self, texts: Sequence[str]) -> list[Candidates]:
        """The 100 best documents for each text by meaning and as many by words, with both scores: what `hybrid` weighs."""
        view, texts = self._view, checks.texts("texts", texts, call="index.candidates")
        return candidates(view, texts)

    def hits(self, neighbors: Neighbors) -> list[list[Hit]]:
        """The documents behind rows and scores, a list for each query; documents that were split may come several times."""
        view = self._view
        return view.hits(checked_neighbors(neighbors, view.snapshot.manifest.rows))

    def encode(self, texts: Sequence[str], *, marked: bool = False) -> np.ndarray:
        """Query vectors of `texts`, (n, dim) float32; if `marked`, that of the [[marked]] word as its sentence uses it.

        Raises UsageError for marks where the encoder's words are the same in any context, DataError for a mark that is none.
        """
        view, texts = self._view, checks.texts("texts", texts, call="index.encode")
        return view.encode(texts, marked=checks.flag("marked", marked))

    def remarks(self, where: str) -> list[str]:
        """What a person should know of the answer to a condition, a sentence each: how many texts it passes over because it
        compares their field with a number, and which of its names mean two things. Raises UsageError as `search` does."""
        view = self._view
        return view.remarks(checks.text("where", where))


def _hits_wanted(k: int, view: View) -> int:
    """How many hits are looked for: k, or as many as there are rows. Raises TypeError, and UsageError for k < 1."""
    k = checks.count("k", k, least=None)
    if k < 1:
        raise UsageError(f"k is {k}; ask for at least 1 hit")
    return min(k, max(1, view.snapshot.manifest.rows))


def _options(metric: Metric | str | None, exact: bool, where: str | None) -> dict[str, Any]:
    """What a search is asked for beside vectors, looked at. Raises TypeError, and UsageError for an unknown metric."""
    metric = None if metric is None else Metric(metric)
    return {"metric": metric, "exact": checks.flag("exact", exact), "where": checked_condition(where)}
