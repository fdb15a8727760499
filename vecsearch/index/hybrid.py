"""Meaning and words together: the best documents of a text by either, scored by both, and read only where they are shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vecsearch.index.hits import Candidates, Fusion, Hit, best_by_ranks, best_by_scores
from vecsearch.index.keywords import best
from vecsearch.index.view import View
from vecsearch.metric import SHORTEST, Metric, checked_queries

FUSED = 100
"""Documents by meaning, and as many by words, that are weighed at the least."""


@dataclass(frozen=True)
class _Pool:
    """The best documents of one text, each by its first row: by meaning, by words, and all n with what each has of both."""

    text: str
    near: list[int]
    found: dict[int, int]
    """Of those by meaning the row that was found."""
    worded: list[int]
    documents: np.ndarray
    """(n,) int64: those by meaning, then those by words alone."""
    meaning: np.ndarray
    """(n,) float64 from 0, as `words`."""
    words: np.ndarray


def hybrid(
    view: View,
    texts: Sequence[str],
    k: int,
    weights: tuple[float, float],
    fusion: Fusion,
    *,
    exact: bool = False,
    where: str | None = None,
    vectors: np.ndarray | None = None,
) -> list[list[Hit]]:
    """The k best documents for each text, as `Index.hybrid` has it."""
    hits = []
    for pool in _pools(view, texts, max(FUSED, k), exact=exact, where=where, vectors=vectors):
        if fusion is Fusion.RANKS:
            ranked = best_by_ranks((pool.near, pool.worded), weights, k)
            hits.append(_hits(view, pool, ranked, by_words=[row for row, _ in ranked if row not in pool.found]))
        else:
            chosen = best_by_scores(pool.meaning, pool.words, weights, k)
            hits.append(_hits(view, pool, [(int(pool.documents[i]), score) for i, score in chosen], by_words=pool.worded))
    return hits


def candidates(view: View, texts: Sequence[str]) -> list[Candidates]:
    """What `hybrid` weighs, as `Index.candidates` has it."""
    return [
        Candidates(
            _hits(view, pool, [(row, 0.0) for row in pool.documents.tolist()], by_words=pool.worded), pool.meaning, pool.words
        )
        for pool in _pools(view, texts, FUSED)
    ]


def _pools(
    view: View,
    texts: Sequence[str],
    depth: int,
    *,
    exact: bool = False,
    where: str | None = None,
    vectors: np.ndarray | None = None,
) -> Iterator[_Pool]:
    """For each text the `depth` best documents by meaning, and as many by words. `vectors` are those of the texts, where they
    are known."""
    queries = checked_queries(view.encode(list(texts)) if vectors is None else vectors, view.dim)
    near = view.nearest_rows(queries, depth, exact=exact, where=where)
    words, allowed = view.words, view.allowed(where)
    for text, query, rows in zip(texts, queries, near, strict=True):
        scores = words.scores(text)
        best_rows = np.array([row for row, _ in rows] if query.any() else [], np.int64)
        found = dict(zip(view.documents_at(best_rows).tolist(), best_rows.tolist(), strict=True))
        worded = [view.row_of(part, number) for _, part, number in best(scores, depth, allowed)]
        documents = np.array(list(dict.fromkeys([*found, *worded])), np.int64)
        by_words = np.concatenate([np.zeros(0), *scores])[view.numbered(documents)]
        yield _Pool(text, list(found), found, worded, documents, _meaning(view, query, documents), by_words)


def _meaning(view: View, query: np.ndarray, documents: np.ndarray) -> np.ndarray:
    """What documents, by their first rows (n,), score by a query's vector (dim,), each by its best passage, from the least that
    there could be, so that 0 is nothing: (n,) float64."""
    if not len(documents) or not query.any():
        return np.zeros(len(documents))
    order = np.argsort(documents)
    rows, firsts = view.rows_of(documents[order])
    vectors = view.vectors(rows).astype(np.float64)
    products, lengths = vectors @ query, np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
    cosine = Metric(view.snapshot.manifest.metric) is Metric.COSINE
    above = products / np.maximum(lengths, SHORTEST) + 1 if cosine else products + lengths.max()
    scores = np.empty(len(documents))
    scores[order] = np.maximum.reduceat(above, firsts)
    return scores


def _hits(view: View, pool: _Pool, ranked: Sequence[tuple[int, float]], *, by_words: Sequence[int]) -> list[Hit]:
    """The hits of documents with their scores, by their first rows. Those `by_words` are shown by the passage that has most of
    the words, the others by the one that meaning found."""
    worded = set(by_words)
    shown = [row if row in worded else pool.found[row] for row, _ in ranked]
    (hits,) = view.hits_of([list(zip(shown, (score for _, score in ranked), strict=True))])
    return [
        view.shown_by_words(hit, row, pool.text) if row in worded else hit for hit, (row, _) in zip(hits, ranked, strict=True)
    ]
