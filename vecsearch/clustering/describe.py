"""What is said of clusters: their names, their most typical documents, how tight they are, and how well they fit."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from vecsearch.clustering.kmeans import sums_of
from vecsearch.clustering.names import distinctive_words, name_of
from vecsearch.clustering.points import Points
from vecsearch.corpus.document import Document
from vecsearch.errors import UsageError
from vecsearch.metric import normalise
from vecsearch.store.clusters import Cluster

TYPICAL = 5
"""Documents of a cluster that are named as typical."""
NAMED_FROM = 50_000
"""Texts that the words of all clusters are counted in at the most, and FEWEST_TEXTS of each cluster at the least."""
FEWEST_TEXTS = 50
SAMPLE = 4_000
"""Documents over which the silhouette is computed at the most: its cost grows with the square of their number."""


def describe(
    points: Points, labels: np.ndarray, count: int, least: np.ndarray, *, seed: int, field: str | None
) -> tuple[list[Cluster], dict[str, Any]]:
    """The clusters 0 … count−1, and figures of their quality; `labels` (n,) are those of all points, below 0 for none.

    `least` (c,) is each cluster's `min_similarity`, NaN for none. With a `field` of the documents its values are what clusters
    should be: two more figures compare them. Raises UsageError for a field that no document has.
    """
    counts = np.bincount(labels[labels >= 0], minlength=count)
    sums, squares = np.zeros((count, points.dim)), 0.0
    directions = np.zeros((count, points.dim))
    for numbers, vectors in points.blocks():
        own, inside = labels[numbers], labels[numbers] >= 0
        unit = normalise(vectors[inside])
        directions += sums_of(unit, own[inside], count)
        placed = unit if points.spherical else vectors[inside]
        sums += sums_of(placed, own[inside], count)
        squares += float(np.einsum("pd,pd->", placed, placed, dtype=np.float64))
    lengths = np.linalg.norm(directions, axis=1)
    typical = _typical(points, labels, normalise(directions.astype(np.float32)))
    words = _words(points, labels, count)
    clusters = [
        Cluster(
            number=number,
            name=name_of(words[number], typical[number], number),
            words=words[number],
            documents=int(counts[number]),
            cohesion=round(float(lengths[number] / max(counts[number], 1)), 6),
            medoid=typical[number][0].id if typical[number] else "",
            typical=[document.id for document in typical[number]],
            min_similarity=None if np.isnan(least[number]) else float(least[number]),
        )
        for number in range(count)
    ]
    quality: dict[str, Any] = {
        "documents": len(points),
        "in_clusters": int(counts.sum()),
        "without_vector": int((~points.known).sum()),
        "inertia": round(squares - float((np.square(sums).sum(axis=1) / np.maximum(counts, 1)).sum()), 6),
        "silhouette": silhouette(points, labels, seed),
    }
    return clusters, quality | (_agreement(points, labels, field) if field else {})


def silhouette(points: Points, labels: np.ndarray, seed: int) -> float | None:
    """Mean silhouette, by Euclidean distance, of a sample of the points that are in a cluster (Rousseeuw 1987); None where it
    has only one cluster, or no two points of one."""
    from sklearn.metrics import silhouette_score

    inside = np.flatnonzero(labels >= 0)
    sample = np.sort(np.random.default_rng(seed).permutation(inside)[:SAMPLE])
    if not 1 < len(np.unique(labels[sample])) < len(sample):
        return None
    return round(float(silhouette_score(points.at(sample), labels[sample])), 6)


def _typical(points: Points, labels: np.ndarray, directions: np.ndarray) -> list[list[Document]]:
    """The TYPICAL points of each cluster that are nearest to its direction (c, dim), best first.

    The first is the medoid by cosine: the sum of its cosines with all others is its product with the sum of all.
    """
    best: list[list[tuple[float, int]]] = [[] for _ in directions]
    for numbers, vectors in points.blocks():
        inside = labels[numbers] >= 0
        own = labels[numbers][inside]
        cosines = np.einsum("pd,pd->p", normalise(vectors[inside]), directions[own])
        order = np.lexsort((-cosines, own))
        places = np.arange(len(own)) - np.searchsorted(own[order], own[order])  # within its cluster
        for place in order[places < TYPICAL]:
            best[own[place]].append((-float(cosines[place]), int(numbers[inside][place])))
    chosen = [[number for _, number in sorted(some)[:TYPICAL]] for some in best]
    return [points.documents(some) for some in chosen]


def _words(points: Points, labels: np.ndarray, count: int) -> list[list[str]]:
    """The distinctive words of each cluster, counted in its documents, or in as many of them, evenly spread, as will do."""
    each = max(FEWEST_TEXTS, NAMED_FROM // max(count, 1))
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(count + 1))
    chosen = [order[start:stop][:: max(1, -(-(stop - start) // each))] for start, stop in pairwise(bounds)]
    numbers = np.concatenate([np.empty(0, np.int64), *chosen])
    texts = [document.text for document in points.documents(numbers)]
    return distinctive_words(texts, labels[numbers], count, language=points.index.manifest.language)


def _agreement(points: Points, labels: np.ndarray, field: str) -> dict[str, Any]:
    """How far clusters agree with the values of a field, of lists the first; documents in no cluster count as one more."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    values = [_first(document.fields.get(field)) for document in points.documents(np.arange(len(points)))]
    own = np.array([value is not None for value in values], bool)
    if not own.any():
        raise UsageError(f"no document has the field {field!r}, which the clusters should be compared with")
    truth = [value for value in values if value is not None]
    return {
        "field": field,
        "compared": int(own.sum()),
        "ari": round(float(adjusted_rand_score(truth, labels[own])), 6),
        "nmi": round(float(normalized_mutual_info_score(truth, labels[own])), 6),
    }


def _first(value: Any) -> str | None:
    if isinstance(value, list):
        value = value[0] if value else None
    return None if value is None else str(value)
