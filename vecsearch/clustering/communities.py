"""Communities: documents around one that they are all like, at least by a threshold."""

from __future__ import annotations

import heapq

import numpy as np

from vecsearch.clustering.graph import ROUNDING, alike, neighbors
from vecsearch.clustering.kmeans import assign
from vecsearch.clustering.points import Points
from vecsearch.metric import normalise
from vecsearch.progress import SILENT, Progress


def usual_threshold(points: Points, numbers: np.ndarray, size: int) -> float:
    """The median cosine of points (p,) with their `size`-th nearest document, themselves counted: half of them could be the
    middle of a community of that size."""
    _, scores = neighbors(points, numbers, size - 1)
    return float(np.median(scores[:, -1])) if scores.size else 1.0


def communities(points: Points, threshold: float, size: int, *, progress: Progress = SILENT) -> tuple[np.ndarray, int]:
    """The points in the middle of communities of `size` or more, largest community first, and how many points are like more
    others than are looked for.

    A community is a point with all that are like it by `threshold` and in no community yet; the largest is taken first. So
    does sentence-transformers' community_detection, whose sizes, though, are from before others are taken away.
    """
    near = alike(points, threshold, progress=progress)
    counts = np.diff(near.starts) + 1
    sizes = [(-int(counts[number]), int(number)) for number in np.flatnonzero(counts >= size)]
    heapq.heapify(sizes)
    free = points.known.copy()
    middles = []
    while sizes:
        before, number = heapq.heappop(sizes)
        if not free[number]:
            continue
        members = near.to(number)[free[near.to(number)]]
        now = -len(members) - 1
        if now != before:
            if -now >= size:
                heapq.heappush(sizes, (now, number))
            continue
        middles.append(number)
        free[members] = free[number] = False
    return _lasting(points, np.array(middles, np.int64), threshold, size), near.crowded


def _lasting(points: Points, middles: np.ndarray, threshold: float, size: int) -> np.ndarray:
    """The middles whose communities have `size` members or more when each point is in that of the nearest middle."""
    while len(middles):
        labels = within(points, normalise(points.stored(middles)), threshold)
        counts = np.bincount(labels[labels >= 0], minlength=len(middles))
        if (counts >= size).all():
            break
        middles = middles[counts >= size]
    return middles


def within(points: Points, centres: np.ndarray, threshold: float) -> np.ndarray:
    """The nearest of centres (c, dim) of length 1 to each point, or −1 where its cosine is below the threshold: (n,) int64."""
    labels = [np.empty(0, np.int64)]
    for numbers, vectors in points.blocks():
        found, cosines = assign(normalise(vectors), centres, spherical=True)
        labels.append(np.where((cosines >= threshold - ROUNDING) & points.known[numbers], found, -1))
    return np.concatenate(labels)
