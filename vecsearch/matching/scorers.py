"""Scorers of pairs of texts: the protocol, and the scores of one encoder, with or without a calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from vecsearch import checks
from vecsearch.encoders import Encoder
from vecsearch.evaluation.evaluate import both_sides
from vecsearch.matching.calibration import Calibration
from vecsearch.matching.remembering import RememberingEncoder
from vecsearch.metric import Background, Metric, pair_scores

SEED = 0
"""The random pairs are the same each time: a percentile does not change between two runs."""


class PairScorer(Protocol):
    """Scores pairs of texts: columns of numbers."""

    def columns(self, a: Sequence[str], b: Sequence[str]) -> dict[str, np.ndarray]:
        """For n pairs: columns (n,) by name, the same names each time."""


class EncoderScorer:
    """Cosine and inner product by an encoder, each with its percentile among random pairs; with a calibration the probability
    of a match.

    A random pair is a text of `a` with a text of `b`, both (n,), that is not one of the given pairs. Where there is no such
    pair, percentiles are NaN.
    """

    def __init__(self, encoder: Encoder, a: Sequence[str], b: Sequence[str], *, calibration: Calibration | None = None) -> None:
        self._encoder = RememberingEncoder(encoder)
        self._calibration = calibration
        if calibration is not None:
            checks.instance("calibration", calibration, Calibration, give="Calibration.load(path)")
        self._background = self._random_pairs(*both_sides(a, b))

    @property
    def encoded(self) -> int:
        """How many texts have been encoded."""
        return self._encoder.encoded

    def columns(self, a: Sequence[str], b: Sequence[str]) -> dict[str, np.ndarray]:
        """Of n pairs, (n,) each: "cosine", "cosine_percentile", "ip", "ip_percentile"; if calibrated "probability", "match"."""
        a, b = both_sides(a, b)
        vectors = self._encoder.encode([*a, *b])
        found: dict[str, np.ndarray] = {}
        for metric in Metric:
            found[metric] = pair_scores(vectors[: len(a)], vectors[len(a) :], metric)
            found[f"{metric}_percentile"] = self._background.percentile(found[metric], metric)
        if self._calibration:
            scores = found[self._calibration.metric]
            found |= {"probability": self._calibration.probability(scores), "match": scores >= self._calibration.threshold}
        return found

    def _random_pairs(self, a: Sequence[str], b: Sequence[str]) -> Background:
        pairs = set(zip(a, b, strict=True))
        rng = np.random.default_rng(SEED)
        sides = [list(dict.fromkeys(side))[: Background.SAMPLE] for side in (a, b)]
        first, second = (rng.integers(0, len(side), Background.PAIRS) for side in sides)
        chosen = [(i, j) for i, j in zip(first, second, strict=True) if (sides[0][i], sides[1][j]) not in pairs]
        left, right = np.array(chosen, np.int64).reshape(-1, 2).T
        vectors = self._encoder.encode([*sides[0], *sides[1]])
        return Background(vectors[left], vectors[len(sides[0]) :][right])
