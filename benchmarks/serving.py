"""What a service answers: beside the same searches without it, by more and more clients, during slow conditions, overloaded.

    python benchmarks/serving.py INDEX [--seconds N] [--requests N] [--peers PYTHON --model FOLDER]

INDEX is a folder, for figures that compare with ours that of `vecsearch demo`. Clients are wrk's (Debian's package), on this
machine, in one thread. Each row is one run; the service is started anew where its options differ. In-process searches use one
thread, as the service does. Texts are 1,024 questions of about
seven words, ten hits each with their texts, by meaning unless told else.

--peers is a Python that has FastAPI and txtai[api] beside vecsearch's own libraries: an app of a few lines that encodes with
the same encoder, and txtai's API over the same texts with the sentence transformer in --model, are asked in the same way.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import psutil
from report import report

HERE = Path(__file__).parent
QUESTIONS = [
    f"{what} {how} {which}"
    for what in (
        "sort a list of numbers",
        "read a json file",
        "parse command line arguments",
        "open a socket connection",
        "regular expression matching groups",
        "how to create a temporary directory",
        "thread pool for concurrent tasks",
        "measure the time of small bits of code",
    )
    for how in ("in python", "quickly", "with a class", "safely", "for beginners", "using files", "in memory", "again")
    for which in (
        *("asyncio", "pathlib", "bytes", "unicode", "iterator", "decimal", "calendar", "email"),
        *("zip", "http", "logging", "signal", "locale", "heap", "date", "cache"),
    )
]
"""More than any cache keeps, so that none of them helps."""
IN_PROCESS = """
import json, random, sys, time
import numpy as np
from vecsearch.index.index import Index
from vecsearch.serving.hits import Shape
index, mode, shape = Index.open(sys.argv[1]), sys.argv[2], Shape()
random.seed(0)
ask = {"hybrid": index.hybrid, "meaning": index.query, "keywords": index.keywords}[mode]
questions, times = random.sample(json.loads(sys.argv[3]), 1024), []
ask(questions[:64])
for n in range(600):
    began = time.perf_counter()
    shape.rows(ask([questions[n % len(questions)]])[0])
    times.append(1000 * (time.perf_counter() - began))
print(json.dumps([1000 * len(times) / sum(times), *np.percentile(times, [50, 99])]))
"""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_MANY = f"json_each('{list(range(60))}')"
SLOW = f"exists (select 1 from {', '.join(f'{_MANY} as j{i}' for i in range(6))} where j0.value + j5.value = -%d)"
"""A condition that takes until it is given up; another one for each number."""


def shuffled() -> list[str]:
    """The questions in an order that is always the same."""
    return random.Random(0).sample(QUESTIONS, len(QUESTIONS))


class Bench:
    """Runs wrk against services of one index."""

    def __init__(self, index: str, seconds: int, place: Path) -> None:
        self.index, self.seconds, self._place = index, seconds, place

    def search(self, **asked: Any) -> Path:
        """A file with a search for each of the questions."""
        return self.bodies([json.dumps({"q": text, "mode": "meaning"} | asked) for text in shuffled()])

    def embeddings(self, model: str) -> Path:
        """A file with a request for embeddings for each of the questions."""
        return self.bodies([json.dumps({"model": model, "input": text}) for text in shuffled()])

    def bodies(self, lines: Sequence[str]) -> Path:
        """A file with these bodies of requests, paths, or empty lines."""
        path = self._place / f"{abs(hash(tuple(lines)))}.txt"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def wrk(
        self, url: str, bodies: Path, clients: int, *, pause: int | None = None, seconds: int | None = None
    ) -> dict[str, Any]:
        """What wrk has measured."""
        length = f"-d{seconds or self.seconds}s"
        command = ["wrk", "-t1", f"-c{clients}", length, "--timeout", "30s", "-s", HERE / "serving.lua", url, "--", bodies]
        ran = subprocess.run([*map(str, command), *([str(pause)] if pause else [])], capture_output=True, text=True, check=True)
        told = json.loads(re.search(r"^TOLD (.*)$", ran.stdout, re.MULTILINE)[1])
        good = told["statuses"].get("200", 0)
        others = {status: count for status, count in told["statuses"].items() if status != "200"}
        row = {"clients": clients, "per_s": good / told["seconds"], "p50_ms": told["p50_ms"], "p99_ms": told["p99_ms"]}
        took = {"took_p99_ms": told["took_p99_ms"]} if pause else {}
        return row | took | {"others": others or None, "lost": told["lost"] or None}

    @contextmanager
    def service(self, *options: str) -> Iterator[tuple[str, psutil.Process]]:
        """The address of a service of the index, and its process."""
        command = [sys.executable, "-m", "vecsearch.cli", "serve", f"index={self.index}", "--port", "0", *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            yield re.search(r"http://\S+", process.stdout.readline())[0], psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait()

    def in_process(self, mode: str) -> dict[str, Any]:
        """The same searches without a service."""
        command = [sys.executable, "-c", IN_PROCESS, self.index, mode, json.dumps(QUESTIONS)]
        ran = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | ONE_THREAD)
        rate, p50, p99 = json.loads(ran.stdout)
        return {"what": f"in-process, {mode}", "clients": 1, "per_s": rate, "p50_ms": p50, "p99_ms": p99}


def main() -> None:
    parser = argparse.ArgumentParser(description="what a service answers")
    parser.add_argument("index", help="a folder")
    parser.add_argument("--seconds", type=int, default=5, help="of each run (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=100_000, help="over which memory is watched (default: %(default)s)")
    parser.add_argument("--peers", help="a Python with FastAPI and txtai[api]")
    parser.add_argument("--model", help="the sentence transformer that txtai is given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        bench = Bench(options.index, options.seconds, Path(place))
        rows = [*searching(bench), *unbatched(bench), *during_conditions(bench), *memory(bench, options.requests)]
        if options.peers:
            rows += peers(bench, options.peers, options.model)
    report("serving", [row | {"index": Path(options.index).name, "threads": os.cpu_count()} for row in rows])


def searching(bench: Bench) -> Iterator[dict[str, Any]]:
    yield ready(bench)
    with bench.service() as (url, _):
        search = f"{url}/v1/indexes/index/search"
        for mode in ("meaning", "hybrid", "keywords"):
            yield bench.in_process(mode)
            for clients in (1, 8, 64):
                yield {"what": f"served, {mode}", **bench.wrk(search, bench.search(mode=mode), clients)}
        yield {"what": "served, snippets", **bench.wrk(search, bench.search(snippets=True), 8)}
        rate = bench.wrk(search, bench.search(), 64)["per_s"]
        pause = round(1000 * 1024 / (4 * rate))
        yield {"what": "overload, 4 times 64 clients' rate", **bench.wrk(search, bench.search(), 1024, pause=pause)}
        yield {"what": "2 x queue / rate", "took_p99_ms": 1000 * 2 * 256 / rate}


def ready(bench: Bench) -> dict[str, Any]:
    """How long a service takes to be ready, the fastest of three starts: the files are in memory then."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        with bench.service() as (url, _):
            urlopen(f"{url}/readyz").read()
            times.append(time.perf_counter() - began)
    return {"what": "ready after, seconds", "seconds": min(times)}


