"""Clusters of an index's documents: made in one of three ways, described, kept with the index, and given to new documents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vecsearch import checks
from vecsearch.clustering.communities import communities, usual_threshold, within
from vecsearch.clustering.criterion import chosen_k
from vecsearch.clustering.density import density
from vecsearch.clustering.describe import describe
from vecsearch.clustering.graph import MOST, ROUNDING
from vecsearch.clustering.kmeans import assign as nearest_centres
from vecsearch.clustering.kmeans import kmeans, sums_of
from vecsearch.clustering.points import BLOCK_ROWS, Points
from vecsearch.errors import UsageError
from vecsearch.index import update as updating
from vecsearch.index.index import Index
from vecsearch.metric import checked_queries, normalise, norms
from vecsearch.progress import SILENT, Progress, check_progress
from vecsearch.store.clusters import NO_CLUSTER, NOT_ASSIGNED, Clustering

WAYS = ("kmeans", "communities", "density")
SIZE = 10
"""The smallest size of a community or a density cluster, by default."""


@dataclass(frozen=True)
class Settings:
    """How clusters are made: `k` of them by k-means, None to have it chosen; documents in a community at least as alike as
    `threshold`, None to have it chosen; `size` documents in a community or density cluster at the least."""

    way: str = "kmeans"
    k: int | None = None
    threshold: float | None = None
    size: int = SIZE
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises: TypeError: no numbers. UsageError: a way that there is not."""
        object.__setattr__(self, "way", checks.one_of("way", self.way, WAYS))
        for name in ("k", "size", "seed"):
            if (value := getattr(self, name)) is not None or name != "k":
                object.__setattr__(self, name, checks.count(name, value, least=0 if name == "seed" else None))
        if self.threshold is not None:
            object.__setattr__(self, "threshold", checks.number("threshold", self.threshold))

    def check(self, documents: int) -> None:
        """Raise UsageError for settings that cannot be met with so many documents."""
        if not documents:
            raise UsageError("no document of the index has a vector, so there is nothing to cluster")
        if self.k is not None and not 1 <= self.k <= documents:
            raise UsageError(f"k is {self.k}, and {documents:,} documents have a vector: ask for 1 to {documents:,} clusters")
        if self.threshold is not None and not -1 <= self.threshold <= 1:
            raise UsageError(f"the threshold is {self.threshold}; a cosine is from −1 to 1")
        if self.size < 2:
            raise UsageError(f"the smallest cluster has {self.size} documents; it must have at least 2")


def cluster(
    index: Index,
    settings: Settings | None = None,
    *,
    labels: str | None = None,
    progress: Progress = SILENT,
) -> Clustering:
    """Put the documents of an index into clusters, largest first, and keep these with it; `index` shows them at once.

    `labels` names a field of the documents whose values the clusters are compared with. The same index and settings give the
    same clusters. `progress` is called with the documents that a step has seen, and notes what is done. Raises
    UsageError for settings that cannot be met, ResourceError where the disk refuses; the index is then unchanged.
    """
    checks.instance("index", index, Index, give="an Index")
    settings = Settings() if settings is None else checks.instance("settings", settings, Settings, give="Settings(k=10)")
    labels = None if labels is None else checks.field("labels", labels)
    check_progress(progress)
    points = Points(index)
    settings.check(int(points.known.sum()))
    found, centres, least, used = _WAYS[settings.way](points, settings, progress)
    # The largest is number 0.
    order = np.argsort(-np.bincount(found[found >= 0], minlength=len(centres)), kind="stable")
    new = np.full(len(order) + 1, NO_CLUSTER, np.int32)  # the last is that of label −1
    new[order] = np.arange(len(order))
    found = new[found]
    progress.note(f"describing {len(order):,} clusters")
    clusters, quality = describe(points, found, len(order), least[order], seed=settings.seed, field=labels)
    made = Clustering(settings.way, used, quality, clusters, centres[order], of_rows(points, found, NO_CLUSTER))
    updating.cluster(index.folder, made, index.manifest)
    index.refresh()
    return made


Found = tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]
"""Labels (n,), centres (c, dim), the least score with which each takes another in (c,), NaN for any; the settings used."""


def _by_kmeans(points: Points, settings: Settings, progress: Progress) -> Found:
    used: dict[str, Any] = {"seed": settings.seed}
    k = settings.k
    if k is None:
        k, tried = chosen_k(points, settings.seed)
        used["silhouettes"] = tried
        progress.note(f"{k} clusters have the highest silhouette, {tried.get(k, 0):.3f}, of the {len(tried)} numbers tried")
    numbers = np.flatnonzero(points.known)
    fit = kmeans(
        lambda some: points.at(numbers[some]),
        len(numbers),
        k,
        spherical=points.spherical,
        seed=settings.seed,
        progress=progress,
    )
    if len(fit.centres) < k:
        progress.note(f"note: only {len(fit.centres):,} of the {k:,} clusters have documents: the others' are equal to these")
    labels = np.full(len(points), NO_CLUSTER)
    labels[numbers] = fit.labels
    return labels, fit.centres, np.full(len(fit.centres), np.nan), {**used, "k": k}


