"""How cost grows with the number of vectors, at one recall: build time, memory, disk, latency, throughput.

    python benchmarks/growth.py VECTORS.npy --rows 10000,100000,1000000 --folder DIR [--recall 0.95] [--memory 2GB] [--spec …]
    python benchmarks/growth.py --plot growth.png

VECTORS is a .npy or .h5 file. Some of its rows are kept aside as queries; the others are indexed, the first n of them. Beyond
them they are repeated, each moved by the difference of two others, scaled to 30 % of the median distance to the nearest
neighbor: repeated_rows says how many. The build proves its recall on most of the queries, the others are asked here. Every
size is built in a process of its own and searched in another, so that their memory is their own. Each line is kept as soon as
it is measured; --plot draws the newest line of each size, of the file with most. Memory is resident, with the pages of mapped
files.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from cost import memory, seconds
from report import RESULTS, listed, report

from vecsearch import ann
from vecsearch.ann.recall import recalls
from vecsearch.corpus.document import Document
from vecsearch.index.build import Options
from vecsearch.index.index import Index
from vecsearch.metric import Metric
from vecsearch.progress import Progress
from vecsearch.vectors.read import open_vectors

K = 10
BLOCK_ROWS = 16_384
NOISE = 0.3
QUERIES = 10_000
"""Queries of a batch; the latency is that of the first SINGLE, and exact search checks the first CHECKED."""
SINGLE, CHECKED = 2_000, 500


def main() -> None:
    options = parse()
    for rows in options.rows if options.vectors else ():
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            report("growth", [measured(Path(folder), rows, options)])
    if options.plot:
        plot(options.plot, options.recall)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="how cost grows with the number of vectors")
    parser.add_argument("vectors", type=Path, nargs="?", help="a .npy or .h5 file")
    parser.add_argument("--rows", type=listed(), default=[10_000, 100_000, 1_000_000], help="sizes (default: to a million)")
    parser.add_argument("--recall", type=float, default=0.95, help=f"recall@{K} to reach (default: %(default)s)")
    parser.add_argument("--metric", type=Metric, default=Metric.COSINE, choices=list(Metric), help="default: %(default)s")
    parser.add_argument("--spec", help="the kind of index; chosen by trial without it")
    parser.add_argument("--memory", type=size, help="bytes that the index may take in memory, such as 900MB or 2GB")
    parser.add_argument("--folder", type=Path, help="where the indexes are made, and removed again (default: the system's)")
    parser.add_argument("--plot", type=Path, help="draw the results of this recall to a .png or .svg file")
    options = parser.parse_args()
    if not options.vectors and not options.plot:
        parser.error("give VECTORS to measure, --plot to draw what was measured, or both")
    return options


def size(text: str) -> int:
    digits = text.rstrip("GMB")
    return int(float(digits) * {"": 1, "MB": 10**6, "GB": 10**9}[text[len(digits) :]])


def measured(folder: Path, rows: int, options: argparse.Namespace) -> dict[str, Any]:
    built = in_child(build, folder / "index", rows, options)
    found = in_child(search, folder / "index", options.vectors)
    asked = {"metric": str(options.metric), "asked": options.recall, "memory": options.memory}
    return {"vectors": options.vectors.name, "rows": rows} | built | found | asked


def in_child(work: Any, *arguments: Any) -> dict[str, Any]:
    """What `work` returns in a new process, whose memory holds nothing else."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


