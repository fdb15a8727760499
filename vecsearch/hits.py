"""What a search finds: rows and scores, and the documents behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

RRF_RANK = 60
"""Added to ranks before lists are fused, so that the first of one list does not decide alone (Cormack et al. 2009)."""


class Neighbors(NamedTuple):
    """Rows and scores of the best hits of q queries, (q, k) each, best first; k is smaller where the index is.

    An approximate index that finds fewer than k marks the rest with row -1 and score -inf.
    """

    rows: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True, slots=True)
class Hit:
    """A document found, and how good it is: higher is better."""

    id: str
    score: float
    text: str
    fields: dict[str, Any] = field(default_factory=dict)
    passage: str | None = None
    """The part of the text that was found, where texts were split into passages."""
    cluster: int | None = None
    """The cluster that the document is in, if any."""


def best_of_each(hits: Sequence[Hit], k: int) -> list[Hit]:
    """The k first documents among hits, best first, each by its best passage."""
    best: dict[str, Hit] = {}
    for hit in hits:
        best.setdefault(hit.id, hit)
    return list(best.values())[:k]


def fused(lists: Sequence[Sequence[Hit]], weights: Sequence[float], k: int) -> list[Hit]:
    """The k best documents of several lists, by the sum of weight / (60 + rank) over those that have it; ranks count from 1."""
    scores: dict[str, float] = {}
    found: dict[str, Hit] = {}
    for hits, weight in zip(lists, weights, strict=True):
        for rank, hit in enumerate(hits, 1):
            scores[hit.id] = scores.get(hit.id, 0.0) + weight / (RRF_RANK + rank)
            found.setdefault(hit.id, hit)
    # Of equal scores the one that was found first: by meaning.
    best = sorted(scores, key=lambda id: -scores[id])[:k]
    return [replace(found[id], score=scores[id]) for id in best]
