"""From documents to a segment on disk: what `Index.build` does between opening a writer and committing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from math import nan
from pathlib import Path

import numpy as np

from vecsearch import ann
from vecsearch.corpus.document import Document
from vecsearch.encoders.base import Encoder, encode_blocks
from vecsearch.errors import VectorsError
from vecsearch.files import cache_folder, sha256
from vecsearch.metric import Metric
from vecsearch.store.layout import ANN_INDEX, VECTORS
from vecsearch.store.segment import Segment, SegmentWriter

BLOCK_DOCUMENTS = 4096
"""Documents that are encoded and committed together: what an interrupted build can lose."""
BLOCK_CHARACTERS = 4 << 20
"""A block of long documents ends here, so that memory does not depend on how long they are."""


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


def add_faiss(
    folder: Path,
    shape: tuple[int, int],
    metric: Metric,
    *,
    spec: str | None,
    goal: ann.Goal,
    queries: np.ndarray | None,
    note: Callable[[str], None],
    progress: Callable[[int], None],
) -> ann.Outcome:
    """Write a segment's index.faiss: of the kind `spec`, or of the fastest that reaches the goal, which may need none."""
    if spec == ann.EXACT or (spec is None and goal.recall is None):
        return ann.Outcome(ann.EXACT, {}, None, True, nan, [])
    segment = Segment(folder, rows=shape[0], dim=shape[1])
    try:
        builder = ann.Builder(
            ann.Rows(segment.vectors, segment.norms, metric, read=segment.read if goal.memory else None),
            goal,
            queries=queries,
            truths=ann.TruthCache(cache_folder() / "truth"),
            content=sha256(folder / VECTORS),
            note=note,
            progress=progress,
        )
        path = folder / ANN_INDEX
        return builder.build(path) if spec is None else builder.build_kind(spec, path)
    finally:
        segment.close()
