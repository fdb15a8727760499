"""Perplexity against minutes: a language model trained with the full softmax, and with one over some of the words.

    python benchmarks/language_model.py CORPUS [--sampled 0,4000] [--epochs 1,3] [--dims 256,640,256] [--words 30000]

Each row is one `train lm` of so many epochs, new and with all cores: how long it took, and the perplexity on held-out text.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from itertools import product
from pathlib import Path
from time import perf_counter

from report import listed, report

from vecsearch.training.language_model import LanguagePlan, train_language_model


def main() -> None:
    parser = argparse.ArgumentParser(description="perplexity against minutes, with a full and a sampled softmax")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--sampled", type=listed(), default=(0, 4000), help="words that compete; 0 are all (default: 0,4000)")
    parser.add_argument("--epochs", type=listed(), default=(1, 3), help="default: 1,3")
    parser.add_argument("--dims", type=listed(), default=LanguagePlan().dims, help="default: 256,640,256")
    parser.add_argument("--words", type=int, default=LanguagePlan().words, help="default: %(default)s")
    options = parser.parse_args()
    rows = []
    for epochs, sampled in product(options.epochs, options.sampled):
        plan = LanguagePlan(epochs=epochs, sampled=sampled, dims=options.dims, words=options.words)
        with tempfile.TemporaryDirectory() as folder:
            started = perf_counter()
            trained = train_language_model([options.corpus], Path(folder) / "model", start=None, plan=plan)
            seconds = perf_counter() - started
        row = {"corpus": options.corpus.name, "tokens": trained.tokens, "words": trained.words, "sampled": sampled}
        row |= {"epochs": epochs, "tokens_per_s": round(epochs * trained.tokens / seconds)}
        rows.append(row | {"minutes": round(seconds / 60, 1), "perplexity": round(trained.perplexity, 1)})
    report("language_model", [row | {"threads": os.cpu_count()} for row in rows])


if __name__ == "__main__":
    main()
