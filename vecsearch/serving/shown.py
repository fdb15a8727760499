"""The indexes that a service serves: each in one generation, until a newer one is shown in its place."""

from __future__ import annotations

import gzip
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch.clustering.page import Page, map_page
from vecsearch.corpus.document import TITLES
from vecsearch.errors import UsageError, VecsearchError
from vecsearch.forks import made_once
from vecsearch.index.index import Index
from vecsearch.serving.metrics import Metrics

EVERY = 1.0
"""Seconds between two looks for a new generation."""
REMARKED = 256
"""Conditions of which it is remembered what there is to say of them."""
WARMING = "The quick brown fox jumps over the lazy dog, and the dog sleeps on in the sun beside the river. " * 16
"""More tokens than are answered without torch, whose import takes seconds."""


class Shown:
    """One generation of an index, and what is said of it. It stays what it is, and may be shared by threads."""

    def __init__(self, name: str, index: Index) -> None:
        self.name, self.index = name, index
        self.modes = _modes(index)
        self.remarks = lru_cache(REMARKED)(self._remarks)

    @property
    def generation(self) -> int:
        return self.index.manifest.generation

    def warm(self) -> None:
        """Have everything ready that the first request would wait for."""
        if "meaning" in self.modes:
            self.index.encode([WARMING])
        for mode in self.modes:
            {"hybrid": self.index.hybrid, "meaning": self.index.query, "keywords": self.index.keywords}[mode](["fox"])

    @made_once
    def summary(self) -> dict[str, Any]:
        """What the list of indexes says of it."""
        manifest = self.index.manifest
        encoder = manifest.encoder and {"fingerprint": manifest.encoder["fingerprint"], "dim": manifest.dim}
        return {
            "name": self.name,
            "documents": len(self.index),
            "rows": manifest.rows - manifest.deleted,
            "dim": manifest.dim,
            "metric": "cosine" if manifest.metric == "cosine" else "inner_product",
            "spec": manifest.spec,
            "recall": manifest.recall,
            "generation": manifest.generation,
            "language": manifest.language,
            "modes": self.modes,
            "encoder": encoder,
        }

    @made_once
    def details(self) -> dict[str, Any]:
        """The summary, with fields, examples of conditions, clusters and map. Reads the fields of all documents once."""
        index, fields = self.index, self.index.fields()
        names = {field.name for field in fields if "text" in field.kinds}
        clusters = index.clustering.clusters if index.clustering else []
        return self.summary | {
            "fields": [_field(field) for field in fields],
            "examples": index.examples(),
            "clusters": [{name: getattr(cluster, name) for name in _OF_CLUSTER} for cluster in clusters],
            "map": _map(index),
            "title": next((name for name in TITLES if name in names), None),
        }

    @made_once
    def map(self) -> tuple[Page, bytes]:
        """The page of its map, and the same compressed by gzip. Raises UsageError for an index without documents."""
        page = map_page(self.index, self.name)
        return page, gzip.compress(page.html, 6)

    @made_once
    def created(self) -> int:
        """When this generation was made, in seconds since 1970."""
        return int(datetime.fromisoformat(self.index.manifest.created).timestamp())

    def _remarks(self, where: str) -> list[str]:
        with suppress(UsageError):  # it takes too long to say
            return self.index.remarks(where)
        return []


_OF_CLUSTER = ("number", "name", "words", "documents")
_OF_FIELD = ("name", "kinds", "documents", "values", "least", "most")


def _field(field: Any) -> dict[str, Any]:
    return {name: getattr(field, name) for name in _OF_FIELD} | {"common": [value._asdict() for value in field.common]}


def _map(index: Index) -> dict[str, Any] | None:
    if (kept := index.places) is not None:
        placed = np.count_nonzero(kept.places[index.document_rows(), 0] >= 0)
        return {"documents": int(placed), "way": kept.way, "kept": True}
    return {"documents": len(index), "way": "pca", "kept": False} if len(index) else None


def _modes(index: Index) -> list[str]:
    """How texts can be asked for, the best way first: a vocabulary is asked by meaning, other texts in both ways together."""
    can = set()
    for mode, ask in {"meaning": lambda: index.encoder, "keywords": lambda: index.keywords([WARMING], 1)}.items():
        with suppress(UsageError):  # without an encoder of vecsearch's own, or of an earlier one that kept no words
            ask()
            can.add(mode)
    if len(can) == 2:
        can.add("hybrid")
    vocabulary = "all_words" in index.manifest.provenance
    return [mode for mode in (["meaning", "hybrid"] if vocabulary else ["hybrid", "meaning"]) + ["keywords"] if mode in can]


class Library:
    """The indexes of a service by name. A thread looks for new generations, and shows one when it is open and warm.

    A request takes what is shown once, and answers from that: no answer has parts of two generations.
    """

    def __init__(self, folders: Mapping[str, Path], open_index: Callable[[Path], Index], metrics: Metrics) -> None:
        """Raises what `open_index` raises: what cannot be opened is not served."""
        self._metrics = metrics
        self._shown = {name: Shown(name, open_index(folder)) for name, folder in folders.items()}
        self._failed: dict[str, str] = {}
        for name, shown in self._shown.items():
            shown.warm()
            self._tell(shown)
            metrics.reloads.labels(name), metrics.reload_failures.labels(name), metrics.reload_failing.labels(name)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="generations", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Shown]:
        return iter(self._shown.values())

    def get(self, name: str) -> Shown | None:
        """What is shown of the index of this name."""
        return self._shown.get(name)

    def close(self) -> None:
        """End the thread, and close what is shown."""
        self._ended.set()
        self._thread.join()
        for shown in self._shown.values():
            shown.index.close()

    def _watch(self) -> None:
        while not self._ended.wait(EVERY):
            for name in self._shown:
                self._look(name)

    def _look(self, name: str) -> None:
        """Show a newer generation, if there is one that can be opened; what is shown stays otherwise."""
        try:
            newer = self._shown[name].index.newer()
            if newer is not None:
                shown = Shown(name, newer)
                shown.warm()
                # The one before is not closed: a request may be answered from it. It goes when nothing refers to it any more.
                self._shown[name] = shown
                self._metrics.reloads.labels(name).inc()
                self._tell(shown)
        except Exception as error:  # whatever it is, what is shown stays
            self._metrics.reload_failing.labels(name).set(1)
            self._metrics.reload_failures.labels(name).inc()
            if self._failed.get(name) != str(error):
                self._failed[name] = str(error)
                kind = "" if isinstance(error, VecsearchError) else f"{type(error).__name__}: "
                said = f"{name}: generation {self._shown[name].generation} stays: {kind}{error}"
                print(said, file=sys.stderr, flush=True)
        else:
            self._metrics.reload_failing.labels(name).set(0)
            self._failed.pop(name, None)

    def _tell(self, shown: Shown) -> None:
        self._metrics.generation.labels(shown.name).set(shown.generation)
        self._metrics.documents.labels(shown.name).set(len(shown.index))
