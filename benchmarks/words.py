"""What encoders make of single words, side by side: the five pairs that a forum asked about, and the neighbors of ten words.

    python benchmarks/words.py [ENCODER …] [-k 5]

An ENCODER is NAME=FOLDER with options behind it, as for benchmarks/similarity.py; without any it is the one that ships. A word
is encoded as a text of its own. Neighbors, by cosine, and the random pairs that a percentile counts are of the same words for
all: those of letters alone that are in the vocabulary of each encoder, which leaves out what is rare or a part of a word. The
tables are printed once more in Markdown, an encoder in each column.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from report import report
from similarity import opened

from vecsearch.ann import nearest
from vecsearch.encoders import DEFAULT, Encoder
from vecsearch.index.percentiles import random_pairs
from vecsearch.metric import Metric, norms, pair_scores

PAIRS = (("bad", "horrible"), ("bad", "nice"), ("good", "sun"), ("king", "queen"), ("king", "tomato"))
"""The forum's."""
WORDS = ("horrible", "nice", "good", "king", "tomato", "london", "bank", "doctor", "storm", "running")


def main() -> None:
    parser = argparse.ArgumentParser(description="what encoders make of single words")
    parser.add_argument("encoders", nargs="*", metavar="NAME=FOLDER[,OPTION=VALUE]", default=[f"ships={DEFAULT}"])
    parser.add_argument("-k", type=int, default=5, help="neighbors of a word (default: %(default)s)")
    options = parser.parse_args()
    encoders = dict(opened(argument) for argument in options.encoders)
    words = sorted(set.intersection(*map(known, encoders.values())))
    pairs, neighbors = [], []
    for name, encoder in encoders.items():
        facts = {"encoder": name, "words": len(words)}
        vectors = encoder.encode(words)
        pairs += [facts | row for row in scored(encoder, vectors)]
        neighbors += [facts | row for row in found(encoder, words, vectors, options.k)]
    report("words", pairs)
    report("words", neighbors)
    markdown("pair", pairs, lambda row: f"{row['cosine']:.2f} ({row['percentile']:.1f})")
    markdown("word", neighbors, lambda row: row["neighbors"])


def known(encoder: Encoder) -> set[str]:
    """The words that an encoder has whole."""
    return {word for word in encoder.words if word.isalpha() and word == word.lower()}


def scored(encoder: Encoder, vectors: np.ndarray) -> Iterable[dict]:
    """The cosine of each pair, and the percentage of random pairs of the words' vectors that score lower."""
    a, b = (encoder.encode(side) for side in zip(*PAIRS, strict=True))
    cosines = pair_scores(a, b, Metric.COSINE)
    ranks = random_pairs(vectors, np.random.default_rng(0)).percentile(cosines, Metric.COSINE)
    for pair, cosine, rank in zip(PAIRS, cosines, ranks, strict=True):
        yield {"pair": "–".join(pair), "cosine": round(float(cosine), 3), "percentile": round(float(rank), 2)}


def found(encoder: Encoder, words: Sequence[str], vectors: np.ndarray, k: int) -> Iterable[dict]:
    """The `k` nearest of the words to each of the ten, itself left out."""
    rows = nearest([(vectors, norms(vectors))], encoder.encode(WORDS), k + 1, Metric.COSINE)[1]
    for word, near in zip(WORDS, rows, strict=True):
        others = [words[row] for row in near if words[row] != word]
        yield {"word": word, "neighbors": ", ".join(others[:k])}


def markdown(column: str, rows: Sequence[dict], cell: Callable[[dict], str]) -> None:
    """Print a table of `column` by encoder."""
    names = list(dict.fromkeys(row["encoder"] for row in rows))
    cells: dict[str, list[str]] = {}
    for row in rows:
        cells.setdefault(row[column], []).append(cell(row))
    for line in ([column, *names], ["---"] * (1 + len(names)), *([key, *values] for key, values in cells.items())):
        print(f"| {' | '.join(line)} |")


if __name__ == "__main__":
    main()
