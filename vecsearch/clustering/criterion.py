"""The number of clusters of k-means, where none is given."""

from __future__ import annotations

import numpy as np

from vecsearch.clustering.describe import silhouette
from vecsearch.clustering.kmeans import kmeans
from vecsearch.clustering.points import Points

SAMPLE = 16_384
"""Documents that numbers of clusters are tried on at the most."""
STEP = 1.4
"""The factor between two numbers that are tried."""
MOST = 300
"""The largest number that is tried, or a tenth of the documents."""


def chosen_k(points: Points, seed: int) -> tuple[int, dict[int, float]]:
    """The k whose k-means clusters have the highest mean silhouette (Rousseeuw 1987, Silhouettes), with that of each k that
    was tried: 2, and then numbers about STEP times as large, on a sample of the documents."""
    known = np.flatnonzero(points.known)
    sample = np.sort(np.random.default_rng(seed).permutation(known)[:SAMPLE])
    vectors = points.at(sample)
    tried: dict[int, float] = {}
    k = 2
    while k <= min(MOST, max(2, len(sample) // 10)):
        fit = kmeans(vectors.__getitem__, len(sample), k, spherical=points.spherical, seed=seed)
        labels = np.full(len(points), -1)
        labels[sample] = fit.labels
        score = silhouette(points, labels, seed)
        if score is not None:
            tried[k] = score
        k = max(k + 1, round(k * STEP))
    return max(tried, key=lambda k: (tried[k], -k), default=1), tried