class Data:
    """The rows of a file: queries, and blocks of as many vectors as are wanted."""

    def __init__(self, path: Path) -> None:
        file = open_vectors(path)
        aside = np.random.default_rng(0).permutation(file.rows)[: min(QUERIES, file.rows // 10)]
        kept = np.ones(file.rows, bool)
        kept[aside] = False
        self.dim, self.real = file.dim, int(kept.sum())
        self._file, self._kept = file, kept

    def queries(self) -> np.ndarray:
        return np.concatenate(list(self._parts(~self._kept)))

    def blocks(self, rows: int) -> Iterator[np.ndarray]:
        """Blocks (b, dim) float32 of `rows` vectors, the real ones first."""
        rng = np.random.default_rng(1)
        distance = NOISE * self._nearest() if rows > self.real else 0.0
        done = 0
        while done < rows:
            for block in self._parts(self._kept):
                if done >= self.real:
                    # What is between two texts lies where the vectors do; Gaussian noise would be in all directions alike.
                    noise = block[rng.permutation(len(block))] - block[rng.permutation(len(block))]
                    block = block + noise * np.float32(distance / np.median(np.linalg.norm(noise, axis=1)))
                yield block[: rows - done]
                done += len(block[: rows - done])
                if done == rows:
                    return

    def _parts(self, chosen: np.ndarray) -> Iterator[np.ndarray]:
        first = 0
        for block in self._file.blocks(BLOCK_ROWS):
            yield block[chosen[first : first + len(block)]]
            first += len(block)

    def _nearest(self) -> float:
        """The median distance of a query to its nearest vector."""
        queries = self.queries()[:500]
        nearest = np.full(len(queries), np.inf, np.float32)
        for block in self._parts(self._kept):
            squares = (queries**2).sum(axis=1)[:, None] - 2 * queries @ block.T + (block**2).sum(axis=1)
            nearest = np.minimum(nearest, squares.min(axis=1))
        return float(np.median(np.sqrt(np.maximum(nearest, 0))))


class Timed(Progress):
    """When the last document was stored; what is tried goes to stdout."""

    def __init__(self) -> None:
        self._started = self.stored = perf_counter()

    def step(self, name: str, done: int, total: int | None = None) -> None:
        if name == "documents":
            self.stored = perf_counter()

    def note(self, text: str) -> None:
        print(f"{perf_counter() - self._started:8.1f} s  {text}", flush=True)


def build(folder: Path, rows: int, options: argparse.Namespace) -> dict[str, Any]:
    data = Data(options.vectors)
    started, progress = perf_counter(), Timed()

    index = Index.build(
        folder,
        (Document(str(row), "") for row in range(rows)),
        vectors=data.blocks(rows),
        options=Options(
            metric=options.metric,
            spec=options.spec,
            goal=ann.Goal(options.recall, K, options.memory),
            # Repeated rows find their likes more easily than queries of another origin find theirs.
            queries=data.queries()[SINGLE:],
        ),
        progress=progress,
    )
    ended = perf_counter()
    with index:
        manifest = index.manifest
        files = {path.name: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
        return {
            "repeated_rows": max(0, rows - data.real),
            "dim": data.dim,
            "spec": manifest.spec,
            **manifest.search_parameters,
            "recall": manifest.recall and round(manifest.recall["mean"], 4),
            "recall_low": manifest.recall and round(manifest.recall["low"], 4),
            "store_s": round(progress.stored - started, 1),
            "build_s": round(ended - started, 1),
            "peak_build_bytes": memory("VmHWM"),
            "index_bytes": files.get(manifest.largest["faiss"], 0),
            "disk_bytes": sum(files.values()),
        }


def search(folder: Path, vectors: Path) -> dict[str, Any]:
    queries = Data(vectors).queries()
    with Index.open(folder) as index, ann.threads(1):
        singles = [query[None] for query in queries[:SINGLE]]
        latencies = [seconds(partial(index.search, query, K)) for query in singles + singles][len(singles) :]
        batch = min(seconds(partial(index.search, queries, K)) for _ in range(3))
        resident = memory("VmHWM")
        found = index.search(queries[:CHECKED], K).scores
        with ann.threads(multiprocessing.cpu_count()):
            truth = index.search(queries[:CHECKED], K, exact=True).scores
    p50, p99 = np.percentile(latencies, [50, 99]) * 1000
    return {
        "search_bytes": resident,
        "p50_ms": round(p50, 4),
        "p99_ms": round(p99, 4),
        "batch_qps": round(len(queries) / batch),
        "new_queries_recall": round(float(recalls(truth, found).mean()), 4),
        "search_threads": 1,
    }


def plot(path: Path, recall: float) -> None:
    """Build time, memory and latency over the number of vectors, of the file with the most sizes at this recall."""
    from matplotlib.figure import Figure

    lines = [json.loads(line) for line in (RESULTS / "growth.jsonl").read_text(encoding="utf-8").splitlines()]
    files: dict[str, dict[int, dict[str, Any]]] = {}
    for line in lines:
        if line["asked"] == recall:
            files.setdefault(line["vectors"], {})[line["rows"]] = line
    if not files:
        raise SystemExit(f"{RESULTS / 'growth.jsonl'} holds no line with the recall {recall}")
    newest = max(files.values(), key=len)
    sizes = sorted(newest)
    panels = {
        "build time (s)": {"all of it": ("build_s", 1), "storing the vectors": ("store_s", 1)},
        "memory and disk (MB)": {
            "peak while building": ("peak_build_bytes", 1e6),
            "peak while searching": ("search_bytes", 1e6),
            "FAISS file": ("index_bytes", 1e6),
        },
        "one query on one thread (ms)": {"median": ("p50_ms", 1), "99th percentile": ("p99_ms", 1)},
    }
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    for axes, (title, curves) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for label, (column, unit) in curves.items():
            axes.plot(sizes, [newest[rows][column] / unit or np.nan for rows in sizes], "o-", label=label)
        axes.set(xscale="log", yscale="log", title=title, xlabel="vectors")
        axes.grid(alpha=0.3)
        axes.legend()
    line = newest[sizes[-1]]
    figure.suptitle(f"{line['vectors']}, {line['dim']} dimensions, {line['metric']}, recall@{K} of at least {recall}")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
