"""Our index beside other people's, over the same vectors: throughput at equal recall, latency, build time, memory, size.

    python benchmarks/peers.py VECTORS [--rows N] [--queries N] [--k N] [--metric M] [--threads N] [--only NAME ...]

VECTORS is a .npy or .h5 file, whose queries are a sample of the rows, left out of the base, or an ann-benchmarks data set
with queries of its own. Each index is built once; then all settings of all indexes take turns, in a new order in each round,
so that a noisy moment hits all alike, and the median of the rounds counts. Throughput at a recall is read off each index's
best settings (log throughput, linear in recall, between neighbors). Queries go in one batch; latency is measured one by
one, at the setting nearest to recall 0.95. Cores are processor time over wall time, to see that all kept to their threads.
The peers are the extra "bench"; one that is missing or cannot run here is named and left out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from typing import Any

import numpy as np
from adapters import ADAPTERS, Adapter
from adapters.ours import Vecsearch
from cost import memory, reset_peak_memory, timed
from report import report

from vecsearch.ann import ExactSearcher
from vecsearch.metric import Metric, normalise, norms
from vecsearch.vectors.annbench import is_annbench, read_annbench
from vecsearch.vectors.read import open_vectors

RECALLS = (0.90, 0.95, 0.99)
LATENCY_RECALL = 0.95
LATENCY_QUERIES = 500
BLOCK_ROWS = 65_536
TIE = 1e-5
"""Scores this close, as a share of the k-th, are one score computed in two ways."""


@dataclass(frozen=True)
class Data:
    """Base (n, d) and queries (q, d) float32, of length 1 where the metric is cosine, and each query's true k-th score (q,)."""

    base: np.ndarray
    queries: np.ndarray
    k: int
    metric: Metric
    kth: np.ndarray

    def recall(self, rows: np.ndarray) -> float:
        """Share of the rows (q, k) found, -1 for none, that score at least as high as the true k-th."""
        scores = np.einsum("qd,qkd->qk", self.queries, self.base[rows])
        enough = self.kth - TIE * np.abs(self.kth)
        return float(((scores >= enough[:, None]) & (rows >= 0)).sum() / (len(rows) * self.k))


@dataclass
class Point:
    """One setting of one index, and what the rounds measured."""

    adapter: Adapter
    setting: Any
    recall: float = 0.0
    rates: list[float] = field(default_factory=list)
    cores: list[float] = field(default_factory=list)

    @property
    def qps(self) -> float:
        return median(self.rates)


def main() -> None:
    options = parse()
    rng = np.random.default_rng(0)
    data = read(options, rng)
    builds = {adapter: build(adapter, data.base, options.build_threads) for adapter in chosen(options.only, data.metric)}
    points = [Point(adapter, setting) for adapter in builds for setting in adapter.settings]
    throughput(points, data, options, rng)
    latencies = latency(points, data, options)
    facts = {
        "vectors": options.vectors.name,
        "rows": len(data.base),
        "dim": data.base.shape[1],
        "queries": len(data.queries),
        "k": data.k,
        "metric": data.metric.value,
        "threads": options.threads,
        "build_threads": options.build_threads,
        "rounds": options.rounds,
    }
    report("peers", [row(point) | facts for point in points])
    print()
    report("peers", [line | facts for line in summary(points, builds, latencies)])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="our index beside other people's, over the same vectors")
    parser.add_argument("vectors", type=Path, help="a .npy or .h5 file, or an ann-benchmarks data set")
    parser.add_argument("--rows", type=int, help="take so many rows for the base, drawn at random (default: all)")
    parser.add_argument("--queries", type=int, default=2000, help="default: %(default)s")
    parser.add_argument("--k", type=int, default=10, help="default: %(default)s")
    parser.add_argument(
        "--metric", type=Metric, default=Metric.COSINE, help="cosine or ip; an ann-benchmarks file says its own"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads that search (default: %(default)s)")
    parser.add_argument("--build-threads", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="rounds to take the median of (default: %(default)s)")
    names = [kind.name for kind in ADAPTERS]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help="some of: " + ", ".join(names))
    return parser.parse_args()


