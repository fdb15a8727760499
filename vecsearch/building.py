"""From documents to a segment on disk: what `Index.build` does between opening a writer and committing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch import ann
from vecsearch.corpus.document import Document
from vecsearch.encoders.base import Encoder, encode_blocks
from vecsearch.errors import UsageError, VectorsError
from vecsearch.metric import Metric
from vecsearch.store.layout import ANN_INDEX
from vecsearch.store.segment import Segment, SegmentWriter

BLOCK_DOCUMENTS = 4096
"""Documents that are encoded and committed together: what an interrupted build can lose."""
BLOCK_CHARACTERS = 4 << 20
"""A block of long documents ends here, so that memory does not depend on how long they are."""
RECALL_QUERIES = 200
"""Rows of an approximate index that are searched exactly as well when it is built, to measure its recall@10."""


def blocks(
    documents: Iterable[Document], encoder: Encoder | None, vectors: Iterable[np.ndarray] | None, segment: SegmentWriter
) -> Iterator[tuple[list[Document], np.ndarray]]:
    """Documents with their vectors, block by block, without those that a resumed segment has already."""
    remaining = iter(documents)
    segment.skip(remaining)
    if vectors is not None:
        return _paired(remaining, vectors, segment.rows)
    if encoder is None:
        raise TypeError("either an encoder or vectors")
    return encoded(remaining, lambda texts: encode_blocks(encoder, texts))


def encoded(
    documents: Iterator[Document], encode: Callable[[Iterable[list[str]]], Iterator[np.ndarray]]
) -> Iterator[tuple[list[Document], np.ndarray]]:
    """Documents with the vectors that `encode` gives their texts, block by block."""
    coming: deque[list[Document]] = deque()

    def texts() -> Iterator[list[str]]:
        for block in _gather(documents):
            coming.append(block)
            yield [document.text for document in block]

    for rows in encode(texts()):
        yield coming.popleft(), rows


def _gather(documents: Iterator[Document]) -> Iterator[list[Document]]:
    block: list[Document] = []
    characters = 0
    for document in documents:
        block.append(document)
        characters += len(document.text)
        if len(block) == BLOCK_DOCUMENTS or characters >= BLOCK_CHARACTERS:
            yield block
            block, characters = [], 0
    if block:
        yield block


def _paired(
    documents: Iterator[Document], vectors: Iterable[np.ndarray], skip: int
) -> Iterator[tuple[list[Document], np.ndarray]]:
    done = 0
    for rows in vectors:
        rows, done = rows[max(0, skip - done) :], done + len(rows)
        block = list(islice(documents, len(rows)))
        if len(block) < len(rows):
            raise VectorsError(
                f"there are {done - len(rows) + len(block):,} documents and more vectors; give one vector for each document"
            )
        if len(rows):
            yield block, rows
    if next(documents, None) is not None:
        raise VectorsError(f"there are {done:,} vectors and more documents; give one vector for each document")


def add_faiss(folder: Path, rows: int, dim: int, spec: str, metric: Metric) -> dict[str, Any]:
    """Write a segment's index.faiss, unless the search is exact; returns its recall@10 as measured on its own rows."""
    if spec == ann.EXACT:
        return {}
    segment = Segment(folder, rows=rows, dim=dim)
    path = folder / ANN_INDEX
    ann.build(spec, segment.vectors, segment.norms, metric, path)
    step = max(1, rows // RECALL_QUERIES)
    sample = np.ascontiguousarray(segment.vectors[::step][:RECALL_QUERIES])
    k = min(11, rows)  # each row finds itself, which proves nothing
    _, truth = ann.ExactSearcher(segment.vectors, segment.norms).search(sample, k, metric)
    try:
        _, found = ann.ApproximateSearcher(path, segment.vectors, segment.norms, metric).search(sample, k)
    except RuntimeError as error:
        raise UsageError(f"an index of the spec {spec!r} cannot be searched: {error}; choose another --spec") from error
    segment.close()
    others = [(set(a) - {own}, set(b) - {own}) for own, a, b in zip(range(0, rows, step), truth, found, strict=False)]
    recall = np.mean([len(a & b) / max(1, len(a)) for a, b in others])
    return {"recall_at_10": round(float(recall), 4), "recall_queries": len(sample)}
