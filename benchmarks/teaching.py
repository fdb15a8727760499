"""What each step towards the English model that ships brings: encoders taught alike, each with one thing more than the last.

    python benchmarks/teaching.py DATA TEACHER [--second TEACHER] [--texts 30000] [--epochs 3]

DATA is the folder that `python -m vecsearch.training.english` learns from, with sts/ and retrieval/ beside it; TEACHER a
sentence transformer's folder. Each encoder learns as many texts, `--texts`, read the same number of times. `--second` compares
teachers instead of steps: the first, the second and the mean of both.

`sts_mean` is the mean of the four sets in benchmarks/similarity.py, `sts_float16` the same with the embedding in float16
instead of 8-bit numbers, `meaning` that of cranfield's and medline's nDCG@10, `titles` the mean reciprocal rank of a held-out
text among the 2,858 that are asked for by their titles; `minutes` is the training without the teacher.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from report import report
from similarity import MEAN, RETRIEVAL, correlation, ranks, reached

from vecsearch.encoders import Encoder, open_encoder
from vecsearch.metric import normalise
from vecsearch.training import english
from vecsearch.training.checkpoint import Checkpoint
from vecsearch.training.loop import Plan, fit
from vecsearch.training.network import Network
from vecsearch.training.start import Start, new_start
from vecsearch.training.teacher import Teacher
from vecsearch.training.train_similarity import distilled

FIRST = 10
"""Epochs in which the words learn alone, before the LSTM does."""
ASIDE = 500
"""Texts by which a training scores itself."""
HELD_OUT = ("arxiv-nature", "arxiv-computing-math", "pmc-ccby", "plos")
"""Files of `broad` whose held-out texts are asked for by their titles."""


@dataclass(frozen=True)
class Step:
    """What an encoder has and what it learns from."""

    name: str
    words: int = 42_000
    pieces: bool = False
    broad: bool = False
    passages: bool = False
    made: bool = False
    pairs: bool = False
    layers: bool = False
    teacher: str = "first"


PLAIN = Step("sentences of films, books, trivia, requests")
PIECES = replace(PLAIN, name="+ rare words in pieces", pieces=True)
BROAD = replace(PIECES, name="+ sentences of science, manuals, law, definitions …", broad=True)
PASSAGES = replace(BROAD, name="+ whole passages and their titles", passages=True)
MADE = replace(PASSAGES, name="+ sentences of a grammar", made=True)
PAIRS = replace(MADE, name="+ titles find their texts", pairs=True)
LAYERS = replace(PAIRS, name="+ the LSTM", layers=True)
STEPS = (PLAIN, PIECES, BROAD, PASSAGES, MADE, PAIRS, LAYERS)
TEACHERS = (
    replace(PASSAGES, name="the teacher"),
    replace(PASSAGES, name="the second teacher", teacher="second"),
    replace(PASSAGES, name="the mean of both", teacher="both"),
)


class Known:
    """A teacher whose vectors are kept, so that a text is encoded once."""

    def __init__(self, teacher: Teacher, kept: Path) -> None:
        self._teacher, self._kept = teacher, kept
        self._vectors: dict[str, np.ndarray] = {}
        self.words, self.pieces = teacher.words, teacher.pieces

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        missing = list(dict.fromkeys(text for text in texts if text not in self._vectors))
        if missing:
            self._kept.unlink(missing_ok=True)
            self._vectors |= zip(missing, self._teacher.vectors(missing, self._kept), strict=True)
        return np.stack([self._vectors[text] for text in texts])


class Both:
    """Two teachers as one: its cosines are the mean of theirs."""

    def __init__(self, first: Known, second: Known) -> None:
        self._teachers = (first, second)
        self.words, self.pieces = first.words, first.pieces

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return normalise(np.concatenate([teacher.encode(texts) for teacher in self._teachers], axis=1))


class Whole:
    """A teacher without pieces of words."""

    pieces = ()

    def __init__(self, teacher: Known | Both) -> None:
        self.words, self.encode = teacher.words, teacher.encode


def main() -> None:
    parser = argparse.ArgumentParser(description="what each step towards the model that ships brings")
    parser.add_argument("data", type=Path)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("--second", type=Path, help="another teacher's folder: teachers are compared")
    parser.add_argument("--texts", type=int, default=30_000, help="default: %(default)s")
    parser.add_argument(
        "--epochs", type=int, default=3, help="of the LSTM, and 10 of the words before it (default: %(default)s)"
    )
    options = parser.parse_args()
    rows = english.rows_of(options.data)
    random.Random(0).shuffle(rows)
    held_out = [d for name in HELD_OUT for d in english.of_broad(options.data, name) if english.is_held_out(name, d)]
    steps = TEACHERS if options.second else STEPS
    found = []
    with tempfile.TemporaryDirectory() as place:
        teachers: dict[str, Any] = {"first": Known(Teacher(options.teacher), Path(place) / "first")}
        if options.second:
            teachers["second"] = Known(Teacher(options.second), Path(place) / "second")
            teachers["both"] = Both(teachers["first"], teachers["second"])
        for n, step in enumerate(steps):
            groups = groups_of(rows, step, options.texts)
            encoder, exact, facts = trained(step, groups, teachers[step.teacher], Path(place) / str(n), options.epochs)
            facts["sts_float16"] = sentences(exact, options.data)
            found.append({"step": step.name, **facts, **measured(encoder, options.data, held_out)})
            print(found[-1], flush=True)
    report("teaching", found)


def groups_of(rows: list[Mapping[str, Any]], step: Step, most: int) -> list[list[str]]:
    """The texts that a step learns from, a title before its own where the two are pairs."""
    chosen = [row for row in rows if "title" not in row or step.passages]
    chosen = [row for row in chosen if step.made or row["source"] != english.MADE]
    chosen = [row for row in chosen if step.broad or row["source"] == english.EVERYDAY]
    groups: list[list[str]] = []
    for row in chosen:
        title = [row["title"]] if "title" in row else []
        groups += [[*title, row["text"]]] if step.pairs else [[text] for text in (*title, row["text"])]
    return groups[:most]


def trained(
    step: Step, groups: list[list[str]], teacher: Any, output: Path, epochs: int
) -> tuple[Encoder, Encoder, dict[str, Any]]:
    """The encoder as it would ship, the same with its embedding in float16, and what it learnt from."""
    plan = Plan(epochs=epochs, batch=512, rate=0.005, dropout=0)
    texts = [text for group in groups for text in group]
    teacher = teacher if step.pieces else Whole(teacher)
    begun: Start = new_start(texts, teacher, words=step.words, dims=(256, 256), seed=0)
    vectors = teacher.encode(texts)
    started = perf_counter()
    whole = Network(begun.stacks, begun.depths, dropout=0, sparse=True)
    bare = {direction: replace(stack, layers=()) for direction, stack in begun.stacks.items()}
    network = whole if step.layers else Network(bare, (0,), dropout=0, sparse=True)
    ids = [[begun.ids(text, 200) for text in group] for group in groups]
    usable = [all(map(len, group)) for group in ids]
    keep = np.repeat(usable, [len(group) for group in groups])
    ids = [group for group, fits in zip(ids, usable, strict=True) if fits]
    examples = distilled(ids, vectors[keep], begun, network, ASIDE, plan.batch)
    checkpoint = Checkpoint(output, {})
    with checkpoint.preparing(resume=False):
        if step.layers:
            fitted = fit(network, examples, plan, checkpoint, words_first=FIRST)
        else:  # as often over the texts, the words alone
            fitted = fit(network, examples, replace(plan, epochs=FIRST + epochs), checkpoint)
    checkpoint.remove()
    minutes = round((perf_counter() - started) / 60, 2)
    tensors = whole.tensors() | fitted.tensors
    encoders = []
    for folder, start in ((output, begun), (output.with_suffix(".float16"), replace(begun, in_eight_bits=False))):
        start.write(folder, tensors, {}, half=True)
        encoders.append(open_encoder(folder, dtype="auto", **({} if step.layers else {"layers": [0]})))
    return encoders[0], encoders[1], {"texts": len(texts), "words": len(begun.vocabulary), "minutes": minutes}


def sentences(encoder: Encoder, data: Path) -> float:
    return round(float(np.mean([correlation(encoder, data / f"{part}.tsv") for part in MEAN])), 2)


def measured(encoder: Encoder, data: Path, held_out: list[Any]) -> dict[str, float]:
    found = {Path(part).name: round(reached(encoder, data / part, "ndcg@10"), 4) for part in RETRIEVAL}
    places = ranks(encoder, [english.title_of(document) for document in held_out], [document.text for document in held_out])
    return {
        "sts_mean": sentences(encoder, data),
        **found,
        "meaning": round(float(np.mean(list(found.values()))), 4),
        "titles": round(float((1 / places).mean()), 4),
    }


if __name__ == "__main__":
    main()
