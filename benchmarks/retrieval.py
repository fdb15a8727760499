"""How well vectors, words and both together find what people marked as relevant: nDCG@10 over BEIR folders.

    python benchmarks/retrieval.py FOLDER [FOLDER …] [--encoder NAME|FOLDER] [--split test] [--chunk 200] [--weights 1 1]

A BEIR folder holds corpus.jsonl (_id, title, text), queries.jsonl (_id, text) and qrels/<split>.tsv (query, document, grade).
Every query of the split counts, also one that finds nothing. Titles and texts are indexed together, as `build` does.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from report import report

from vecsearch.corpus.passages import Chunks
from vecsearch.corpus.readers import read_corpus
from vecsearch.encoders import DEFAULT, Encoder, open_encoder
from vecsearch.evaluation.measures import of_ranking
from vecsearch.evaluation.sets import read_retrieval
from vecsearch.index import Index

K = 10
MEASURE = f"ndcg@{K}"
BATCH = 256


def main() -> None:
    parser = argparse.ArgumentParser(description="nDCG@10 of vectors, words and both, over BEIR folders")
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="a folder with corpus, queries and qrels")
    parser.add_argument("--encoder", default=DEFAULT, help="a name or a folder (default: the shipped one)")
    parser.add_argument("--split", default="test", help="which qrels (default: %(default)s)")
    parser.add_argument("--chunk", type=int, help="split texts into passages of so many tokens")
    parser.add_argument("--weights", type=float, nargs=2, default=(1.0, 1.0), help="of meaning and words (default: 1 1)")
    options = parser.parse_args()
    encoder = open_encoder(options.encoder)
    report("retrieval", [row for folder in options.folders for row in measured(folder, encoder, options)])


def measured(folder: Path, encoder: Encoder, options: argparse.Namespace) -> list[dict[str, Any]]:
    asked = read_retrieval(folder, options.split)
    corpus = list(read_corpus(str(folder)))
    chunks = Chunks(options.chunk, options.chunk // 5) if options.chunk else None
    with (
        tempfile.TemporaryDirectory() as place,
        Index.build(Path(place) / "index", corpus, encoder, chunks=chunks) as index,
    ):
        ways = {
            "vectors": index.query,
            "keywords": index.keywords,
            "hybrid": lambda some, k: index.hybrid(some, k, weights=tuple(options.weights)),
            "hybrid by ranks": lambda some, k: index.hybrid(some, k, weights=tuple(options.weights), fusion="ranks"),
        }
        facts = {"set": folder.name, "split": options.split, "documents": len(corpus), "queries": len(asked.queries)}
        facts |= {"encoder": options.encoder, "chunk": options.chunk, "weights": list(options.weights)}
        rows = []
        for way, ask in ways.items():
            started = perf_counter()
            answers = [hits for batch in batches(list(asked.queries.values())) for hits in ask(batch, K)]
            ms = (perf_counter() - started) / len(answers) * 1000
            values = [
                of_ranking([hit.id for hit in hits], asked.grades[id], K)[MEASURE]
                for id, hits in zip(asked.queries, answers, strict=True)
            ]
            rows.append({"way": way, MEASURE: round(float(np.mean(values)), 4), "ms_per_query": round(ms, 2), **facts})
        return rows


def batches(texts: Sequence[str]) -> list[Sequence[str]]:
    return [texts[first : first + BATCH] for first in range(0, len(texts), BATCH)]


if __name__ == "__main__":
    main()
