"""What other threads' queries take while a slow condition runs in the same index, and how long many conditions take together.

    python benchmarks/conditions.py INDEX [--seconds 6]

INDEX has documents with texts. Of each kind of condition, one thread asks one after the other, for about a second each.
Meanwhile another thread searches by a vector and reads the texts of the hits, a third asks for words, and a fourth sleeps for a
millisecond, as an event loop does that waits: how late it wakes up. All figures are milliseconds.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from report import report

from vecsearch import Index, VecsearchError

SLOW = {
    "none": None,
    "in SQL alone": "exists (select 1 from json_each('[0,1,2,3,4,5,6,7,8,9]') a, json_each('[0,1,2,3,4,5,6,7,8,9]') b "
    "where a.value + b.value = -{n} - length(text))",
    "long texts": "replace(replace(text, 'e', 'ee'), 'a', 'aaa') like '%a%b%c%d%e%f%g%h%q{n}%'",
    "our functions": "cast(substr(text, 1, {n}) as integer) = -1 or cast(text as real) = -1",
    "all documents meet it": "length(text) > -{n}",
}


def repeated(work: Callable[[int], object], until: Callable[[], bool], took: list[float]) -> None:
    n = 0
    while not until():
        started = time.perf_counter()
        try:
            work(n)
        except VecsearchError as error:
            assert "takes longer" in str(error), error
        took.append(1000 * (time.perf_counter() - started))
        n += 1


def measured(index: Index, where: str | None, seconds: float) -> dict[str, float | None]:
    rng = np.random.default_rng(0)
    vectors = index.vectors(rng.choice(index.alive(), 100))
    ends = time.perf_counter() + seconds
    condition: list[float] = []
    query: list[float] = []
    words: list[float] = []
    sleep: list[float] = []
    # Each is another condition, whose answer is not known yet.
    work = {
        "query": (lambda n: index.nearest(vectors[n % 100][None], 10), query),
        "words": (lambda n: index.keywords([("love", "war", "bank robbery", "dog")[n % 4]], 10), words),
        "sleep": (lambda n: time.sleep(0.001), sleep),
    }
    if where:
        work["condition"] = (lambda n: index.count(where.replace("{n}", str(n + 1))), condition)
    started = [
        threading.Thread(target=repeated, args=(each, lambda: time.perf_counter() > ends, took)) for each, took in work.values()
    ]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    found: dict[str, float | None] = {"condition": float(np.median(condition)) if condition else None}
    for name, took in (("query", query), ("words", words), ("late", [each - 1 for each in sleep])):
        found |= {
            f"{name} p50": float(np.median(took)),
            f"{name} p99": float(np.percentile(took, 99)),
            f"{name} most": max(took),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", type=Path)
    parser.add_argument("--seconds", type=float, default=6)
    options = parser.parse_args()
    with Index.open(options.index, check=False) as index:
        index.keywords(["warm"])
        report("conditions", [{"kind": kind} | measured(index, where, options.seconds) for kind, where in SLOW.items()])


if __name__ == "__main__":
    main()
