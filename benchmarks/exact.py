"""Exact search in milliseconds a query, by how many queries are asked together, beside FAISS's flat indexes.

    python benchmarks/exact.py [VECTORS] [--rows 6128,100000] [--queries 1,8,20,64,200] [--threads 1,2] [--busy 0]

VECTORS is a .npy or .h5 file, whose first rows are searched and whose last are asked; without it they are drawn at random.
Cosine, k = 10. "At first" is as a process begins, "ours" as it goes on, when it has the vectors as bytes too. Panorama is
FAISS's flat index over vectors that are turned to their principal axes, with 8 levels. Which share of the hits is the flat
index's is shown. With --busy N, N other processes keep a core each busy meanwhile. Of at least ten searches, that together take
a second, "least" is the fastest, which other work on the machine hardly changes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle, product
from pathlib import Path

import faiss
import numpy as np
from cost import busy, seconds
from report import listed, report

from vecsearch import Metric, ann
from vecsearch.metric import normalise, norms
from vecsearch.vectors.read import open_vectors

DIM, K = 256, 10
BLOCK_ROWS = 65_536
SEARCHES = 100
"""After so many a process has the vectors as bytes."""


def times(work: Callable[[], object]) -> np.ndarray:
    """Milliseconds that `work` takes, again and again."""
    work()
    took = [seconds(work) for _ in range(10)]
    while sum(took) < 1:  # of queries in turn: to some of them more is near than to others
        took.append(seconds(work))
    return 1000 * np.array(took)


def measured(vectors: np.ndarray, asked: np.ndarray, queries: list[int], threads: int) -> Iterator[dict[str, object]]:
    dim = vectors.shape[1]
    first, again = (ann.ExactSearcher(vectors, norms(vectors), little=little) for little in (True, False))
    points, units = normalise(vectors), normalise(asked)
    axes = faiss.PCAMatrix(dim, dim)
    axes.train(np.concatenate([points, -points]))  # their mean is 0, so that inner products stay
    flat, panorama = faiss.IndexFlatIP(dim), faiss.IndexFlatIPPanorama(dim, 8)
    flat.add(points)
    panorama.add(axes.apply(points))
    turned = axes.apply(units)
    for _ in range(SEARCHES):
        again.search(asked[:1], K, Metric.COSINE)
    searches = {
        "at first": lambda some: first.search(asked[some], K, Metric.COSINE),
        "ours": lambda some: again.search(asked[some], K, Metric.COSINE),
        "FAISS flat": lambda some: flat.search(units[some], K),
        "Panorama": lambda some: panorama.search(turned[some], K),
    }
    truth = np.sort(flat.search(units, K)[1])
    for count in queries:
        parts = [slice(start, start + count) for start in range(0, len(asked) - count + 1, count)]
        row: dict[str, object] = {"rows": len(vectors), "dim": dim, "threads": threads, "queries": count}
        for name, search in searches.items():
            rows = np.concatenate([np.sort(search(some)[1]) for some in parts])
            took = times(partial(lambda search, turns: search(next(turns)), search, cycle(parts))) / count
            row[f"{name}: same hits"] = float((rows == truth[: len(rows)]).mean())
            row[f"{name}, least"], row[f"{name}, p50"] = float(took.min()), float(np.median(took))
        yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vectors", type=Path, nargs="?")
    parser.add_argument("--rows", type=listed(), default=[6128, 100_000])
    parser.add_argument("--queries", type=listed(), default=[1, 8, 20, 64, 200])
    parser.add_argument("--threads", type=listed(), default=[1, 2])
    parser.add_argument("--busy", type=int, default=0)
    options = parser.parse_args()
    stored = None if options.vectors is None else np.concatenate(list(open_vectors(options.vectors).blocks(BLOCK_ROWS)))
    rng, most = np.random.default_rng(0), max(options.queries)
    found = []
    with busy(options.busy):
        for threads, rows in product(options.threads, options.rows):
            drawn = rng.standard_normal((rows + most, DIM), np.float32) if stored is None else stored
            name = options.vectors.name if options.vectors else "drawn at random"
            with ann.threads(threads):
                lines = measured(drawn[:rows], drawn[-most:], options.queries, threads)
                found += [{"vectors": name, "busy": options.busy} | line for line in lines]
    report("exact", found)


if __name__ == "__main__":
    main()
