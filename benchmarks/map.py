"""How well a map keeps neighbors, and what it costs: t-SNE and two components of ours, beside UMAP, over the same index.

    python benchmarks/map.py INDEX [--page MAP.html] [--points 100000]

`kept` is the share of the 15 nearest documents, by cosine, that are among the 15 nearest on the plane. Each way runs in a
process of its own: seconds are those of placing (UMAP's with the neighbors that the index has found, and with its import),
megabytes the memory that this takes at the most beyond the vectors. `names` are the seconds that naming the areas takes. With
--page the map is written as a page, its documents repeated with noise up to --points, for benchmarks/page.py. UMAP is left out
without umap-learn (extra `bench`).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import warnings
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from cost import memory, reset_peak_memory
from report import report

from vecsearch import Index
from vecsearch.clustering.areas import named_areas
from vecsearch.clustering.graph import neighbors
from vecsearch.clustering.map import kept_map, make_map
from vecsearch.clustering.page import write_page
from vecsearch.clustering.placing import placed
from vecsearch.clustering.points import Points
from vecsearch.metric import normalise

K = 15
NOISE = 0.004


def main() -> None:
    parser = argparse.ArgumentParser(description="how well a map keeps neighbors, and what it costs")
    parser.add_argument("index", type=Path)
    parser.add_argument("--way", choices=["tsne", "pca", "umap"], help="measure one, and print it as JSON")
    parser.add_argument("--page", type=Path, help="write the map as this page instead")
    parser.add_argument("--points", type=int, default=100_000, help="documents of that page (default: %(default)s)")
    options = parser.parse_args()
    with Index.open(options.index, check=False) as index:
        if options.page:
            write_large(index, options.page, options.points)
            return
        if options.way:
            print(json.dumps(measured(index, options.way)))
            return
    ways = ["tsne", "pca", *(["umap"] if find_spec("umap") else [])]
    report("map", [{"index": options.index.name, **of_process(options.index, way)} for way in ways])


def of_process(index: Path, way: str) -> dict[str, Any]:
    command = [sys.executable, __file__, str(index), "--way", way]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def measured(index: Index, way: str) -> dict[str, Any]:
    points = Points(index)
    numbers = np.arange(len(points))
    found, scores = neighbors(points, numbers, K)
    vectors = normalise(points.stored(numbers))
    before = reset_peak_memory()
    started = perf_counter()
    places = umap(vectors, found, scores) if way == "umap" else placed(points, numbers, way, 0)
    seconds, peak = perf_counter() - started, memory("VmHWM") - before
    documents = points.documents(numbers)
    started = perf_counter()
    areas = named_areas(places.astype(np.float32), documents, index.manifest.language, 0) if way == "tsne" else []
    names = perf_counter() - started if areas else None
    return {
        "way": way,
        "documents": len(points),
        "kept": round(kept(found, places), 4),
        "seconds": round(seconds, 1),
        "megabytes": round(peak / 1e6),
        "names": names and round(names, 1),
        "areas": len(areas),
    }


def umap(vectors: np.ndarray, found: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """UMAP's usual settings, with the K neighbors that the index has found; it counts a point as its own first one."""
    from umap import UMAP

    own = np.arange(len(vectors))[:, None]
    near = np.hstack([own, found[:, : K - 1]]).astype(np.int32)
    distances = np.hstack([np.zeros((len(vectors), 1)), 1 - scores[:, : K - 1]]).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mapper = UMAP(n_neighbors=K, metric="cosine", random_state=0, precomputed_knn=(near, np.maximum(distances, 0), None))
        return mapper.fit_transform(vectors)


def kept(found: np.ndarray, places: np.ndarray) -> float:
    """The share of the neighbors found (n, K) that are among the K nearest of places (n, 2)."""
    from scipy.spatial import cKDTree

    near = cKDTree(places).query(places, K + 1)[1]
    shares = [len(set(near[i][near[i] != i][:K]) & set(own)) for i, own in enumerate(found)]
    return float(np.mean(shares)) / K


def write_large(index: Index, path: Path, count: int) -> None:
    made, rng = kept_map(index) or make_map(index), np.random.default_rng(0)
    size = len(made.documents)
    pick = np.concatenate([np.arange(min(size, count)), rng.integers(0, size, max(0, count - size))])
    places = made.places[pick].astype(np.float64)
    places[size:] += NOISE * rng.standard_normal(places[size:].shape)
    documents = [made.documents[number] for number in pick]
    places = np.clip(places, 0, 1).astype(np.float32)
    write_page(path, replace(made, places=places, labels=made.labels[pick], documents=documents, of=count), f"{count:,} points")


if __name__ == "__main__":
    main()
