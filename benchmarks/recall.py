"""Whether the recall that was asked for is the recall that new queries get: on many data sets, by both metrics.

    python benchmarks/recall.py VECTORS... [--recall 0.9,0.95,0.99] [--metric cosine,ip] [--queries 2000] [--foreign QUERIES]

VECTORS are .npy or .h5 files. Of each, some rows are kept aside before anything is built: they are the new queries. What the
build proves on queries of its own (proved, with its interval) stands beside what the new ones get (new). With --foreign the
queries are another file's, of another distribution: half of them go to the build as --queries, half are the new ones.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from report import listed, report

from vecsearch import ann
from vecsearch.ann.recall import recalls
from vecsearch.metric import Metric, norms
from vecsearch.progress import SILENT
from vecsearch.vectors.read import open_vectors

K = 10


def main() -> None:
    options = parse()
    lines = [
        measured(path, metric, target, options)
        for path in options.vectors
        for metric in options.metric
        for target in options.recall
    ]
    report("recall", lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the recall asked for beside the recall that new queries get")
    parser.add_argument("vectors", type=Path, nargs="+", help=".npy or .h5 files")
    parser.add_argument("--recall", type=listed(float), default=[0.9, 0.95, 0.99], help="default: 0.9,0.95,0.99")
    parser.add_argument("--metric", type=listed(Metric), default=list(Metric), help="default: cosine,ip")
    parser.add_argument("--queries", type=int, default=2000, help="new queries (default: %(default)s)")
    parser.add_argument("--foreign", type=Path, help="a file of queries of another distribution")
    return parser.parse_args()


def read(path: Path) -> np.ndarray:
    return np.concatenate(list(open_vectors(path).blocks(65_536)))


def measured(path: Path, metric: Metric, target: float, options: argparse.Namespace) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    vectors, given = read(path), None
    if options.foreign:
        foreign = rng.permutation(read(options.foreign))
        new, given = foreign[: options.queries], foreign[options.queries :]
    else:
        order = rng.permutation(len(vectors))
        new, vectors = vectors[order[: options.queries]], vectors[np.sort(order[options.queries :])]
    source = ann.Rows(vectors, norms(vectors), metric)
    with tempfile.TemporaryDirectory() as folder:
        file, started = Path(folder) / "index.faiss", time.perf_counter()
        goal = ann.Goal(recall=target, k=K)
        outcome = ann.Builder(source, goal, queries=given, progress=SILENT).build(file)
        seconds = time.perf_counter() - started
        exact = ann.ExactSearcher(vectors, source.norms)
        truth, _ = exact.search(new, K, metric)
        found = truth
        if outcome.spec != ann.EXACT:
            found, _ = ann.open_searcher(file, outcome.spec, source, outcome.search_parameters).search(new, K)
    fresh = ann.Recall.of(recalls(truth, found), K)
    facts = {"vectors": path.stem, "rows": len(vectors), "dim": vectors.shape[1], "metric": metric.value}
    facts |= {"queries": options.foreign.stem} if options.foreign else {}
    return facts | {
        "asked": target,
        "proved": str(outcome.recall) if outcome.recall else "exact",
        "new": str(fresh),
        "reached": bool(fresh.high >= target and outcome.reached),
        "kind": outcome.spec,
        "effort": " ".join(f"{name}={value}" for name, value in outcome.search_parameters.items()),
        "build_s": round(seconds, 1),
    }


if __name__ == "__main__":
    main()
