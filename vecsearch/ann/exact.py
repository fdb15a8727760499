"""Exact top-k, the truth that every other kind of index is measured against."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from functools import partial

import numpy as np

from vecsearch.ann.rounded import Rounded
from vecsearch.ann.threads import CORES
from vecsearch.blas import each_by_a_thread, one_thread, product_threads
from vecsearch.files import memory_limit, release
from vecsearch.forks import library_code
from vecsearch.metric import Metric, normalise

BLOCK_BYTES = 64 << 20
"""Vectors, or scores, in memory at a time, whatever the size of the index."""
SCORES = 1 << 20
"""Scores that are computed together: 4 MB of them stay near to the processor."""
FIRST_ROWS = 1024
"""Rows that are looked at first: the k-th best of them leaves few of the others to be sorted."""
MANY_QUERIES = 1000
"""Queries that are looked at together, at the most, so that a product has some thousand rows."""
ENOUGH_QUERIES = 256
"""Queries that are worth a thread of their own: threads that share a product wait for each other, and while one sorts."""
FEW_QUERIES = 8
"""Below so many, the product of each row with each query is taken by itself: that reads 35 GB of vectors a second from memory,
and BLAS 11, which puts them into another order before."""
CACHED = 1 << 21
"""Numbers in vectors that stay near to the processor from one search to the next: BLAS is as fast with those."""
FEW_ROWS = 2048
"""Rows that are read for one query after the other, while they are near to the processor."""
FEW_CORES = 4
"""Up to so many cores, one by itself reads vectors faster than all do by BLAS."""
SMALL = 1 << 27
"""Multiplications of a search up to which one thread does them all, in about 4 ms. Where another process keeps a core busy, two
threads wait up to 20 ms for each other, however little there is to do."""
SEARCHES = 16
"""Searches of a process after which it may pay to round the vectors: one command does not ask so often."""
MOST_AT_ONCE = 48
"""Queries up to which rounded vectors are read in less time than a product with all of them takes."""
MOST_HITS = 256
"""Hits up to which rounding leaves few rows to be looked at."""
SHARE = 4
"""Of so many rows at least one must be allowed: the bytes of all are read."""


class ExactSearcher:
    """Exact search over stored vectors (n, d) float32, by either metric; `norms` (n,) float32 are their lengths.

    Where it is asked again and again it keeps a byte for each number in memory, and reads those; not with `little` memory.
    """

    def __init__(self, vectors: np.ndarray, norms: np.ndarray, *, little: bool = False) -> None:
        self._vectors, self._norms = vectors, norms
        self._searches, self._rounded = 0, dict[Metric, Rounded]()
        self._may_round = not little and vectors.size > CACHED and vectors.nbytes <= memory_limit() // 4

    def search(
        self, queries: np.ndarray, k: int, metric: Metric, among: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores (q, min(k, n)) float32, best first, and rows int64 for queries (q, d) float32; equal scores by row.

        `among` are the rows that may be found, (n,) int64, rising; without it all may.
        """
        rows = len(self._vectors) if among is None else len(among)
        k = min(k, rows)
        rounded = self._by_bytes(len(queries), k, metric, rows)
        if not rounded:
            return self._plain(queries, k, metric, among)
        scores, found, certain = rounded.search(queries, k, among)
        if not certain.all():
            scores[~certain], found[~certain] = self._plain(queries[~certain], k, metric, among)
        return scores, found

    def _plain(self, queries: np.ndarray, k: int, metric: Metric, among: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        rows = len(self._vectors) if among is None else len(among)
        scores, places = nearest(self._blocks(among), queries, k, metric, rows=rows)
        return scores, places if among is None else among[places]

    def _by_bytes(self, queries: int, k: int, metric: Metric, rows: int) -> Rounded | None:
        """The rounded vectors, for so many queries and hits of so many rows; None where it does better without them. They are
        made by the searches that come first, a block by each, so that none of them takes long."""
        if not (self._may_round and 0 < queries <= MOST_AT_ONCE and 0 < k <= MOST_HITS and rows * SHARE >= len(self._vectors)):
            return None
        self._searches += 1
        if self._searches <= SEARCHES:
            return None
        try:
            rounded = self._rounded.get(metric) or self._rounded.setdefault(metric, Rounded(self._vectors, self._norms, metric))
            if rounded.ready:
                return rounded
            rounded.grow()
            useless = rounded.useless
        except MemoryError:
            useless = True
        if useless:
            self._may_round, self._rounded = False, {}
        return None

    def _blocks(self, among: np.ndarray | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        step = max(1, BLOCK_BYTES // (4 * self._vectors.shape[1]))
        # They would push out of memory what others need there.
        many = self._vectors.nbytes > memory_limit() // 2
        for first in range(0, len(self._vectors if among is None else among), step):
            part = slice(first, first + step) if among is None else among[first : first + step]
            yield self._vectors[part], self._norms[part]
            if many:
                release(self._vectors)


def nearest(
    blocks: Iterable[tuple[np.ndarray, np.ndarray]], queries: np.ndarray, k: int, metric: Metric, *, rows: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (q, min(k, n)) float32, best first, and rows int64 of n vectors that stream by once; equal scores by row.

    `blocks` are pairs of vectors (b, d) float32 and their lengths (b,) float32, from the first row to the last. `rows` is n,
    where it is known: so little that it takes one thread a few milliseconds is left to one.
    """
    if metric is Metric.COSINE:
        queries = normalise(queries)
    step = MANY_QUERIES
    if len(queries) > ENOUGH_QUERIES:
        step = min(step, max(ENOUGH_QUERIES, -(-len(queries) // product_threads())))
    searches = [_Search(queries[start : start + step], k, rows) for start in range(0, len(queries), step)]
    first = 0
    with each_by_a_thread(len(searches)) as each:
        for vectors, norms in blocks:
            # The score of a zero vector is 0 already.
            lengths = None
            if metric is Metric.COSINE:
                lengths = norms if norms.all() else np.where(norms > 0, norms, np.float32(1))
            with library_code:
                each(partial(_Search.look, vectors=vectors, lengths=lengths, first=first), searches)
            first += len(vectors)
    if not searches:
        return np.empty((0, min(k, first)), np.float32), np.empty((0, min(k, first)), np.int64)
    return np.concatenate([search.scores for search in searches]), np.concatenate([search.rows for search in searches])


class _Search:
    """The k best rows of each of the queries (q, d) so far: `scores` (q, up to k) float32, best first, and `rows` int64."""

    def __init__(self, queries: np.ndarray, k: int, rows: int | None) -> None:
        """`rows` is how many there are in all, where that is known."""
        self._queries, self._k = queries, k
        self._small = rows is not None and rows * queries.size <= SMALL
        cached = rows is not None and rows * queries.shape[1] <= CACHED
        self._by_row = len(queries) < FEW_QUERIES and not cached and (self._small or CORES <= FEW_CORES)
        self.scores, self.rows = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)

    def look(self, vectors: np.ndarray, lengths: np.ndarray | None, first: int) -> None:
        """Look at the vectors (b, d) of the rows from `first` on; scores are divided by the `lengths` (b,)."""
        queries = len(self._queries)
        most = max(1, BLOCK_BYTES // (4 * queries))
        few = queries < FEW_QUERIES  # to sort more of their scores takes less than another part
        step, start = min(most, max(FIRST_ROWS * (16 if few else 1), 4 * self._k)), 0
        while start < len(vectors):
            part = slice(start, start + step)
            scores = self._products(vectors[part])
            if lengths is not None:
                np.divide(scores, lengths[part, None], out=scores)
            self._take(scores, first + start)
            start += step
            step = min(most, max(SCORES // queries, 64 * self._k))

    def _products(self, vectors: np.ndarray) -> np.ndarray:
        """Inner products of vectors (b, d) with the queries: (b, q) float32."""
        if self._by_row:
            scores = np.empty((len(vectors), len(self._queries)), np.float32)
            for first in range(0, len(vectors), FEW_ROWS):
                some = slice(first, first + FEW_ROWS)
                for number, query in enumerate(self._queries):
                    np.vecdot(vectors[some], query, out=scores[some, number])
            return scores
        # This way round BLAS reads the vectors as they lie.
        with one_thread() if self._small else nullcontext():
            return vectors @ self._queries.T

    def _take(self, scores: np.ndarray, first: int) -> None:
        """Take the best of the scores (b, q) of the rows from `first` on, which come after all before."""
        if self.scores.shape[1] < self._k:
            found = np.ones(scores.shape, bool) if len(scores) <= self._k else scores >= _kth(scores, self._k)
        else:
            # What is as good as the k-th comes after it.
            found = scores > self.scores[:, -1]
            if np.count_nonzero(found) > max(scores.size // 8, 4 * self._k * scores.shape[1]):
                found &= scores >= _kth(scores, self._k)
        places = np.flatnonzero(found)
        if not len(places):
            return
        if scores.shape[1] == 1:
            self._merge(np.zeros(1, int), scores[places].T, first + places[None])
            return
        rows, queries = np.divmod(places, scores.shape[1])
        order = np.argsort(queries, kind="stable")
        rows, queries = rows[order], queries[order]
        counts = np.bincount(queries, minlength=scores.shape[1])
        places = np.arange(len(rows)) - (counts.cumsum() - counts)[queries]
        touched = np.flatnonzero(counts)
        lines = np.searchsorted(touched, queries)
        more, more_rows = (
            np.full((len(touched), counts.max()), -np.inf, np.float32),
            np.zeros((len(touched), counts.max()), int),
        )
        more[lines, places], more_rows[lines, places] = scores[rows, queries], first + rows
        self._merge(touched, more, more_rows)

    def _merge(self, queries: np.ndarray, scores: np.ndarray, rows: np.ndarray) -> None:
        """Take scores and rows (m, any) for m of the queries, which come after all before, equal scores by row."""
        scores = np.concatenate([self.scores[queries], scores], axis=1)
        rows = np.concatenate([self.rows[queries], rows], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, : self._k]
        scores, rows = np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)
        if len(queries) == len(self._queries):
            self.scores, self.rows = scores, rows
        else:
            self.scores[queries], self.rows[queries] = scores, rows


def _kth(scores: np.ndarray, k: int) -> np.ndarray:
    """The k-th best of the scores (b, q) of each query, of which there are more: (q,) float32."""
    place = len(scores) - k
    return np.partition(np.ascontiguousarray(scores.T), place, axis=1)[:, place]


def merge(scores: tuple[np.ndarray, np.ndarray], rows: tuple[np.ndarray, np.ndarray], k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best of two lists of hits per query, each (q, any): scores best first, equal scores by row."""
    all_scores, all_rows = np.concatenate(scores, axis=1), np.concatenate(rows, axis=1)
    order = np.lexsort((all_rows, -all_scores), axis=1)[:, :k]
    return np.take_along_axis(all_scores, order, axis=1), np.take_along_axis(all_rows, order, axis=1)