def read(options: argparse.Namespace, rng: np.random.Generator) -> Data:
    if is_annbench(options.vectors):
        file = read_annbench(options.vectors)
        base, queries, metric = file.train, file.test, file.metric
        base = base[drawn(len(base), options.rows, rng)]
        queries = queries[drawn(len(queries), options.queries, rng)]
    else:
        vectors = np.concatenate(list(open_vectors(options.vectors).blocks(BLOCK_ROWS)))
        held_out = np.zeros(len(vectors), bool)
        held_out[drawn(len(vectors), min(options.queries, len(vectors) // 2), rng)] = True
        queries, base, metric = vectors[held_out], vectors[~held_out], options.metric
        base = base[drawn(len(base), options.rows, rng)]
    if metric is Metric.COSINE:
        base, queries = normalise(base), normalise(queries)
    k = min(options.k, len(base))
    scores, _ = ExactSearcher(base, norms(base)).search(queries, k, Metric.INNER_PRODUCT)
    return Data(base, queries, k, metric, scores[:, -1])


def drawn(total: int, wanted: int | None, rng: np.random.Generator) -> np.ndarray:
    """`wanted` of the numbers below `total`, rising; all of them where there are no more."""
    return np.sort(rng.permutation(total)[:wanted])


def chosen(only: list[str] | None, metric: Metric) -> list[Adapter]:
    """The adapters that can run here, of those named or of all."""
    adapters = []
    for kind in ADAPTERS:
        if only is None or kind.name in only:
            adapter = kind(metric)
            obstacle = adapter.obstacle()
            if obstacle is None:
                adapters.append(adapter)
            else:
                print(f"{adapter.name}: left out, {obstacle}", file=sys.stderr)
    return adapters


def build(adapter: Adapter, base: np.ndarray, threads: int) -> dict[str, Any]:
    """Build, save and weigh an index: seconds, cores, bytes.

    Memory is the growth of the process at its highest; what an earlier build gave back to the allocator alone is not seen.
    """
    before = reset_peak_memory()
    seconds, cores = timed(lambda: adapter.build(base, threads=threads))
    growth = memory("VmHWM") - before
    print(f"{adapter.name}: built in {seconds:.1f} s", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        adapter.save(Path(folder))
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return {"build_s": seconds, "build_cores": cores, "build_memory_bytes": growth, "disk_bytes": size}


def throughput(points: list[Point], data: Data, options: argparse.Namespace, rng: np.random.Generator) -> None:
    for turn in range(options.rounds):
        for n in rng.permutation(len(points)):
            point = points[n]
            rows: list[np.ndarray] = []
            seconds, cores = timed(lambda p=point, r=rows: r.append(search(p, data.queries, data.k, options.threads)))
            point.rates.append(len(data.queries) / seconds)
            point.cores.append(cores)
            point.recall = data.recall(rows[0])
        print(f"round {turn + 1} of {options.rounds} done", file=sys.stderr)


def search(point: Point, queries: np.ndarray, k: int, threads: int) -> np.ndarray:
    return point.adapter.search(queries, k, point.setting, threads=threads)


def latency(points: list[Point], data: Data, options: argparse.Namespace) -> dict[Adapter, dict[str, Any]]:
    """Of each index, at its setting nearest to LATENCY_RECALL, the p50 and p99 of single queries: medians over the rounds."""
    nearest: dict[Adapter, Point] = {}
    for point in sorted(points, key=lambda point: -abs(point.recall - LATENCY_RECALL)):
        nearest[point.adapter] = point
    singles = np.split(data.queries[:LATENCY_QUERIES], min(LATENCY_QUERIES, len(data.queries)))
    times: dict[Adapter, list[np.ndarray]] = {adapter: [] for adapter in nearest}
    for _ in range(options.rounds):
        for adapter, point in nearest.items():
            search(point, singles[0], data.k, options.threads)
            marks = [perf_counter_ns()]
            for query in singles:
                search(point, query, data.k, options.threads)
                marks.append(perf_counter_ns())
            times[adapter].append(np.percentile(np.diff(marks) / 1e6, (50, 99)))
    medians = {adapter: np.median(rounds, axis=0) for adapter, rounds in times.items()}
    return {
        adapter: {"latency_recall": nearest[adapter].recall, "p50_ms": float(p50), "p99_ms": float(p99)}
        for adapter, (p50, p99) in medians.items()
    }


def qps_at(points: Iterable[tuple[float, float]], recall: float) -> float | None:
    """Queries a second at `recall`, of (recall, qps) points: log qps, linear in recall between neighbors on the frontier.

    Below the lowest recall it is that point's, which is the least that can be had; above the highest, None.
    """
    frontier: list[tuple[float, float]] = []
    for point in sorted(points, reverse=True):
        if not frontier or point[1] > frontier[-1][1]:
            frontier.append(point)
    recalls, rates = zip(*reversed(frontier), strict=True)
    if recall > recalls[-1]:
        return None
    return float(np.exp(np.interp(recall, recalls, np.log(rates))))


def row(point: Point) -> dict[str, Any]:
    figures = {"recall": round(point.recall, 4), "qps": round(point.qps), "cores": round(median(point.cores), 2)}
    return {"index": point.adapter.name, "setting": str(point.setting)} | figures


def summary(
    points: list[Point], builds: dict[Adapter, dict[str, Any]], latencies: dict[Adapter, dict[str, Any]]
) -> list[dict[str, Any]]:
    """One line for each index, and one for the best peer: throughput at RECALLS, and how many times as much ours has."""
    rates = {
        adapter: [qps_at([(p.recall, p.qps) for p in points if p.adapter is adapter], recall) for recall in RECALLS]
        for adapter in builds
    }
    own = [(p.recall, p.qps) for p in points if isinstance(p.adapter, Vecsearch)]
    ours = [qps_at(own, recall) if own else None for recall in RECALLS]
    lines = []
    for adapter, measured in builds.items():
        release = {"index": adapter.name, "version": version(adapter.distribution)}
        lines.append(release | at_recalls(rates[adapter], ours) | measured | latencies[adapter])
    peers = [rates[adapter] for adapter in builds if not isinstance(adapter, Vecsearch)]
    best = [max((rate for rate in column if rate), default=None) for column in zip(*peers, strict=True)]
    return [*lines, {"index": "best peer"} | at_recalls(best, ours)] if peers else lines


def at_recalls(rates: list[float | None], ours: list[float | None]) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for recall, rate, our_rate in zip(RECALLS, rates, ours, strict=True):
        cells[f"qps_{recall:.2f}"] = round(rate) if rate else "not reached"
        cells[f"ours_{recall:.2f}"] = round(our_rate / rate, 2) if rate and our_rate else None
    return cells


if __name__ == "__main__":
    main()
