"""What it costs to put segments together that were made apart, and to merge them again: an index of many segments, in one run.

    python benchmarks/adopting.py [--segments 100] [--rows 10000] [--dim 256] [--size 200000] [--workers 2] [--folder DIR]

Each segment is made as another machine would make it, in a folder of its own with its record: vectors are drawn, each document
has an id, a few words and a field. "link" is what it takes until every file is in the index's folder and its hash compared,
"ids" the search for ids that come twice, "commit" the rest, "processor" the core's time for all three; the best of three rounds
counts: other work on the machine only ever adds. Then, but for `--size 0`, the index is compacted to segments of so many rows,
by this process and by workers.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from report import report

from vecsearch import Document, Index, Progress
from vecsearch.ann import Goal
from vecsearch.distributed import Pool, compact
from vecsearch.index.indexing import goal_entry, indexed
from vecsearch.progress import SILENT
from vecsearch.store.segment import SegmentWriter
from vecsearch.store.segment_record import describe_segment, write_record

BLOCK = 4096
WORDS = np.array([f"word{number}" for number in range(20_000)])


class Stages(Progress):
    """When each stage was told of for the last time."""

    def __init__(self) -> None:
        self.last: dict[str, float] = {}

    def step(self, name: str, done: int, total: int | None = None) -> None:
        self.last[name] = perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description="what putting segments together costs")
    for name, value in (("segments", 100), ("rows", 10_000), ("dim", 256), ("size", 200_000), ("workers", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--folder", type=Path, help="where all is made, and removed again (default: the system's)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        place = Path(name)
        paths = [made(place / str(number), number, options) for number in range(options.segments)]
        size = sum(path.stat().st_size for folder in paths for path in folder.iterdir())
        row = {"segments": options.segments, "rows": options.segments * options.rows, "GB": round(size / 1e9, 3)}
        rounds = [adopted(place / f"index{number}", paths) for number in range(3)]
        row |= min(rounds, key=lambda figures: figures["link_s"] + figures["commit_s"])
        if options.size:
            row["compact_s"] = seconds(lambda: Index.open(place / "index0", check=False).compact(rows=options.size))
            with Pool(options.workers) as engine:
                row["compact_by_workers_s"] = seconds(lambda: compact(place / "index1", engine=engine, rows=options.size))
        report("adopting", [row | {"dim": options.dim, "size": options.size, "workers": options.workers}])


def made(folder: Path, number: int, options: argparse.Namespace) -> Path:
    """A segment that stands by itself."""
    folder.mkdir()
    rng, writer = np.random.default_rng(number), SegmentWriter(folder, options.dim)
    for first in range(0, options.rows, BLOCK):
        count = min(BLOCK, options.rows - first)
        texts, vectors = rng.choice(WORDS, (count, 12)), rng.standard_normal((count, options.dim)).astype(np.float32)
        numbers = range(number * options.rows + first, number * options.rows + first + count)
        documents = [Document(f"document-{n:09d}", " ".join(words), {"n": n}) for n, words in zip(numbers, texts, strict=True)]
        writer.append(documents, vectors, counts={"documents": first + count})
    writer.finish("none")
    shape = (options.rows, options.dim)
    entry, _ = indexed(folder, "index-000001.faiss", shape, "cosine", goal_entry("exact", Goal()), progress=SILENT)
    said: dict[str, Any] = {"dim": options.dim, "metric": "cosine", "encoder": None, "chunks": None, "language": "none"}
    write_record(folder, describe_segment(folder, entry, writer.progress, **said))
    return folder


def adopted(index: Path, paths: list[Path]) -> dict[str, Any]:
    """Seconds of each stage, and of the processor."""
    stages, started, busy = Stages(), perf_counter(), process_time()
    Index.from_segments(index, paths, progress=stages).close()
    done = perf_counter()
    link, ids = stages.last["MB"] - started, stages.last["ids"] - stages.last["MB"]
    figures = {"link_s": link, "ids_s": ids, "commit_s": done - stages.last["ids"], "processor_s": process_time() - busy}
    return {name: round(value, 2) for name, value in figures.items()}


def seconds(work: Any) -> float:
    started = perf_counter()
    work()
    return round(perf_counter() - started, 1)


if __name__ == "__main__":
    main()
