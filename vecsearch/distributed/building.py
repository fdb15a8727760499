"""An index built by several processes, on this machine or on many: the same as one process would build, part by part.

Whoever builds holds the index's lock, reads the corpus once, in its order, and cuts it into shards; workers make each a segment
in the index's folder, which all of them see, and claim it; where a kind of index is wanted, they fill one for each segment, all
by the same trained one; one commit makes them the index. Whatever ends meanwhile, worker,
machine or the one that builds, the index is what it was before, and claimed shards are found again when the build is resumed.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from vecsearch import checks
from vecsearch.corpus.corpus import Corpus, checked_corpus
from vecsearch.corpus.document import Document
from vecsearch.distributed.crew import Crew
from vecsearch.distributed.indexing import Indexed, indexed
from vecsearch.distributed.sharding import Maker, Plan, Shard, make, shards
from vecsearch.encoders import DTYPES, Encoder, can_open
from vecsearch.encoders.base import check_encoder
from vecsearch.engine import Engine
from vecsearch.errors import CorpusError
from vecsearch.index.build import MOST_DIM, Options, checked_options, saved, signature
from vecsearch.index.index import Index
from vecsearch.index.indexing import goal_entry
from vecsearch.progress import SILENT, Progress, check_progress
from vecsearch.store.duplicates import duplicates
from vecsearch.store.layout import SEGMENTS
from vecsearch.store.segment import TEXTS_LOOKED_AT, taken_id
from vecsearch.store.segment_record import SegmentRecord
from vecsearch.store.shards import Claim, Shards
from vecsearch.store.writer import IndexWriter
from vecsearch.text.languages import CHARACTERS, language_of

SHARD_ROWS = 16_384
"""Documents of a shard: half a minute of one core's work with the model that ships, which is what is lost with a worker."""


def build(
    folder: str | Path,
    documents: Iterable[Document],
    encoder: Encoder,
    options: Options | None = None,
    *,
    engine: Engine,
    workers: int | None = None,
    shard_rows: int = SHARD_ROWS,
    replace: bool = False,
    resume: bool = False,
    progress: Progress = SILENT,
) -> Index:
    """Build an index as `Index.build` does, by the `workers` of an engine, `Pool()` or `RayEngine(address)`; by default as many
    as it has room for. All machines see `folder` under the same path.

    The index has a segment for each shard, of `shard_rows` documents, rounded up to where blocks end that are encoded together.
    Vectors, documents and their order, and what exact search finds, are those of `Index.build` on a machine of the same kind,
    to the bit. Where `options` do not say the language of words, the first shard's is taken.

    A kind of index, `options.spec` or that which reaches the goal's recall, is chosen, trained and tuned once for all shards,
    and its recall is proved over all of them. Each has an index of its own by the same quantiser, and every query looks into
    each: the fewer shards, the less that takes.

    `resume` goes on with an interrupted build, with any number of workers and any engine: what was done of the same documents
    is not encoded again, and indexes are made again. Raises as `Index.build`, and ResourceError where workers end again and
    again; whatever happens, an old index at `folder` stays whole.
    """
    folder, options = checks.path("folder", folder), Options() if options is None else options
    checks.instance("options", options, Options, give='Options(metric="ip")')
    checks.instance("engine", engine, Engine, give="Pool()")
    check_progress(progress)
    replace, resume = checks.flag("replace", replace), checks.flag("resume", resume)
    shard_rows = checks.count("shard_rows", shard_rows, least=1)
    size = sum(engine.nodes().values()) if workers is None else checks.count("workers", workers, least=1)
    dim = checks.count("dim", check_encoder(encoder).dim, least=1, most=MOST_DIM)
    queries = checked_options(options, dim, ready=False)
    corpus = checked_corpus(documents)
    with IndexWriter(folder, replace=replace, resume=resume) as writer:
        _Build(writer, corpus, encoder, dim, options, progress).by(engine, max(1, size), shard_rows, queries)
    return Index.open(folder, encoder=encoder, check=False)


