"""How well vectors, words and both together find what people marked as relevant: nDCG@10 over BEIR folders.

    python benchmarks/retrieval.py FOLDER [FOLDER …] [--encoder NAME|FOLDER] [--split test] [--chunk 200] [--weights 1 1]

A BEIR folder holds corpus.jsonl (_id, title, text), queries.jsonl (_id, text) and qrels/<split>.tsv (query, document, grade).
Every query of the split counts, also one that finds nothing. Titles and texts are indexed together, as `build` does.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from report import report

from vecsearch.corpus.passages import Chunks
from vecsearch.corpus.readers import read_corpus
from vecsearch.encoders import DEFAULT, Encoder, open_encoder
from vecsearch.hits import Hit
from vecsearch.index import Index

K = 10
BATCH = 256
Grades = dict[str, int]
"""How relevant each document is to a query, by its id."""


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
    relevant = qrels(folder / "qrels" / f"{options.split}.tsv")
    texts = {query["_id"]: query["text"] for query in lines(folder / "queries.jsonl") if query["_id"] in relevant}
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
        }
        facts = {"set": folder.name, "split": options.split, "documents": len(corpus), "queries": len(texts)}
        facts |= {"encoder": options.encoder, "chunk": options.chunk, "weights": list(options.weights)}
        rows = []
        for way, ask in ways.items():
            started = perf_counter()
            answers = [hits for batch in batches(list(texts.values())) for hits in ask(batch, K)]
            ms = (perf_counter() - started) / len(texts) * 1000
            values = [ndcg(hits, relevant[id]) for id, hits in zip(texts, answers, strict=True)]
            rows.append({"way": way, f"ndcg@{K}": round(float(np.mean(values)), 4), "ms_per_query": round(ms, 2), **facts})
        return rows


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def qrels(path: Path) -> dict[str, Grades]:
    """What is relevant to each query that has anything relevant."""
    grades: dict[str, Grades] = defaultdict(dict)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if int(row["score"]) > 0:
                grades[row["query-id"]][row["corpus-id"]] = int(row["score"])
    return grades


def batches(texts: Sequence[str]) -> list[Sequence[str]]:
    return [texts[first : first + BATCH] for first in range(0, len(texts), BATCH)]


def ndcg(hits: Sequence[Hit], relevant: Grades, k: int = K) -> float:
    """Normalised discounted cumulative gain of the k first hits, with the grades as gains (Järvelin and Kekäläinen 2002, as
    trec_eval has it)."""
    found = dcg([relevant.get(hit.id, 0) for hit in hits[:k]])
    return found / dcg(sorted(relevant.values(), reverse=True)[:k])


def dcg(gains: Sequence[int]) -> float:
    return float(np.sum(np.array(gains) / np.log2(np.arange(2, len(gains) + 2))))


if __name__ == "__main__":
    main()
