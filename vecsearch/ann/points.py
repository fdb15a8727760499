"""How vectors become the points that FAISS compares, by Euclidean distance wherever that finds the best hits.

It does where all points are of one length: by cosine, and by inner product over vectors that are. Euclidean distance is what
FAISS is best at: PCA may move the origin, and lists and graphs rely on the triangle inequality. Inner product over vectors of
unequal lengths stays what it is: a coordinate that makes them equal (Bachrach et al. 2014) was tried, and a graph walked by
inner product itself (Morozov and Babenko 2018, Non-metric similarity graphs for maximum inner product search) took several
times less.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vecsearch.metric import Metric, normalise

EQUAL = 0.999
"""Vectors whose lengths differ by less are of one length: exact scores decide among the hits in any case."""


class Points:
    """The points of vectors with the lengths `norms` (n,) float32, compared by `metric`."""

    def __init__(self, norms: np.ndarray, metric: Metric) -> None:
        self._norms, self._metric = norms, metric
        longest = float(norms.max(initial=0))
        self.euclidean = metric is Metric.COSINE or bool(norms.min(initial=np.inf) >= EQUAL * longest)
        """Whether FAISS compares them by Euclidean distance; else by inner product."""
        self._length = 1.0 if metric is Metric.COSINE else longest

    @property
    def faiss_metric(self) -> Any:
        """FAISS's name of the comparison."""
        import faiss

        return faiss.METRIC_L2 if self.euclidean else faiss.METRIC_INNER_PRODUCT

    def of(self, vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The points of the stored `vectors` (r, d) float32 at `rows` (r,): (r, d) float32."""
        return normalise(vectors, self._norms[rows]) if self._metric is Metric.COSINE else vectors

    def of_queries(self, queries: np.ndarray) -> np.ndarray:
        """The points of queries (q, d) float32: (q, d) float32, as long as those of vectors that are of one length."""
        if not self.euclidean:
            return np.ascontiguousarray(queries)
        unit = normalise(queries)
        return unit if self._length == 1 else unit * np.float32(self._length)
