"""Every vector in two lists of an inverted file: a search that misses one reads the other, so that fewer lists are read."""

from __future__ import annotations

from typing import Any

import numpy as np

from vecsearch.ann.spec import lists_of
from vecsearch.ann.threads import threads

NEAREST = 10
"""Lists from which the second one is chosen."""
ORTHOGONALITY = 1.0
"""Weight of the second residual's part along the first."""


def add_twice(index: Any, points: np.ndarray, rows: np.ndarray) -> None:
    """Add points (n, d) float32 under the numbers `rows` (n,) int64 to a trained inverted file of codes."""
    import faiss

    lists = lists_of(index)
    if isinstance(index, faiss.IndexPreTransform):
        for position in range(index.chain.size()):
            points = index.chain.at(position).apply(points)
    assigned = _two_lists(lists.quantizer, points)
    order = np.argsort(assigned, axis=None, kind="stable")
    chosen, ends = order // 2, np.cumsum(np.bincount(assigned.ravel(), minlength=lists.nlist))
    quantizer, fixed = lists.quantizer, _Fixed(lists.quantizer)
    try:
        lists.quantizer = fixed.index
        # A list gets a few points at a time: threads would wait for each other far longer than they work.
        with threads(1):
            for number in np.flatnonzero(np.diff(ends, prepend=0)):
                here = chosen[ends[number - 1] if number else 0 : ends[number]]
                fixed.answer(number)
                lists.add_with_ids(points[here], rows[here])
    finally:
        lists.quantizer = quantizer
    index.ntotal = lists.ntotal


class _Fixed:
    """A quantiser that assigns everything to one list: FAISS's fast-scan lists take no assignment from outside."""

    def __init__(self, quantizer: Any) -> None:
        import faiss

        self._centroids = quantizer.reconstruct_n(0, quantizer.ntotal)
        self.index = faiss.IndexIDMap2(faiss.IndexFlatL2(quantizer.d))

    def answer(self, number: int) -> None:
        self.index.reset()
        self.index.add_with_ids(self._centroids[number : number + 1], np.array([number], np.int64))


def _two_lists(quantizer: Any, points: np.ndarray) -> np.ndarray:
    """For each point (n, d) its nearest list and the one whose residual is short and most unlike the first: (n, 2) int64.

    Where a query lies along the first residual, so that it misses the first list, the second is near (Sun et al. 2023, SOAR:
    Improved indexing for approximate nearest neighbor search, theorem 3.1).
    """
    import faiss

    distances, near = quantizer.search(points, min(NEAREST, quantizer.ntotal))
    centroids = quantizer.reconstruct_n(0, quantizer.ntotal)
    if quantizer.metric_type == faiss.METRIC_INNER_PRODUCT:  # the point's own length matters to no comparison
        distances = np.square(centroids).sum(axis=1)[near] - 2 * distances
    first = points - centroids[near[:, 0]]
    along = first / np.maximum(np.linalg.norm(first, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    reach = np.einsum("nd,nd->n", points, along)
    parts = [reach - np.einsum("nd,nd->n", centroids[candidates], along) for candidates in near[:, 1:].T]
    losses = distances[:, 1:].T + ORTHOGONALITY * np.square(parts)
    chosen = 1 + np.argmin(losses, axis=0)
    return np.stack([near[:, 0], near[np.arange(len(near)), chosen]], axis=1)
