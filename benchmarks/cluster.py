"""What several processes cost: one index of one corpus, built by one process, by a pool of processes, and on Ray, in one run.

    python benchmarks/cluster.py CORPUS [--rows 50000] [--workers 2] [--shard-rows 4096] [--rounds 3] [--folder DIR]

CORPUS is a .jsonl file of documents with texts; where it has fewer than `--rows`, they come again with a number before them.
All ways encode with the model that ships. Each way is a process of its own in each round, one after another, and its best round
counts: other work on the machine only ever adds. "start" is what it takes until an engine can be asked for workers; "build" is
from there until the index is open, with the start of workers and their encoders. "processor" is what all processes together
took of the cores. Peak memory is that of the one that builds, and of the largest other process. The vectors of all ways are
compared, byte for byte.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from itertools import count, islice
from pathlib import Path
from threading import Event, Thread
from time import perf_counter, process_time
from typing import Any

import psutil
from report import report

from vecsearch import Document, Index, open_encoder, read_corpus
from vecsearch.distributed import Pool, RayEngine, build
from vecsearch.engine import Engine

WAYS = ("one process", "pool", "ray")


def main() -> None:
    parser = argparse.ArgumentParser(description="what several processes cost")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--shard-rows", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the indexes are made, and removed again (default: the system's)")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measured(options)))
        return
    best: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for _ in range(options.rounds):
            for way in WAYS:
                row = in_process(way, Path(folder) / way.split()[0], options)
                print(way, row, flush=True)
                if way not in best or row["build_s"] < best[way]["build_s"]:
                    best[way] = row
        same = len({vectors(Path(folder) / way.split()[0]) for way in WAYS}) == 1
    facts = {"rows": options.rows, "workers": options.workers, "shard_rows": options.shard_rows, "same": same}
    pool = best["pool"]["build_s"]
    report("cluster", [{"way": way} | best[way] | {"of_pool": best[way]["build_s"] / pool} | facts for way in WAYS])


def in_process(way: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """What a process of its own measures."""
    arguments = [options.corpus, "--rows", options.rows, "--workers", options.workers, "--shard-rows", options.shard_rows]
    command = [sys.executable, __file__, *map(str, arguments), "--folder", str(folder), "--way", way]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds until the engine is there, seconds of the build, processor seconds of both, and peak memory."""
    documents = list(islice(repeated(options.corpus), options.rows))
    started, before = perf_counter(), process_time()
    with Watch() as watch, nullcontext() if options.way == "one process" else engine_of(options) as engine:
        begun = perf_counter()
        encoder = open_encoder(dtype="auto")
        if engine is None:
            Index.build(options.folder, documents, encoder, replace=True).close()
        else:
            build(options.folder, documents, encoder, engine=engine, shard_rows=options.shard_rows, replace=True).close()
        seconds = perf_counter() - begun
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "start_s": round(begun - started, 2),
        "build_s": round(seconds, 2),
        "documents_per_s": round(options.rows / seconds),
        "processor_s": round(process_time() - before + sum(watch.processor.values()), 1),
        "own_peak_mb": own >> 20,
        "worker_peak_mb": max(watch.memory.values(), default=0) >> 20,
    }


def engine_of(options: argparse.Namespace) -> Engine:
    return Pool(options.workers) if options.way == "pool" else RayEngine("local", options.workers)


class Watch:
    """Looks at the processes below this one twice a second: processor seconds and the most memory of each, by its id, and what
    each is called."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.processor: dict[int, float] = {}
        self.memory: dict[int, int] = {}
        self._ended, self._thread = Event(), Thread(target=self._look)

    def _look(self) -> None:
        own = psutil.Process()
        while not self._ended.wait(0.5):
            for child in own.children(recursive=True):
                with suppress(psutil.Error):
                    self.processor[child.pid] = sum(child.cpu_times()[:2])
                    self.names[child.pid] = max(self.names.get(child.pid, ""), "".join(child.cmdline()[:1]), key=len)
                    self.memory[child.pid] = max(self.memory.get(child.pid, 0), child.memory_info().rss)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def repeated(corpus: Path) -> Iterator[Document]:
    """The documents of a corpus, again and again, with the number of the turn before the text and the id."""
    for turn in count():
        for document in read_corpus(corpus):
            if turn:
                document = Document(f"{turn}-{document.id}", f"{turn} {document.text}", document.fields)
            yield document


def vectors(folder: Path) -> bytes:
    """The bytes of all vectors of an index, in the order of its segments."""
    with Index.open(folder) as index:
        return index.vectors(range(index.manifest.rows)).tobytes()


if __name__ == "__main__":
    main()
