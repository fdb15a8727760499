"""What opening an index costs a fresh process: run as `python -m vecsearch.bench.opening`, with a request on stdin."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import vecsearch
from vecsearch import ann
from vecsearch.bench.workload import Built, Workload
from vecsearch.metric import Metric
from vecsearch.store.layout import NORMS, VECTORS


def opening(workload: Workload, kind: Built, threads: int) -> dict[str, float]:
    """`resident_bytes`, `open_cold_ms` and `first_query_ms` of a kind in a new process.

    The imports are done before. What the page cache holds stays there: a file that was just built is read from memory.
    """
    request = {
        "folder": str(workload.folder),
        "spec": kind.spec,
        "path": kind.path and str(kind.path),
        "search_parameters": dict(kind.search_parameters),
        "metric": workload.base.metric,
        "k": workload.k,
        "threads": threads,
        "query": workload.queries[0].tolist(),
    }
    # -P and the path: this very code, whatever lies in the current folder.
    command = [sys.executable, "-P", "-m", "vecsearch.bench.opening"]
    code = [str(Path(vecsearch.__file__).parent.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, code))}
    done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def _opened(request: dict[str, Any]) -> dict[str, float]:
    query, metric = np.array([request["query"]], np.float32), Metric(request["metric"])
    with ann.threads(request["threads"]):  # imports FAISS
        before, started = resident_bytes(), time.perf_counter()
        vectors = np.load(Path(request["folder"], VECTORS), mmap_mode="r").view(np.ndarray)
        norms = np.load(Path(request["folder"], NORMS))
        if request["path"]:
            rows = ann.Rows(vectors, norms, metric)
            search = ann.open_searcher(Path(request["path"]), request["spec"], rows, request["search_parameters"]).search
        else:
            search = partial(ann.ExactSearcher(vectors, norms).search, metric=metric)
        opened, grown = time.perf_counter(), resident_bytes() - before
        search(query, request["k"])
        asked = time.perf_counter()
    return {"resident_bytes": grown, "open_cold_ms": 1e3 * (opened - started), "first_query_ms": 1e3 * (asked - opened)}


def resident_bytes() -> int:
    """Resident memory of this process, where the system tells it; elsewhere the most it has been."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


if __name__ == "__main__":
    json.dump(_opened(json.load(sys.stdin)), sys.stdout)
