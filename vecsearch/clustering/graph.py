"""The graph of nearest neighbors among the documents of an index, as its own search finds them: no table of all pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vecsearch.clustering.points import BLOCK_ROWS, Points
from vecsearch.progress import SILENT, Progress

if TYPE_CHECKING:
    from scipy.sparse import csr_array

FIRST = 32
"""Neighbors that `alike` looks for at first."""
FOURFOLD = 4
MOST = 2048
"""Neighbors of a point that `alike` looks for at the most: bounds memory where a threshold is low."""
ROUNDING = 1e-6
"""By how much a cosine may miss a threshold: equal vectors have one of 0.9999999."""


def neighbors(points: Points, numbers: np.ndarray, k: int, *, progress: Progress = SILENT) -> tuple[np.ndarray, np.ndarray]:
    """The k points most like each of the points `numbers` (p,) by cosine, itself left out: their numbers int32 and cosines
    float32, (p, k') each, best first. k' is k, or how many others there are."""
    k = min(k, len(points) - 1)
    found, scores = np.empty((len(numbers), k), np.int32), np.empty((len(numbers), k), np.float32)
    for first in range(0, len(numbers) if k else 0, BLOCK_ROWS):
        own = numbers[first : first + BLOCK_ROWS]
        near, cosines = points.nearest(points.stored(own), k + 1)
        if len(short := np.flatnonzero((near < 0).any(axis=1))):
            near[short], cosines[short] = points.nearest_among(points.stored(own[short]), k + 1, np.arange(len(points)))
        # Itself goes to the end; where equal ones pushed it out, the last of them does.
        itself = near == own[:, None]
        itself[~itself.any(axis=1), -1] = True
        order = np.argsort(itself, axis=1, kind="stable")[:, :k]
        found[first : first + len(own)] = np.take_along_axis(near, order, axis=1)
        scores[first : first + len(own)] = np.take_along_axis(cosines, order, axis=1)
        progress.step("documents", first + len(own), len(numbers))
    return found, scores


@dataclass(frozen=True)
class Alike:
    """For each of n points those that are like it: `numbers[starts[i] : starts[i + 1]]` are like point i, with `cosines`."""

    starts: np.ndarray
    numbers: np.ndarray
    cosines: np.ndarray
    crowded: int
    """How many points have MOST others like them or more, of which only MOST are kept."""

    def to(self, number: int) -> np.ndarray:
        """The points that are like this one, best first: (m,) int32."""
        return self.numbers[self.starts[number] : self.starts[number + 1]]


def alike(points: Points, threshold: float, *, first: int = FIRST, progress: Progress = SILENT) -> Alike:
    """The points that have a cosine of at least `threshold` with each other; zero vectors have no such points. For each
    point `first` neighbors are searched for; where all of these are alike, FOURFOLD as many, and so on."""
    asked, k, threshold = np.flatnonzero(points.known), first, threshold - ROUNDING
    edges: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    while True:
        found, scores = neighbors(points, asked, k, progress=progress)
        again = scores[:, -1] >= threshold if scores.shape[1] == k < MOST else np.zeros(len(asked), bool)
        kept = (scores >= threshold) & ~again[:, None]
        edges.append((np.repeat(asked, kept.sum(axis=1)), found[kept], scores[kept]))
        if not again.any():
            break
        asked, k = asked[again], min(MOST, FOURFOLD * k)
    owners, numbers, cosines = (np.concatenate(parts) for parts in zip(*edges, strict=True))
    order = np.argsort(owners, kind="stable")
    starts = np.searchsorted(owners[order], np.arange(len(points) + 1))
    crowded = int((np.diff(starts) >= MOST).sum())
    return Alike(starts, numbers[order], cosines[order], crowded)


def symmetric(found: np.ndarray, lengths: np.ndarray) -> csr_array:
    """The graph (n, n) with an edge, both ways, between each point and its neighbors (n, k), number −1 being none; `lengths`
    (n, k) are above 0."""
    from scipy.sparse import csr_array

    n, k = found.shape
    begins, kept = np.repeat(np.arange(n), k), found.ravel() >= 0
    one_way = csr_array((lengths.ravel()[kept], (begins[kept], found.ravel()[kept])), shape=(n, n))
    graph = csr_array(one_way.maximum(one_way.T))
    graph.sort_indices()
    return graph
