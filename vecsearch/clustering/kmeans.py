"""k-means: Lloyd's rounds over growing samples, then over all points (Lloyd 1982; Newling and Fleuret 2016, Nested mini-batch
k-means), spherical where all points are of length 1 (Dhillon and Modha 2001).

Every sum is over blocks of one size, each on one thread, in their order: the result does not depend on how many threads there
are, nor the cluster of a point on which others are looked at with it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from vecsearch.blas import at_most
from vecsearch.metric import normalise
from vecsearch.progress import SILENT, Progress

BLOCK = 1024
"""Points that are compared with all centres at a time."""
BLOCKS = 8
"""Blocks that a thread takes at a time."""
SAMPLES, LEAST_SAMPLE = (64, 256), 2048
"""Points for each cluster in the samples that centres are first moved over, and how many they have at the least; a sample of
more than half of all is left out."""
SEEDED = (4, 4096)
"""Points for each cluster, and at the least, among which the first centres are chosen."""
TRIES, TRIED = 10, 32_768
"""First centres that are tried over the smallest sample, at most, as long as they look at no more points together; those with
the least inertia go on. Among many clusters a bad start of one matters little, among five it can cost 4 % of the inertia."""
SETTLED = 1e-3
"""Rounds end when the inertia falls by no more than this share of it."""
ROUNDS = 12
"""Rounds over one sample, or all points, at the most."""

Read = Callable[[np.ndarray | slice], np.ndarray]
"""The points (p, d) float32 of these numbers (p,) int64, or of a range: for an array of points its `__getitem__`."""


@dataclass(frozen=True)
class Fit:
    """Centres (c, d) float32, the label of each point (n,) int64, and the sum of squared distances to their centres."""

    centres: np.ndarray
    labels: np.ndarray
    inertia: float


def kmeans(
    read: Read, n: int, k: int, *, spherical: bool, seed: int, threads: int | None = None, progress: Progress = SILENT
) -> Fit:
    """At most `k` clusters of the points 0 … n−1, fewer where fewer points differ; the labels are those of `assign`.

    `threads` is by default the number of cores. `progress` is called with how many documents of the sample this round has
    seen.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(n)
    with _one_thread_each(threads) as pool:
        samples = dict.fromkeys(max(share * k, LEAST_SAMPLE) for share in SAMPLES)
        sizes = [*(size for size in samples if 2 * size <= n), n]
        starts = [_first_centres(read, order, k, rng) for _ in range(max(1, min(TRIES, TRIED // sizes[0])))]
        for size in sizes:
            sample = read if size == n else read(np.sort(order[:size])).__getitem__
            settled = [_settle(sample, size, start, spherical, pool, progress) for start in starts]
            starts = [min(settled, key=lambda found: found[1])[0]]
        (centres,) = starts
        labels, sums = _round(read, n, centres, spherical, pool, progress)
        used = np.flatnonzero(sums.counts)
        if len(used) < len(centres):
            centres = centres[used]
            labels, sums = _round(read, n, centres, spherical, pool, progress)
        return Fit(centres, labels, sums.inertia())


def assign(points: np.ndarray, centres: np.ndarray, *, spherical: bool) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of centres (c, d) to each point (p, d) float32, and the products of both: (p,) each.

    Of centres that are equally near, but for the last bits of float32, any may be taken: those bits depend on what is
    computed together, in another way on each kind of processor.
    """
    half_squares = np.zeros(len(centres), np.float32) if spherical else np.square(centres).sum(axis=1) / 2
    labels, products = np.empty(len(points), np.int64), np.empty(len(points), np.float32)
    whole = np.empty((min(BLOCK, len(points)), len(centres)), np.float32)
    for first in range(0, len(points), BLOCK):
        block = points[first : first + BLOCK]
        nearness = np.matmul(block, centres.T, out=whole[: len(block)])
        nearness -= half_squares
        best = nearness.argmax(axis=1)
        labels[first : first + len(block)] = best
        products[first : first + len(block)] = nearness[np.arange(len(block)), best] + half_squares[best]
    return labels, products


def sums_of(points: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """The sum of the points (p, d) float32 of each label (p,) from 0 to count−1: (count, d) float32."""
    from scipy.sparse import csr_array

    return csr_array((np.ones(len(points), np.float32), labels, np.arange(len(points) + 1)), (len(points), count)).T @ points


class _Sums:
    """What a round adds up over points, for each of c centres."""

    def __init__(self, centres: np.ndarray) -> None:
        self.points = np.zeros(centres.shape)
        self.counts = np.zeros(len(centres), np.int64)
        self._squares = 0.0
        self._centres = centres.astype(np.float64)

    def add(self, points: np.ndarray, counts: np.ndarray, squares: float) -> None:
        self.points += points
        self.counts += counts
        self._squares += squares

    def inertia(self) -> float:
        """Sum of squared distances of the points to the centres they were compared with."""
        products = np.einsum("cd,cd->c", self.points, self._centres).sum()
        return float(self._squares - 2 * products + self.counts @ np.square(self._centres).sum(axis=1))

    def means(self, *, spherical: bool) -> np.ndarray:
        """The mean of each centre's points, of length 1 where spherical; a centre without points, or whose points cancel each
        other out and so point nowhere, stays where it is."""
        means = (self.points / np.maximum(self.counts, 1)[:, None]).astype(np.float32)
        moved, moves = (normalise(means), means.any(axis=1)) if spherical else (means, self.counts > 0)
        return np.where(moves[:, None], moved, self._centres.astype(np.float32))


def _settle(
    read: Read, n: int, centres: np.ndarray, spherical: bool, pool: ThreadPoolExecutor, progress: Progress
) -> tuple[np.ndarray, float]:
    """The centres after Lloyd's rounds over n points, and the inertia before the last."""
    before = now = np.inf
    for _ in range(ROUNDS):
        _, sums = _round(read, n, centres, spherical, pool, progress)
        centres, now = sums.means(spherical=spherical), sums.inertia()
        if not now < before * (1 - SETTLED):
            break
        before = now
    return centres, now


def _round(
    read: Read, n: int, centres: np.ndarray, spherical: bool, pool: ThreadPoolExecutor, progress: Progress
) -> tuple[np.ndarray, _Sums]:
    """The labels (n,) of all points, and their sums."""

    def part(first: int) -> tuple[np.ndarray, np.ndarray, float]:
        points = read(slice(first, min(first + BLOCK * BLOCKS, n)))
        labels, _ = assign(points, centres, spherical=spherical)
        return labels, sums_of(points, labels, len(centres)), float(np.einsum("pd,pd->p", points, points).sum(dtype=np.float64))

    sums, labels, done = _Sums(centres), [np.empty(0, np.int64)], 0
    for own, added, squares in pool.map(part, range(0, n, BLOCK * BLOCKS)):
        sums.add(added, np.bincount(own, minlength=len(centres)), squares)
        labels.append(own)
        done += len(own)
        progress.step("documents", done, n)
    return np.concatenate(labels), sums


def _first_centres(read: Read, order: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """k points of a sample, far from each other (Arthur and Vassilvitskii 2007, k-means++), fewer where fewer differ."""
    from sklearn.cluster import kmeans_plusplus

    size = max(SEEDED[0] * k, SEEDED[1])
    while True:
        distinct = np.unique(read(np.sort(order[:size])), axis=0)
        if len(distinct) >= k or size >= len(order):
            break
        size *= 4
    centres, _ = kmeans_plusplus(distinct, min(k, len(distinct)), random_state=int(rng.integers(1 << 31)))
    return np.unique(centres, axis=0)


@contextmanager
def _one_thread_each(threads: int | None) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads, as many as there are cores for None; numpy's products take one thread each."""
    with at_most(1), ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
