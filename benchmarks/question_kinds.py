"""Which questions made of texts are found like real ones: their recall in an index that is tuned to a recall of rows.

    python benchmarks/question_kinds.py CORPUS... [--rows 14000] [--recall 0.95] [--queries 1500]

CORPUS are files of records with a text and a title or question that goes with it. Of some documents these and what can be made
of their texts are asked: of those that are not in the index (out), as while a recall is proved, and of others that are (in), as
by a user. Every kind of index is set so that rows that are not in it have the recall on average.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from report import report

from vecsearch import Document, ann, open_encoder, read_corpus
from vecsearch.ann.questions import Sample
from vecsearch.ann.recall import recalls
from vecsearch.ann.spec import usual_parameters
from vecsearch.ann.tuner import on_average, tune
from vecsearch.corpus.document import title_of
from vecsearch.corpus.passages import sentences
from vecsearch.index import questions
from vecsearch.metric import Metric, norms

K = 10
LENGTHS = (3, 5, 8, 12, 20)
Make = Callable[[Document, np.random.Generator], str]


def main() -> None:
    options = parse()
    report("question_kinds", [row for path in options.corpora for row in measured(path, options)])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the recall of questions that are made of texts beside that of real ones")
    parser.add_argument("corpora", type=Path, nargs="+", help="files of records with title or question, and text")
    parser.add_argument("--rows", type=int, default=14_000, help="documents of each at the most (default: %(default)s)")
    parser.add_argument("--recall", type=float, default=0.95, help="of rows (default: %(default)s)")
    parser.add_argument("--queries", type=int, default=1500, help="of each kind at the most (default: %(default)s)")
    return parser.parse_args()


def some(count: int) -> Make:
    def words(document: Document, rng: np.random.Generator) -> str:
        found = document.text.split()
        first = int(rng.integers(0, max(0, len(found) - count) + 1))
        return " ".join(found[first : first + count])

    return words


def sentence(document: Document, rng: np.random.Generator) -> str:
    found = [document.text[start:stop] for start, stop in sentences(document.text)]
    return found[rng.integers(len(found))]


KINDS: dict[str, Make] = {
    "name": lambda document, _: title_of(document.fields) or "",
    "some words": lambda document, rng: questions.some_words(document.text, rng),
    **{f"{count} words": some(count) for count in LENGTHS},
    "sentence": sentence,
}


def measured(path: Path, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Of each kind of index a line."""
    documents = [its for its in read_corpus(path) if its.text.strip() and title_of(its.fields)][: options.rows]
    order, encoder = np.random.default_rng(5).permutation(len(documents)), open_encoder()
    count = min(options.queries, len(documents) // 6)
    asked_of, asked = {"out": order[:count], "in": order[count : 2 * count]}, {}
    for kind, make in KINDS.items():
        for where, rows in asked_of.items():
            rng = np.random.default_rng(9)
            vectors = encoder.encode([make(documents[row], rng) for row in rows])
            asked[kind, where] = vectors[vectors.any(axis=1)]
    vectors = encoder.encode([document.text for document in documents])
    source, kept = ann.Rows(vectors, norms(vectors), Metric.COSINE), np.sort(order[count:])
    lists = max(16, round(0.1 * len(documents) ** 0.5) * 16)
    for spec in (f"PCA144,IVF{lists}x2,PQ72x4fs_64", "PCA96,HNSW32,SQ8"):
        index = ann.construct(spec, source, kept)
        searcher = ann.ApproximateSearcher(index, ann.copies(spec), source, usual_parameters(index, K))
        held_out = vectors[order[:count]]
        tuned, _ = tune(searcher, Sample(held_out, source.truth(kept, held_out, K)), options.recall, enough=on_average)
        row = {"corpus": path.name.partition(".")[0], "rows": len(kept), "queries": count, "kind": spec}
        row |= {"row": round(tuned.recall.mean, 3)}
        for (kind, where), queries in asked.items():
            found = recalls(source.truth(kept, queries, K), searcher.search(queries, K)[0])
            row[f"{kind} {where}"] = round(float(found.mean()), 3)
        yield row


if __name__ == "__main__":
    main()
