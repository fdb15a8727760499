"""How well meaning, words and both together find what people marked as relevant: nDCG@10 over BEIR folders, with intervals.

    python benchmarks/retrieval.py FOLDER [FOLDER …] [--encoder NAME=FOLDER …] [--broad DATA] [--split test] [--rerank FOLDER]

A BEIR folder holds corpus.jsonl (_id, title, text), queries.jsonl (_id, text) and qrels/<split>.tsv (query, document, grade).
Every query of the split counts, also one that finds nothing. Titles and texts are indexed together, as `build` does. Encoders
take turns in one run; a FOLDER of model2vec's is one as well (benchmarks/static_model.py). `--broad` adds two sets of what the
model that ships was not shown of DATA/broad: papers' texts by their titles, and answers by their questions. "bm25s" is that
library with Snowball's stems and its own stop words, k1 1.2 and b 0.75; `--rerank` ranks the 50 best of both again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from report import report
from similarity import opened

from vecsearch.corpus.document import Document
from vecsearch.corpus.passages import Chunks
from vecsearch.corpus.readers import read_corpus
from vecsearch.encoders import DEFAULT
from vecsearch.encoders.reranking import Reranker, open_reranker
from vecsearch.evaluation.intervals import draw
from vecsearch.evaluation.measures import of_ranking
from vecsearch.evaluation.sets import Retrieval, read_retrieval
from vecsearch.index.build import Options
from vecsearch.index.hits import Hit
from vecsearch.index.index import Index
from vecsearch.index.rerank import CANDIDATES, rerank
from vecsearch.training import english

K = 10
MEASURE = f"ndcg@{K}"
BATCH = 256
BROAD = {
    "titles": ("arxiv-nature", "arxiv-computing-math", "pmc-ccby", "plos"),
    "questions": ("medquad", "questions", "stackexchange", "us-gov-web"),
}
"""Sets that are made of held-out texts: which files of `broad` they are from."""
MOST = 500
"""Questions of such a set."""

Ask = Callable[[Sequence[str], int], list[list[str]]]
"""From queries and a number to the ids of as many documents for each, best first."""


def main() -> None:
    parser = argparse.ArgumentParser(description="nDCG@10 of meaning, words and both, over BEIR folders")
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER", help="a folder with corpus, queries and qrels")
    parser.add_argument(
        "--encoder", action="append", metavar="NAME=FOLDER", help="repeat it for several (default: the shipped)"
    )
    parser.add_argument("--broad", type=Path, metavar="DATA", help="measure on what was held out of DATA/broad as well")
    parser.add_argument("--split", default="test", help="which qrels (default: %(default)s)")
    parser.add_argument("--chunk", type=int, help="split texts into passages of so many tokens")
    parser.add_argument("--weights", type=float, nargs=2, default=(1.0, 1.0), help="of meaning and words (default: 1 1)")
    parser.add_argument("--rerank", metavar="FOLDER", help="rank again by this cross-encoder or encoder")
    options = parser.parse_args()
    encoders = dict(opened(argument) for argument in options.encoder or [f"ships={DEFAULT}"])
    reranker = open_reranker(options.rerank) if options.rerank else None
    rows = []
    with tempfile.TemporaryDirectory() as place:
        made = [made_set(options.broad, name, Path(place) / name) for name in BROAD] if options.broad else []
        for folder in (*options.folders, *made):
            asked, corpus = read_retrieval(folder, options.split), list(read_corpus(str(folder)))
            facts = {"set": folder.name, "documents": len(corpus), "queries": len(asked.queries)}
            rows += [facts | row for row in of_words(asked, corpus)]
            for name, encoder in encoders.items():
                found = of_encoder(asked, corpus, encoder, options, reranker)
                rows += [facts | {"encoder": name} | row for row in found]
    rows += means(rows)
    settings = {"split": options.split, "chunk": options.chunk, "weights": list(options.weights), "threads": os.cpu_count()}
    report("retrieval", [row | settings for row in rows])


def made_set(data: Path, name: str, folder: Path) -> Path:
    """A BEIR folder of held-out texts of `broad`, asked for by their titles or questions."""
    documents = [d for file in BROAD[name] for d in english.of_broad(data, file) if english.is_held_out(file, d)]
    ids = {text: str(n) for n, text in enumerate(dict.fromkeys(document.text for document in documents))}
    relevant: dict[str, set[str]] = {}
    for document in documents:
        if title := english.title_of(document):
            relevant.setdefault(title, set()).add(ids[document.text])
    asked = random.Random(0).sample(sorted(relevant), min(MOST, len(relevant)))
    (folder / "qrels").mkdir(parents=True)
    write_lines(folder / "corpus.jsonl", ({"_id": id, "text": text} for text, id in ids.items()))
    write_lines(folder / "queries.jsonl", ({"_id": f"q{n}", "text": title} for n, title in enumerate(asked)))
    grades = "".join(f"q{n}\t{id}\t1\n" for n, title in enumerate(asked) for id in sorted(relevant[title]))
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{grades}", encoding="utf-8")
    return folder


def write_lines(path: Path, rows: Iterator[dict[str, str]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def of_words(asked: Retrieval, corpus: list[Document]) -> Iterator[dict[str, Any]]:
    """bm25s with stems, where it is installed."""
    try:
        import bm25s
        import Stemmer
    except ImportError:
        return
    stemmer = Stemmer.Stemmer("english")

    def tokens(texts: Sequence[str]) -> Any:
        return bm25s.tokenize(list(texts), stopwords="en", stemmer=stemmer, show_progress=False)

    index = bm25s.BM25(k1=1.2, b=0.75)
    index.index(tokens([document.text for document in corpus]), show_progress=False)

    def ask(texts: Sequence[str], k: int) -> list[list[str]]:
        rows, scores = index.retrieve(tokens(texts), k=k, show_progress=False)
        return [[corpus[i].id for i, s in zip(row, of, strict=True) if s > 0] for row, of in zip(rows, scores, strict=True)]

    yield {"encoder": "bm25s", "way": "words", **measured(asked, ask)}


def of_encoder(
    asked: Retrieval, corpus: list[Document], encoder: Any, options: argparse.Namespace, reranker: Reranker | None
) -> Iterator[dict[str, Any]]:
    """An index of the texts, asked in each way."""
    chunks = Chunks(options.chunk, options.chunk // 5) if options.chunk else None
    carried = isinstance(getattr(encoder, "fingerprint", None), str)
    given = {} if carried else {"vectors": vectors(encoder, corpus)}
    built = Options(language="en", chunks=chunks if carried else None)
    with (
        tempfile.TemporaryDirectory() as place,
        Index.build(Path(place) / "index", corpus, encoder if carried else None, built, **given) as index,
    ):
        weights = tuple(options.weights)
        ways: dict[str, Callable[..., list[list[Hit]]]] = {
            "meaning": lambda some, k: index.nearest(encoder.encode(some), k),
            "words": index.keywords,
        }
        if carried:
            ways |= {
                "both": lambda some, k: index.hybrid(some, k, weights=weights),
                "both, by ranks": lambda some, k: index.hybrid(some, k, weights=weights, fusion="ranks"),
            }
        if reranker and "both" in ways:
            ways["both, ranked again"] = lambda some, k: rerank(reranker, some, index.hybrid(some, CANDIDATES), k)
        for way, ask in ways.items():
            yield {"way": way, **measured(asked, lambda some, k, ask=ask: [[hit.id for hit in hits] for hits in ask(some, k)])}


def vectors(encoder: Any, corpus: list[Document]) -> Iterator[np.ndarray]:
    """Those of an encoder that no index can carry."""
    for first in range(0, len(corpus), BATCH):
        yield encoder.encode([document.text for document in corpus[first : first + BATCH]])


def measured(asked: Retrieval, ask: Ask) -> dict[str, Any]:
    texts = list(asked.queries.values())
    started = perf_counter()
    answers = [ids for first in range(0, len(texts), BATCH) for ids in ask(texts[first : first + BATCH], K)]
    ms = (perf_counter() - started) / len(answers) * 1000
    values = np.array([of_ranking(ids, asked.grades[id], K)[MEASURE] for id, ids in zip(asked.queries, answers, strict=True)])
    drawn = draw(lambda items: values[items].mean(axis=1), len(values))
    low, high = drawn.interval
    return {MEASURE: round(drawn.value, 4), "low": round(low, 4), "high": round(high, 4), "ms_per_query": round(ms, 2)}


def means(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The mean over all sets of each encoder asked in each way."""
    ways: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        ways.setdefault((row["encoder"], row["way"]), []).append(row[MEASURE])
    for (name, way), values in ways.items():
        yield {"set": "mean", "encoder": name, "way": way, MEASURE: round(float(np.mean(values)), 4)}


if __name__ == "__main__":
    main()
