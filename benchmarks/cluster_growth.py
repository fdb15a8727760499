"""What an index of any size costs through Ray, by formula; and whether the formulas hold: each size is built, measured, and
compared with what the smallest one says of it.

    python benchmarks/cluster_growth.py CORPUS [--sizes 100000,1000000] [--pooling raw] [--workers 2] [--folder DIR]

CORPUS is a .jsonl file of documents with texts, which come again and again with a number before them. All figures of the
smallest size become constants: seconds of the processor, bytes and milliseconds for a document. For the other sizes, and for a
billion documents, they are multiplied by the number of documents; `of_formula` is what was measured over what the formula says.
Memory is said to be the same for any size.

`encode_s` are seconds of all workers, `drive_s` those of the one that builds, of the processor; `commit_s` is from the last
shard to the end: ids compared, one commit. `query_ms` is an exact query on one thread, once the vectors are in memory.
`faiss_bytes` are those of the index of FAISS that --spec asks for, and `probe_ms` a query by it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from cluster import Watch, repeated
from report import listed, report

from vecsearch import Index, Options, open_encoder
from vecsearch.ann.threads import threads
from vecsearch.distributed import RayEngine, build
from vecsearch.progress import Progress

BILLION = 1_000_000_000
QUERIES = 20
GROWS = ("encode_s", "drive_s", "commit_s", "vectors_bytes", "documents_bytes", "faiss_bytes", "query_ms")
"""With the number of documents; the rest stays."""
SAME = ("own_peak_mb", "worker_peak_mb")


class Shards(Progress):
    """When the last shard was done."""

    def __init__(self) -> None:
        self.last = perf_counter()

    def step(self, name: str, done: int, total: int | None = None) -> None:
        if name == "documents":
            self.last = perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description="what an index of any size costs through Ray")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--sizes", type=listed(), default=[100_000, 1_000_000], help="documents, rising")
    parser.add_argument("--pooling", default=None, help="of the model that ships, such as raw")
    parser.add_argument("--spec", default=None, help="a kind of index of FAISS, shared by the shards")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--shard-rows", type=int, default=16_384)
    parser.add_argument("--folder", type=Path, help="where the indexes are made, and removed again (default: the system's)")
    parser.add_argument("--rows", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rows:
        print(json.dumps(measured(options)))
        return
    rows: list[dict[str, Any]] = []
    for size in options.sizes:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            command = [sys.executable, __file__, *sys.argv[1:], "--rows", str(size), "--folder", folder]
            told = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1]
        rows.append(json.loads(told))
        print(rows[-1], flush=True)
        if len(rows) > 1:
            said = formula(rows[0], size)
            rows[-1]["of_formula"] = {name: round(rows[-1][name] / said[name], 2) for name in said if said[name]}
    facts = {"corpus": options.corpus.stem, "pooling": options.pooling, "spec": options.spec, "workers": options.workers}
    report(
        "cluster_growth",
        [row | facts for row in [*rows, {"documents": BILLION, "measured": False} | formula(rows[-1], BILLION)]],
    )


def formula(known: dict[str, Any], documents: int) -> dict[str, float]:
    """What so many documents cost, by what those of a known index have cost."""
    times = documents / known["documents"]
    return {name: times * known[name] for name in GROWS} | {name: known[name] for name in SAME}


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """An index is built through Ray, and asked."""
    folder, progress = options.folder / "index", Shards()
    documents = islice(repeated(options.corpus), options.rows)
    encoder = open_encoder(dtype="auto", pooling=options.pooling)
    with RayEngine("local", options.workers) as engine, Watch() as watch:
        began, before = perf_counter(), process_time()
        wanted = Options(spec=options.spec) if options.spec else None
        index = build(folder, documents, encoder, wanted, engine=engine, shard_rows=options.shard_rows, progress=progress)
        ended = perf_counter()
        # Later it would be that of the vectors as well, which a question reads.
        own_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (20 if sys.platform == "darwin" else 10)
    workers = [pid for pid, name in watch.names.items() if "Holder" in name]
    with index:
        query_ms = milliseconds(index, exact=True)
        row = {
            "documents": len(index),
            "segments": len(index.manifest.segments),
            "characters": round(mean_characters(index)),
            "build_s": round(ended - began, 1),
            "encode_s": round(sum(watch.processor[pid] for pid in workers), 1),
            "drive_s": round(process_time() - before, 1),
            "commit_s": round(ended - progress.last, 2),
            "query_ms": round(query_ms, 2),
            "probe_ms": round(milliseconds(index, exact=False), 2) if options.spec else None,
            "own_peak_mb": own_peak,
            "worker_peak_mb": max((watch.memory[pid] for pid in workers), default=0) >> 20,
        }
    return row | sizes(folder)


def milliseconds(index: Index, *, exact: bool) -> float:
    """The median of some queries, one after another, on one thread."""
    vectors, times = np.random.default_rng(0).standard_normal((QUERIES + 2, index.dim)).astype(np.float32), []
    with threads(1):
        for vector in vectors:
            began = perf_counter()
            index.search(vector[None], 10, exact=exact)
            times.append(1000 * (perf_counter() - began))
    return float(np.median(times[2:]))


def mean_characters(index: Index) -> float:
    rows = np.linspace(0, index.manifest.rows - 1, 1000).astype(int)
    return float(np.mean([len(document.text) for document in index.documents(rows)]))


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of the files of all segments, by what they hold."""
    found = dict.fromkeys(("vectors_bytes", "documents_bytes", "faiss_bytes"), 0)
    for path in folder.glob("segments/*/*"):
        kind = {".npy": "vectors", ".sqlite": "documents"}.get(path.suffix, "faiss" if "faiss" in path.name else None)
        if kind:
            found[f"{kind}_bytes"] += os.stat(path).st_size
    return found


if __name__ == "__main__":
    main()
