"""Density clusters: HDBSCAN, which leaves documents out that are in no dense place, over the graph of nearest neighbors."""

from __future__ import annotations

import numpy as np

from vecsearch.clustering.graph import neighbors, symmetric
from vecsearch.clustering.points import Points
from vecsearch.progress import SILENT, Progress

NEIGHBORS = 30
"""Neighbors of a document in the graph, or twice the least size of a cluster."""
FARTHEST = 2.0
"""Distance of opposite points of length 1: that between parts of the graph which have no edge to each other."""
NEAREST = 1e-4
"""Distance of equal points: an edge of length 0 would be none."""


def density(points: Points, size: int, *, progress: Progress = SILENT) -> tuple[np.ndarray, np.ndarray]:
    """Clusters of `size` points or more: labels (n,) int64, −1 for points in none, and the least cosine that a point of
    each cluster has with the nearest other of it: (c,) float64.

    Distances are Euclidean between points of length 1 (Campello et al. 2013; scikit-learn's HDBSCAN).
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components
    from sklearn.cluster import HDBSCAN

    labels = np.full(len(points), -1, np.int64)
    numbers = np.flatnonzero(points.known)
    if len(numbers) <= size:
        return labels, np.empty(0)
    found, scores = neighbors(points, numbers, max(NEIGHBORS, 2 * size), progress=progress)
    place = np.full(len(points), -1)
    place[numbers] = np.arange(len(numbers))
    distances = np.sqrt(np.maximum(2 - 2 * scores.astype(np.float64), NEAREST**2))
    graph = symmetric(place[found], distances)
    parts, part_of = connected_components(graph, directed=False)
    if parts > 1:
        _, firsts = np.unique(part_of, return_index=True)
        lengths = np.full(parts - 1, FARTHEST)
        bridges = csr_array((lengths, (firsts[:-1], firsts[1:])), shape=graph.shape)
        graph = csr_array(graph + bridges + bridges.T)
    fitted = HDBSCAN(min_cluster_size=size, metric="precomputed", copy=True).fit(graph)
    labels[numbers] = fitted.labels_
    same = labels[found] == labels[numbers][:, None]
    nearest = np.where(same, scores, -np.inf).max(axis=1)
    least = np.full(labels.max(initial=-1) + 1, 1.0)
    joined = (labels[numbers] >= 0) & np.isfinite(nearest)
    np.minimum.at(least, labels[numbers][joined], nearest[joined])
    return labels, least
