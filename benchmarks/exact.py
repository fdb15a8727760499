"""Exact search in milliseconds a query, by how many queries are asked together, beside FAISS's flat index.

    python benchmarks/exact.py [--rows 6128,100000] [--queries 1,8,20,64,200] [--threads 1,2] [--busy 0]

Vectors are drawn at random, cosine, k = 10. With --busy N, N other processes keep a core each busy meanwhile. Of at least ten
searches, that together take a second, "least" is the fastest, which other work on the machine hardly changes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import faiss
import numpy as np
from cost import busy, seconds
from report import listed, report

from vecsearch import Metric, ann
from vecsearch.metric import normalise, norms

DIM, K = 256, 10


def times(work: Callable[[], object]) -> np.ndarray:
    """Milliseconds that `work` takes, again and again."""
    work()
    took = [seconds(work) for _ in range(10)]
    while sum(took) < 1:
        took.append(seconds(work))
    return 1000 * np.array(took)


def measured(rows: int, queries: list[int], threads: int) -> Iterator[dict[str, object]]:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((rows, DIM), np.float32)
    asked = rng.standard_normal((max(queries), DIM), np.float32)
    ours = ann.ExactSearcher(vectors, norms(vectors))
    flat = faiss.IndexFlatIP(DIM)
    flat.add(normalise(vectors))
    units = normalise(asked)
    for count in queries:
        np.testing.assert_array_equal(ours.search(asked[:count], K, Metric.COSINE)[1], flat.search(units[:count], K)[1])
        own = times(lambda count=count: ours.search(asked[:count], K, Metric.COSINE)) / count
        others = times(lambda count=count: flat.search(units[:count], K)) / count
        yield {"rows": rows, "threads": threads, "queries": count} | {
            "ms a query, least": float(own.min()),
            "p50": float(np.median(own)),
            "p99": float(np.percentile(own, 99)),
            "FAISS flat, least": float(others.min()),
            "its p50": float(np.median(others)),
            "its p99": float(np.percentile(others, 99)),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=listed(), default=[6128, 100_000])
    parser.add_argument("--queries", type=listed(), default=[1, 8, 20, 64, 200])
    parser.add_argument("--threads", type=listed(), default=[1, 2])
    parser.add_argument("--busy", type=int, default=0)
    options = parser.parse_args()
    found = []
    with busy(options.busy):
        for threads in options.threads:
            with ann.threads(threads):
                for rows in options.rows:
                    found += [{"busy": options.busy} | row for row in measured(rows, options.queries, threads)]
    report("exact", found)


if __name__ == "__main__":
    main()
