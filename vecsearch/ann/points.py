"""How vectors become the points that FAISS compares, by Euclidean distance wherever that finds the best hits.

It does where all points are of one length: by cosine, and by inner product over vectors that are. Euclidean distance is what
FAISS is best at: PCA may move the origin, and lists and graphs rely on the triangle inequality. Inner product over vectors of
unequal lengths stays what it is: a coordinate that makes them equal (Bachrach et al. 2014) was tried, and a graph walked by
inner product itself (Morozov and Babenko 2018, Non-metric similarity graphs for maximum inner product search) took several
times less. Lists of residuals are compared by inner product in any case, see `spec.has_residuals`.
"""

from __future__ import annotations

import numpy as np

from vecsearch.metric import Metric, normalise

EQUAL = 0.999
"""Vectors whose lengths differ by less are of one length: exact scores decide among the hits in any case."""


class Points:
    """The points of vectors with the lengths `norms` (n,) float32, compared by `metric`; `euclidean` says how where these are a
    part of all that are compared: lengths that are equal among them need not be so among all."""

    def __init__(self, norms: np.ndarray, metric: Metric, *, euclidean: bool | None = None) -> None:
        self._metric = metric
        self.longest = float(norms.max(initial=0))
        """The length of the longest vector."""
        equal = metric is Metric.COSINE or bool(norms.min(initial=np.inf) >= EQUAL * self.longest)
        self.euclidean = equal if euclidean is None else euclidean
        """Whether FAISS compares them by Euclidean distance; else by inner product."""
        self._length = 1.0 if metric is Metric.COSINE else self.longest

    def of(self, vectors: np.ndarray, norms: np.ndarray) -> np.ndarray:
        """The points of stored vectors (r, d) float32 with their lengths (r,) float32: (r, d) float32."""
        return normalise(vectors, norms) if self._metric is Metric.COSINE else vectors

    def of_queries(self, queries: np.ndarray) -> np.ndarray:
        """The points of queries (q, d) float32: (q, d) float32, as long as those of vectors that are of one length."""
        if not self.euclidean:
            return np.ascontiguousarray(queries)
        unit = normalise(queries)
        return unit if self._length == 1 else unit * np.float32(self._length)
