"""From documents to a segment on disk: what `Index.build` does between opening a writer and committing."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch import ann, checks
from vecsearch.corpus.document import Document, checked_documents
from vecsearch.corpus.passages import Chunks, Splitter
from vecsearch.encoders.base import Encoder, check_encoder, encode_blocks
from vecsearch.errors import CorpusError, ResourceError, UsageError, VectorsError
from vecsearch.files import cache_folder, sha256
from vecsearch.metric import Metric, norms
from vecsearch.store.commit import Writing
from vecsearch.store.layout import VECTORS
from vecsearch.store.records import Span
from vecsearch.store.segment import Segment, SegmentWriter
from vecsearch.store.writer import IndexWriter
from vecsearch.text.languages import LANGUAGES

BLOCK_DOCUMENTS = 4096
"""Documents that are encoded and committed together: what an interrupted build can lose."""
BLOCK_CHARACTERS = 4 << 20
"""A block of long documents ends here, so that memory does not depend on how long they are."""
MOST_DIM = 1 << 24
"""Numbers in a vector at the most: one has 64 MB then."""


def build(
    folder: Path,
    documents: Iterable[Document],
    encoder: Encoder | None,
    *,
    vectors: Iterable[np.ndarray] | None,
    dim: int | None,
    metric: Metric,
    spec: str | None,
    goal: ann.Goal,
    queries: np.ndarray | None,
    chunks: Chunks | None,
    language: str | None,
    keep: int,
    replace: bool,
    resume: bool,
    provenance: Mapping[str, Any],
    counts: Callable[[], Mapping[str, int]],
    progress: Callable[[int], None],
    indexing: Callable[[int], None],
    note: Callable[[str], None],
) -> None:
    """Make an index in `folder`; `Index.build` says what from."""
    dim, metric = _checked_dim(encoder, dim), Metric(metric)
    if spec is not None:
        spec = checks.text("spec", spec)
        ann.check_spec(spec, dim, metric)
    checks.instance("goal", goal, ann.Goal, give="Goal(recall=0.95)")
    if queries is not None:
        queries = checked_queries(queries, dim, "queries")
    if chunks is not None and vectors is not None:
        raise UsageError("ready vectors stand for whole documents: they cannot be split into passages")
    if chunks is not None:
        checks.instance("chunks", chunks, Chunks, give="Chunks(200, 40)")
    if language is not None:
        language = checks.one_of("language", language, LANGUAGES)
    keep = checks.count("keep", keep, least=1, most=checks.MANY)
    documents = checked_documents(documents)
    vectors = checks.blocks("vectors", vectors, dim) if vectors is not None else None
    if encoder is None and vectors is None:
        raise TypeError("there is neither an encoder nor vectors; give one of them")
    checks.kept("provenance", provenance)
    checks.functions(counts=counts, progress=progress, indexing=indexing, note=note)
    checks.kept("what counts returned", counts())
    replace, resume = checks.flag("replace", replace), checks.flag("resume", resume)
    dtype = getattr(encoder, "dtype", "float32")
    signature = {"encoder": encoder.fingerprint if encoder else None, "dtype": dtype, **provenance}
    signature |= {"chunks": vars(chunks)} if chunks else {}
    counted = _tally(encoder)
    with IndexWriter(folder, replace=replace, resume=resume) as writer:
        segment = writer.segment(dim, signature)
        before = Counter(segment.progress.counts)
        for block, rows, spans in blocks(documents, encoder, vectors, segment, chunks):
            segment.append(block, rows, spans, counts={**(before + _tally(encoder) - counted), **counts()})
            progress(segment.rows)
        if not segment.rows:
            raise CorpusError("there is no document to index")
        language = language or segment.language(getattr(encoder, "language", None))
        segment.finish(language)
        entry, trials = indexed(
            segment.folder, writer.faiss_name, (segment.rows, dim), metric,
            spec=spec, goal=goal, queries=queries, note=note, progress=indexing,
        )  # fmt: skip
        saved = None
        if encoder:
            _save(encoder, writer.encoder_folder(encoder.fingerprint))
            saved = {"fingerprint": encoder.fingerprint, "dtype": dtype}
        writer.commit(
            [entry],
            np.empty(0, np.int64),
            metric=str(metric),
            dim=dim,
            goal=goal_entry(spec, goal),
            chunks=vars(chunks) if chunks else None,
            language=language,
            encoder=saved,
            counts=segment.progress.counts,
            provenance={**provenance, **({"trials": trials} if trials else {})},
            keep=keep,
        )


def _checked_dim(encoder: Encoder | None, dim: int | None) -> int:
    """The length of the vectors, which an encoder knows. Raises TypeError where nothing says it, UsageError where two do."""
    if encoder is not None:
        check_encoder(encoder)
    if encoder and checks.count("dim", encoder.dim if dim is None else dim, least=1, most=MOST_DIM) != encoder.dim:
        raise UsageError(f"the vectors have the length {dim}, those of the encoder {encoder.dim}: it has not made them")
    dim = encoder.dim if encoder else dim
    if dim is None:
        raise TypeError("there is neither an encoder nor the dim of ready vectors; give one of them")
    return checks.count("dim", dim, least=1, most=MOST_DIM)


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
    split = Splitter(chunks, getattr(encoder, "tokens", None)).split if chunks else None
    return encoded(remaining, lambda texts: encode_blocks(encoder, texts), split)


def encoded(
    documents: Iterator[Document],
    encode: Callable[[Iterable[list[str]]], Iterator[np.ndarray]],
    split: Callable[[str], list[tuple[int, int]]] | None = None,
) -> Iterator[Block]:
    """Documents with the vectors that `encode` gives their texts, or the passages that `split` finds, block by block."""
    coming: deque[tuple[list[Document], list[Span] | None]] = deque()

    def texts() -> Iterator[list[str]]:
        for block in _gather(documents):
            spans = [(i, *span) for i, document in enumerate(block) for span in split(document.text)] if split else None
            coming.append((block, spans))
            if spans is None:
                yield [document.text for document in block]
            else:
                yield [block[i].text[start:stop] for i, start, stop in spans]

    for rows in encode(texts()):
        block, spans = coming.popleft()
        yield block, rows, spans


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


def goal_entry(spec: str | None, goal: ann.Goal) -> dict[str, Any]:
    """What the manifest keeps of what was asked for, so that adds and compactions ask for the same."""
    return {
        "spec": spec or (ann.EXACT if goal.recall is None else None),
        "recall": goal.recall,
        "k": goal.k,
        "memory": goal.memory,
    }


def goal_of(entry: Mapping[str, Any]) -> tuple[str | None, ann.Goal]:
    """The spec and the goal of a manifest's entry."""
    return entry["spec"], ann.Goal(entry["recall"], entry["k"], entry["memory"])


