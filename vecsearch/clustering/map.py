"""The documents of an index as a map: where each lies on a plane, made and kept with the index."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vecsearch import checks
from vecsearch.clustering.areas import named_areas
from vecsearch.clustering.fit import of_rows
from vecsearch.clustering.placing import WAYS, placed, usual_way
from vecsearch.clustering.points import Points
from vecsearch.corpus.document import Document
from vecsearch.errors import UsageError
from vecsearch.index import update as updating
from vecsearch.index.index import Index
from vecsearch.progress import SILENT, Progress, check_progress
from vecsearch.store.clusters import Cluster
from vecsearch.store.places import LEFT_OUT, Area, Places

MOST = 100_000
"""Documents on a map at the most; of more an even sample is shown."""


@dataclass(frozen=True)
class Map:
    """Where n documents lie, (n, 2) float32 from 0 to 1, their clusters (n,) int64, −1 for none, and the documents."""

    places: np.ndarray
    labels: np.ndarray
    documents: list[Document]
    clusters: list[Cluster]
    areas: list[Area]
    """Small parts of the map that have names, those of the most documents first."""
    of: int
    """How many documents the index holds."""
    waiting: int
    """How many of these came after the map was made, and are not on it."""
    way: str
    """"tsne" or "pca"."""


def make_map(
    index: Index,
    *,
    way: str | None = None,
    seed: int = 0,
    most: int = MOST,
    keep: bool = False,
    progress: Progress = SILENT,
) -> Map:
    """Place the documents of an index, or an even sample of `most`, on a plane, and name the areas of it.

    By "tsne", usual where openTSNE is installed, neighbors stay neighbors; by "pca" places are the two main components. The
    same index and seed give the same map. With `keep` the index keeps it, and shows it at once. Raises UsageError for an index
    without documents, or for t-SNE without openTSNE; ResourceError where the disk refuses to keep it.
    """
    checks.instance("index", index, Index, give="an Index")
    way = usual_way() if way is None else checks.one_of("way", way, WAYS)
    seed, most = checks.count("seed", seed), checks.count("most", most, least=1)
    keep = checks.flag("keep", keep)
    check_progress(progress)
    points, numbers = _shown(index, most)
    places = placed(points, numbers, way, seed, progress=progress)
    documents = points.documents(numbers)
    areas = named_areas(places, documents, index.manifest.language, seed)
    if keep:
        of_points = np.full((len(points), 2), LEFT_OUT, np.float32)
        of_points[numbers] = places
        updating.place(index.folder, Places(way, areas, of_rows(points, of_points, LEFT_OUT)), index.manifest)
        index.refresh()
    return _map(index, points, numbers, places, documents, areas, 0, way)


def kept_map(index: Index) -> Map | None:
    """The map that an index keeps, None where it keeps none; of documents that came since, it only says how many there are."""
    kept = checks.instance("index", index, Index, give="an Index").places
    if kept is None:
        return None
    points = Points(index)
    places = kept.places[points.rows]
    waiting = np.isnan(places[:, 0])
    numbers = np.flatnonzero(~waiting & (places[:, 0] != LEFT_OUT))
    return _map(index, points, numbers, places[numbers], points.documents(numbers), kept.areas, int(waiting.sum()), kept.way)


def quick_map(index: Index) -> Map:
    """A map of an index that keeps none, by two main components and without names of areas. Raises UsageError for one without
    documents."""
    points, numbers = _shown(index, MOST)
    places = placed(points, numbers, "pca", 0)
    return _map(index, points, numbers, places, points.documents(numbers), [], 0, "pca")


def _shown(index: Index, most: int) -> tuple[Points, np.ndarray]:
    """The documents of an index as points, and the numbers of an even sample of `most` of them."""
    points = Points(index)
    if not len(points):
        raise UsageError("the index holds no document: there is nothing to show")
    return points, np.arange(len(points))[:: -(-len(points) // most)]


def _map(
    index: Index,
    points: Points,
    numbers: np.ndarray,
    places: np.ndarray,
    documents: list[Document],
    areas: list[Area],
    waiting: int,
    way: str,
) -> Map:
    clustering = index.clustering
    labels = clustering.labels[points.rows[numbers]].astype(np.int64) if clustering else np.full(len(numbers), -1)
    clusters = clustering.clusters if clustering else []
    return Map(places, np.maximum(labels, -1), documents, clusters, areas, len(points), waiting, way)


def about(made: Map) -> str:
    """What a map shows, and how it was made, in a sentence."""
    sample = len(made.documents) + made.waiting < made.of
    shown = f"{len(made.documents):,} documents" + (f" of {made.of:,}, an even sample" if sample else "")
    how = {"pca": "by their two main components (PCA)", "tsne": "so that neighbors stay neighbors (t-SNE)"}
    later = f" {made.waiting:,} came later and have no place yet." if made.waiting else ""
    return f"{shown}, placed {how.get(made.way, f'by {made.way}')}.{later}"
