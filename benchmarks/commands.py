"""Whole commands as a person meets them: from a cold start, with their peak memory; and one query inside a process.

    python benchmarks/commands.py [CORPUS] [--rounds N]

CORPUS is anything that `vecsearch build` reads, by default the documentation of the Python standard library as JSON lines.
Times are wall-clock seconds of the whole process, medians over the rounds; the build runs once.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from statistics import median

from cost import of_process, seconds
from report import report

from vecsearch.cli.pydocs import python_documentation
from vecsearch.index.index import Index

QUESTION = "a group of friends plans one last bank robbery in the city, but nothing ever goes as planned"
"""20 tokens with xxbos, as the tokenizer counts them; the benchmark asserts it."""


def main() -> None:
    parser = argparse.ArgumentParser(description="whole commands from a cold start")
    parser.add_argument("corpus", nargs="?", help="default: the documentation of the Python standard library")
    parser.add_argument("--rounds", type=int, default=9, help="rounds to take the median of (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        corpus = options.corpus or str(Path(place) / "python-documentation.jsonl")
        if not options.corpus:
            lines = (json.dumps({"id": d.id, "text": d.text, **d.fields}) for d in python_documentation())
            Path(corpus).write_text("\n".join(lines), encoding="utf-8")
        index = str(Path(place) / "index")
        rows = [build(corpus, index), *commands(index, options.rounds), *inside(index, options.rounds)]
    report("commands", [row | {"corpus": Path(corpus).name, "threads": os.cpu_count()} for row in rows])


def build(corpus: str, index: str) -> dict[str, object]:
    elapsed, peak = of_process("-m", "vecsearch.cli", "build", corpus, "-o", index)
    with Index.open(index) as opened:
        counts = opened.manifest.counts
        return {
            "what": "vecsearch build",
            "seconds": round(elapsed, 1),
            "peak_mb": round(peak / 1e6),
            "documents": len(opened),
            "documents_per_s": round(len(opened) / elapsed),
            "tokens_per_s": round(counts["tokens"] / elapsed),
            "dtype": opened.manifest.encoder["dtype"],
        }


def commands(index: str, rounds: int) -> list[dict[str, object]]:
    found = []
    processes = {
        "vecsearch query": ("-m", "vecsearch.cli", "query", index, QUESTION),
        "vecsearch --help": ("-m", "vecsearch.cli", "--help"),
        # What a query would cost on top, if it imported them.
        "import torch": ("-c", "import torch"),
        "import spacy": ("-c", "import spacy"),
    }
    for what, arguments in processes.items():
        runs = [of_process(*arguments) for _ in range(rounds)]
        found.append(
            {
                "what": f"{what}, cold",
                "seconds": round(median(elapsed for elapsed, _ in runs), 3),
                "peak_mb": round(median(peak for _, peak in runs) / 1e6),
                "rounds": rounds,
            }
        )
    return found


def inside(index: str, rounds: int) -> list[dict[str, object]]:
    """One query of 20 tokens in a process that has answered before: its encoding, and all of it."""
    with Index.open(index) as opened:
        if len(opened.encoder.tokens(QUESTION)) != 20:
            raise SystemExit("the question has not 20 tokens")
        opened.query([QUESTION])
        ways = {"encode": lambda: opened.encode([QUESTION]), "query": lambda: opened.query([QUESTION])}
        found = []
        for what, work in ways.items():
            times = [seconds(work) for _ in range(rounds * 10)]
            found.append({"what": f"{what}, 20 tokens, warm", "seconds": round(median(times), 5), "rounds": rounds * 10})
    return found


if __name__ == "__main__":
    main()
