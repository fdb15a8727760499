"""What becomes of a shard: cut from a corpus by whoever builds, made into a segment by a worker."""

from __future__ import annotations

import pickle
import platform
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from vecsearch.corpus.document import Document
from vecsearch.corpus.passages import Chunks
from vecsearch.encoders import Encoder, open_encoder
from vecsearch.errors import ResourceError, UsageError
from vecsearch.index.blocks import blocks, gathered, in_blocks
from vecsearch.index.build import tallied
from vecsearch.metric import EXACT
from vecsearch.store.records import extend_digest, to_record
from vecsearch.store.segment import SegmentWriter
from vecsearch.store.segment_record import describe_segment, write_record
from vecsearch.store.shards import Claim, Shards

SEGMENT_ENTRY = {"spec": EXACT, "effort": {}, "recall": None, "faiss": None}


class Shard(NamedTuple):
    """Documents that become one segment: its number, how many documents come before it, the digest of its own, and these as a
    pickle, which takes half as much memory: whoever builds keeps it until the segment is there."""

    number: int
    first: int
    digest: str
    packed: bytes

    def documents(self) -> list[Document]:
        return pickle.loads(self.packed)


def shards(documents: Iterable[Document], rows: int) -> Iterator[Shard]:
    """The documents in shards of as many blocks as hold `rows` documents where texts are short; the last may have fewer.

    A shard ends where a block does, so that what is encoded together is the same in one process and in many. Raises CorpusError
    for what cannot be stored.
    """
    each, first, number = in_blocks(rows), 0, 0
    some: list[Document] = []
    for count, block in enumerate(gathered(iter(documents)), 1):
        some += block
        if count % each == 0:
            yield _shard(number, first, some)
            first, number, some = first + len(some), number + 1, []
    if some:
        yield _shard(number, first, some)


def _shard(number: int, first: int, documents: list[Document]) -> Shard:
    return Shard(number, first, extend_digest("", map(to_record, documents)), pickle.dumps(documents))


@dataclass(frozen=True)
class Plan:
    """What is the same for all shards of a build. `encoder` is one that can be sent to other processes, or None where they open
    the one that was saved in the folder `saved` of the index; `made_by` is what a manifest says of it."""

    shards: Shards
    metric: str
    chunks: Chunks | None
    language: str
    saved: str
    made_by: dict[str, str]
    encoder: Encoder | None


class Maker:
    """What a worker holds: the encoder, opened once, and the plan by which it makes shards."""

    def __init__(self, plan: Plan) -> None:
        """Raises UsageError where this machine does not see the index's folder, or has another encoder there."""
        plan.shards.check_there(platform.node())
        self._plan, self._encoder = plan, plan.encoder or self._opened(plan)

    @staticmethod
    def _opened(plan: Plan) -> Encoder:
        dtype = plan.made_by["dtype"]
        folder = plan.shards.folder / plan.saved
        encoder = open_encoder(folder, **({} if dtype == Encoder.dtype else {"dtype": dtype}))
        found = {"fingerprint": encoder.fingerprint, "dtype": encoder.dtype}
        if found != plan.made_by:
            raise UsageError(f"{folder} is the encoder {found} on the machine {platform.node()}, and not {plan.made_by}")
        return encoder

    def make(self, shard: Shard) -> Claim:
        """Make a shard and claim it; returns who claims it. What `SegmentWriter.append` raises, the shard's folder being gone
        then."""
        plan, encoder = self._plan, self._encoder
        folder = plan.shards.attempt(shard.number)
        try:
            segment = SegmentWriter(folder, encoder.dim, first=shard.first)
            try:
                before = tallied(encoder)
                for block, rows, spans in blocks(shard.documents(), encoder, None, segment, plan.chunks):
                    segment.append(block, rows, spans, counts=tallied(encoder) - before)
                segment.finish(plan.language)
            finally:
                segment.close()
            stored = segment.progress
            record = describe_segment(
                folder,
                SEGMENT_ENTRY | {"rows": stored.rows, "documents": stored.documents},
                stored,
                dim=encoder.dim,
                metric=plan.metric,
                encoder=plan.made_by,
                chunks=vars(plan.chunks) if plan.chunks else None,
                language=plan.language,
            )
            write_record(folder, record)
            return plan.shards.claim(shard.number, folder, record)
        except BaseException:
            with suppress(ResourceError):
                plan.shards.remove(folder.name)
            raise


def make(maker: Maker, shard: Shard) -> Claim:
    """`maker.make(shard)`, as an engine asks for it."""
    return maker.make(shard)
