"""Points placed on a plane: so that neighbors stay neighbors (t-SNE), or by their two main components."""

from __future__ import annotations

import importlib.util

import numpy as np

from vecsearch.blas import at_most
from vecsearch.clustering.graph import neighbors
from vecsearch.clustering.points import BLOCK_ROWS, Points
from vecsearch.errors import UsageError
from vecsearch.metric import normalise
from vecsearch.progress import SILENT, Progress

WAYS = ("tsne", "pca")
NEIGHBORS = 30
"""Neighbors that t-SNE keeps near a point; its perplexity is half of that."""
SPARE = 10
"""More of them that are looked for: which of equally near ones a search finds last depends on the number of threads."""
FEWEST = 12
"""Points that t-SNE can place; fewer are placed by their main components."""
ROUNDS, TOGETHER = (250, 500), (12, 1.25)
"""Rounds of t-SNE, and how many times as strong as usual neighbors attract each other in them: at first, for their heaps to
form; and then a little, which leaves room between heaps (Böhm et al. 2022, Attraction-repulsion spectrum)."""
GRID_FROM = 2000
"""Points from which on the repulsion between them is interpolated between the nodes of a grid (Linderman et al. 2019), where
time grows with their number; fewer are quicker by a tree (Barnes-Hut, van der Maaten 2014)."""
OUTSIDE = 0.5
"""Room on each side of the map for points that lie far out, as a share of where nearly all are."""


def usual_way() -> str:
    """How points are placed where nothing else is said: "tsne" where openTSNE is installed."""
    try:
        return "tsne" if importlib.util.find_spec("openTSNE") else "pca"
    except ValueError:  # what stands for it in sys.modules is no module
        return "pca"


def placed(points: Points, numbers: np.ndarray, way: str, seed: int, *, progress: Progress = SILENT) -> np.ndarray:
    """Where the points `numbers` (p,) lie on a map, (p, 2) float32 from 0 to 1, y downwards: the same whatever the number of
    threads. Raises UsageError for t-SNE without openTSNE."""
    # Products of matrices have other last bits on another number of threads, and t-SNE makes others maps of these.
    with at_most(1):
        vectors = np.concatenate([normalise(block) for _, block in points.blocks(numbers)])
        places = _main_components(vectors)
    if way == "tsne" and len(numbers) >= FEWEST:
        places = _tsne(*_near(points, numbers, vectors, progress), places, seed, progress)
    return _spread(places)


def _main_components(vectors: np.ndarray) -> np.ndarray:
    """The two main components of vectors (n, d): (n, 2). Each points to where its largest weight is positive."""
    centred = vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T.astype(np.float64) @ centred)
    main = axes[:, ::-1][:, :2]
    main = main * np.sign(main[np.abs(main).argmax(axis=0), np.arange(main.shape[1])])
    places = centred @ main.astype(np.float32)
    return np.pad(places, [(0, 0), (0, 2 - places.shape[1])])


def _near(points: Points, numbers: np.ndarray, vectors: np.ndarray, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
    """The NEIGHBORS of each point among all that are placed, (p, k) int64, by place, and their distances float64."""
    k = min(NEIGHBORS + SPARE, len(numbers) - 1)
    if len(numbers) == len(points):
        found = neighbors(points, numbers, k, progress=progress)[0].astype(np.int64)
    else:
        found = np.empty((len(numbers), k), np.int64)
        for first in range(0, len(numbers), BLOCK_ROWS):
            own = np.arange(first, min(first + BLOCK_ROWS, len(numbers)))
            near = np.searchsorted(numbers, points.nearest_among(vectors[own], k + 1, numbers)[0])
            itself = near == own[:, None]
            itself[~itself.any(axis=1), -1] = True
            found[own] = near[~itself].reshape(len(own), k)
            progress.step("documents", own[-1] + 1, len(numbers))
    distances = np.empty(found.shape)
    for first in range(0, len(found), BLOCK_ROWS):
        part = slice(first, first + BLOCK_ROWS)
        cosines = np.stack([np.einsum("pd,pd->p", vectors[part], vectors[found[part, j]]) for j in range(k)], axis=1)
        distances[part] = np.sqrt(np.maximum(2 - 2 * cosines.astype(np.float64), 0))
    order = np.lexsort((found, distances))[:, :NEIGHBORS]
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(distances, order, axis=1)


def _tsne(near: np.ndarray, distances: np.ndarray, start: np.ndarray, seed: int, progress: Progress) -> np.ndarray:
    """t-SNE (van der Maaten and Hinton 2008) of a graph of neighbors, from these places on: (n, 2) float64."""
    try:
        from openTSNE import TSNEEmbedding
        from openTSNE.affinity import PerplexityBasedNN
        from openTSNE.nearest_neighbors import PrecomputedNeighbors
    except ImportError:
        raise UsageError("t-SNE needs another package: pip install 'vecsearch[map]'") from None
    knn = PrecomputedNeighbors(near, distances)
    affinities = PerplexityBasedNN(knn_index=knn, perplexity=near.shape[1] / 2)
    # As openTSNE's own starts: small, and what is equal a little apart, or it would stay together.
    start = 1e-4 * start / max(float(np.std(start[:, 0])), 1e-12)
    start = start + 1e-6 * np.random.default_rng(seed).standard_normal(start.shape)
    # Among few points threads would wait for each other longer than they work.
    method, threads = ("fft", -1) if len(start) >= GRID_FROM else ("bh", 1)
    places = TSNEEmbedding(start, affinities, negative_gradient_method=method, n_jobs=threads, random_state=seed)
    done = 0
    for rounds, exaggeration, momentum in zip(ROUNDS, TOGETHER, (0.5, 0.8), strict=True):

        def told(iteration: int, *_: object, before: int = done) -> None:
            progress.step("rounds", before + iteration, sum(ROUNDS))

        options = {"callbacks": told, "callbacks_every_iters": 50}
        places = places.optimize(n_iter=rounds, exaggeration=exaggeration, momentum=momentum, **options)
        done += rounds
    return np.asarray(places)


def _spread(places: np.ndarray) -> np.ndarray:
    """Places (n, 2) moved and scaled into the unit square, y downwards; what lies very far out is drawn to its edge."""
    low, high = np.percentile(places, [0.1, 99.9], axis=0)
    room = (high - low) * OUTSIDE
    low, high = np.maximum(low - room, places.min(axis=0)), np.minimum(high + room, places.max(axis=0))
    side = float((high - low).max()) or 1.0
    inside = (places - (low + high) / 2) / side + 0.5
    return np.clip(inside * [1, -1] + [0, 1], 0, 1).astype(np.float32)
