"""An encoder trained further on two megabytes of a person's own texts: does it find that domain's texts better?

    python benchmarks/fine_tuning.py CORPUS [CORPUS …] [--title title] [--megabytes 2]

Of each corpus some documents, two megabytes of them, are trained on; of the others 2,000 are kept aside. Asked is every title
of these, wanted its text among all of theirs: the mean reciprocal rank, and the share of titles whose text comes first. Rows:
the model that ships; the same after `model words`; after `train similarity --title`; after `train lm`; and after these two,
one behind the other.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
from report import Printed, report
from similarity import ranks

from vecsearch.corpus.document import Document
from vecsearch.corpus.readers import read_corpus
from vecsearch.encoders import DEFAULT, open_encoder
from vecsearch.training.language_model import LanguagePlan, train_language_model
from vecsearch.training.loop import Plan
from vecsearch.training.new_words import add_words
from vecsearch.training.train_similarity import TrainingData, train_similarity

ASIDE = 2000
LANGUAGE, SIMILARITY = LanguagePlan(epochs=1), Plan(epochs=8, batch=128, rate=2e-3)
"""Chosen on papers."""


def main() -> None:
    parser = argparse.ArgumentParser(description="fine-tuning on two megabytes of a domain's texts")
    parser.add_argument("corpora", nargs="+", type=Path, metavar="CORPUS")
    parser.add_argument("--title", default="title", help="the field that is asked for (default: %(default)s)")
    parser.add_argument("--megabytes", type=float, default=2, help="default: %(default)s")
    options = parser.parse_args()
    rows = []
    for corpus in options.corpora:
        aside, training = split(corpus, options.title, 1e6 * options.megabytes)
        with tempfile.TemporaryDirectory() as name:
            file = Path(name) / "training.jsonl"
            file.write_text("".join(json.dumps({"title": t, "text": d.text}) + "\n" for t, d in training), encoding="utf-8")
            for row in trained(file, lambda encoder: found(encoder, aside)):  # noqa: B023
                rows.append({"corpus": corpus.name, "documents": len(training), "asked": len(aside), **row})
    report("fine_tuning", [row | {"threads": os.cpu_count()} for row in rows])


Titled = list[tuple[str, Document]]


def split(corpus: Path, title: str, size: float) -> tuple[Titled, Titled]:
    """Documents kept aside, and those trained on, in a random order."""
    documents = [(str(document.fields[title]), document) for document in read_corpus(corpus) if document.fields.get(title)]
    documents = [documents[i] for i in np.random.default_rng(0).permutation(len(documents))]
    ends = np.cumsum([len(name) + len(document.text) for name, document in documents[ASIDE:]])
    return documents[:ASIDE], documents[ASIDE : ASIDE + int(np.searchsorted(ends, size))]


def trained(file: Path, measured: Callable[[str | Path], dict]) -> list[dict]:
    """A row for each way of training."""
    made = {name: file.with_name(name.replace(" ", "-")) for name in ("words", "lm", "similarity", "lm, then similarity")}
    rows = [{"trained": "as it ships", "minutes": 0.0, **measured(DEFAULT)}]

    def row(name: str, work: Callable[[Path], object], before: float = 0.0) -> float:
        started = perf_counter()
        work(made[name])
        minutes = before + (perf_counter() - started) / 60
        rows.append({"trained": name, "minutes": round(minutes, 2), **measured(made[name])})
        return minutes

    def by_titles(start: str | Path) -> Callable[[Path], object]:
        return lambda output: train_similarity(
            TrainingData([file], title="title"), output, start=start, plan=SIMILARITY, progress=Printed()
        )

    row("words", lambda output: add_words(DEFAULT, [file], output))
    row("similarity", by_titles(DEFAULT))
    minutes = row("lm", lambda output: train_language_model([file], output, start=DEFAULT, plan=LANGUAGE, progress=Printed()))
    row("lm, then similarity", by_titles(made["lm"]), minutes)
    return rows


def found(encoder: str | Path, aside: Titled) -> dict[str, float]:
    place = ranks(open_encoder(encoder, dtype="auto"), [title for title, _ in aside], [document.text for _, document in aside])
    return {"mrr": round(float((1 / place).mean()), 4), "first": round(float((place == 1).mean()), 4)}


if __name__ == "__main__":
    main()
