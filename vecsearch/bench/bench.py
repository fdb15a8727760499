"""How well and how fast kinds of index answer: recall, latency and throughput by search parameters; what a kind costs."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch import ann, checks
from vecsearch.ann.recall import Recall, recalls
from vecsearch.ann.spec import usual_parameters
from vecsearch.ann.truth import leave_out
from vecsearch.ann.tuner import Ladder
from vecsearch.bench.opening import opening
from vecsearch.bench.workload import Built, Workload

SINGLE_S = 5.0
"""Seconds after which a pass of single queries ends, even if not all were asked."""
LEAST_SINGLES = 100
"""Single queries of a pass at the least: with fewer a 99th percentile means nothing."""
BATCH_ROUNDS, BATCH_S = 3, 0.5
"""How often, and for how many seconds, a batch is repeated at the least."""

_STEPS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)

Search = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a kind costs, apart from the stored vectors that every kind keeps; `build_s` is None where it was there already."""

    kind: str
    build_s: float | None
    build_threads: int | None
    size_bytes: int
    resident_bytes: int
    open_cold_ms: float
    first_query_ms: float


@dataclass(frozen=True, slots=True)
class Point:
    """One kind, set in one way: recall@k with its 95 % interval, single-query latencies, queries/s of a batch; all warm.

    `stored` marks the search parameters that an index searches with; `single_queries` is how many the latencies are of.
    """

    kind: str
    search_parameters: Mapping[str, float]
    stored: bool
    recall: float
    recall_low: float
    recall_high: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    single_queries: int
    qps: float
    threads: int


def measure(workload: Workload, specs: Sequence[str], folder: Path, *, threads: int) -> Iterator[Cost | Point]:
    """The cost and then the points of exact search, of the index itself if there is one, and of `specs` built in `folder`.

    Indexes are built with all cores and searched with `threads`. Raises UsageError for a spec that does not fit.
    """
    checks.instance("workload", workload, Workload, give="what open_workload returned")
    specs, threads = checks.texts("specs", specs, call="measure"), checks.count("threads", threads, least=1)
    folder = checks.path("folder", folder)
    for spec in specs:
        ann.check_spec(spec, workload.base.vectors.shape[1], workload.base.metric)
    return _measured(workload, specs, folder, threads)


def _measured(workload: Workload, specs: Sequence[str], folder: Path, threads: int) -> Iterator[Cost | Point]:
    yield from _measure_exact(workload, threads)
    if workload.built and workload.built.path:
        yield from _measure_kind(workload, workload.built, threads)
    rows = workload.base
    for spec in specs:
        if spec == ann.EXACT:
            continue
        path = folder / "index.faiss"
        started = time.perf_counter()
        index = ann.construct(spec, rows, np.arange(len(rows)))
        ann.write(index, path)
        seconds = time.perf_counter() - started
        kind = Built(spec, path, usual_parameters(index, workload.k))
        del index  # what is measured is the file, as a search opens it
        yield from _measure_kind(workload, kind, threads, build_s=seconds)
        path.unlink()


def _measure_exact(workload: Workload, threads: int) -> Iterator[Cost | Point]:
    costs = opening(workload, Built(ann.EXACT, None, {}), threads)
    yield Cost(ann.EXACT, build_s=None, build_threads=None, size_bytes=0, **costs)
    base = workload.base
    search = partial(ann.ExactSearcher(base.vectors, base.norms).search, metric=base.metric)
    own = workload.built is not None and workload.built.spec == ann.EXACT
    yield _point(workload, ann.EXACT, search, {}, threads, stored=own)


def _measure_kind(workload: Workload, kind: Built, threads: int, *, build_s: float | None = None) -> Iterator[Cost | Point]:
    """The cost of a kind, a point with its search parameters if it is the index itself, and one at each rung of its ladder."""
    yield Cost(
        kind.spec,
        build_s=build_s,
        build_threads=None if build_s is None else os.cpu_count(),
        size_bytes=kind.path.stat().st_size,
        **opening(workload, kind, threads),
    )
    searcher = ann.open_searcher(kind.path, kind.spec, workload.base, kind.search_parameters)
    if kind is workload.built:
        yield _point(workload, kind.spec, searcher.search, kind.search_parameters, threads, stored=True)
    for rung in ladder(searcher, workload.queries, workload.k):
        searcher.set_parameters(rung)
        yield _point(workload, kind.spec, searcher.search, rung, threads, stored=False)


