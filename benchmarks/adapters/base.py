"""What a vector index does in the comparison, whoever made it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch.metric import Metric

GRAPH_EFFORTS = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384)
"""Nodes that a graph search keeps in its queue (efSearch, expansion, search window)."""


class Adapter(ABC):
    """One index over vectors (n, d) float32. `settings` is its ladder, from the fastest search to the most thorough."""

    name: str
    module: str
    distribution: str
    settings: tuple = GRAPH_EFFORTS

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._setting: Any = None

    def changes(self, setting: Any) -> bool:
        """Whether a setting is another than that of the search before, so that who has one looked up by name looks once."""
        changed, self._setting = setting != self._setting, setting
        return changed

    def obstacle(self) -> str | None:
        """Why this adapter cannot run here, or None."""
        try:
            import_module(self.module)
        except ImportError as error:
            return f"{self.distribution} cannot be imported ({error})"
        return None

    @abstractmethod
    def build(self, vectors: np.ndarray, *, threads: int) -> None: ...

    @abstractmethod
    def search(self, queries: np.ndarray, k: int, setting: Any, *, threads: int) -> np.ndarray:
        """Rows (q, k), best first, for queries (q, d) float32."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the index into the empty `folder`."""


class UnitVectorsOnly(Adapter):
    """What quantises to a fixed range and so wants vectors of length 1."""

    def obstacle(self) -> str | None:
        if self.metric is not Metric.COSINE:
            return "its 8-bit numbers hold vectors of length 1 only"
        return super().obstacle()
