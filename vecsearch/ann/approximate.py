"""Searching a FAISS index: it proposes candidates, and their exact scores decide."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vecsearch.ann.probing import Probing, without_margin
from vecsearch.ann.ranking import best, best_of_one, exact_scores, repeated
from vecsearch.ann.recall import reaches
from vecsearch.ann.selection import selection
from vecsearch.ann.source import Rows
from vecsearch.ann.spec import (
    MOST_NODES,
    SearchParameters,
    copies,
    has_residuals,
    reason,
    row_numbers,
    set_parameters,
    setting,
    settings,
)
from vecsearch.ann.threads import for_queries, threads
from vecsearch.errors import DamagedIndexError, UnsupportedIndexError, UsageError
from vecsearch.forks import library_code
from vecsearch.metric import Metric

BLOCK_QUERIES = 2048
"""Queries that are searched together, so that memory does not grow with their number."""
MATCHES, MOST_NEAR = 20, 1024
"""Rows that a condition should leave of those near a query, to tell how common they are there; of how many at the most."""
ALMOST_ALL = 1.1
"""Where a condition, or what was deleted, leaves all rows but one in ten, it makes no difference near which query that is."""
READ_BYTES = 32 << 20
"""Vectors that are ranked again at a time where they are read from a file."""


def open_searcher(
    path: Path, spec: str, source: Rows, search_parameters: SearchParameters, *, count: int | None = None
) -> ApproximateSearcher:
    """A searcher by the FAISS index in a file, which is memory-mapped, and holds `count` of the rows of `source`, by default
    all. Raises DamagedIndexError when they do not fit."""
    import faiss

    try:
        with library_code:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except (RuntimeError, MemoryError) as error:
        raise DamagedIndexError(f"FAISS cannot read {path}: {reason(error)}; vecsearch rebuild makes it again") from None
    expected = copies(spec) * (len(source) if count is None else count)
    if index.ntotal != expected:
        raise DamagedIndexError(f"{path} holds {index.ntotal:,} vectors, not {expected:,}; vecsearch rebuild makes it again")
    if source.metric is Metric.INNER_PRODUCT and index.metric_type == faiss.METRIC_INNER_PRODUCT:
        source = source.by_inner_product()  # as all of a larger index were, whose lengths differ where these may be equal
    euclidean = source.compared.euclidean
    if (index.metric_type == faiss.METRIC_L2) != euclidean and not (euclidean and has_residuals(spec)):
        message = f"{path} was made by vecsearch before 0.2, which compared otherwise; vecsearch rebuild makes it again"
        raise UnsupportedIndexError(message)
    try:
        return ApproximateSearcher(index, copies(spec), source, search_parameters)
    except UsageError as error:
        raise DamagedIndexError(f"{path} does not fit its manifest: {error}; vecsearch rebuild makes it again") from None


class _Wanted(NamedTuple):
    """FAISS's search parameters, None for those that are set, and the margin of the lists that are read."""

    parameters: Any
    margin: float