def _by_communities(points: Points, settings: Settings, progress: Progress) -> Found:
    threshold = settings.threshold
    if threshold is None:
        threshold = usual_threshold(points, np.flatnonzero(points.known), settings.size)
        progress.note(f"the threshold is {threshold:.3f}: half of the documents are so like {settings.size - 1} others")
    middles, crowded = communities(points, threshold, settings.size, progress=progress)
    if crowded:
        progress.note(
            f"note: {crowded:,} documents have more than {MOST:,} others so like them; a higher --threshold tells more apart"
        )
    centres = normalise(points.stored(middles)).reshape(-1, points.dim)
    labels = within(points, centres, threshold) if len(centres) else np.full(len(points), NO_CLUSTER)
    return labels, centres, np.full(len(centres), threshold), {"threshold": threshold, "size": settings.size}


def _by_density(points: Points, settings: Settings, progress: Progress) -> Found:
    labels, least = density(points, settings.size, progress=progress)
    centres = np.zeros((len(least), points.dim))
    for numbers, vectors in points.blocks():
        inside = labels[numbers] >= 0
        centres += sums_of(normalise(vectors[inside]), labels[numbers][inside], len(least))
    return labels, normalise(centres.astype(np.float32)), least, {"size": settings.size}


_WAYS: dict[str, Callable[[Points, Settings, Progress], Found]] = {
    "kmeans": _by_kmeans,
    "communities": _by_communities,
    "density": _by_density,
}


def of_rows(points: Points, values: np.ndarray, deleted: float) -> np.ndarray:
    """The values (n, …) of documents as those of all rows of the index: (rows, …), `deleted` for deleted ones."""
    rows = np.full((points.index.manifest.rows, *values.shape[1:]), deleted, values.dtype)
    alive = points.index.alive()
    rows[alive] = values[np.searchsorted(points.rows, alive, side="right") - 1]
    return rows


def _clustering_of(index: Index) -> Clustering:
    if checks.instance("index", index, Index, give="an Index").clustering is None:
        raise UsageError("the index has no clusters: vecsearch cluster makes them")
    return index.clustering


def assign(index: Index, *, progress: Progress = SILENT) -> int:
    """Give the documents that were added since the clusters were made their cluster, and keep that; returns how many there
    were. A document gets the cluster that it would have got when these were made. Raises UsageError where there are none."""
    check_progress(progress)
    clustering = _clustering_of(index)
    points = Points(index)
    labels = clustering.labels[points.rows]
    new = np.flatnonzero(labels == NOT_ASSIGNED)
    for first in range(0, len(new), BLOCK_ROWS):
        numbers = new[first : first + BLOCK_ROWS]
        labels[numbers] = _nearest(points, clustering, points.stored(numbers))
        progress.step("documents", first + len(numbers), len(new))
    if len(new):
        made = replace(clustering, labels=of_rows(points, labels, NO_CLUSTER))
        updating.cluster(index.folder, made, index.manifest, assigned=True)
        index.refresh()
    return len(new)


def sizes(index: Index) -> tuple[list[int], int, int]:
    """How many documents each cluster has now, how many are in none, and how many were not assigned yet."""
    clustering = _clustering_of(index)
    labels = clustering.labels[index.document_rows()]
    counts = np.bincount(labels[labels >= 0], minlength=len(clustering.clusters)).tolist()
    return counts, int((labels == NO_CLUSTER).sum()), int((labels == NOT_ASSIGNED).sum())


def nearest_clusters(index: Index, vectors: np.ndarray) -> np.ndarray:
    """The cluster of each of vectors (n, dim) float32, by the rule that made the clusters, NO_CLUSTER for none: (n,) int64.

    Among density clusters that is the cluster of the nearest document, if it is as near as a document of that cluster has to
    be to another. Raises UsageError where there are none.
    """
    clustering = _clustering_of(index)
    return _nearest(Points(index), clustering, checked_queries(vectors, index.dim))


def _nearest(points: Points, clustering: Clustering, vectors: np.ndarray) -> np.ndarray:
    if not clustering.clusters:
        return np.full(len(vectors), NO_CLUSTER)
    if clustering.way == "density":
        of_points = clustering.labels[points.rows]
        near, cosines = points.nearest_among(vectors, 1, np.flatnonzero(of_points != NOT_ASSIGNED))
        found, scores = of_points[near[:, 0]], cosines[:, 0]
    else:
        spherical = points.spherical or clustering.way == "communities"
        found, scores = nearest_centres(normalise(vectors) if spherical else vectors, clustering.centres, spherical=spherical)
    least = np.array([-np.inf if cluster.min_similarity is None else cluster.min_similarity for cluster in clustering.clusters])
    return np.where((norms(vectors) > 0) & (found >= 0) & (scores >= least[found] - ROUNDING), found, NO_CLUSTER)
