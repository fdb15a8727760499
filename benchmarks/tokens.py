"""Tokens a second, ours beside fastai's: one thread, turn by turn, medians, and the same tokens asserted.

    python benchmarks/tokens.py [--corpus FILE.jsonl.xz] [--texts N] [--rounds N]

Without a corpus the texts are the docstrings of the Python standard library's modules. Each round makes both tokenizers anew
and goes over the texts twice: "at first" neither has seen a word, "again" both have (spaCy keeps a cache of words as well).
fastai's side is `TokenizeWithRules`, what its `Tokenizer` runs on a corpus.
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

WHEN = ("at first", "again")
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
    seconds: dict[tuple[str, str], list[float]] = {(who, when): [] for when in WHEN for who in ("vecsearch", "fastai")}
    for _ in range(options.rounds):
        ours, fastai = WordTokenizer(rules), TokenizeWithRules(SpacyTokenizer("en"))
        for when in WHEN:
            elapsed, tokens = timed(lambda ours=ours: list(ours.tokens(texts)))
            seconds["vecsearch", when].append(elapsed)
            elapsed, expected = timed(lambda fastai=fastai: [list(tokens) for tokens in fastai(texts)])
            seconds["fastai", when].append(elapsed)
            if tokens != expected:
                raise SystemExit("the tokens differ from fastai's")

    count = sum(map(len, tokens))
    corpus = options.corpus.name if options.corpus else "python docstrings"
    facts = {"corpus": corpus, "texts": len(texts), "tokens": count, "threads": 1, "rounds": options.rounds}
    rows = []
    for (who, when), times in seconds.items():
        ratio = median(seconds["fastai", when]) / median(times)
        rows.append(
            {"way": f"{who}, {when}", "tokens_per_s": round(count / median(times)), "times_fastai": round(ratio, 2)} | facts
        )
    report("tokens", rows)


if __name__ == "__main__":
    main()
