"""What a search finds: rows and scores, and the documents behind them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np


class Neighbors(NamedTuple):
    """Rows and scores of the best hits of q queries, (q, k) each, best first; k is smaller where the index is.

    An approximate index that finds fewer than k marks the rest with row -1 and score -inf.
    """

    rows: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True, slots=True)
class Hit:
    """A document found, and how good it is: higher is better."""

    id: str
    score: float
    text: str
    fields: dict[str, Any] = field(default_factory=dict)
