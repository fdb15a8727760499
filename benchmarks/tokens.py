"""Tokens a second, ours beside fastai's: one thread, rounds interleaved, medians, and the same tokens asserted.

    python benchmarks/tokens.py [--corpus FILE.jsonl.xz] [--texts N] [--rounds N]

Without a corpus the texts are the docstrings of the Python standard library. "cold" begins each round with an
empty memo, "warm" goes over the same texts again. fastai's side is `TokenizeWithRules`, what its `Tokenizer` runs on a corpus;
spaCy keeps its own cache from round to round.
"""

from __future__ import annotations

import argparse
import ast
import json
import lzma
import os
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

from fastai.text.core import SpacyTokenizer, TokenizeWithRules
from report import report

from vecsearch.text.splitting import SplitRules
from vecsearch.text.tokenizer import WordTokenizer

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def library_texts() -> list[str]:
    library = Path(os.__file__).parent
    nodes = (node for file in sorted(library.glob("*.py")) for node in ast.walk(ast.parse(file.read_bytes())))
    return [text for node in nodes if isinstance(node, _DOCUMENTED) and (text := ast.get_docstring(node))]


def corpus_texts(path: Path) -> list[str]:
    with lzma.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line)["text"] for line in file]


def timed(tokenise: Callable[[], list[list[str]]]) -> tuple[float, list[list[str]]]:
    start = perf_counter()
    tokens = tokenise()
    return perf_counter() - start, tokens


def main() -> None:
    parser = argparse.ArgumentParser(description="tokens a second, ours beside fastai's")
    parser.add_argument(
        "--corpus", type=Path, help="a .jsonl.xz with a field 'text'; default: the standard library's docstrings"
    )
    parser.add_argument("--texts", type=int, default=20_000, help="take at most so many texts (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds to take the median of (default: %(default)s)")
    options = parser.parse_args()
    texts = (corpus_texts(options.corpus) if options.corpus else library_texts())[: options.texts]

    rules = SplitRules.from_spacy("en")
    fastai = TokenizeWithRules(SpacyTokenizer("en"))
    seconds: dict[str, list[float]] = {"vecsearch, cold": [], "vecsearch, warm": [], "fastai": []}
    for _ in range(options.rounds):
        ours = WordTokenizer(rules)
        for way in ("vecsearch, cold", "vecsearch, warm"):
            elapsed, tokens = timed(lambda ours=ours: [ours.tokens(text) for text in texts])
            seconds[way].append(elapsed)
        elapsed, expected = timed(lambda: [list(tokens) for tokens in fastai(texts)])
        seconds["fastai"].append(elapsed)
        if tokens != expected:
            raise SystemExit("the tokens differ from fastai's")

    count = sum(map(len, tokens))
    reference = median(seconds["fastai"])
    corpus = options.corpus.name if options.corpus else "python docstrings"
    facts = {"corpus": corpus, "texts": len(texts), "tokens": count, "threads": 1, "rounds": options.rounds}
    report(
        "tokens",
        [
            {"way": way, "tokens_per_s": round(count / median(times)), "times_fastai": round(reference / median(times), 2)}
            | facts
            for way, times in seconds.items()
        ],
    )


if __name__ == "__main__":
    main()