def indexed(
    folder: Path,
    name: str,
    shape: tuple[int, int],
    metric: Metric,
    *,
    spec: str | None,
    goal: ann.Goal,
    queries: np.ndarray | None,
    note: Callable[[str], None],
    progress: Callable[[int], None],
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Write the FAISS index of a finished segment to its file `name`, and return what the manifest says of the segment and
    of the kinds that were tried: an index of the kind `spec`, or of the fastest that reaches the goal, which may need none."""
    writing, segment = Writing(folder), Segment(folder, rows=shape[0], dim=shape[1])
    try:
        # A process that is forked by one of these would otherwise go on, and write the same file as its parent.
        asking = {"queries": queries, "note": writing.checked(note), "progress": writing.checked(progress)}
        outcome = _outcome(segment, folder / name, metric, spec, goal, **asking)
        entry = {
            "name": folder.name,
            "rows": shape[0],
            "documents": len(segment.documents),
            "spec": outcome.spec,
            "effort": outcome.effort,
            "recall": outcome.as_dict(goal),
            "faiss": None if outcome.spec == ann.EXACT else name,
        }
        return entry, outcome.trials
    finally:
        segment.close()


def _outcome(segment: Segment, path: Path, metric: Metric, spec: str | None, goal: ann.Goal, **asking: Any) -> ann.Outcome:
    if spec == ann.EXACT or (spec is None and goal.recall is None):
        return ann.Outcome(ann.EXACT, {}, None, True, math.nan, [])
    builder = ann.Builder(
        ann.Rows(segment.vectors, segment.norms, metric, read=segment.read if goal.memory else None),
        goal,
        truths=ann.TruthCache(cache_folder() / "truth"),
        content=sha256(segment.folder / VECTORS),
        **asking,
    )
    return builder.build(path) if spec is None else builder.build_kind(spec, path)


def _save(encoder: Encoder, folder: Path) -> None:
    try:
        encoder.save(folder)
    except OSError as error:
        # Its filename may be that of the file which was copied.
        raise ResourceError(f"cannot write the encoder to {folder}: {error.strerror or error}; free some space") from error


def _tally(encoder: Encoder | None) -> Counter[str]:
    """What the encoder has counted, if it counts."""
    tally = getattr(encoder, "tally", None)
    return Counter(tally.as_dict() if tally else {})


def checked_queries(vectors: np.ndarray, dim: int, name: str = "vectors") -> np.ndarray:
    """The vectors, given under this name, as (q, dim) float32. Raises UsageError for another shape, for NaN and infinity."""
    queries = checks.array(name, vectors)
    if queries.ndim != 2 or queries.shape[1] != dim:
        one = "; give a single one as vector[None]" if queries.shape == (dim,) else ""
        raise UsageError(f"the query vectors have the shape {queries.shape}, the index holds vectors of length {dim}{one}")
    if not math.isfinite(np.vdot(queries, queries)):
        # Their sum is not; float64 tells whether one of them is too long, or only all together.
        with np.errstate(over="ignore", invalid="ignore"):
            finite = np.isfinite(norms(queries))
        if not finite.all():
            raise UsageError(f"query vector {int(np.argmin(finite))} holds NaN or infinity, or is too long for float32")
    return queries
