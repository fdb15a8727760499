"""How many pairs of texts a second `vecsearch similarity --pairs` scores, and that its memory does not grow with the file.

    python benchmarks/pairs.py CORPUS… [--pairs 1000000] [--queries 20000] [--results 250000] [--encoder NAME]
                               [--files 8 --workers 2]

A CORPUS is a .jsonl (.gz, .xz) with "text", of whose sentences so many different queries and results are taken; a pair is one
of each at random, so texts recur as in a search engine's log. The command runs over a tenth of the pairs, half of them and all,
each in a process of its own; `memory_mb` is the most that it had in memory. `plain` is what one writes without it: both texts
of each pair encoded as they come, 1,024 pairs at a time, and their cosine; on a hundredth of the pairs. With --files all
pairs are scored once more, as so many files by so many workers.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from itertools import chain
from pathlib import Path

import numpy as np
from cost import of_process
from report import report

from vecsearch.corpus.readers import read_corpus
from vecsearch.encoders import DEFAULT, open_encoder
from vecsearch.metric import Metric, pair_scores

WORDS = (4, 40)
"""Words of a sentence that is taken."""
BLOCK = 1024


def main() -> None:
    parser = argparse.ArgumentParser(description="pairs a second, and the memory")
    parser.add_argument("corpora", type=Path, nargs="+", metavar="CORPUS")
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=20_000)
    parser.add_argument("--results", type=int, default=250_000)
    parser.add_argument("--encoder", default=DEFAULT)
    parser.add_argument("--files", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    texts = sentences(options.corpora, options.queries + options.results)
    rng = np.random.default_rng(0)
    chosen = zip(
        rng.integers(0, options.queries, options.pairs), rng.integers(options.queries, len(texts), options.pairs), strict=True
    )
    pairs = [(int(i), int(j)) for i, j in chosen]
    row = {"threads": os.cpu_count(), "encoder": options.encoder, "distinct_texts": len(texts)}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for share in (10, 2, 1):
            path = Path(folder) / "pairs.jsonl"
            some = pairs[: options.pairs // share]
            with path.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps({"query": texts[i], "result": texts[j]}) + "\n" for i, j in some)
            command = ["-m", "vecsearch.cli", "similarity", "--pairs", str(path), "--encoder", options.encoder]
            taken, _, peak = of_process(*command, "-o", str(path.with_name("scored.jsonl")), "--replace")
            rows.append(told("vecsearch similarity --pairs", len(some), taken) | {"memory_mb": peak // 1_000_000} | row)
        if options.files:
            parts = Path(folder) / "parts"
            parts.mkdir()
            for number, its in enumerate(np.array_split(np.array(pairs), options.files)):
                with (parts / f"{number}.jsonl").open("w", encoding="utf-8") as file:
                    file.writelines(json.dumps({"query": texts[i], "result": texts[j]}) + "\n" for i, j in its.tolist())
            command = ["-m", "vecsearch.cli", "similarity", "--pairs", str(parts), "--encoder", options.encoder]
            taken, *_ = of_process(*command, "-o", str(Path(folder) / "scored"), "--workers", str(options.workers))
            rows.append(told(f"{options.files} files by {options.workers} workers", len(pairs), taken) | row)
    some = pairs[: max(BLOCK, options.pairs // 100)]
    rows.append(told("plain", len(some), plain([(texts[i], texts[j]) for i, j in some], options.encoder)) | row)
    report("pairs", rows)


def told(what: str, pairs: int, taken: float) -> dict[str, object]:
    return {"what": what, "pairs": pairs, "seconds": round(taken, 1), "pairs_per_s": round(pairs / taken)}


def sentences(corpora: list[Path], count: int) -> list[str]:
    """So many different sentences, in the order in which they come."""
    found: dict[str, None] = {}
    for document in chain.from_iterable(map(read_corpus, corpora)):
        parts = (" ".join(part.split()) for part in re.split(r"(?<=[.!?])\s+", document.text))
        found |= dict.fromkeys(part for part in parts if WORDS[0] <= len(part.split()) <= WORDS[1])
        if len(found) >= count:
            return list(found)[:count]
    sys.exit(f"there are only {len(found):,} different sentences: name more corpora, or ask for fewer --queries and --results")


def plain(pairs: list[tuple[str, str]], name: str) -> float:
    encoder = open_encoder(name)
    encoder.encode(["once before the clock runs"])
    started = time.perf_counter()
    for first in range(0, len(pairs), BLOCK):
        a, b = zip(*pairs[first : first + BLOCK], strict=True)
        pair_scores(encoder.encode(list(a)), encoder.encode(list(b)), Metric.COSINE)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
