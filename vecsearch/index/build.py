"""From documents to a segment on disk: what `Index.build` does between opening a writer and committing."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch import ann, checks
from vecsearch.corpus.corpus import checked_corpus
from vecsearch.corpus.document import Document
from vecsearch.corpus.passages import Chunks, PassageSplitter
from vecsearch.encoders.base import Encoder, check_encoder, encode_blocks
from vecsearch.errors import CorpusError, ResourceError, UsageError, VectorsError
from vecsearch.metric import Metric, checked_queries
from vecsearch.progress import Progress, check_progress
from vecsearch.store.commit import Writing
from vecsearch.store.manifest import KEEP
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


@dataclass(frozen=True, slots=True)
class Options:
    """How an index is built.

    `spec` is its kind, "exact" or a FAISS factory string. Without one, the fastest kind that reaches the `goal`'s recall is
    built; without that too, search is exact. The recall is proved on rows held out, or on the vectors `queries` (q, dim)
    float32. With `chunks`, long texts are split into passages with a vector each; hits are still documents. `language` is the
    code of the one that `keywords` reads words in, "none" for no stems and no stop words; without it, it is found. The last
    `keep` generations of the index stay on disk, for `open` and `rollback`.
    """

    metric: Metric | str = Metric.COSINE
    spec: str | None = None
    goal: ann.Goal | None = None
    queries: np.ndarray | None = None
    chunks: Chunks | None = None
    language: str | None = None
    keep: int = KEEP

    def __post_init__(self) -> None:
        """Raises: TypeError: values of another type. UsageError: an unknown metric or language, a keep below 1."""
        object.__setattr__(self, "metric", Metric(self.metric))
        if self.spec is not None:
            object.__setattr__(self, "spec", checks.text("spec", self.spec))
        object.__setattr__(self, "goal", ann.Goal() if self.goal is None else self.goal)
        checks.instance("goal", self.goal, ann.Goal, give="Goal(recall=0.95)")
        if self.chunks is not None:
            checks.instance("chunks", self.chunks, Chunks, give="Chunks(200, 40)")
        if self.language is not None:
            object.__setattr__(self, "language", checks.one_of("language", self.language, LANGUAGES))
        object.__setattr__(self, "keep", checks.count("keep", self.keep, least=1, most=checks.MANY))


def build(
    folder: Path,
    documents: Iterable[Document],
    encoder: Encoder | None,
    options: Options,
    *,
    vectors: Iterable[np.ndarray] | None,
    replace: bool,
    resume: bool,
    progress: Progress,
) -> None:
    """Make an index in `folder`; `Index.build` says what from."""
    checks.instance("options", options, Options, give='Options(metric="ip")')
    check_progress(progress)
    replace, resume = checks.flag("replace", replace), checks.flag("resume", resume)
    dim, vectors = _checked_vectors(encoder, vectors)
    corpus, queries, chunks = checked_corpus(documents), options.queries, options.chunks
    if options.spec is not None:
        ann.check_spec(options.spec, dim, options.metric)
    if queries is not None:
        queries = checked_queries(queries, dim, "queries")
    if chunks is not None and vectors is not None:
        raise UsageError("ready vectors stand for whole documents: they cannot be split into passages")
    dtype = encoder.dtype if encoder else "float32"
    signature = {"encoder": encoder.fingerprint if encoder else None, "dtype": dtype, **corpus.provenance}
    signature |= {"chunks": vars(chunks)} if chunks else {}
    counted = _tally(encoder)
    with IndexWriter(folder, replace=replace, resume=resume) as writer:
        segment = writer.segment(dim, signature)
        before = Counter(segment.progress.counts)
        for block, rows, spans in blocks(corpus, encoder, vectors, segment, chunks):
            segment.append(block, rows, spans, counts={**(before + _tally(encoder) - counted), **corpus.counts()})
            progress.step("documents", segment.rows, corpus.expected(segment.rows))
        if not segment.rows:
            raise CorpusError("there is no document to index")
        language = options.language or segment.language(encoder.language if encoder else None)
        segment.finish(language)
        entry, trials = indexed(
            segment.folder, writer.faiss_name, (segment.rows, dim), options.metric,
            spec=options.spec, goal=options.goal, queries=queries, progress=progress,
        )  # fmt: skip
        saved = None
        if encoder:
            _save(encoder, writer.encoder_folder(encoder.fingerprint))
            saved = {"fingerprint": encoder.fingerprint, "dtype": dtype}
        writer.commit(
            [entry],
            np.empty(0, np.int64),
            metric=str(options.metric),
            dim=dim,
            goal=goal_entry(options.spec, options.goal),
            chunks=vars(chunks) if chunks else None,
            language=language,
            encoder=saved,
            counts=segment.progress.counts,
            provenance=corpus.provenance | ({"trials": trials} if trials else {}),
            keep=options.keep,
        )


def _checked_vectors(encoder: Encoder | None, vectors: Iterable[np.ndarray] | None) -> tuple[int, Iterator[np.ndarray] | None]:
    """The length of the vectors, and the ready ones where there are any.

    Raises: TypeError: there is nothing that gives vectors. UsageError: ready ones have another length than the encoder's.
    """
    if encoder is not None:
        check_encoder(encoder)
    if vectors is None:
        if encoder is None:
            raise TypeError("there is neither an encoder nor vectors; give one of them")
        return checks.count("dim", encoder.dim, least=1, most=MOST_DIM), None
    dim, given = checks.blocks("vectors", vectors)
    if encoder is not None and dim != encoder.dim:
        raise UsageError(f"the vectors have the length {dim}, those of the encoder {encoder.dim}: it has not made them")
    return checks.count("dim", dim, least=1, most=MOST_DIM), given


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
    progress: Progress,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Write the FAISS index of a finished segment to its file `name`, and return what the manifest says of the segment and
    of the kinds that were tried: an index of the kind `spec`, or of the fastest that reaches the goal, which may need none."""
    writing, segment = Writing(folder), Segment(folder, rows=shape[0], dim=shape[1])
    try:
        # A process that is forked by one of these would otherwise go on, and write the same file as its parent.
        outcome = _outcome(segment, folder / name, metric, spec, goal, queries=queries, progress=_Checked(progress, writing))
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


class _Checked(Progress):
    """A progress of a caller's own, which may fork: only the parent goes on."""

    def __init__(self, progress: Progress, writing: Writing) -> None:
        self._progress, self._writing = progress, writing

    def step(self, name: str, done: int, total: int | None = None) -> None:
        self._progress.step(name, done, total)
        self._writing.check()

    def note(self, text: str) -> None:
        self._progress.note(text)
        self._writing.check()


def _outcome(segment: Segment, path: Path, metric: Metric, spec: str | None, goal: ann.Goal, **asking: Any) -> ann.Outcome:
    if spec == ann.EXACT or (spec is None and goal.recall is None):
        return ann.Outcome(ann.EXACT, {}, None, True, math.nan, [])
    builder = ann.Builder(
        ann.Rows(segment.vectors, segment.norms, metric, read=segment.read if goal.memory else None),
        goal,
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
    return Counter(encoder.tally.as_dict() if encoder and encoder.tally else {})
