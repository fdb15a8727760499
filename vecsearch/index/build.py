"""From documents to a segment on disk: what `Index.build` does between opening a writer and committing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch import ann, checks
from vecsearch.corpus.corpus import Corpus, checked_corpus
from vecsearch.corpus.document import Document
from vecsearch.corpus.passages import Chunks
from vecsearch.encoders.base import Encoder, check_encoder
from vecsearch.errors import CorpusError, ResourceError, UsageError
from vecsearch.index.blocks import blocks
from vecsearch.index.indexing import goal_entry, indexed
from vecsearch.metric import Metric, checked_queries
from vecsearch.progress import Progress, check_progress
from vecsearch.store.manifest import KEEP
from vecsearch.store.segment import SegmentWriter
from vecsearch.store.writer import IndexWriter
from vecsearch.text.languages import LANGUAGES

MOST_DIM = 1 << 24
"""Numbers in a vector at the most: one has 64 MB then."""


@dataclass(frozen=True, slots=True)
class Options:
    """How an index is built.

    `spec` is its kind, "exact" or a FAISS factory string. Without one, the fastest kind that reaches the `goal`'s recall is
    built; without that too, search is exact. The recall is proved on rows held out, with an encoder on questions made of their
    documents as well, or on the vectors `queries` (q, dim) float32. With `chunks`, long texts are split into passages with a
    vector each; hits are still documents. `language` is the code of the one that `keywords` reads words in, "none" for no stems
    and no stop words; without it, it is found. The last `keep` generations of the index stay on disk, for `open` and
    `rollback`.
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
    folder: str | Path,
    documents: Iterable[Document],
    encoder: Encoder | None,
    options: Options | None,
    *,
    vectors: Iterable[np.ndarray] | None,
    replace: bool,
    resume: bool,
    progress: Progress,
) -> None:
    """Make an index in `folder`; `Index.build` says what from."""
    folder, options = checks.path("folder", folder), Options() if options is None else options
    checks.instance("options", options, Options, give='Options(metric="ip")')
    check_progress(progress)
    replace, resume = checks.flag("replace", replace), checks.flag("resume", resume)
    dim, vectors = _checked_vectors(encoder, vectors)
    corpus = checked_corpus(documents)
    queries = checked_options(options, dim, ready=vectors is not None)
    with IndexWriter(folder, replace=replace, resume=resume) as writer:
        segment = writer.segment(dim, signature(encoder, corpus, options))
        _fill(segment, corpus, encoder, vectors, options, progress)
        language = options.language or segment.language(encoder.language if encoder else None)
        segment.finish(language)
        goal, shape = goal_entry(options.spec, options.goal), (segment.rows, dim)
        entry, trials = indexed(
            segment.folder, writer.faiss_name, shape, options.metric, goal,
            queries=queries, encoder=lambda: encoder, progress=progress,
        )  # fmt: skip
        writer.commit(
            [entry],
            np.empty(0, np.int64),
            metric=str(options.metric),
            dim=dim,
            goal=goal,
            chunks=vars(options.chunks) if options.chunks else None,
            language=language,
            encoder=saved(encoder, writer) if encoder else None,
            counts=segment.progress.counts,
            provenance=corpus.provenance | ({"trials": trials} if trials else {}),
            keep=options.keep,
            sources=writer.write_sources(corpus.files.to_bytes()) if corpus.files else None,
        )


def checked_options(options: Options, dim: int, *, ready: bool) -> np.ndarray | None:
    """The queries of the options, which with them have to fit vectors of length `dim`, ready ones or not. Raises UsageError."""
    if options.spec is not None:
        ann.check_spec(options.spec, dim, options.metric)
    if options.chunks is not None and ready:
        raise UsageError("ready vectors stand for whole documents: they cannot be split into passages")
    return None if options.queries is None else checked_queries(options.queries, dim, "queries")


def signature(encoder: Encoder | None, corpus: Corpus, options: Options) -> dict[str, Any]:
    """What the stored documents depend on: a build resumes only with the same."""
    made_by = {"encoder": encoder.fingerprint if encoder else None, "dtype": encoder.dtype if encoder else "float32"}
    return made_by | corpus.provenance | ({"chunks": vars(options.chunks)} if options.chunks else {})


def _fill(
    segment: SegmentWriter,
    corpus: Corpus,
    encoder: Encoder | None,
    vectors: Iterator[np.ndarray] | None,
    options: Options,
    progress: Progress,
) -> None:
    """Store the documents with their vectors, and what was counted on the way. Raises CorpusError where there is none."""
    counted, before = tallied(encoder), Counter(segment.progress.counts)
    for block, rows, spans in blocks(corpus, encoder, vectors, segment, options.chunks):
        segment.append(block, rows, spans, counts={**(before + tallied(encoder) - counted), **corpus.counts()})
        progress.step("documents", segment.rows, corpus.expected(segment.rows))
    if not segment.rows:
        raise CorpusError("there is no document to index")


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


def saved(encoder: Encoder, writer: IndexWriter) -> dict[str, str]:
    """What the manifest says of the encoder, which is copied into the index."""
    folder = writer.encoder_folder(encoder.fingerprint)
    try:
        encoder.save(folder)
    except OSError as error:
        # Its filename may be that of the file which was copied.
        raise ResourceError(f"cannot write the encoder to {folder}: {error.strerror or error}; free some space") from error
    return {"fingerprint": encoder.fingerprint, "dtype": encoder.dtype}


def tallied(encoder: Encoder | None) -> Counter[str]:
    """What the encoder has counted, if it counts."""
    return Counter(encoder.tally.as_dict() if encoder and encoder.tally else {})
