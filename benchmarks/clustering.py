"""Clusters beside scikit-learn's and BERTopic's way: how far they agree with labels, and how long they take, in one run.

    python benchmarks/clustering.py CORPUS:FIELD … [--pooling mean,raw] [--ready NAME=FOLDER …] [--speed VECTORS.npy]
    python benchmarks/clustering.py --large VECTORS.npy [--folder DIR]

Each corpus is encoded by the model that ships, with each pooling, and clustered in each way; FIELD holds the labels (of a list
the first). With --ready, FOLDER/<name of the corpus>.npy holds the vectors of another encoder, a row for each document. The
peers get the same vectors, of length 1: scikit-learn's KMeans, and UMAP to 5 dimensions, then HDBSCAN or KMeans, which is
BERTopic's way (left out without umap-learn, see the extra `bench`). k is the number of labels where a way asks for one; of ours
k-means is also run without. Documents in no cluster count as one more cluster for ARI and NMI. Times are of one run on all
cores, without encoding; ours include names, figures and storing. --speed compares k-means alone, over 100,000 vectors of
length 1, in interleaved rounds. --large clusters an index of a million vectors, repeated as benchmarks/growth.py does, in a
process of its own, whose resident memory is its own.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from cost import memory
from growth import Data, in_child
from report import report

from vecsearch import clustering
from vecsearch.clustering.kmeans import kmeans
from vecsearch.corpus.document import Document
from vecsearch.corpus.readers import read_corpus
from vecsearch.encoders import DEFAULT, open_encoder
from vecsearch.index.index import Index
from vecsearch.metric import normalise
from vecsearch.vectors.read import open_vectors

SPEED_ROWS = 100_000
ROUNDS = 3
LARGE_ROWS, LARGE_K = 1_000_000, 1000
SIZE = 10


def main() -> None:
    parser = argparse.ArgumentParser(description="clusters beside scikit-learn's and BERTopic's way")
    parser.add_argument("corpora", nargs="*", metavar="CORPUS:FIELD", help="a corpus, and the field of it that holds labels")
    parser.add_argument("--pooling", default="mean,raw", help="poolings of the model that ships (default: %(default)s)")
    parser.add_argument("--ready", action="append", default=[], metavar="NAME=FOLDER", help="vectors of another encoder")
    parser.add_argument("--speed", type=Path, metavar="VECTORS", help="a .npy or .h5 file to compare k-means over")
    parser.add_argument("--k", default="150,1000", help="with --speed: numbers of clusters (default: %(default)s)")
    parser.add_argument("--large", type=Path, metavar="VECTORS", help="a .npy or .h5 file to make a million vectors of")
    parser.add_argument("--folder", type=Path, help="where --large makes its index, and removes it (default: the system's)")
    options = parser.parse_args()
    if not options.corpora and not options.speed and not options.large:
        parser.error("give a CORPUS:FIELD, --speed or --large")
    parts = [corpus.rpartition(":") for corpus in options.corpora]
    if parts:
        report("clustering", [row for path, _, field in parts for row in agreement(Path(path), field, options)])
    if options.large:
        report("clustering", [large(options.large, options.folder)])
    if options.speed:
        report("clustering", [row for k in options.k.split(",") for row in speed(options.speed, int(k))])


# -- against labels ----------------------------------------------------------------------------------------------------


def agreement(path: Path, field: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    documents = [document for document in read_corpus(str(path)) if label_of(document, field) is not None]
    truth = np.unique([label_of(document, field) for document in documents], return_inverse=True)[1]
    name = path.name.split(".")[0]
    for encoder, build in encoders(path, documents, options):
        with tempfile.TemporaryDirectory() as folder, build(Path(folder) / "index") as index:
            for way, cluster in (ours(index, truth) | theirs(index, truth)).items():
                started = perf_counter()
                labels, before = cluster()
                seconds = before + perf_counter() - started
                yield {"corpus": name, "labels": int(truth.max()) + 1, "encoder": encoder, "way": way} | figures(
                    truth, labels, seconds
                )


def label_of(document: Document, field: str) -> str | None:
    value = document.fields.get(field)
    if isinstance(value, list):
        value = value[0] if value else None
    return None if value is None else str(value)


def encoders(
    path: Path, documents: list[Document], options: argparse.Namespace
) -> Iterator[tuple[str, Callable[[Path], Index]]]:
    """Each encoder's name, and what builds its index of the documents."""
    for pooling in filter(None, options.pooling.split(",")):
        encoder = open_encoder(DEFAULT, pooling=pooling)
        yield f"{DEFAULT}, {pooling}", partial(Index.build, documents=documents, encoder=encoder)
    for ready in options.ready:
        name, _, folder = ready.partition("=")
        everything = [document.id for document in read_corpus(str(path))]
        kept = {document.id for document in documents}
        vectors = np.concatenate(list(open_vectors(Path(folder) / f"{path.name.split('.')[0]}.npy").blocks(8192)))
        if len(vectors) != len(everything):
            raise SystemExit(f"{folder} has {len(vectors)} vectors for the {len(everything)} documents of {path}")
        own = vectors[[id in kept for id in everything]]
        yield name, partial(Index.build, documents=documents, vectors=[own])


Way = Callable[[], tuple[np.ndarray, float]]
"""Gives labels, and how many seconds of work were done before."""


def ours(index: Index, truth: np.ndarray) -> dict[str, Way]:
    def cluster(**settings: Any) -> tuple[np.ndarray, float]:
        return clustering.cluster(index, clustering.Settings(**settings)).labels, 0.0

    return {
        "kmeans": partial(cluster, k=int(truth.max()) + 1),
        "kmeans, k chosen": cluster,
        "communities": partial(cluster, way="communities", size=SIZE),
        "density": partial(cluster, way="density", size=SIZE),
    }


