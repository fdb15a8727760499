"""Small parts of a map with names of their own, shown where it is looked at closely; and where a cluster lies densest."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from vecsearch.clustering.describe import NAMED_FROM
from vecsearch.clustering.kmeans import assign, kmeans
from vecsearch.clustering.names import words_of
from vecsearch.clustering.terms import terms_of
from vecsearch.corpus.document import Document
from vecsearch.store.places import Area

SIZES = (400, 80)
"""Documents of an area, about, in each of two layers; those of the second are named beside the first one that they lie in."""
IN_NAME = 2
"""Words in the name of an area."""
GRID = 48
"""Cells along each side of the map, in which the densest place is looked for."""


def named_areas(places: np.ndarray, documents: Sequence[Document], language: str | None, seed: int) -> list[Area]:
    """The areas of a map on which documents lie at places (n, 2), those of the most documents first: in each layer k-means
    clusters of the places, named by the words that set them apart from the area of the layer above."""
    step = -(-len(documents) // NAMED_FROM)
    places, documents = places[::step], documents[::step]
    terms = terms_of([document.text for document in documents], language)
    found: dict[str, Area] = {}
    above, of_above = np.zeros((1, 2), np.float32), 1
    for size in SIZES:
        k = len(places) * step // size
        if k < 2 * of_above:
            continue
        fit = kmeans(places.__getitem__, len(places), k, spherical=False, seed=seed)
        groups, _ = assign(fit.centres, above, spherical=False)
        words = words_of(terms, fit.labels, len(fit.centres), groups=groups) if terms else [[] for _ in fit.centres]
        for number, own in enumerate(words):
            inside = np.flatnonzero(fit.labels == number)
            x, y = densest(places[inside])
            name = ", ".join(own[:IN_NAME]) or _word(places, documents, inside, (x, y))
            # One name is shown once, where it stands for the most.
            area = Area(name, x, y, len(inside) * step)
            if name and area.documents > (found[name].documents if name in found else 0):
                found[name] = area
        above, of_above = fit.centres, k
    return sorted(found.values(), key=lambda area: (-area.documents, area.name))


def cluster_places(labels: np.ndarray, places: np.ndarray, count: int) -> np.ndarray:
    """Where each of the clusters 0 … count−1 of documents with these labels (n,) at places (n, 2) lies densest, (count, 2)
    float64; the middle of the map for one that is not on it."""
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(count + 1))
    own = [order[start:stop] for start, stop in pairwise(bounds)]
    return np.array([densest(places[some]) if len(some) else (0.5, 0.5) for some in own]).reshape(count, 2)


def densest(places: np.ndarray) -> tuple[float, float]:
    """The middle of the part of places (n, 2), n > 0, where most lie together."""
    cells = np.minimum((places * GRID).astype(int), GRID - 1)
    counts = np.zeros((GRID + 2, GRID + 2))
    np.add.at(counts, (cells[:, 0] + 1, cells[:, 1] + 1), 1)
    around = sum(counts[1 + i : GRID + 1 + i, 1 + j : GRID + 1 + j] for i in (-1, 0, 1) for j in (-1, 0, 1))
    best = np.unravel_index(int(around.argmax()), around.shape)
    near = (np.abs(cells - best) <= 1).all(axis=1)
    x, y = places[near].mean(axis=0).astype(float).tolist()
    return x, y


def _word(places: np.ndarray, documents: Sequence[Document], inside: np.ndarray, at: tuple[float, float]) -> str:
    """The document in the middle of an area, if it is a single word, as of a vocabulary; "" otherwise."""
    middle = documents[int(inside[np.square(places[inside] - at).sum(axis=1).argmin()])]
    return middle.text if len(middle.text.split()) == 1 else ""
