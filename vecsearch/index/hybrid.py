"""Meaning and words together: the best documents of a text by either, scored by both, and read only where they are shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vecsearch.index.hits import Candidates, Fusion, Hit, best_by_ranks, best_by_scores
from vecsearch.index.part import Pool
from vecsearch.index.view import View
from vecsearch.metric import checked_queries

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
    found = view.nearest_rows(queries, depth, exact=exact, where=where)
    near = [[row for row, _ in rows] if query.any() else [] for query, rows in zip(queries, found, strict=True)]
    for text, query, rows, parts in zip(texts, queries, near, view.pools(queries, near, texts, depth, where), strict=True):
        yield _pool(text, query, rows, parts, depth)


def _pool(text: str, query: np.ndarray, near: Sequence[int], parts: Sequence[Pool], depth: int) -> _Pool:
    """What several parts of an index have for one query, put together."""
    first = {row: document for part in parts for document, row in part.near.items()}
    found = {first[row]: row for row in near if row in first}  # the part that has others may be lost by now
    by_words = sorted((one for part in parts for one in part.worded), key=lambda one: -one[1])[:depth]
    documents = list(dict.fromkeys([*found, *(row for row, _ in by_words)]))
    scores = {row: of_row for part in parts for row, of_row in part.scores.items()}
    products, lengths, words = np.array([scores[row] for row in documents], np.float64).reshape(-1, 3).T
    # From the least that there could be, so that 0 is nothing.
    meaning = products + lengths.max(initial=0.0) if query.any() else np.zeros(len(documents))
    return _Pool(text, list(found), found, [row for row, _ in by_words], np.array(documents, np.int64), meaning, words)


def _hits(view: View, pool: _Pool, ranked: Sequence[tuple[int, float]], *, by_words: Sequence[int]) -> list[Hit]:
    """The hits of documents with their scores, by their first rows. Those `by_words` are shown by the passage that has most of
    the words, the others by the one that meaning found."""
    worded = set(by_words)
    (hits,) = view.shown(
        [[(row, score, pool.text) if row in worded else (pool.found[row], score, None) for row, score in ranked]]
    )
    return hits
