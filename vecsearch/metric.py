"""What a score means: cosine or inner product, higher is better in both; how high it is among those of random pairs."""

from __future__ import annotations

import math

import numpy as np

from vecsearch import checks
from vecsearch.checks import Choice
from vecsearch.errors import UsageError

EXACT = "exact"
"""The kind of an index without a FAISS file: every query looks at every vector."""
SHORTEST = np.finfo(np.float32).smallest_subnormal
"""The least length there is above 0, which a zero vector is divided by."""


class Metric(Choice):
    """How two vectors are compared. Higher is better, always. A name, "cosine" or "ip", does wherever one is asked for."""

    COSINE = "cosine"
    INNER_PRODUCT = "ip"


def norms(vectors: np.ndarray) -> np.ndarray:
    """Euclidean length of each row: (n, d) float32 -> (n,) float32, summed in float64 so that large vectors do not overflow."""
    return np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)).astype(np.float32)


def normalise(vectors: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
    """Rows scaled to length 1: (n, d) float32 -> a new (n, d) float32; `lengths` (n,) where they are known.

    A zero row stays zero: its cosine with anything is 0.
    """
    return vectors / np.maximum(norms(vectors) if lengths is None else lengths, SHORTEST)[:, None]


def pair_scores(a: np.ndarray, b: np.ndarray, metric: Metric) -> np.ndarray:
    """Score of row i of `a` with row i of `b`: two (n, d) float32 -> (n,) float32.

    Raises: TypeError: no arrays of numbers. UsageError: other shapes; a row that holds NaN or infinity.
    """
    a, b, metric = checks.array("a", a), checks.array("b", b), Metric(metric)
    if a.ndim != 2 or a.shape != b.shape:
        raise UsageError(f"a has the shape {a.shape} and b {b.shape}; give vectors of as many rows, (n, d) both")
    lengths = [_finite_norms(name, vectors) for name, vectors in (("a", a), ("b", b))]
    if metric is Metric.COSINE:
        a, b = normalise(a, lengths[0]), normalise(b, lengths[1])
    return np.einsum("nd,nd->n", a, b)


def checked_queries(vectors: np.ndarray, dim: int, name: str = "vectors") -> np.ndarray:
    """The vectors, given under this name, as (q, dim) float32. Raises UsageError for another shape, for NaN and infinity."""
    queries = checks.array(name, vectors)
    if queries.ndim != 2 or queries.shape[1] != dim:
        one = "; give a single one as vector[None]" if queries.shape == (dim,) else ""
        raise UsageError(f"the query vectors have the shape {queries.shape}, the index holds vectors of length {dim}{one}")
    if not math.isfinite(np.vdot(queries, queries)):
        # Their sum is not; float64 tells whether one of them is too long, or only all together.
        with np.errstate(over="ignore", invalid="ignore"):
            finite = np.isfinite(norms(queries))
        if not finite.all():
            raise UsageError(f"query vector {int(np.argmin(finite))} holds NaN or infinity, or is too long for float32")
    return queries


def _finite_norms(name: str, vectors: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = norms(vectors)
    if not (finite := np.isfinite(lengths)).all():
        raise UsageError(f"row {int(np.argmin(finite))} of {name} holds NaN or infinity, or is too long for float32")
    return lengths


class Background:
    """Scores of random pairs, row i of `a` with row i of `b`, two (n, d) float32: what a score has to be compared with."""

    SAMPLE = 2_000
    """Vectors that random pairs are drawn of."""
    PAIRS = 20_000
    """Random pairs of them: percentiles are good to about 0.4 points."""

    def __init__(self, a: np.ndarray, b: np.ndarray) -> None:
        self.is_empty = len(a) == 0
        self._sorted = {metric: np.sort(pair_scores(a, b, metric)) for metric in Metric}

    def percentile(self, scores: np.ndarray, metric: Metric) -> np.ndarray:
        """Percent of the random pairs that score lower than each of n `scores`: (n,) float64; NaN where there are none."""
        ranked = self._sorted[Metric(metric)]
        below = np.searchsorted(ranked, scores, side="left")
        return 100.0 * below / len(ranked) if len(ranked) else np.full(len(below), np.nan)
