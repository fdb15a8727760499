"""The documents of an index as a map: one page that works from a file, offline, and a picture for a paper."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch import checks
from vecsearch.clustering.points import Points
from vecsearch.corpus.document import Document
from vecsearch.drawing import new_figure, save_figure
from vecsearch.errors import UsageError, writing
from vecsearch.index.index import Index
from vecsearch.metric import normalise
from vecsearch.store.clusters import Cluster

MOST = 100_000
"""Documents on a map at the most; of more an even sample is shown."""
TEXT = 600
"""Characters of a text that the page holds at the most."""
TITLES = ("title", "name", "question")
"""Fields that tell what a document is; without one it is the beginning of its text."""
TITLE = 80
WAYS = ("pca", "umap")
STEPS = 65_535
"""Places along each side of the map."""
NEIGHBORS, FEW = 15, 100
"""Neighbors of a document that UMAP keeps near it, and documents that are few to it."""
OUTSIDE = 0.5
"""Room on each side of the map for documents that lie far out, as a share of where nearly all are."""
NAMED = 30
"""Clusters that are named in the picture."""


@dataclass(frozen=True)
class Map:
    """Where n documents lie, (n, 2) float32 from 0 to 1, their clusters (n,) int64, −1 for none, and the documents."""

    places: np.ndarray
    labels: np.ndarray
    documents: list[Document]
    clusters: list[Cluster]
    of: int
    """How many documents the index holds."""
    way: str


def make_map(index: Index, *, way: str = "pca", seed: int = 0, most: int = MOST) -> Map:
    """Place the documents of an index, or an even sample of `most`, on a plane: by their two main components, or by UMAP.

    The same index and seed give the same map. Raises UsageError for an index without documents, or without umap-learn for UMAP.
    """
    checks.instance("index", index, Index, give="an Index")
    way = checks.one_of("way", way, WAYS)
    seed, most = checks.count("seed", seed), checks.count("most", most, least=1)
    points = Points(index)
    if not len(points):
        raise UsageError("the index holds no document: there is nothing to show")
    numbers = np.arange(len(points))[:: -(-len(points) // most)]
    vectors = np.concatenate([normalise(block) for _, block in points.blocks(numbers)])
    places = _umap(vectors, seed) if way == "umap" else _pca(vectors)
    clustering = index.clustering
    labels = clustering.labels[points.rows[numbers]].astype(np.int64) if clustering else np.full(len(numbers), -1)
    clusters = clustering.clusters if clustering else []
    return Map(_spread(places), np.maximum(labels, -1), points.documents(numbers), clusters, len(points), way)


def _pca(vectors: np.ndarray) -> np.ndarray:
    """The two main components of vectors (n, d): (n, 2). Each points to where its largest weight is positive."""
    centred = vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T.astype(np.float64) @ centred)
    main = axes[:, ::-1][:, :2]
    main = main * np.sign(main[np.abs(main).argmax(axis=0), np.arange(main.shape[1])])
    places = centred @ main.astype(np.float32)
    return np.pad(places, [(0, 0), (0, 2 - places.shape[1])])


def _umap(vectors: np.ndarray, seed: int) -> np.ndarray:
    try:
        from umap import UMAP
    except ImportError:
        raise UsageError("UMAP needs another package: pip install 'vecsearch[umap]'") from None
    if len(vectors) < 4:
        raise UsageError(f"UMAP needs 4 documents, there are {len(vectors)}; leave --umap out")
    # Among few documents its usual start, by eigenvectors, fails.
    start = "spectral" if len(vectors) > FEW else "random"
    neighbors = min(NEIGHBORS, len(vectors) - 1)
    return UMAP(metric="cosine", random_state=seed, n_jobs=1, n_neighbors=neighbors, init=start).fit_transform(vectors)


def _spread(places: np.ndarray) -> np.ndarray:
    """Places (n, 2) moved and scaled into the unit square, y downwards; what lies very far out is drawn to its edge."""
    low, high = np.percentile(places, [0.1, 99.9], axis=0)
    room = (high - low) * OUTSIDE
    low, high = np.maximum(low - room, places.min(axis=0)), np.minimum(high + room, places.max(axis=0))
    side = float((high - low).max()) or 1.0
    inside = (places - (low + high) / 2) / side + 0.5
    return np.clip(inside * [1, -1] + [0, 1], 0, 1).astype(np.float32)


def write_page(path: Path, made: Map, title: str) -> None:
    """Write the map as one HTML page, which loads nothing and runs nothing but its own script. Raises ResourceError."""
    parts = {name: (Path(__file__).parent / f"map.{name}").read_text(encoding="utf-8") for name in ("html", "css", "js")}
    page = parts["html"].format(
        title=escape(title),
        about=escape(_about(made)),
        style=parts["css"],
        script=parts["js"],
        style_hash=_hash(parts["css"]),
        script_hash=_hash(parts["js"]),
        # No "<" is left in it: neither </script> nor <!-- can end the data.
        data=json.dumps(_data(made), ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
    )
    with writing(path):
        path.write_bytes(page.encode(errors="replace"))


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _about(made: Map) -> str:
    shown = f"{len(made.documents):,} documents" + (f" of {made.of:,}, an even sample" if len(made.documents) < made.of else "")
    how = {"pca": "their two main components (PCA)", "umap": "UMAP"}[made.way]
    return f"{shown}, placed by {how}."


def _data(made: Map) -> dict[str, Any]:
    places = np.round(made.places * STEPS).astype(int)
    centres = [_middle(places[made.labels == cluster.number]) for cluster in made.clusters]
    return {
        "x": places[:, 0].tolist(),
        "y": places[:, 1].tolist(),
        "cluster": made.labels.tolist(),
        "id": [document.id for document in made.documents],
        "title": [_title(document) for document in made.documents],
        "text": [_cut(document.text, TEXT) for document in made.documents],
        "fields": [document.fields for document in made.documents],
        "clusters": [
            {"name": cluster.name, "words": cluster.words, "documents": cluster.documents, "x": x, "y": y}
            for cluster, (x, y) in zip(made.clusters, centres, strict=True)
        ],
    }


def _middle(places: np.ndarray) -> tuple[int, int]:
    x, y = np.median(places, axis=0).astype(int).tolist() if len(places) else (STEPS // 2, STEPS // 2)
    return x, y


def _title(document: Document) -> str:
    named = next((document.fields[name] for name in TITLES if isinstance(document.fields.get(name), str)), None)
    return _cut(named or document.text or document.id, TITLE)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def plot_map(path: Path, made: Map, title: str) -> None:
    """Write the map as a picture of the suffix's kind, the NAMED largest clusters named. Raises ResourceError."""
    figure = new_figure(9, 9)
    axes = figure.subplots()
    size = float(np.clip(30_000 / len(made.places), 0.6, 30))
    x, y = made.places[:, 0], 1 - made.places[:, 1]
    none = made.labels < 0
    axes.scatter(x[none], y[none], s=size, c="#b8b8b4", linewidths=0, rasterized=True)
    order = np.random.default_rng(0).permutation(np.flatnonzero(~none))  # hides no cluster behind another
    axes.scatter(x[order], y[order], s=size, c=list(_colours(made.labels[order])), linewidths=0, rasterized=True)
    for cluster in made.clusters[:NAMED]:
        own = made.labels == cluster.number
        if own.any():
            place = float(np.median(x[own])), float(np.median(y[own]))
            box = {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1.5}
            axes.text(*place, cluster.name, ha="center", va="center", fontsize=7.5, bbox=box, parse_math=False)
    axes.set_title(f"{title}: {_about(made)}", fontsize=10, parse_math=False)
    axes.set_axis_off()
    axes.set_aspect("equal")
    save_figure(figure, path)


def _colours(labels: np.ndarray) -> Iterator[tuple[float, float, float]]:
    """A colour for each label: hues by the golden angle, so that neighbors in the list are never alike."""
    from colorsys import hls_to_rgb

    for label in labels.tolist():
        yield hls_to_rgb((label * 137.508 + 210) % 360 / 360, (0.45, 0.58, 0.52)[label % 3], 0.62)
