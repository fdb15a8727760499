"""A similarity one can read: two scores, and where each stands among random pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vecsearch import checks
from vecsearch.encoders.base import Encoder, check_encoder, checked_vectors
from vecsearch.errors import UsageError
from vecsearch.index.index import Index
from vecsearch.metric import Background, Metric, norms, pair_scores

Encode = Callable[[Sequence[str]], np.ndarray]
"""What gives texts their vectors, (n, dim) float32."""


@dataclass(frozen=True, slots=True)
class Similarity:
    """Scores of one pair. A percentile is the percentage of random pairs that score lower; `note` says what makes them void."""

    a: str
    b: str
    cosine: float
    cosine_percentile: float | None
    ip: float
    ip_percentile: float | None
    note: str = ""


def model_background(encoder: Encoder, rng: np.random.Generator) -> Background:
    """The background of a model: words of its own, each read as a text."""
    words, _ = encoder.word_ids()
    chosen = rng.choice(words, min(Background.SAMPLE, len(words)), replace=False)
    return random_pairs(encoder.encode([encoder.words[i] for i in np.sort(chosen)]), rng)


def index_background(index: Index, rng: np.random.Generator) -> Background:
    """The background of an index: documents that it holds."""
    alive = index.alive()
    chosen = np.sort(rng.choice(alive, min(Background.SAMPLE, len(alive)), replace=False))
    return random_pairs(index.vectors(chosen), rng)


def random_pairs(vectors: np.ndarray, rng: np.random.Generator) -> Background:
    """The background of vectors (n, d) float32: pairs of them drawn with `rng`."""
    a, b = rng.integers(0, len(vectors), (2, Background.PAIRS))
    a, b = a[a != b], b[a != b]
    return Background(vectors[a], vectors[b])


def model_similarity(encoder: Encoder, a: str, b: str, rng: np.random.Generator, encode: Encode | None = None) -> Similarity:
    """Scores of two texts by an encoder, among random pairs of its words; `encode` gives their vectors, if not the encoder."""
    check_encoder(encoder, kept=False)
    a, b, _ = checks.text("a", a), checks.text("b", b), _checked_rng(rng)
    vectors = checked_vectors(encoder, (encode or encoder.encode)([a, b]), 2)
    return _score((a, b), vectors, model_background(encoder, rng))


def index_similarity(index: Index, a: str, b: str, rng: np.random.Generator, encode: Encode | None = None) -> Similarity:
    """Scores of two documents of an index by id, or of texts by its encoder, among random pairs of its documents.

    `encode` gives the vectors of texts, if not the encoder.
    """
    checks.instance("index", index, Index, give="an Index")
    a, b, _ = checks.text("a", a), checks.text("b", b), _checked_rng(rng)
    vectors = np.concatenate([_vector(index, text, encode or index.encode) for text in (a, b)])
    return _score((a, b), vectors, index_background(index, rng))


def _checked_rng(rng: np.random.Generator) -> np.random.Generator:
    return checks.instance("rng", rng, np.random.Generator, give="np.random.default_rng(0)")


def _vector(index: Index, id_or_text: str, encode: Encode) -> np.ndarray:
    try:
        return index.vectors(index.rows([id_or_text]))
    except UsageError:
        return encode([id_or_text])


def _score(pair: tuple[str, str], vectors: np.ndarray, background: Background) -> Similarity:
    scores = {metric: pair_scores(vectors[:1], vectors[1:], metric) for metric in Metric}
    ranks = {metric: background.percentile(score, metric)[0] for metric, score in scores.items()}
    return Similarity(
        *pair,
        cosine=float(scores[Metric.COSINE][0]),
        cosine_percentile=None if background.is_empty else float(ranks[Metric.COSINE]),
        ip=float(scores[Metric.INNER_PRODUCT][0]),
        ip_percentile=None if background.is_empty else float(ranks[Metric.INNER_PRODUCT]),
        note=_note(pair, vectors, background),
    )


def _note(pair: tuple[str, str], vectors: np.ndarray, background: Background) -> str:
    empty = " and ".join(repr(text) for text, length in zip(pair, norms(vectors), strict=True) if length == 0)
    if empty:
        return f"no known word in {empty}: its vector is zero and these scores mean nothing"
    return "a single document makes no pairs: there are no percentiles" if background.is_empty else ""