class ApproximateSearcher:
    """A FAISS index over stored vectors, for the one metric that it was built for, which holds each once or twice."""

    def __init__(self, index: Any, times: int, source: Rows, search_parameters: SearchParameters) -> None:
        self._index, self._times = index, times
        self._source = source
        self._vectors, self._norms, self._metric = source.vectors, source.norms, source.metric
        self._compared = source.compared
        # The score of a zero vector is 0 already.
        self._divisors = np.where(self._norms > 0, self._norms, np.float32(1))
        self._probing = Probing.of(index, self._metric)
        self.set_parameters(search_parameters)

    def __len__(self) -> int:
        return len(self._vectors)

    @property
    def setting(self) -> str | None:
        """Name of what trades time for recall, beside the number of candidates."""
        return setting(self._index)

    def settings(self, k: int) -> tuple[int, int]:
        """The least and the largest value of the setting that make sense for k hits."""
        return settings(self._index, self._index.ntotal, k)

    def gaps(self, queries: np.ndarray) -> np.ndarray | None:
        """As `Probing.gaps` has them; None for a kind that has no margin."""
        return self._probing and self._probing.gaps(self._compared.of_queries(queries))

    @property
    def search_parameters(self) -> dict[str, float]:
        """What it searches with."""
        return dict(self._search_parameters)

    def set_parameters(self, search_parameters: SearchParameters) -> None:
        """Search with these from now on. Raises UsageError for a setting that this kind of index does not have."""
        set_parameters(self._index, search_parameters)
        self._search_parameters = dict(search_parameters)
        self._usual = _Wanted(None, search_parameters.get("margin", math.inf))

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores (q, k') float32, best first, and rows int64 for queries (q, d) float32; equal scores by row.

        k' is k, or the number of vectors where that is less; row -1 with score -inf stands where nothing was found.
        """
        return self._search(queries, min(k, len(self._vectors)), None)

    def search_among(self, queries: np.ndarray, k: int, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """`search` for the rows that `mask` (n,) bool leaves, the harder the fewer of these are near a query.

        k' is k, or the number of these rows where that is less; row -1 with score -inf also stands where a search would have to
        be too hard. None where this kind of index cannot leave rows out.
        """
        shape = len(queries), min(k, int(np.count_nonzero(mask)))
        scores, rows = np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int64)
        try:
            times = self._rarity(queries, mask)
            for some in np.unique(times[np.isfinite(times)]):
                here = np.flatnonzero(times == some)
                scores[here], rows[here] = self._search(queries[here], shape[1], self._wanted(mask, self._harder(some)))
        except RuntimeError:
            return None  # FAISS has no selection for some kinds
        return scores, rows

    def _rarity(self, queries: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Of how many rows near each query the mask leaves one: (q,) float64, infinity where too few to search for them.

        What a condition leaves may lie far from the query that comes with it, or around it.
        """
        if not self.setting:
            return np.ones(len(queries))
        everywhere = len(mask) / np.count_nonzero(mask)
        if everywhere < ALMOST_ALL:
            return np.full(len(queries), everywhere)
        if everywhere > self._most_times:
            return np.full(len(queries), np.inf)
        near = min(len(mask), MOST_NEAR, math.ceil(MATCHES * everywhere))
        # Which rows exactly are the nearest does not matter.
        lists = self.setting == "nprobe"
        rough = {"nprobe": math.ceil(without_margin(self._search_parameters)["nprobe"] / 4)} if lists else {"efSearch": near}
        roughly = self._wanted(None, rough)
        left = [
            (mask[rows] & (rows >= 0)).sum(axis=1)
            for first in range(0, len(queries), BLOCK_QUERIES)
            for _, rows in [self._candidates(queries[first : first + BLOCK_QUERIES], near, roughly)]
        ]
        with np.errstate(divide="ignore"):
            times = near / np.concatenate([np.empty(0), *left])
        # In half octaves: queries for which it is about the same are searched together.
        times = np.exp2(np.ceil(2 * np.log2(times)) / 2)
        return np.where(times > self._most_times, np.inf, times)

    @property
    def _most_times(self) -> float:
        """How much harder than without a condition a search may be: all lists can be read, not all of a graph."""
        return np.inf if self.setting == "nprobe" else MOST_NODES / self._search_parameters["efSearch"]

    def _harder(self, times: float) -> SearchParameters:
        """Search parameters for the best of some of the rows: those of `times` as many of all have to be found."""
        if not (name := self.setting):
            return self.search_parameters
        # They are spread over more lists, but not over as many times more. How far off they are a margin does not know.
        parameters, scale = without_margin(self._search_parameters), math.sqrt(times) if name == "nprobe" else times
        return parameters | {name: min(self.settings(1)[1], math.ceil(parameters[name] * scale))}

    def _wanted(self, mask: np.ndarray | None, parameters: SearchParameters) -> _Wanted:
        index = self._probing.core if self._probing else self._index
        return _Wanted(selection(index, mask, parameters), parameters.get("margin", math.inf))

    def _search(self, queries: np.ndarray, k: int, wanted: _Wanted | None) -> tuple[np.ndarray, np.ndarray]:
        count = max(self._times * k, self._search_parameters["candidates"])
        if len(queries) == 1:
            return best_of_one(*self._candidates(queries, count, wanted), k, self._times)
        found = [
            best(*self._candidates(queries[first : first + BLOCK_QUERIES], count, wanted), k, self._times)
            for first in range(0, len(queries), BLOCK_QUERIES)
        ]
        empty = (np.empty((0, k), np.float32), np.empty((0, k), np.int64))
        scores, rows = zip(empty, *found, strict=True)
        return np.concatenate(scores), np.concatenate(rows)

    def candidates(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Exact scores (q, c) float32 and rows int64 of the `count` hits that FAISS finds nearest, in FAISS's order.

        c is `count`, or all that the index holds where that is less; of a vector's two hits the second gets score -inf.
        """
        scores, rows = self._candidates(queries, count)
        if self._times > 1:
            scores[repeated(rows)] = -np.inf
        return scores, rows

    def _candidates(self, queries: np.ndarray, count: int, wanted: _Wanted | None = None) -> tuple[np.ndarray, np.ndarray]:
        points, cosine = self._compared.of_queries(queries), self._metric is Metric.COSINE
        parameters, margin = wanted or self._usual
        with for_queries(len(points)), library_code:
            if self._probing:
                rows = self._probing.search(points, min(count, self._index.ntotal), margin, parameters)
            else:
                _, rows = self._index.search(points, min(count, self._index.ntotal), params=parameters)
            scores = self._exact_scores(points if cosine else queries, rows)
        if cosine:
            scores /= self._divisors.take(rows)
        return scores, rows

    def hits(self, queries: np.ndarray, truth: np.ndarray, count: int) -> np.ndarray:
        """How many of the first 1, 2 … candidates of each query are true hits, as the exact scores `truth` (q, k) float32 have
        them: (q, c) int, where c is as in `candidates`."""
        return np.cumsum(reaches(truth, self.candidates(queries, count)[0]), axis=1)

    def seconds(self, queries: np.ndarray, k: int) -> float:
        """What a query of a batch takes on one thread, as it is set: the better of two."""

        def rounds() -> Iterator[float]:
            for _ in range(2):
                started = time.perf_counter()
                self.search(queries, k)
                yield time.perf_counter() - started

        with threads(1):
            return min(rounds()) / len(queries)

    def problems(self) -> list[str]:
        """What is wrong with the rows that the index holds; empty when each is there as often as it should be."""
        numbers = row_numbers(self._index)
        counts = np.bincount(numbers[(numbers >= 0) & (numbers < len(self._vectors))], minlength=len(self._vectors))
        wrong = np.flatnonzero(counts != self._times)
        return [f"it holds row {wrong[0]} {counts[wrong[0]]} times, not {self._times}"] if len(wrong) else []

    def _exact_scores(self, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        read = self._source.read
        if read is None:
            return exact_scores(queries, rows, self._vectors)
        scores = np.empty(rows.shape, np.float32)
        step = max(1, READ_BYTES // (4 * queries.shape[1] * max(1, rows.shape[1])))
        for part in (slice(first, first + step) for first in range(0, len(queries), step)):
            distinct, places = np.unique(rows[part], return_inverse=True)
            places = np.where(rows[part] < 0, -1, places.reshape(rows[part].shape))
            scores[part] = exact_scores(queries[part], places, read(np.maximum(distinct, 0)))
        return scores
