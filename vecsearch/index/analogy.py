"""Arithmetic on words: analogies, and the word that does not fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vecsearch import checks
from vecsearch.errors import UsageError
from vecsearch.index.hits import Hit
from vecsearch.index.index import Index
from vecsearch.metric import Metric, normalise


def analogy(
    index: Index,
    plus: Sequence[str],
    minus: Sequence[str],
    k: int = 10,
    *,
    metric: Metric | str | None = None,
    exact: bool = False,
    where: str | None = None,
) -> list[Hit]:
    """The k documents nearest to the sum of the ids `plus` less the ids `minus`, as unit vectors; these ids are left out.

    `metric`, `exact` and `where` are those of `Index.search`. Raises UsageError for an id that the index does not have.

    Source: Mikolov, Yih and Zweig 2013, "Linguistic regularities in continuous space word representations" (3CosAdd).
    """
    checks.instance("index", index, Index, give="an Index")
    plus, minus = checks.texts("plus", plus, call="analogy"), checks.texts("minus", minus)
    k = checks.count("k", k, least=1)
    if not plus:
        raise UsageError("give at least one word to add")
    ids = [*plus, *minus]
    signs = np.array([1.0] * len(plus) + [-1.0] * len(minus), np.float32)
    target = signs @ normalise(index.vectors(index.rows(ids)))
    hits = index.nearest(target[None, :], k + len(ids), metric=metric, exact=exact, where=where)[0]
    return [hit for hit in hits if hit.id not in ids][:k]


def odd_one_out(index: Index, ids: Sequence[str]) -> list[Hit]:
    """The documents `ids`, least fitting first: the score of each is its cosine with the mean of all, as unit vectors."""
    checks.instance("index", index, Index, give="an Index")
    ids = checks.texts("ids", ids, call="odd_one_out")
    if len(ids) < 3:
        raise UsageError(f"{len(ids)} words: which one does not fit can only be asked of 3 or more")
    rows = index.rows(ids)
    unit = normalise(index.vectors(rows))
    scores = unit @ normalise(unit.mean(axis=0, keepdims=True))[0]
    documents = index.documents(rows)
    order = np.argsort(scores, kind="stable")
    return [Hit(documents[i].id, float(scores[i]), documents[i].text, documents[i].fields) for i in order]
