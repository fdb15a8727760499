"""What a search finds: rows and scores, and the documents behind them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np

from vecsearch import checks
from vecsearch.checks import Choice
from vecsearch.errors import UsageError

T = TypeVar("T")
RRF_RANK = 60
"""Added to ranks before lists are fused, so that the first of one list does not decide alone (Cormack et al. 2009)."""


class Fusion(Choice):
    """What of two lists is put together: what documents score, or only the ranks that they have. A name does as well."""

    SCORES = "scores"
    RANKS = "ranks"


class Neighbors(NamedTuple):
    """Rows and scores of the best hits of q queries, (q, k) each, best first; k is smaller where the index is.

    An approximate index that finds fewer than k marks the rest with row -1 and score -inf.
    """

    rows: np.ndarray
    scores: np.ndarray


def checked_neighbors(neighbors: Neighbors, of: int) -> Neighbors:
    """Rows below `of`, or -1 for none, with a score for each. Raises TypeError and UsageError for anything else."""
    checks.instance("neighbors", neighbors, Neighbors, give="what Index.search returned")
    try:
        rows, scores = (np.asarray(part) for part in neighbors)
    except ValueError as error:
        raise TypeError(f"neighbors holds lists of unequal lengths ({error}); give what Index.search returned") from None
    if rows.ndim != 2 or rows.shape != scores.shape or rows.dtype.kind not in "iu" or scores.dtype.kind not in "iuf":
        raise TypeError(
            f"neighbors holds {checks.described(rows)} and {checks.described(scores)}; give what Index.search returned"
        )
    if len(found := rows[rows != -1]):
        checks.rows("neighbors", found, of)
    return Neighbors(rows, scores)


@dataclass(frozen=True, slots=True)
class Hit:
    """A document found, and how good it is: higher is better; None where it was asked for by a condition alone."""

    id: str
    score: float | None
    text: str
    fields: dict[str, Any] = field(default_factory=dict)
    passage: str | None = None
    """The part of the text that was found, where texts were split into passages."""
    cluster: int | None = None
    """The cluster that the document is in, if any."""


def two_weights(weights: Sequence[float]) -> tuple[float, float]:
    """The weights of two lists. Raises TypeError for no numbers, UsageError for not two of them, or none that counts."""
    given = [checks.number("weights", weight) for weight in checks.iterable("weights", weights, "two numbers")]
    if len(given) != 2 or min(given) < 0 or not 0 < sum(given) < math.inf:
        raise UsageError(
            f"the weights are {' and '.join(map(str, given)) or 'none'}; give two numbers from 0, of which one is above 0"
        )
    return given[0], given[1]


class Candidates(NamedTuple):
    """The best documents of a query by meaning and by words, n together, and what each has of both, (n,) float64 from 0,
    whichever found it."""

    hits: list[Hit]
    meaning: np.ndarray
    words: np.ndarray


def added(candidates: Candidates, weights: tuple[float, float], k: int) -> list[Hit]:
    """The k best of the candidates, as `best_by_scores` has them."""
    best = best_by_scores(candidates.meaning, candidates.words, weights, k)
    return [replace(candidates.hits[i], score=score) for i, score in best]


def best_by_scores(meaning: np.ndarray, words: np.ndarray, weights: tuple[float, float], k: int) -> list[tuple[int, float]]:
    """Places and scores of the k best of n documents, by the weighted mean of what they have of both, (n,) from 0, each as a
    share of the best one's: from 0 to 1.

    What has nothing of either is none. Source: Bruch, Gai and Ingber 2023, An Analysis of Fusion Functions for Hybrid
    Retrieval, TM2C2.
    """
    both = zip(weights, (meaning, words), strict=True)
    total = sum(weight * _shares(each) for weight, each in both) / sum(weights)
    # Of equal scores the one that was found first: by meaning.
    best = np.argsort(-total, kind="stable")[:k].tolist()
    return [(i, float(total[i])) for i in best if total[i] > 0]


def _shares(scores: np.ndarray) -> np.ndarray:
    most = scores.max(initial=0.0)
    return scores / most if most > 0 else np.zeros(len(scores))


def best_by_ranks(lists: Sequence[Sequence[T]], weights: Sequence[float], k: int) -> list[tuple[T, float]]:
    """The k best of what several lists have, with their scores. Lists are best first; the score is the sum of
    weight / (60 + rank) over those that have it, and ranks count from 1."""
    scores: dict[T, float] = {}
    for found, weight in zip(lists, weights, strict=True):
        for rank, one in enumerate(found, 1):
            scores[one] = scores.get(one, 0.0) + weight / (RRF_RANK + rank)
    # Of equal scores the one that was found first: by meaning.
    return sorted(scores.items(), key=lambda item: -item[1])[:k]
