"""Vectors rounded to a byte a number, in memory: a quarter to read, which tells the few rows that can be among the best.

FAISS's scalar quantiser takes their inner products with a rounded query in whole numbers. Rounding changes one by at most the
length of the query times that of the vector's error, and the length of the vector times that of the query's (Cauchy and
Schwarz). So where the k best exact scores among the best by bytes lie further above the others than that, they are the k best
of all; else it is left open.
"""

from __future__ import annotations

from threading import Lock

import numpy as np

from vecsearch.ann.threads import for_queries
from vecsearch.forks import library_code
from vecsearch.metric import Metric, normalise

BLOCK_ROWS = 16_384
"""Rows that are rounded at a time, in some ten milliseconds."""
HEADROOM = 1.25
"""How far beyond the largest number of a sample the bytes reach."""
MOST_ODD = 1024
"""Rows that may have a number beyond that, each of which every search looks at."""
LANES = 16
"""Numbers that FAISS takes at once: for other lengths it is several times slower."""
LEAST_CANDIDATES, CANDIDATES = 128, 4
"""Rows whose exact scores are computed: so many, and for large k so many times k."""
TINY = 1e-30
"""Numbers that count as 0: float32 has no inverse of much smaller ones, and not all digits of their products."""
FLOAT32 = 1e-5
"""Errors of sums in float32, as a share of both lengths, taken together."""
DOUBTS = 32
"""Queries for which the best were not certain, after which it ends where they are more than the others."""


class Rounded:
    """Stored vectors (n, d) float32 with their lengths `norms` (n,) as bytes, for one metric; made block by block by `grow`."""

    def __init__(self, vectors: np.ndarray, norms: np.ndarray, metric: Metric) -> None:
        import faiss

        self._vectors, self._norms, self._metric = vectors, norms, metric
        self._growing = Lock()
        largest = np.abs(self._points(slice(None, None, -(-len(vectors) // BLOCK_ROWS)))).max(axis=0)
        self._scales = 127 / (HEADROOM * np.where(largest > TINY, largest, np.float32(1)))
        width = -(-vectors.shape[1] // LANES) * LANES
        self._codes = faiss.IndexScalarQuantizer(width, faiss.ScalarQuantizer.QT_8bit_direct_signed, faiss.METRIC_INNER_PRODUCT)
        self._odd, self._is_odd = np.empty(0, np.int64), np.zeros(len(vectors), bool)
        self._error = self._longest = self._steps = 0.0
        self._certain = self._doubtful = 0

    @property
    def ready(self) -> bool:
        """Whether all vectors are rounded, and it helped so far."""
        return self._codes.ntotal == len(self._vectors) and not self.useless

    @property
    def useless(self) -> bool:
        """Whether the vectors do not fit bytes, or lie so close to each other that rounding hides which are the best."""
        return len(self._odd) > MOST_ODD or self._doubtful > max(DOUBTS, self._certain)

    def grow(self) -> None:
        """Round the next block, unless another thread is about it."""
        if self._growing.acquire(blocking=False):
            try:
                self._grow()
            finally:
                self._growing.release()

    def _grow(self) -> None:
        first = self._codes.ntotal
        points = self._points(slice(first, first + BLOCK_ROWS))
        if not len(points):
            return
        whole = np.rint(points * self._scales)
        odd = (np.abs(whole) > 127).any(axis=1)
        self._odd, self._is_odd[first : first + len(points)] = np.append(self._odd, first + np.flatnonzero(odd)), odd
        with np.errstate(over="ignore"):  # an infinite error leaves all open
            self._error = max(self._error, _longest((points - whole / self._scales)[~odd]))
            self._longest, self._steps = max(self._longest, _longest(points)), max(self._steps, _longest(whole[~odd]))
        with library_code:
            self._codes.add(self._padded(np.clip(whole, -127, 127)))

    def _points(self, rows: slice) -> np.ndarray:
        vectors = self._vectors[rows]
        return normalise(vectors, self._norms[rows]) if self._metric is Metric.COSINE else np.ascontiguousarray(vectors)

    def _padded(self, table: np.ndarray) -> np.ndarray:
        padded = np.zeros((len(table), self._codes.d), np.float32)
        padded[:, : table.shape[1]] = table
        return padded

    def search(self, queries: np.ndarray, k: int, among: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scores (q, k) float32, best first, and rows int64 for queries (q, d) float32, equal scores by row, and of which of
        the queries it is certain that these are the k best: (q,) bool. `among` are the rows that may be found, (m,) int64."""
        import faiss

        if self._metric is Metric.COSINE:
            queries = normalise(queries)
        parameters, odd = None, self._odd
        if among is not None:
            allowed = np.zeros(len(self._vectors), bool)
            allowed[among] = True
            selector = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
            parameters, odd = faiss.SearchParameters(sel=selector), odd[allowed[odd]]
        count = min(self._codes.ntotal, max(LEAST_CANDIDATES, CANDIDATES * k))
        scaled = queries / self._scales
        steps = np.maximum(np.abs(scaled).max(axis=1, keepdims=True) / 127, np.float32(TINY))
        asked = np.rint(scaled / steps)  # FAISS would cut off what is behind the point
        with for_queries(len(queries)), library_code:
            rounded, rows = self._codes.search(self._padded(asked), count, params=parameters)
        # What is odd may have been found as well.
        found = np.concatenate([np.where(self._is_odd[rows], -1, rows), np.tile(odd, (len(queries), 1))], axis=1)
        scores = np.vecdot(self._vectors[found], queries[:, None])
        if self._metric is Metric.COSINE:
            lengths = self._norms[found]
            scores /= np.where(lengths > 0, lengths, np.float32(1))
        scores[found < 0] = -np.inf
        order = np.lexsort((found, -scores), axis=1)[:, :k]
        scores, found = np.take_along_axis(scores, order, axis=1), np.take_along_axis(found, order, axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            margin = (self._error + FLOAT32 * self._longest) * np.linalg.norm(queries, axis=1) + np.float32(TINY)
            margin += np.linalg.norm(scaled - asked * steps, axis=1) * self._steps
            certain = (rows[:, -1] < 0) | (scores[:, -1] > rounded[:, -1] * steps[:, 0] + margin)
        self._certain += int(certain.sum())
        self._doubtful += len(queries) - int(certain.sum())
        return scores, found, certain


def _longest(vectors: np.ndarray) -> float:
    return float(np.linalg.norm(vectors, axis=1).max(initial=0))