def ladder(searcher: ann.ApproximateSearcher, queries: np.ndarray, k: int) -> list[dict[str, float]]:
    """Search parameters for k hits of queries (q, d) that the searcher's kind can search with, from the cheapest on."""
    name = searcher.setting
    if name is None:
        return [{"candidates": share * k} for share in (1, 2, 4, 10, 20)]
    least, most = searcher.settings(k)
    values, rungs = [value for value in _STEPS if least <= value < most], Ladder(searcher, queries)
    if name == "nprobe":
        return [rungs.at(value, 20 * k) for value in [*values, most]]
    # FAISS would look at more nodes for more hits.
    return [rungs.at(value, min(value, 20 * k)) for value in values or [most]]


def _point(workload: Workload, kind: str, search: Search, setting: Mapping[str, float], threads: int, *, stored: bool) -> Point:
    queries, k = workload.queries, workload.k
    with ann.threads(threads):
        found = search(queries, k + (workload.own_rows is not None))
        scores, _ = leave_out(*found, workload.own_rows, k)
        found_recalls = recalls(workload.truth_scores, scores)
        singles = latencies_ms(search, queries, k)
        qps = throughput(search, queries, k)
    recall = Recall.of(found_recalls, k)
    p50, p95, p99 = np.percentile(singles, [50, 95, 99]).tolist()
    return Point(
        kind=kind,
        search_parameters=dict(setting),
        stored=stored,
        recall=recall.mean,
        recall_low=recall.low,
        recall_high=recall.high,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        single_queries=len(singles),
        qps=qps,
        threads=threads,
    )


def latencies_ms(search: Search, queries: np.ndarray, k: int, *, seconds: float = SINGLE_S) -> np.ndarray:
    """Milliseconds of each query (d,) of `queries` (q, d) asked alone, (<= q,) float64, after a pass that warms up. A pass ends
    after so many `seconds`, but not before LEAST_SINGLES."""
    warm = _pass_ms(search, queries, k, seconds)
    return _pass_ms(search, queries[: len(warm)], k, seconds)


def _pass_ms(search: Search, queries: np.ndarray, k: int, seconds: float) -> np.ndarray:
    times = []
    deadline = time.perf_counter() + seconds
    for row in range(len(queries)):
        query = queries[row : row + 1]
        started = time.perf_counter_ns()
        search(query, k)
        times.append(time.perf_counter_ns() - started)
        if time.perf_counter() > deadline and len(times) >= LEAST_SINGLES:
            break
    return np.array(times) / 1e6


def throughput(search: Search, queries: np.ndarray, k: int) -> float:
    """Queries per second of all `queries` (q, d) asked at once, the median of several rounds."""
    seconds: list[float] = []
    while len(seconds) < BATCH_ROUNDS or sum(seconds) < BATCH_S:
        started = time.perf_counter()
        search(queries, k)
        seconds.append(time.perf_counter() - started)
    return len(queries) / float(np.median(seconds))


def pareto(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats in both recall and queries/s, by rising recall."""
    frontier: list[Point] = []
    for point in sorted(points, key=lambda point: (-point.recall, -point.qps)):
        if not frontier or point.qps > frontier[-1].qps:
            frontier.append(point)
    return frontier[::-1]


def run_facts(workload: Workload, *, threads: int) -> dict[str, Any]:
    """What a run was about: data set, sizes, metric, k, queries, threads, machine and versions."""
    return {
        "data": workload.name,
        "rows": len(workload.base),
        "dim": workload.base.vectors.shape[1],
        "metric": str(workload.base.metric),
        "k": workload.k,
        "queries": len(workload.queries),
        "threads": threads,
        "vectors_bytes": workload.base.vectors.nbytes,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpu": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{package: version(package) for package in ("vecsearch", "faiss-cpu", "numpy")},
    }


def record(facts: Cost | Point | Mapping[str, Any]) -> dict[str, Any]:
    """`facts` as one JSON line has it: `record` says whether it is of the run, the cost of a kind, or a point."""
    if isinstance(facts, Cost | Point):
        return {"record": type(facts).__name__.lower(), **asdict(facts)}
    return {"record": "run", **facts}


def processor() -> str:
    """Name of this machine's processor."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
