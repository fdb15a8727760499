"""Which lists of residuals a query reads: the nearest, and of these no list that is much farther than the first.

A query that lies amid one list needs few others, one between many needs all of them: for the same recall a quarter to a third
fewer codes are read than by as many lists for every query.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vecsearch.ann.spec import SearchParameters, compares_residuals, lists_of
from vecsearch.metric import Metric

MOST = 1.5
"""Lists that may be read, for each that is read where their number is all that counts,"""
READ = 0.72
"""and those that are read on average: at this share recall is the same, from 0.9 to 0.99."""
PRODUCTS = 1 << 20
"""Products with centroids that are looked at, at the most, to find a margin."""


class Probing:
    """Searches the lists of a FAISS index of residuals that are compared by inner product."""

    def __init__(self, index: Any, metric: Metric) -> None:
        import faiss

        self.core, self._index = lists_of(index), index  # the one is part of the other, which lives as long
        self._unit, self._place = metric is Metric.COSINE, faiss.swig_ptr
        chain = index.chain if isinstance(index, faiss.IndexPreTransform) else None
        self._transforms = [chain.at(position) for position in range(chain.size())] if chain else []

    @classmethod
    def of(cls, index: Any, metric: Metric) -> Probing | None:
        """For a FAISS index that is searched by this metric; None for one of another kind."""
        return cls(index, metric) if compares_residuals(index) else None

    def search(self, queries: np.ndarray, count: int, margin: float, parameters: Any) -> np.ndarray:
        """The `count` nearest rows of queries (q, d) float32, best first, -1 where there are none: (q, count) int64.

        `parameters` are FAISS's, by default its own.
        """
        # The functions below FAISS's Python methods: for a single query those take as long to look at what they are given.
        points, size = self._transformed(queries), len(queries)
        nprobe = parameters.nprobe if parameters else self.core.nprobe
        products, lists = np.empty((size, nprobe), np.float32), np.empty((size, nprobe), np.int64)
        where, by, to = map(self._place, (points, products, lists))
        self.core.quantizer.search_c(size, where, nprobe, by, to)
        lists[products < products[:, :1] - self._margins(queries, margin)] = -1
        scores, rows = np.empty((size, count), np.float32), np.empty((size, count), np.int64)
        found = map(self._place, (scores, rows))
        self.core.search_preassigned_c(size, where, count, to, by, *found, False, parameters)
        return rows

    def gaps(self, queries: np.ndarray) -> np.ndarray:
        """How far behind the nearest list the others are, from the nearest on, for some of the queries (q, d) float32: products
        with their centroids, of queries of length 1, (s, lists) float32."""
        centroids = self.core.quantizer.reconstruct_n(0, self.core.nlist)
        some = queries[:: max(1, -(-len(queries) * len(centroids) // PRODUCTS))]
        behind = self._transformed(some) @ -centroids.T
        behind.sort(axis=1)
        behind -= behind[:, :1].copy()
        behind /= self._margins(some, 1.0)
        return behind

    def _transformed(self, queries: np.ndarray) -> np.ndarray:
        points = np.ascontiguousarray(queries)
        for transform in self._transforms:
            before, points = points, np.empty((len(points), transform.d_out), np.float32)
            transform.apply_noalloc(len(points), self._place(before), self._place(points))
        return points

    def _margins(self, queries: np.ndarray, margin: float) -> Any:
        if self._unit:
            return margin
        return margin * np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), np.finfo(np.float32).tiny)


def reading(value: int, gaps: np.ndarray | None) -> dict[str, float]:
    """Search parameters that find as much as reading the `value` nearest lists does, for queries with these gaps, see
    `Probing.gaps`; None for a kind that has no margin."""
    if gaps is None or value >= gaps.shape[1]:
        return {"nprobe": value}
    most = min(gaps.shape[1], math.ceil(MOST * value))
    read = max(0, math.floor(READ * value * len(gaps)) - 1)
    margin = np.partition(gaps[:, :most], read, axis=None)[read]
    return {"nprobe": most, "margin": float(f"{margin:.4g}")}


def without_margin(parameters: SearchParameters) -> dict[str, float]:
    """Search parameters that find as much as these do by reading as many lists for every query; the other way of `reading`."""
    if "margin" not in parameters:
        return dict(parameters)
    others = {name: value for name, value in parameters.items() if name != "margin"}
    return others | {"nprobe": max(1, math.floor(parameters["nprobe"] / MOST))}