def theirs(index: Index, truth: np.ndarray) -> dict[str, Way]:
    from sklearn.cluster import HDBSCAN, KMeans

    points, k = normalise(index.vectors(index.alive())), int(truth.max()) + 1
    means = KMeans(k, n_init=1, random_state=0)
    ways: dict[str, Way] = {"scikit-learn KMeans": lambda: (means.fit_predict(points), 0.0)}
    try:
        from umap import UMAP
    except ImportError:
        print("UMAP is left out: umap-learn is not installed")
        return ways

    started = perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        umap = UMAP(n_neighbors=15, n_components=5, min_dist=0.0, metric="cosine", random_state=0)
        places = umap.fit_transform(points)
    seconds = perf_counter() - started
    return ways | {
        "UMAP, HDBSCAN": lambda: (HDBSCAN(min_cluster_size=SIZE, copy=True).fit_predict(places), seconds),
        "UMAP, KMeans": lambda: (means.fit_predict(places), seconds),
    }


def figures(truth: np.ndarray, labels: np.ndarray, seconds: float) -> dict[str, Any]:
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    return {
        "clusters": int(labels.max()) + 1,
        "in_clusters": round(float((labels >= 0).mean()), 3),
        "ari": round(float(adjusted_rand_score(truth, labels)), 3),
        "nmi": round(float(normalized_mutual_info_score(truth, labels)), 3),
        "seconds": round(seconds, 2),
        "documents": len(truth),
    }


# -- the speed of k-means ----------------------------------------------------------------------------------------------


def speed(path: Path, k: int) -> list[dict[str, Any]]:
    points = normalise(next(open_vectors(path).blocks(SPEED_ROWS)))
    runs: dict[str, Callable[[int], np.ndarray]] = {
        "vecsearch": partial(_vecsearch, points, k),
        "scikit-learn KMeans": partial(_sklearn, points, k),
        "scikit-learn MiniBatchKMeans": partial(_mini_batch, points, k),
        "FAISS Kmeans, 20 rounds": partial(_faiss, points, k),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    inertias: dict[str, list[float]] = {name: [] for name in runs}
    for seed in range(ROUNDS):
        for name, run in runs.items():
            started = perf_counter()
            labels = run(seed)
            seconds[name].append(perf_counter() - started)
            inertias[name].append(inertia(points, labels, k))
    peer = "scikit-learn KMeans"
    facts = {"vectors": path.name, "rows": len(points), "dim": points.shape[1], "k": k}
    return [
        {
            "kmeans": name,
            "seconds": round(median(seconds[name]), 2),
            "times_as_fast_as_scikit-learn": round(median(seconds[peer]) / median(seconds[name]), 2),
            "inertia": round(median(inertias[name]), 1),
            "inertia_beside_scikit-learn": round(median(inertias[name]) / median(inertias[peer]), 4),
            **facts,
            "threads": os.cpu_count(),
            "rounds": ROUNDS,
        }
        for name in runs
    ]


def large(path: Path, folder: Path | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        return in_child(_store, Path(place) / "index", path) | in_child(_cluster, Path(place) / "index")


def _store(folder: Path, path: Path) -> dict[str, Any]:
    data = Data(path)
    documents = (Document(str(row), "") for row in range(LARGE_ROWS))
    with Index.build(folder, documents, vectors=data.blocks(LARGE_ROWS)):
        return {"vectors": path.name, "rows": LARGE_ROWS, "repeated_rows": LARGE_ROWS - data.real, "dim": data.dim}


def _cluster(folder: Path) -> dict[str, Any]:
    with Index.open(folder) as index:
        started = perf_counter()
        found = clustering.cluster(index, clustering.Settings(k=LARGE_K))
        seconds = perf_counter() - started
    sizes = np.bincount(found.labels[found.labels >= 0])
    return {
        "k": LARGE_K,
        "seconds": round(seconds, 1),
        "peak_bytes": memory("VmHWM"),
        "smallest": int(sizes.min()),
        "largest": int(sizes.max()),
        "threads": os.cpu_count(),
    }


def inertia(points: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Sum of squared distances of points to the means of their clusters."""
    sums, counts = np.zeros((k, points.shape[1])), np.bincount(labels, minlength=k)
    np.add.at(sums, labels, points)
    squares = np.einsum("pd,pd->", points, points, dtype=np.float64)
    return float(squares - (np.square(sums).sum(axis=1) / np.maximum(counts, 1)).sum())


def _vecsearch(points: np.ndarray, k: int, seed: int) -> np.ndarray:
    return kmeans(points.__getitem__, len(points), k, spherical=True, seed=seed).labels


def _sklearn(points: np.ndarray, k: int, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    return KMeans(k, n_init=1, random_state=seed).fit_predict(points)


def _mini_batch(points: np.ndarray, k: int, seed: int) -> np.ndarray:
    from sklearn.cluster import MiniBatchKMeans

    return MiniBatchKMeans(k, n_init=1, batch_size=4096, random_state=seed).fit_predict(points)


def _faiss(points: np.ndarray, k: int, seed: int) -> np.ndarray:
    import faiss

    means = faiss.Kmeans(points.shape[1], k, niter=20, seed=seed + 1, max_points_per_centroid=len(points))
    means.train(points)
    return means.index.search(points, 1)[1][:, 0]


if __name__ == "__main__":
    main()
