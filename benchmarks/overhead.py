"""What `Index.search` adds to FAISS for a single query.

    python benchmarks/overhead.py INDEX VECTORS [--queries 1000]

INDEX is an index folder with a FAISS index, VECTORS a .npy or .h5 file of query vectors. Three calls take turns over the same
queries, on one thread: FAISS's search and its inner products of the candidates alone (faiss), the same through Index.search
(search), and with the documents behind the hits (hits). Medians of single calls, in microseconds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from report import report

from vecsearch import Index
from vecsearch.ann.approximate import exact_scores
from vecsearch.ann.construction import read
from vecsearch.ann.points import Points
from vecsearch.ann.spec import copies, set_parameters
from vecsearch.ann.threads import threads
from vecsearch.metric import norms
from vecsearch.vectors.read import open_vectors

K = 10


def main() -> None:
    options = parse()
    queries = np.concatenate(list(open_vectors(options.vectors).blocks(options.queries)))[: options.queries]
    with Index.open(options.index) as index, threads(1):
        median = medians(Faiss(options.index, index), index, queries)
        facts = {"index": index.manifest.spec, "rows": len(index), "dim": index.dim, "queries": len(queries), "k": K}
    figures = {f"{name}_us": round(1e6 * seconds, 1) for name, seconds in median.items()}
    report("overhead", [facts | figures | {"overhead_us": round(figures["search_us"] - figures["faiss_us"], 1)}])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="what Index.search adds to FAISS for a single query")
    parser.add_argument("index", type=Path, help="an index folder")
    parser.add_argument("vectors", type=Path, help="query vectors: a .npy or .h5 file")
    parser.add_argument("--queries", type=int, default=1000, help="default: %(default)s")
    return parser.parse_args()


class Faiss:
    """The FAISS index of an index folder and the vectors in memory, told to try as hard as the index does."""

    def __init__(self, folder: Path, index: Index) -> None:
        manifest = index.manifest
        self._faiss = read(next(folder.rglob("*.faiss")))
        set_parameters(self._faiss, manifest.search_parameters)
        self._candidates = max(copies(manifest.spec) * K, manifest.search_parameters["candidates"])
        self._vectors = index.vectors(range(len(index)))
        self._points = Points(norms(self._vectors), index.metric)

    def points(self, queries: np.ndarray) -> np.ndarray:
        """What FAISS compares: not part of what is timed."""
        return self._points.of_queries(queries)

    def search(self, points: np.ndarray) -> None:
        """Find the candidates of one query, and compare them with it."""
        _, rows = self._faiss.search(points, self._candidates)
        exact_scores(points, rows, self._vectors)


def medians(bare: Faiss, index: Index, queries: np.ndarray) -> dict[str, float]:
    """Seconds of each way to answer one query, the ways taking turns over the queries."""
    seconds: dict[str, list[float]] = {"faiss": [], "search": [], "hits": []}
    points = bare.points(queries)
    for number in range(len(queries)):
        query, point = queries[number : number + 1], points[number : number + 1]
        calls: dict[str, Callable[[], object]] = {
            "faiss": lambda point=point: bare.search(point),
            "search": lambda query=query: index.search(query, K),
            "hits": lambda query=query: index.hits(index.search(query, K)),
        }
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
    return {name: float(np.median(values)) for name, values in seconds.items()}


if __name__ == "__main__":
    main()
