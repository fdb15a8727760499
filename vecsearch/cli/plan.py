"""`vecsearch build --dry-run`: what --recall may choose among for these documents, and what each kind would take."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from vecsearch import ann
from vecsearch.ann.planner import EXACT_NUMBERS, IndexKind, exact_bytes, kinds, reduced_dim
from vecsearch.cli.output import emit, note
from vecsearch.cli.sources import IndexInput
from vecsearch.corpus.document import Document
from vecsearch.encoders import Encoder
from vecsearch.metric import Metric, norms
from vecsearch.store.records import to_record

ENCODED = 500
"""Documents that are encoded to know how long all will take."""
LOOKED_AT = 10_000
"""Ready vectors that are looked at."""
ASKED = 0.1
"""Share of these whose neighbors are looked for among the others."""
DATABASE_BYTES = 75
"""What SQLite takes for a document beside what it holds."""
WORDS = 1.0
"""Bytes of the index of words, with the order they stand in, for each byte of text."""


@dataclass(frozen=True)
class Sample:
    """What is known of the documents: how many, the bytes of their texts, some vectors (s, d), and seconds to encode all."""

    rows: int
    text_bytes: int
    vectors: np.ndarray
    encode_s: float


def show(source: IndexInput, encoder: Encoder | None, goal: ann.Goal, metric: Metric, *, as_json: bool) -> bool:
    """Print the kinds with what is expected of each; whether any fits the goal's memory."""
    sample = _ready(source) if source.vectors is not None else _encoded(source, encoder)
    dim = sample.vectors.shape[1]
    # Vectors and their lengths, then the documents.
    beside = sample.rows * (4 * dim + 4 + DATABASE_BYTES) + round((1 + WORDS) * sample.text_bytes)
    rows = [
        {
            "kind": kind.spec,
            "memory_bytes": kind.memory_bytes,
            "disk_bytes": beside + (0 if kind.spec == ann.EXACT else kind.memory_bytes),
            "encode_s": round(sample.encode_s, 3),
            "index_s": round(kind.build_s, 3),
            "fits": goal.memory is None or kind.memory_bytes <= goal.memory,
        }
        for kind in _candidates(sample, goal, metric)
    ]
    note(f"{sample.rows:,} documents, vectors of length {dim}; looked at {len(sample.vectors):,} of them")
    emit(rows if as_json else map(_readable, rows), as_json=as_json)
    note("these are estimates; a build chooses by trying kinds, and to choose and to prove takes it a minute or more beside")
    if fitting := any(row["fits"] for row in rows):
        return fitting
    least = min(row["memory_bytes"] for row in rows)
    note(f"none fits {goal.memory:,} bytes of memory; give --memory {-(-least // 1_000_000)}MB at least")
    return False


def _candidates(sample: Sample, goal: ann.Goal, metric: Metric) -> list[IndexKind]:
    """The kinds that a build with this goal may try, and exact search."""
    dim = sample.vectors.shape[1]
    exact = IndexKind(ann.EXACT, exact_bytes(sample.rows, dim), 0.0)
    if sample.rows * dim <= EXACT_NUMBERS or goal.recall == 1:
        return [exact]
    source = ann.Rows(sample.vectors, norms(sample.vectors), metric)
    asked = np.arange(len(sample.vectors)) < max(1, ASKED * len(sample.vectors))
    points = source.points(np.flatnonzero(~asked))
    queries = source.compared.of_queries(sample.vectors[asked])
    reduced = reduced_dim(points, [queries], goal.k, goal.recall, euclidean=source.compared.euclidean)
    return [exact, *chain(*kinds(sample.rows, points.shape[1], reduced))]


def _ready(source: IndexInput) -> Sample:
    """Every so many-th of ready vectors."""
    step, first, parts = -(-source.corpus.total // LOOKED_AT), 0, []
    for block in source.vectors:
        parts.append(block[-first % step :: step])
        first += len(block)
    return Sample(source.corpus.total, sum(map(_text_bytes, source.corpus)), np.concatenate(parts), 0.0)


def _encoded(source: IndexInput, encoder: Encoder) -> Sample:
    """Some documents of a corpus, drawn evenly while it is read through once.

    (Vitter 1985, Random sampling with a reservoir, algorithm R.)
    """
    rng = np.random.default_rng(0)
    drawn: list[str] = []
    rows = text_bytes = 0
    for rows, document in enumerate(source.corpus, 1):
        text_bytes += _text_bytes(document)
        if len(drawn) < ENCODED:
            drawn.append(document.text)
        elif (place := rng.integers(rows)) < ENCODED:
            drawn[place] = document.text
    # What is done once, for the first texts of each length, would weigh too much among so few.
    encoder.encode(drawn)
    started = time.perf_counter()
    vectors = encoder.encode(drawn)
    return Sample(rows, text_bytes, vectors, (time.perf_counter() - started) * rows / len(drawn))


def _text_bytes(document: Document) -> int:
    return sum(len(part.encode()) for part in to_record(document)) + len(document.id)  # ids are in an index as well


def _readable(row: dict[str, Any]) -> dict[str, str]:
    return {
        "kind": row["kind"],
        "memory": _megabytes(row["memory_bytes"]),
        "disk": _megabytes(row["disk_bytes"]),
        "build": f"{row['encode_s'] + row['index_s']:,.0f} s",
        "fits": "yes" if row["fits"] else "no",
    }


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
