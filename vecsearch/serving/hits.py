"""Hits as JSON has them; looked at word by word where that is asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from threading import Event
from typing import Any

import numpy as np
import orjson

from vecsearch.corpus.document import title_of
from vecsearch.errors import UsageError
from vecsearch.index.explain import explain
from vecsearch.index.hits import Hit
from vecsearch.index.index import Index
from vecsearch.index.snippets import Snippets


@dataclass(frozen=True)
class Shape:
    """Which of the hits are given, and how much of their texts."""

    offset: int = 0
    min_score: float | None = None
    text_characters: int | None = None

    def kept(self, hits: Sequence[Hit]) -> list[Hit]:
        """The hits that are given."""
        least = self.min_score
        return [hit for hit in hits[self.offset :] if least is None or hit.score >= least]

    def row(self, hit: Hit) -> dict[str, Any]:
        """A hit as JSON has it."""
        text, most = hit.text, self.text_characters
        row = {
            "id": hit.id,
            "score": hit.score,
            "title": title_of(hit.fields),
            "text": text,
            "fields": hit.fields,
            "passage": hit.passage,
            "cluster": hit.cluster,
        }
        return row | {"text": text[:most], "text_cut": True} if most is not None and len(text) > most else row

    def rows(self, hits: Sequence[Hit]) -> bytes:
        """The JSON of the hits that are given."""
        return dumps([self.row(hit) for hit in self.kept(hits)])


UNEXPLAINED = "words are explained where meaning is searched by a text or a vector"


@dataclass(frozen=True)
class Closely:
    """How hits are looked at word by word, which takes milliseconds each."""

    index: Index
    metric: str | None
    explained: bool
    snippets: bool
    ended: Event = field(default_factory=Event)
    """Set once nobody waits any more."""

    def rows(self, shape: Shape, hits: Sequence[Hit], query: str, vector: np.ndarray | None) -> tuple[bytes, str]:
        """The JSON of the hits, and why their words are not explained, if they should be and are not.

        `vector`, (dim,) float32, is that of the query, if it was searched with.
        """
        snippets = Snippets(self.index, query) if self.snippets else None
        unexplained = UNEXPLAINED if self.explained and vector is None else ""
        rows = []
        for hit in shape.kept(hits):
            if self.ended.is_set():
                break
            row = shape.row(hit)
            if snippets:
                found = snippets.of(hit)
                row["snippet"] = {"text": found.text, "marks": found.marks}
            if self.explained and not unexplained:
                try:
                    row["words"] = explain(self.index, vector, hit, metric=self.metric)
                except UsageError as error:  # an encoder whose vectors are no sums
                    unexplained = str(error)
            rows.append(row)
        return dumps(rows), unexplained


def dumps(value: Any) -> bytes:
    """JSON in UTF-8; a number that is not finite is null."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # half of a surrogate pair, or an integer beyond 64 bits: a document may hold either
        return json.dumps(_plain(value)).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): _plain(its) for name, its in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(its) for its in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return value
