"""Ours, as `vecsearch build --recall` makes it: an index for each recall that is compared."""

from __future__ import annotations

import math
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from adapters.base import Adapter
from vecsearch import ann
from vecsearch.metric import norms
from vecsearch.progress import Progress


class Vecsearch(Adapter):
    """The fastest kind that reaches `goal`: tried, tuned and proved, all of which the build's time includes.

    A setting is a share of the search parameters that were found, so that throughput can be read off at the very
    recall; 1 is as built.
    """

    module, distribution = "vecsearch", "vecsearch"
    goal: float
    settings = (0.5, 0.7, 0.85, 1.0, 1.2, 1.4)

    def build(self, vectors: np.ndarray, *, threads: int) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        self._folder = tempfile.TemporaryDirectory()
        source, path = ann.Rows(vectors, norms(vectors), self.metric), self._path
        goal = ann.Goal(recall=self.goal)
        outcome = ann.Builder(source, goal, queries=None, progress=_Said()).build(path)
        _say(f"{outcome.spec} {outcome.search_parameters}: recall@{goal.k} {outcome.recall}")
        self._search_parameters, self._source = outcome.search_parameters, source
        self._searcher = None
        if outcome.spec != ann.EXACT:
            self._searcher = ann.open_searcher(path, outcome.spec, source, outcome.search_parameters)

    @property
    def _path(self) -> Path:
        return Path(self._folder.name) / "index.faiss"

    def search(self, queries: np.ndarray, k: int, setting: float, *, threads: int) -> np.ndarray:
        import faiss

        faiss.omp_set_num_threads(threads)
        if self._searcher is None:
            return ann.ExactSearcher(self._source.vectors, self._source.norms).search(queries, k, self.metric)[1]
        if self.changes(setting):
            # The candidates stay: they follow from the codes, the rest from where the search looks.
            self._searcher.set_parameters(
                {name: _scaled(name, self._search_parameters, setting) for name in self._search_parameters}
            )
        return self._searcher.search(queries, k)[1]

    def save(self, folder: Path) -> None:
        if self._searcher is None:
            np.save(folder / "vectors.npy", self._source.vectors)
        else:
            shutil.copy(self._path, folder)


def _scaled(name: str, parameters: Mapping[str, float], setting: float) -> float:
    if name == "candidates":
        return parameters[name]
    if name == "margin":  # the lists within it grow about exponentially with it
        return parameters[name] * max(0.0, 1 + math.log(setting) / math.log(max(2, parameters["nprobe"])))
    return max(1, round(setting * parameters[name]))


class Vecsearch90(Vecsearch):
    name, goal = "vecsearch 0.90", 0.90


class Vecsearch95(Vecsearch):
    name, goal = "vecsearch 0.95", 0.95


class Vecsearch99(Vecsearch):
    name, goal = "vecsearch 0.99", 0.99


class _Said(Progress):
    def note(self, text: str) -> None:
        _say(text)


def _say(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)
