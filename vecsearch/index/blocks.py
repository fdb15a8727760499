"""Documents with their vectors, block by block: encoded, or put together with ready vectors."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np

from vecsearch.corpus.document import Document
from vecsearch.corpus.passages import Chunks, PassageSplitter
from vecsearch.encoders.base import Encoder, encode_blocks
from vecsearch.errors import VectorsError
from vecsearch.store.records import Span
from vecsearch.store.segment import SegmentWriter

BLOCK_DOCUMENTS = 4096
"""Documents that are encoded and committed together: what an interrupted build can lose."""
BLOCK_CHARACTERS = 4 << 20
"""A block of long documents ends here, so that memory does not depend on how long they are."""

Block = tuple[list[Document], np.ndarray, list[Span] | None]
"""Documents, their vectors, and the passages that these stand for where documents are split."""


def blocks(
    documents: Iterable[Document],
    encoder: Encoder | None,
    vectors: Iterable[np.ndarray] | None,
    segment: SegmentWriter,
    chunks: Chunks | None = None,
) -> Iterator[Block]:
    """Documents with their vectors, block by block, without those that a resumed segment has already."""
    remaining = iter(documents)
    segment.skip(remaining)
    if vectors is not None:
        return _paired(remaining, vectors, segment.rows)
    assert encoder is not None  # who has neither an encoder nor vectors was told so
    split = PassageSplitter(chunks, encoder.tokens).split if chunks else None
    return encoded(remaining, lambda texts: encode_blocks(encoder, texts), split)


def encoded(
    documents: Iterator[Document],
    encode: Callable[[Iterable[list[str]]], Iterator[np.ndarray]],
    split: Callable[[str], list[tuple[int, int]]] | None = None,
) -> Iterator[Block]:
    """Documents with the vectors that `encode` gives their texts, or the passages that `split` finds, block by block."""
    coming: deque[tuple[list[Document], list[Span] | None]] = deque()

    def texts() -> Iterator[list[str]]:
        for block in gathered(documents):
            spans = [(i, *span) for i, document in enumerate(block) for span in split(document.text)] if split else None
            coming.append((block, spans))
            if spans is None:
                yield [document.text for document in block]
            else:
                yield [block[i].text[start:stop] for i, start, stop in spans]

    for rows in encode(texts()):
        block, spans = coming.popleft()
        yield block, rows, spans


def in_blocks(documents: int) -> int:
    """How many blocks so many short documents take."""
    return -(-documents // BLOCK_DOCUMENTS)


def gathered(documents: Iterator[Document]) -> Iterator[list[Document]]:
    """Documents in blocks, of which each is encoded by itself: where they end, the last bits of vectors depend on."""
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


def _paired(documents: Iterator[Document], vectors: Iterable[np.ndarray], skip: int) -> Iterator[Block]:
    done = 0
    for rows in vectors:
        rows, done = rows[max(0, skip - done) :], done + len(rows)
        block = list(islice(documents, len(rows)))
        if len(block) < len(rows):
            raise VectorsError(
                f"there are {done - len(rows) + len(block):,} documents and more vectors; give one vector for each document"
            )
        if len(rows):
            yield block, rows, None
    if next(documents, None) is not None:
        raise VectorsError(f"there are {done:,} vectors and more documents; give one vector for each document")
