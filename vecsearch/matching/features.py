"""Features of a pair of texts: its scores by each of several encoders, and how much its words and letters agree."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from vecsearch.encoders import Encoder
from vecsearch.evaluation.evaluate import both_sides
from vecsearch.matching.remembering import REMEMBERED_BYTES, RememberingEncoder
from vecsearch.metric import Metric, pair_scores

WORD = re.compile(r"\w+")


class PairFeatures:
    """Features of pairs of texts, by any number of `encoders`, each under its name."""

    def __init__(self, encoders: Mapping[str, Encoder]) -> None:
        limit = REMEMBERED_BYTES // max(1, len(encoders))
        self._encoders = {name: RememberingEncoder(encoder, limit) for name, encoder in encoders.items()}
        self._words = {name: frozenset(encoder.words) for name, encoder in encoders.items() if len(encoder.words)}

    def columns(self, a: Sequence[str], b: Sequence[str]) -> dict[str, np.ndarray]:
        """The features of n pairs, (n,) float64 each, by `names` and in their order."""
        a, b = both_sides(a, b)
        found = {}
        words = [[WORD.findall(text.lower()) for text in side] for side in (a, b)]
        for name, encoder in self._encoders.items():
            vectors = encoder.encode([*a, *b])
            for metric in Metric:
                found[f"{name} {metric}"] = pair_scores(vectors[: len(a)], vectors[len(a) :], metric).astype(np.float64)
            if name in self._words:
                found[f"{name} unknown"] = np.array([_unknown(x + y, self._words[name]) for x, y in zip(*words, strict=True)])
        return found | text_columns(a, b)

    @property
    def encoded(self) -> int:
        """How many texts each encoder has encoded, at the most."""
        return max((encoder.encoded for encoder in self._encoders.values()), default=0)

    @property
    def names(self) -> list[str]:
        """Of each encoder its cosine, its inner product and, where it has words, the share that it does not know; then those of
        `text_columns`."""
        return list(self.columns([], []))


def text_columns(a: Sequence[str], b: Sequence[str]) -> dict[str, np.ndarray]:
    """What needs no encoder, of n pairs, (n,) float64 each: the words of the shorter and of the longer text, the ratio of both;
    the shares of their different words, and of their runs of three characters, that both have (Jaccard)."""
    words = [[WORD.findall(text.lower()) for text in side] for side in (a, b)]
    lengths = np.sort(np.array([[len(its) for its in side] for side in words], np.float64).reshape(2, -1), axis=0)
    trigrams = [[{text[i : i + 3] for i in range(len(text) - 2)} for text in map(str.lower, side)] for side in (a, b)]
    return {
        "words of the shorter": lengths[0],
        "words of the longer": lengths[1],
        "length ratio": lengths[0] / np.maximum(1, lengths[1]),
        "words in common": np.array([_jaccard(set(x), set(y)) for x, y in zip(*words, strict=True)], np.float64),
        "trigrams in common": np.array([_jaccard(x, y) for x, y in zip(*trigrams, strict=True)], np.float64),
    }


def _unknown(words: Sequence[str], known: Collection[str]) -> float:
    return sum(word not in known for word in words) / max(1, len(words))


def _jaccard(a: set[str], b: set[str]) -> float:
    return len(a & b) / max(1, len(a | b))
