"""What encoders know of similarity, in one table: people's scores of pairs and words, what searchers want, and the speed.

    python benchmarks/similarity.py DATA [ENCODER …] [--rounds 3]

DATA holds sts/*.tsv and words/*.tsv (text1, text2, score) and retrieval/<set> (BEIR folders). An ENCODER is NAME=FOLDER, with
options behind it as `vecsearch evaluate` has them: plain=my-model,pooling=raw; without any it is the one that ships. A FOLDER
may hold a static model of model2vec's as well (benchmarks/static_model.py). Pairs: Spearman's correlation of cosines with the
scores, times 100. Retrieval: nDCG@10. Both as `vecsearch evaluate` gives them. Speed: all texts of stsb-dev in one call with
all cores, encoders taking turns, the median of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from cost import seconds
from report import report
from static_model import StaticModel

from vecsearch.cli.encoders import open_all, parsed
from vecsearch.corpus.pairs import read_pairs
from vecsearch.encoders import DEFAULT, Encoder
from vecsearch.evaluation.evaluate import evaluate
from vecsearch.evaluation.sets import read_set
from vecsearch.metric import Metric, normalise

PAIRS = ("sts/stsb-dev", "sts/sts12", "sts/sts13", "sts/sick-trial", "words/ws-353-all", "words/simlex-999", "words/rg-65")
MEAN = PAIRS[:4]
"""The sets whose mean is given."""
RETRIEVAL = ("retrieval/cranfield", "retrieval/medline")
SPEED = "sts/stsb-dev"


def main() -> None:
    parser = argparse.ArgumentParser(description="what encoders know of similarity")
    parser.add_argument("data", type=Path, help="a folder with sts/, words/ and retrieval/")
    parser.add_argument("encoders", nargs="*", metavar="NAME=FOLDER[,OPTION=VALUE]", default=[f"ships={DEFAULT}"])
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the speed (default: %(default)s)")
    options = parser.parse_args()
    encoders = dict(opened(argument) for argument in options.encoders)
    rates = speeds(encoders, options.data, options.rounds)
    rows = []
    for name, encoder in encoders.items():
        scores = {Path(part).name: correlation(encoder, options.data / f"{part}.tsv") for part in PAIRS}
        mean = round(float(np.mean([scores[Path(part).name] for part in MEAN])), 2)
        found = {Path(part).name: round(reached(encoder, options.data / part, "ndcg@10"), 4) for part in RETRIEVAL}
        rows.append({"encoder": name, "dim": encoder.dim, **scores, "sts_mean": mean, **found, "texts_per_s": rates[name]})
    report("similarity", [row | {"threads": os.cpu_count(), "rounds": options.rounds} for row in rows])


def opened(argument: str) -> tuple[str, Encoder]:
    name, _, folder = argument.partition("=")
    config = Path(folder) / "config.json"
    if config.is_file() and json.loads(config.read_bytes()).get("model_type") == "model2vec":
        return name, StaticModel(Path(folder))
    return next(iter(open_all([parsed(argument)], dtype="auto").items()))


def correlation(encoder: Encoder, path: Path) -> float:
    return round(100 * reached(encoder, path, "spearman"), 2)


def reached(encoder: Encoder, path: Path, measure: str) -> float:
    """What `vecsearch evaluate` gives a measure of a set by cosine."""
    return evaluate(read_set(path), encoder, metrics=[Metric.COSINE]).drawn["", Metric.COSINE, measure].value


def ranks(encoder: Encoder, asked: list[str], wanted: list[str]) -> np.ndarray:
    """The place of each wanted text (n,) among all of them, from 1, by cosine with what is asked for it."""
    asked, wanted = (normalise(encoder.encode(side)) for side in (asked, wanted))
    likeness = asked @ wanted.T  # (n, n)
    return (likeness > np.diag(likeness)[:, None]).sum(axis=1) + 1


def speeds(encoders: dict[str, Encoder], data: Path, rounds: int) -> dict[str, int]:
    texts = [text for pair in read_pairs(data / f"{SPEED}.tsv") for text in (pair.a, pair.b)]
    taken: dict[str, list[float]] = {name: [] for name in encoders}
    for encoder in encoders.values():
        encoder.encode(texts)
    for _ in range(rounds):
        for name, encoder in encoders.items():
            taken[name].append(seconds(partial(encoder.encode, texts)))
    return {name: round(len(texts) / median(times)) for name, times in taken.items()}


if __name__ == "__main__":
    main()
