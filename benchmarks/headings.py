"""What the headings above a passage bring to finding it: nDCG@10 with and without them, by meaning, by words and by both.

    python benchmarks/headings.py DATA [--most 500]

DATA/broad holds manuals.jsonl.xz and dev-docs.jsonl.xz, passages with "page: heading" as their title. Each set has all passages
of a file, once alone and once below their headings, and is asked in two ways, with nothing that is in the texts themselves:
"heading" is the last heading of the passages to be found, which stand below the page's name alone; "sentence" is the first
sentence of a passage, which is taken out of it, and that passage is what is to be found. An interval is one of 95 % over draws
of the questions.
"""

from __future__ import annotations

import argparse
import json
import lzma
import random
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from report import report

from vecsearch.corpus.document import Document
from vecsearch.corpus.folder.sections import BETWEEN
from vecsearch.encoders import open_encoder
from vecsearch.evaluation.intervals import draw_mean
from vecsearch.evaluation.measures import of_ranking
from vecsearch.index.index import Index

K = 10
FILES = ("manuals", "dev-docs")
_SENTENCE = re.compile(r"\S.{40,}?[.!?](?=\s)", re.DOTALL)


class Row(NamedTuple):
    """A passage: its page, its own heading, and its text."""

    id: str
    page: str
    heading: str
    text: str


class Asked(NamedTuple):
    """Passages as documents without and with their headings, and questions with the ids that answer each."""

    alone: list[Document]
    below: list[Document]
    questions: list[tuple[str, set[str]]]


def main() -> None:
    parser = argparse.ArgumentParser(description="what the headings above a passage bring to finding it")
    parser.add_argument("data", type=Path, help="the folder that holds broad/")
    parser.add_argument("--most", type=int, default=500, help="questions of a set (default: %(default)s)")
    options = parser.parse_args()
    rows = [row for name in FILES for row in measured(options.data / "broad" / f"{name}.jsonl.xz", options.most)]
    report("headings", rows)


def measured(path: Path, most: int) -> Iterator[dict[str, Any]]:
    passages = list(read(path))
    for name, asked in (("heading", by_heading(passages, most)), ("sentence", by_sentence(passages, most))):
        alone, below = (found(documents, asked.questions) for documents in (asked.alone, asked.below))
        for how in alone:
            low, high = draw_mean(below[how] - alone[how]).interval
            yield {
                "set": path.name.partition(".")[0],
                "asked": name,
                "by": how,
                "passages": len(passages),
                "questions": len(asked.questions),
                "alone": round(float(alone[how].mean()), 3),
                "below_headings": round(float(below[how].mean()), 3),
                "difference": f"{low:.3f} to {high:.3f}",
            }


def read(path: Path) -> Iterator[Row]:
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            row = json.loads(line)
            page, colon, heading = row.get("title", "").partition(": ")
            if colon:
                yield Row(str(number), page, heading, row["text"])


def by_heading(passages: list[Row], most: int) -> Asked:
    answers: dict[str, set[str]] = defaultdict(set)
    for row in passages:
        answers[f"{row.page}: {row.heading}"].add(row.id)
    # A heading such as "Description" asks for nothing; one that a page alone has does.
    pages: dict[str, set[str]] = defaultdict(set)
    for row in passages:
        pages[row.heading].add(row.page)
    unique = sorted({f"{row.page}: {row.heading}" for row in passages if len(pages[row.heading]) == 1 and " " in row.heading})
    chosen = random.Random(0).sample(unique, min(most, len(unique)))
    questions = [(name.partition(": ")[2], answers[name]) for name in chosen]
    alone = [Document(row.id, row.text) for row in passages]
    below = [Document(row.id, f"{row.page}\n\n{row.text}") for row in passages]
    return Asked(alone, below, questions)


def by_sentence(passages: list[Row], most: int) -> Asked:
    first = {row.id: found[0] for row in passages if (found := _SENTENCE.match(row.text)) and len(row.text) > 2 * found.end()}
    chosen = set(random.Random(0).sample(sorted(first), min(most, len(first))))
    rest = [row._replace(text=row.text[len(first[row.id]) :].strip()) if row.id in chosen else row for row in passages]
    alone = [Document(row.id, row.text) for row in rest]
    below = [Document(row.id, f"{row.page}{BETWEEN}{row.heading}\n\n{row.text}") for row in rest]
    return Asked(alone, below, [(first[id], {id}) for id in sorted(chosen)])


def found(documents: list[Document], questions: list[tuple[str, set[str]]]) -> dict[str, np.ndarray]:
    """nDCG@10 of each question, (q,) float64, by meaning, words and both."""
    texts = [text for text, _ in questions]
    with tempfile.TemporaryDirectory() as place, Index.build(Path(place) / "i", documents, open_encoder()) as index:
        answers = {
            "meaning": index.query(texts, k=K),
            "words": index.keywords(texts, k=K),
            "both": index.hybrid(texts, k=K),
        }
    return {
        how: np.array(
            [
                of_ranking([hit.id for hit in hits], dict.fromkeys(right, 1), K)[f"ndcg@{K}"]
                for hits, (_, right) in zip(lists, questions, strict=True)
            ]
        )
        for how, lists in answers.items()
    }


if __name__ == "__main__":
    main()
