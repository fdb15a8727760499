"""What an index of several shards is worth beside one index of all rows: its recall, and what a query takes, in one run.

    python benchmarks/shards.py VECTORS [--spec IVF256,Flat;PCA64,IVF256,PQ64x4fs_64] [--recall 0.95] [--shards 1,4,16]

VECTORS is a .npy or .h5 file. Some rows are kept aside before anything is built: they are the new queries. Kinds by --spec are
searched with the same search parameters, whatever the number of shards; the one by --recall is chosen, and tuned, for each.
What the build proves on queries of its own (proved, with its interval) stands beside what the new ones get (new).
"index_bytes" is what all of FAISS's files take, "query_ms" what one query of a batch takes on one thread, the best of three.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from report import report

from vecsearch import Document, Index, Options, ann
from vecsearch.ann.recall import recalls
from vecsearch.distributed import Pool, build
from vecsearch.encoders import Encoder
from vecsearch.vectors.read import open_vectors

K, QUERIES = 10, 2000


@cache
def read(path: Path) -> np.ndarray:
    """The file's vectors, in an order that is drawn."""
    return np.random.default_rng(1).permutation(np.concatenate(list(open_vectors(path).blocks(65_536))))


class Ready(Encoder):
    """The vector of a text is that at the row of its number."""

    fingerprint = "ready"

    def __init__(self, path: Path) -> None:
        self.path, self.dim = path, open_vectors(path).dim

    def encode(self, texts: list[str]) -> np.ndarray:
        return read(self.path)[[int(text) for text in texts]]


def main() -> None:
    parser = argparse.ArgumentParser(description="shards beside one index")
    parser.add_argument("vectors", type=Path)
    parser.add_argument("--spec", default="IVF256,Flat;PCA64,IVF256,PQ64x4fs_64", help="with ; between them")
    parser.add_argument("--recall", type=float, default=0.95)
    parser.add_argument("--shards", type=lambda text: [int(part) for part in text.split(",")], default=[1, 4, 16])
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    goals = [Options(spec=spec) for spec in options.spec.split(";")] + [Options(goal=ann.Goal(options.recall, K))]
    report("shards", [measured(options, goal, shards) for goal in goals for shards in options.shards])


def measured(options: argparse.Namespace, goal: Options, shards: int) -> dict[str, Any]:
    rows = len(read(options.vectors)) - QUERIES
    new, documents = read(options.vectors)[rows:], [Document(str(row), str(row)) for row in range(rows)]
    with tempfile.TemporaryDirectory() as name:
        folder, started = Path(name) / "index", perf_counter()
        if shards == 1:
            index = Index.build(folder, documents, Ready(options.vectors), goal)
        else:
            with Pool(options.workers) as engine:
                index = build(folder, documents, Ready(options.vectors), goal, engine=engine, shard_rows=-(-rows // shards))
        seconds = perf_counter() - started
        with index, ann.threads(1):
            manifest, rounds = index.manifest, []
            for _ in range(3):
                started = perf_counter()
                found = index.search(new, K).scores
                rounds.append(perf_counter() - started)
            truth = index.search(new, K, exact=True).scores
            size = sum(entry["bytes"] for path, entry in manifest.files.items() if path.endswith(".faiss"))
    return {
        "vectors": options.vectors.stem,
        "rows": rows,
        "dim": manifest.dim,
        "segments": len(manifest.segments),
        "kind": manifest.spec,
        "effort": " ".join(f"{setting}={value}" for setting, value in manifest.search_parameters.items()),
        "proved": str(ann.Recall(*(manifest.recall[key] for key in ("k", "queries", "mean", "low", "high"))))
        if manifest.recall
        else "",
        "new": str(ann.Recall.of(recalls(truth, found), K)),
        "index_bytes": size,
        "query_ms": round(1000 * min(rounds) / len(new), 4),
        "build_s": round(seconds, 1),
    }


if __name__ == "__main__":
    main()
