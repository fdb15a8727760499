"""Measures of agreement: two correlations, and five of a ranking, as trec_eval has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation of two (n,); 0 where one of them is constant."""
    return float(correlations(ranks(a[None]), ranks(b[None]))[0])


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of two (n,); 0 where one of them is constant."""
    return float(correlations(a[None], b[None])[0])


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks 1 to n in each row of (m, n), equal values sharing the mean of theirs: float64."""
    from scipy.stats import rankdata

    return rankdata(values, axis=1)


def correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each row of (m, n) with the same row of another: (m,) float64; 0 where a row is constant."""
    constant = (np.ptp(a, axis=1) == 0) | (np.ptp(b, axis=1) == 0)
    a, b = (side - side.mean(axis=1, keepdims=True, dtype=np.float64) for side in (a, b))
    lengths = np.sqrt(np.einsum("mn,mn->m", a, a) * np.einsum("mn,mn->m", b, b))
    products = np.einsum("mn,mn->m", a, b)
    return np.clip(np.divide(products, lengths, out=np.zeros(len(a)), where=(lengths > 0) & ~constant), -1, 1)


def ranking(ids: Sequence[str], scores: Sequence[float]) -> list[str]:
    """Ids, best first; of equal scores the later id in the order of characters, as in trec_eval."""
    return [id for _, id in sorted(zip(scores, ids, strict=True), reverse=True)]


def of_ranking(ranked: Sequence[str], grades: Mapping[str, int], k: int) -> dict[str, float]:
    """What the first k of a ranking are worth, given the `grades` of documents: 0 or below is not relevant, one is above.

    nDCG with the grades as gains (Järvelin and Kekäläinen 2002), average precision, reciprocal rank, recall and precision, each
    cut at k: trec_eval's ndcg_cut, map_cut, recip_rank, recall and P.
    """
    gains = np.array([max(0, grades.get(id, 0)) for id in ranked[:k]], np.float64)
    best = np.sort([grade for grade in grades.values() if grade > 0])[::-1]
    hit = np.flatnonzero(gains)
    return {
        f"ndcg@{k}": _dcg(gains) / _dcg(best[:k].astype(np.float64)),
        f"map@{k}": float((np.arange(1, len(hit) + 1) / (hit + 1)).sum()) / len(best),
        f"mrr@{k}": 1 / (hit[0] + 1) if len(hit) else 0.0,
        f"recall@{k}": len(hit) / len(best),
        f"precision@{k}": len(hit) / k,
    }


def _dcg(gains: np.ndarray) -> float:
    return float((gains / np.log2(np.arange(2, len(gains) + 2))).sum())
