"""Tokens a second, ours beside fastai's: one thread, turn by turn, medians of processor time, and the same tokens asserted.

    python benchmarks/tokens.py [--corpus FILE…] [--texts N] [--characters N] [--rounds N]

Without a corpus the texts are the docstrings of the Python standard library's modules. Each round makes both tokenizers anew
and goes over the texts twice: "at first" neither has seen a word, "again" both have (spaCy keeps a cache of words as well).
fastai's side is `TokenizeWithRules`, what its `Tokenizer` runs on a corpus; its tokens are the same each time, and it is slow,
so that it takes part in the first round only. "ids" is what a build does: texts become ids of the model that ships, counted.
"""

from __future__ import annotations

import argparse
import ast
import json
import lzma
import os
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any, TypeVar

from fastai.text.core import SpacyTokenizer, TokenizeWithRules
from report import report

from vecsearch.encoders import DEFAULT, find_encoder
from vecsearch.encoders.ulmfit.sequences import Reader
from vecsearch.index.blocks import BLOCK_DOCUMENTS
from vecsearch.text.forms import composed
from vecsearch.text.splitting import SplitRules
from vecsearch.text.tokenizer import WordTokenizer, open_tokenizer
from vecsearch.text.vocabulary import Vocabulary

_T = TypeVar("_T")
WHEN = ("at first", "again")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def library_texts() -> list[str]:
    library = Path(os.__file__).parent
    nodes = (node for file in sorted(library.glob("*.py")) for node in ast.walk(ast.parse(file.read_bytes())))
    return [text for node in nodes if isinstance(node, _DOCUMENTED) and (text := ast.get_docstring(node))]


def corpus_texts(path: Path) -> list[str]:
    """The lines of a .txt, or of a .jsonl.xz each record's "text", and of one that has none "question" and "answer"."""
    if path.suffix == ".txt":
        return path.read_text(encoding="utf-8").split("\n")
    with lzma.open(path, "rt", encoding="utf-8") as file:
        records = map(json.loads, file)
        return [record.get("text") or f"{record['question']} {record['answer']}" for record in records]


def some(texts: list[str], most: int, characters: int) -> list[str]:
    """The first texts in normal form C: at most so many, no more once they have so many characters, a longer one cut."""
    sizes = [0, *accumulate(map(len, texts[: most - 1]))]
    return [composed(text[:characters]) for text, before in zip(texts, sizes, strict=False) if before < characters]


def timed(do: Callable[[], _T]) -> tuple[float, _T]:
    start = process_time()
    done = do()
    return process_time() - start, done


def numbered(reader: Reader, texts: list[str]) -> int:
    """How many ids the texts have, read block by block as a build does."""
    return sum(reader.read(texts[i : i + BLOCK_DOCUMENTS], None)[1].tokens for i in range(0, len(texts), BLOCK_DOCUMENTS))


def measure(corpus: str, texts: list[str], rounds: int) -> list[dict[str, Any]]:
    model = find_encoder(DEFAULT)
    rules, vocabulary = SplitRules.from_spacy("en"), Vocabulary.load(model / "vocab.json")
    seconds: dict[str, list[float]] = {}
    counts: dict[str, int] = {}
    fastai = TokenizeWithRules(SpacyTokenizer("en"))
    for round_ in range(rounds):
        ours, reader = WordTokenizer(rules), Reader(open_tokenizer(model), vocabulary)
        for when in WHEN:
            for way, count in (
                (f"vecsearch, {when}", lambda ours=ours: sum(map(len, ours.tokens(texts)))),
                (f"vecsearch, ids, {when}", lambda reader=reader: numbered(reader, texts)),
            ):
                elapsed, counts[way] = timed(count)
                seconds.setdefault(way, []).append(elapsed)
            if not round_:
                elapsed, expected = timed(lambda: [list(tokens) for tokens in fastai(texts)])
                seconds[f"fastai, {when}"] = [elapsed]
                counts[f"fastai, {when}"] = sum(map(len, expected))
                if list(ours.tokens(texts)) != expected:
                    raise SystemExit(f"{corpus}: the tokens differ from fastai's")
                del expected  # or collecting garbage would take more of ours the more tokens lie about
    speeds = {way: counts[way] / median(times) for way, times in seconds.items()}
    facts = {"corpus": corpus, "texts": len(texts), "threads": 1}
    return [
        {"way": way, "per_s": round(speed), "times_fastai": round(speed / speeds[f"fastai, {way.rpartition(', ')[2]}"], 2)}
        | facts
        | {"tokens": counts[way], "rounds": len(seconds[way])}
        for way, speed in speeds.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="tokens a second, ours beside fastai's")
    parser.add_argument(
        "--corpus",
        type=Path,
        nargs="+",
        help=".jsonl.xz with 'text', or 'question' and 'answer'; .txt of lines; default: the standard library's docstrings",
    )
    parser.add_argument("--texts", type=int, default=20_000, help="take at most so many texts (default: %(default)s)")
    parser.add_argument(
        "--characters", type=int, default=8_000_000, help="take no more texts once they have so many (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds to take the median of (default: %(default)s)")
    options = parser.parse_args()
    corpora = {path.name: corpus_texts(path) for path in options.corpus or ()} or {"python docstrings": library_texts()}
    rows = []
    for corpus, texts in corpora.items():
        rows += measure(corpus, some(texts, options.texts, options.characters), options.rounds)
    report("tokens", rows)


if __name__ == "__main__":
    main()
