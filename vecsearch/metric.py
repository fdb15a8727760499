"""What a score means: cosine or inner product, higher is better in both."""

from __future__ import annotations

from enum import StrEnum

import numpy as np

EXACT = "exact"
"""The kind of an index without a FAISS file: every query looks at every vector."""
SHORTEST = np.finfo(np.float32).smallest_subnormal
"""The least length there is above 0, which a zero vector is divided by."""


class Metric(StrEnum):
    """How two vectors are compared. Higher is better, always."""

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
    """Score of row i of `a` with row i of `b`: two (n, d) float32 -> (n,) float32."""
    if metric is Metric.COSINE:
        a, b = normalise(a), normalise(b)
    return np.einsum("nd,nd->n", a, b)