def unbatched(bench: Bench) -> Iterator[dict[str, Any]]:
    with bench.service("--batch", "1") as (url, _):
        for clients in (1, 8, 64):
            yield {"what": "unbatched, meaning", **bench.wrk(f"{url}/v1/indexes/index/search", bench.search(), clients)}


def during_conditions(bench: Bench) -> Iterator[dict[str, Any]]:
    """What others see while one client asks by conditions that take until they are given up."""
    with bench.service() as (url, _):
        search, ended = f"{url}/v1/indexes/index/search", threading.Event()
        refused: list[float] = []

        def ask() -> None:
            while not ended.is_set():
                began = time.perf_counter()
                body = json.dumps({"q": "x", "where": SLOW % len(refused)}).encode()
                try:
                    urlopen(Request(search, body)).read()
                except HTTPError as error:
                    assert error.code == 422, error.read()
                refused.append(time.perf_counter() - began)

        asking = threading.Thread(target=ask)
        asking.start()
        for what, address, bodies in (
            ("searches", search, bench.search()),
            ("/healthz", f"{url}/healthz", bench.bodies([""])),
        ):
            yield {"what": f"{what}, during conditions of 1 s", **bench.wrk(address, bodies, 1)}
        ended.set()
        asking.join()
        yield {"what": "such a condition, seconds", "seconds": max(refused)}


def memory(bench: Bench, requests: int) -> Iterator[dict[str, Any]]:
    """Resident memory after the first tenth of so many requests, and after all; every fourth is of another kind."""
    kinds = [{}, {"mode": "hybrid"}, {"where": "length(text) > 500", "facets": ["kind"]}, {"mode": "keywords", "explain": True}]
    bodies = bench.bodies([json.dumps({"q": text, "mode": "meaning"} | kinds[n % 4]) for n, text in enumerate(QUESTIONS)])
    with bench.service() as (url, process):
        search, done, before, statuses = f"{url}/v1/indexes/index/search", 0.0, 0, None
        while done < requests:
            run = bench.wrk(search, bodies, 16, seconds=10)
            done += 10 * run["per_s"]
            statuses = statuses or run["others"] or run["lost"]
            before = before or (process.memory_info().rss if done > requests / 10 else 0)
        growth = process.memory_info().rss / before - 1
        yield {
            "what": f"memory, MB; growth over {round(done):,} requests",
            "mb": before / 1e6,
            "growth": growth,
            "others": statuses,
        }


def peers(bench: Bench, python: str, model: str | None) -> Iterator[dict[str, Any]]:
    with bench.service() as (url, _):
        for clients in (1, 64):
            yield {"what": "embeddings, ours", **bench.wrk(f"{url}/v1/embeddings", bench.embeddings("index"), clients)}
    for what in ("fastapi", *(["txtai"] if model else [])):
        command = [python, str(HERE / "serving_peers.py"), what, bench.index, *([model] if what == "txtai" else [])]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | ONE_THREAD)
        try:
            url = re.search(r"http://\S+", process.stdout.readline())[0]
            told = {"fastapi": "embeddings, bare FastAPI, same encoder", "txtai": "search, txtai, all-MiniLM-L6-v2"}[what]
            if what == "fastapi":
                bodies = bench.embeddings("index")
            else:
                bodies = bench.bodies([f"/search?{urlencode({'query': text, 'limit': 10})}" for text in shuffled()])
            for clients in (1, 64):
                yield {"what": told, **bench.wrk(url, bodies, clients)}
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