class _Build:
    """A build under way: what it is of, and what was made of it."""

    def __init__(
        self, writer: IndexWriter, corpus: Corpus, encoder: Encoder, dim: int, options: Options, progress: Progress
    ) -> None:
        self._writer, self._corpus, self._encoder, self._dim = writer, corpus, encoder, dim
        self._options, self._progress = options, progress
        self._records: dict[int, tuple[Claim, SegmentRecord]] = {}
        self._read = self._done = 0
        """Documents that were read, and those that are in claimed shards."""
        self._texts, self._step = list[str](), 1
        """Beginnings of texts, evenly spaced among those that were read."""

    def by(self, engine: Engine, size: int, rows: int, queries: np.ndarray | None) -> None:
        """Make the shards by so many workers, index them, and commit them."""
        coming = shards(self._read_on(), rows)
        first = next(coming, None)
        if first is None:
            raise CorpusError("there is no document to index")
        language = self._options.language or self._language(first)
        made_of = signature(self._encoder, self._corpus, self._options) | {"shard_rows": rows, "language": language}
        place = self._writer.shards(self._dim, made_of)
        plan = self._plan(place, language)
        with Crew(engine, size, Maker, plan, progress=self._progress) as crew:
            for shard, claim in crew.results(make, self._undone(first, coming, place)):
                self._note(shard, claim, place.trusted(claim))
        self._refuse_duplicates(place)
        self._note_language(language)
        made = [(claim.segment, record.rows) for claim, record in self._made]
        found = indexed(
            place,
            made,
            (self._dim, self._options.metric),
            goal_entry(self._options.spec, self._options.goal),
            queries=queries,
            encoder=self._encoder,
            engine=engine,
            size=size,
            progress=self._progress,
        )
        self._commit(plan, found)

    @property
    def _made(self) -> list[tuple[Claim, SegmentRecord]]:
        """The shards in their order."""
        return [self._records[number] for number in sorted(self._records)]

    def _read_on(self) -> Iterator[Document]:
        """The documents; they are counted, and some of their texts are looked at for what language they are in."""
        for document in self._corpus:
            if self._read % self._step == 0:
                self._texts.append(document.text[:CHARACTERS])
                if len(self._texts) == 2 * TEXTS_LOOKED_AT:
                    self._texts, self._step = self._texts[::2], 2 * self._step
            self._read += 1
            yield document

    def _language(self, shard: Shard) -> str:
        """That of the shard's words, as a segment finds its own."""
        documents = shard.documents()
        numbers = sorted({len(documents) * place // TEXTS_LOOKED_AT for place in range(TEXTS_LOOKED_AT)})
        return language_of((documents[number].text for number in numbers), self._encoder.language)

    def _note_language(self, language: str) -> None:
        """Say so where the first shard was in another language than the corpus is."""
        if not self._options.language and (most := language_of(self._texts, self._encoder.language)) != language:
            self._progress.note(
                f"words are read in the language {language!r}, which the first shard is in, and most of the corpus is in "
                f"{most!r}; to have another, say which (--language)"
            )

    def _plan(self, place: Shards, language: str) -> Plan:
        """What workers need to know. The encoder is saved, so that they can open it where they are."""
        options, encoder = self._options, self._encoder
        self._made_by = saved(encoder, self._writer)
        within = self._writer.encoder
        assert within is not None  # it was saved
        opens = can_open(place.folder / within) and encoder.dtype in DTYPES
        if not opens:
            try:
                pickle.dumps(encoder)
            except Exception as error:  # whatever its members raise
                raise TypeError(
                    f"the encoder {type(encoder).__name__} cannot be sent to workers ({error}): give it a __reduce__"
                ) from error
        sent = None if opens else encoder
        return Plan(place, str(options.metric), options.chunks, language, within, self._made_by, sent)

    def _undone(self, first: Shard, coming: Iterator[Shard], place: Shards) -> Iterator[Shard]:
        """The shards that nobody has claimed; the others are noted."""
        shard: Shard | None = first
        while shard is not None:
            claim = place.claimed(shard.number, shard.digest)
            if claim is None:
                yield shard
            elif record := place.record(claim, hashed=True):
                self._note(shard, claim, record)
            else:
                self._progress.note(f"what was done of shard {shard.number} is damaged, and is done again")
                place.drop(shard.number, shard.digest)
                yield shard
            shard = next(coming, None)

    def _note(self, shard: Shard, claim: Claim, record: SegmentRecord) -> None:
        self._records[shard.number] = claim, record
        self._done += record.documents
        self._progress.step("documents", self._done, self._corpus.expected(self._read))

    def _refuse_duplicates(self, place: Shards) -> None:
        """Raise CorpusError for the first document, in the order of the corpus, whose id one in another shard has."""
        made = self._made
        if len(made) == 1:
            return  # its segment has refused them
        starts = np.cumsum([0, *(record.documents for _, record in made)]).tolist()
        folders = [place.folder / SEGMENTS / claim.segment for claim, _ in made]
        found = (
            (starts[later[0]] + later[1], starts[first[0]] + first[1], id)
            for id, first, later in duplicates(folders, progress=self._progress)
        )
        if (first := min(found, default=None)) is not None:
            later, earlier, id = first
            raise taken_id(f"document {later}", id, earlier)

    def _commit(self, plan: Plan, found: Indexed) -> None:
        counts = sum((Counter(record.counts) for _, record in self._made), Counter())
        corpus, options, writer = self._corpus, self._options, self._writer
        entries, files = [], {}
        for number, (claim, record) in enumerate(self._made):
            index = dict([found.files[number]] if found.files else [])
            entries.append(record.entry(claim.segment) | found.said | {"faiss": next(iter(index), None)})
            files |= {f"{SEGMENTS}/{claim.segment}/{name}": entry for name, entry in (record.files | index).items()}
        writer.commit(
            entries,
            np.empty(0, np.int64),
            files=files,
            metric=plan.metric,
            dim=self._dim,
            goal=goal_entry(options.spec, options.goal),
            chunks=vars(options.chunks) if options.chunks else None,
            language=plan.language,
            encoder=self._made_by,
            counts={**counts, **corpus.counts()},
            provenance=corpus.provenance | ({"trials": found.trials} if found.trials else {}),
            keep=options.keep,
            sources=writer.write_sources(corpus.files.to_bytes()) if corpus.files else None,
        )
