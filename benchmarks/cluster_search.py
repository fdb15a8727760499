"""What a question costs when an index is held by several workers: beside one process, and beside the slowest of the parts.

    python benchmarks/cluster_search.py INDEX [--raylets 3] [--queries 200]

INDEX has several segments. The parts are asked in this process first, one after another: `slowest_ms` is the median of what the
slowest part takes, which several machines would wait for. Then the whole index is asked, by vectors and exactly, by as many
processes of this machine, and by as many raylets of a Ray cluster on it: `overhead_ms` is what the median is above the slowest
part's. `equal` is how many questions have the same rows and scores, to the bit, as in one process; `hybrid_ms` is a search by
meaning and words together. Workers share the cores that there are: with fewer cores than workers, part of the overhead is
waiting for one.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from report import report

from vecsearch import Index
from vecsearch.distributed import Pool, RayEngine
from vecsearch.engine import Engine
from vecsearch.index.part import How, Part
from vecsearch.index.scattered import runs
from vecsearch.store.snapshot import open_snapshot, read_manifest

K = 10
TEXTS = ("a film about trains", "stories of the sea", "war and peace", "the best pizza", "how to read a file")


def main() -> None:
    parser = argparse.ArgumentParser(description="what a question costs when several workers hold an index")
    parser.add_argument("index", type=Path)
    parser.add_argument("--raylets", type=int, default=3, help="and processes (default: %(default)s)")
    parser.add_argument("--queries", type=int, default=200)
    options = parser.parse_args()
    manifest = read_manifest(options.index)
    queries = np.random.default_rng(0).standard_normal((options.queries, manifest.dim)).astype(np.float32)
    slowest = max(part_ms(options.index, numbers, queries) for numbers in runs_of(manifest, options.raylets))
    with Index.open(options.index, check=False) as one:
        wanted = [one.search(query[None], K) for query in queries]
        rows = [measured("one process", one, queries, wanted)]
        with Pool(options.raylets) as engine:
            rows.append(on_engine("pool", options, engine, queries, wanted))
        with RayCluster(options.raylets) as address, RayEngine(address) as engine:
            rows.append(on_engine("ray", options, engine, queries, wanted))
    facts = {"documents": sum(entry["documents"] for entry in manifest.segments), "segments": len(manifest.segments)}
    facts |= {"workers": options.raylets, "cores": os.cpu_count(), "slowest_ms": slowest}
    report("cluster_search", [row | {"overhead_ms": row["search_ms"] - slowest} | facts for row in rows])


def runs_of(manifest: Any, count: int) -> list[range]:
    return list(runs([entry["rows"] for entry in manifest.segments], count))


def part_ms(folder: Path, numbers: range, queries: np.ndarray) -> float:
    """Milliseconds that a part takes for one of the queries."""
    with open_snapshot(folder, check=False, numbers=numbers) as snapshot:
        part = Part(snapshot)
        return median(lambda query: part.search(query[None], How(K)), queries)


def on_engine(way: str, options: argparse.Namespace, engine: Engine, queries: np.ndarray, wanted: list[Any]) -> dict[str, Any]:
    with Index.open(options.index, check=False, engine=engine, workers=options.raylets) as index:
        return measured(way, index, queries, wanted)


def measured(way: str, index: Index, queries: np.ndarray, wanted: list[Any]) -> dict[str, Any]:
    found = [index.search(query[None], K) for query in queries]
    same = sum(
        a.rows.tobytes() + a.scores.tobytes() == b.rows.tobytes() + b.scores.tobytes()
        for a, b in zip(found, wanted, strict=True)
    )
    hybrid = median(lambda text: index.hybrid([text], K), [f"{text} {n}" for n in range(8) for text in TEXTS])
    search = median(lambda query: index.search(query[None], K), queries)
    return {"way": way, "equal": f"{same} of {len(queries)}", "search_ms": search, "hybrid_ms": hybrid}


def median(ask: Callable[[Any], object], questions: Any) -> float:
    times = []
    for question in questions:
        began = perf_counter()
        ask(question)
        times.append(1000 * (perf_counter() - began))
    return float(np.median(times))


class RayCluster:
    """A cluster of several raylets on this machine; entered, its address."""

    def __init__(self, raylets: int) -> None:
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        for _ in range(raylets - 1):
            self._cluster.add_node(num_cpus=1)

    def __enter__(self) -> str:
        return self._cluster.address

    def __exit__(self, *_: object) -> None:
        self._cluster.shutdown()


if __name__ == "__main__":
    main()
