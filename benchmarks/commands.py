"""Whole commands as a person meets them: from a cold start, with their peak memory; and one query inside a process.

    python benchmarks/commands.py [CORPUS] [--rounds N]

CORPUS is anything that `vecsearch build` reads, by default the documentation of the Python standard library as JSON lines.
Times are seconds of the whole process, by the clock and of processors, medians over the rounds in which the commands take
turns; the build of the corpus runs once. Modules are compiled before, as pip does when it installs them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from statistics import median

from cost import Cost, of_process, seconds
from report import report

from vecsearch.cli.pydocs import python_documentation
from vecsearch.index.index import Index

QUESTION = "a group of friends plans one last bank robbery in the city, but nothing ever goes as planned"
"""20 tokens with xxbos, as the tokenizer counts them; the benchmark asserts it."""
SHORT_DOCUMENTS, SHORT = 1000, 200
"""Documents of a small corpus, and characters of each."""


def main() -> None:
    parser = argparse.ArgumentParser(description="whole commands from a cold start")
    parser.add_argument("corpus", nargs="?", help="default: the documentation of the Python standard library")
    parser.add_argument("--rounds", type=int, default=9, help="rounds to take the median of (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        # An environment may forbid to keep what Python compiles; a process would then compile all that it imports.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(Path(place) / "compiled")
        documents = list(python_documentation())
        corpus = options.corpus or str(Path(place) / "python-documentation.jsonl")
        if not options.corpus:
            lines = (json.dumps({"id": d.id, "text": d.text, **d.fields}) for d in documents)
            Path(corpus).write_text("\n".join(lines), encoding="utf-8")
        short, index = str(Path(place) / "short.jsonl"), str(Path(place) / "index")
        some = (json.dumps({"id": d.id, "text": d.text[:SHORT]}) for d in documents[:SHORT_DOCUMENTS])
        Path(short).write_text("\n".join(some), encoding="utf-8")
        of_process("-m", "vecsearch.cli", "build", short, "-o", str(Path(place) / "compiling"))
        rows = [build(corpus, index), *commands(index, short, options.rounds), *inside(index, options.rounds)]
    report("commands", [row | {"corpus": Path(corpus).name, "threads": os.cpu_count()} for row in rows])


def build(corpus: str, index: str) -> dict[str, object]:
    elapsed, processor, peak = of_process("-m", "vecsearch.cli", "build", corpus, "-o", index)
    with Index.open(index) as opened:
        counts = opened.manifest.counts
        return {
            "what": "vecsearch build",
            "seconds": round(elapsed, 1),
            "processor_s": round(processor, 1),
            "peak_mb": round(peak / 1e6),
            "documents": len(opened),
            "documents_per_s": round(len(opened) / elapsed),
            "tokens_per_s": round(counts["tokens"] / elapsed),
            "dtype": opened.manifest.encoder["dtype"],
        }


def commands(index: str, short: str, rounds: int) -> list[dict[str, object]]:
    processes = {
        "python": ("-c", "pass"),
        "vecsearch --help": ("-m", "vecsearch.cli", "--help"),
        "vecsearch query": ("-m", "vecsearch.cli", "query", index, QUESTION),
        f"vecsearch build, {SHORT_DOCUMENTS:,} short documents": (
            *("-m", "vecsearch.cli", "build", short, "-o", f"{index}-of-short", "--replace"),
        ),
        # What a query would cost on top, if it imported them.
        "import torch": ("-c", "import torch"),
        "import spacy": ("-c", "import spacy"),
    }
    runs: dict[str, list[Cost]] = {what: [] for what in processes}
    for turn in range(rounds + 1):
        for what, arguments in processes.items():
            cost = of_process(*arguments)
            if turn:  # the first one compiles what it imports
                runs[what].append(cost)
    return [
        {
            "what": f"{what}, cold",
            "seconds": round(median(run.seconds for run in costs), 3),
            "processor_s": round(median(run.processor for run in costs), 3),
            "peak_mb": _megabytes(median(run.peak for run in costs)),
            "rounds": rounds,
        }
        for what, costs in runs.items()
    ]


def _megabytes(peak: float) -> int | None:
    """A peak of memory, where it is known: a process begins as a copy of this one, whose own peak it may stay below."""
    own = getrusage(RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return round(peak / 1e6) if peak > own else None


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
