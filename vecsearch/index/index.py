"""The index: documents and their vectors on disk; searched by vector, by text, by words, or by a document of its own."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch import ann, checks
from vecsearch.corpus.corpus import checked_corpus
from vecsearch.corpus.document import Document
from vecsearch.encoders import Encoder, Tally, can_open, open_encoder
from vecsearch.encoders.base import check_encoder, checked_vectors
from vecsearch.errors import UsageError, VecsearchError
from vecsearch.index import update as updating
from vecsearch.index.build import Options, build
from vecsearch.index.hits import Candidates, Fusion, Hit, Neighbors, added, checked_neighbors, fused, two_weights
from vecsearch.index.view import View
from vecsearch.metric import Metric, checked_queries
from vecsearch.progress import SILENT, Progress, check_progress
from vecsearch.store.clusters import Clustering
from vecsearch.store.manifest import Manifest
from vecsearch.store.postings import POSTINGS
from vecsearch.store.snapshot import Snapshot, open_snapshot, read_current, read_manifest

FUSED = 100
"""Documents by each way, at the least, that `hybrid` weighs."""
EQUAL = (1.0, 1.0)
"""Weights of meaning and words where nothing else is known."""


class Index:
    """An index folder, opened at one generation. Use `Index.build` to make one and `Index.open` to open it.

    What changes it (`add`, `delete`, `compact` …) makes a new generation and shows that; other processes go on seeing theirs
    until they `refresh`.
    """

    def __init__(self, snapshot: Snapshot, encoder: Encoder | None) -> None:
        # Everything is opened here: a writer that replaces this generation may remove its files at any time after.
        self._opened: View | None = View(snapshot)
        self._folder = snapshot.folder
        self._given = encoder
        self._encoder = encoder or _carried_encoder(snapshot)

    @property
    def _view(self) -> View:
        """The generation that is shown. Raises ValueError, as Python's files do, for a closed index: every method begins with
        it."""
        if (view := self._opened) is None:
            raise ValueError(f"the index at {self._folder} is closed: open it again with Index.open")
        return view

    def __repr__(self) -> str:
        """Where it lies and what it holds, so far as that costs nothing to say."""
        if self._opened is None:
            return f"<Index {self._folder}: closed>"
        manifest, documents = self.manifest, f"{len(self):,} document{'s' * (len(self) != 1)}"
        return (
            f"<Index {self._folder}: generation {manifest.generation}, {documents}, dim {manifest.dim}, {manifest.metric}, "
            f"{manifest.spec}>"
        )

    # -- making and opening ------------------------------------------------------------------------------------------

    @classmethod
    def build(
        cls,
        folder: str | Path,
        documents: Iterable[Document],
        encoder: Encoder | None = None,
        options: Options | None = None,
        *,
        vectors: Iterable[np.ndarray] | None = None,
        replace: bool = False,
        resume: bool = False,
        progress: Progress = SILENT,
    ) -> Index:
        """Encode `documents` with `encoder` into a new index at `folder`, and open it.

        With `vectors`, blocks (b, dim) float32 that together hold a row for each document, nothing is encoded; `encoder` is
        then the one that made them, if it is known. Documents stream: memory does not grow with their number. What a `Corpus`
        knows of where they come from is kept in the manifest.

        The recall that `options` ask for is proved and kept in the manifest. Where the kind asked for does not reach it, the
        index is made all the same, and `manifest.recall` says how far it comes.

        `replace` puts the new index in an old one's place once it is whole; `resume` goes on with an interrupted build of the
        same corpus and options. `progress` is told the documents on disk, the vectors added to an index of FAISS, and what is
        tried.

        Raises UsageError, CorpusError, VectorsError and ResourceError; whatever happens, an old index at `folder` stays whole.
        """
        place = checks.path("folder", folder)
        options = Options() if options is None else options
        build(place, documents, encoder, options, vectors=vectors, replace=replace, resume=resume, progress=progress)
        return cls.open(place, encoder=encoder, check=False)

    @classmethod
    def open(
        cls, folder: str | Path, *, generation: int | None = None, encoder: Encoder | None = None, check: bool = True
    ) -> Index:
        """The index at `folder`, every file of it checked against its hash (`check=False`: only against its size).

        `generation` is one that is kept, the newest without it. `encoder` stands in for the one that the index carries, for
        encoders of your own; it must have the same fingerprint. Raises UnsupportedIndexError, DamagedIndexError, UsageError.
        """
        folder, check = checks.path("folder", folder), checks.flag("check", check)
        if generation is not None:
            generation = checks.count("generation", generation, least=1)
        if encoder is not None:
            check_encoder(encoder)
        while True:
            snapshot = open_snapshot(folder, generation=generation, check=check)
            try:
                _check_encoder(snapshot, encoder)
                return cls(snapshot, encoder)
            except VecsearchError:
                snapshot.close()
                # A writer may have replaced this generation between the two steps; then the new one is opened.
                if generation is not None or read_manifest(folder).generation == snapshot.manifest.generation:
                    raise

    def refresh(self) -> bool:
        """Show the newest generation; whether there was a newer one. Raises as `open` does, and shows what it did then.

        A search that is under way in another thread ends with the generation that it began with.
        """
        before = self._view.snapshot
        folder = before.folder
        if _generation_named(folder) == before.manifest.generation:
            return False
        while True:
            snapshot = open_snapshot(folder, check=False)
            try:
                view = View(snapshot)
                break
            except VecsearchError:
                snapshot.close()
                # A writer may have replaced this generation between the two steps; then the new one is opened.
                if _generation_named(folder) == snapshot.manifest.generation:
                    raise
        if snapshot.manifest.encoder != before.manifest.encoder:
            self._given, self._encoder = None, _carried_encoder(snapshot)
        # Not closed: another thread may be searching it. It goes when nothing refers to it any more.
        self._opened = view
        return True

    def close(self) -> None:
        """Let go of the files, as soon as no other thread reads them; a second time it does nothing.

        What is asked of a closed index raises ValueError; only `folder` still tells where it lies.
        """
        view, self._opened = self._opened, None
        if view:
            view.snapshot.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """For another process: there the same generation of the same folder is opened, with the same encoder.

        Raises TypeError for an encoder of your own that cannot be pickled.
        """
        if self._given:
            try:
                pickle.dumps(self._given)
            except Exception as error:  # whatever its members raise
                raise TypeError(
                    f"the index at {self._folder} was opened with an encoder of your own, {type(self._given).__name__}, which "
                    f"cannot be pickled ({error}): open both in the other process, or give the encoder a __reduce__"
                ) from error
        return _opened_again, (self._folder.absolute(), self.manifest.generation, self._given)

    def __enter__(self) -> Index:
        self._view  # noqa: B018 - a closed one cannot be entered
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- changing ----------------------------------------------------------------------------------------------------

    def add(
        self,
        documents: Iterable[Document],
        *,
        vectors: Iterable[np.ndarray] | None = None,
        resume: bool = False,
        progress: Progress = SILENT,
    ) -> updating.Changes:
        """Add documents, in one commit. One with an id that the index has takes the old one's place; one that has not changed
        is passed over and not encoded. Those of a corpus without ids are new, and numbered on from where the index ends. Ready
        `vectors`, blocks (b, dim) float32, belong to an index that carries no encoder.

        `resume` goes on with an interrupted add of the same. Raises CorpusError, VectorsError, UsageError, ResourceError; the
        index is then what it was.
        """
        folder = self._view.snapshot.folder
        resume, corpus = checks.flag("resume", resume), checked_corpus(documents)
        if vectors is not None:
            _, vectors = checks.blocks("vectors", vectors, self.dim)
        check_progress(progress)
        encoder = None if vectors is not None else self.encoder
        changes = updating.add(folder, corpus, encoder, vectors=vectors, resume=resume, progress=progress)
        self.refresh()
        return changes

    def delete(self, ids: Sequence[str] = (), *, where: str | None = None) -> int:
        """Delete the documents with these ids, or those that meet a condition; returns how many. Raises UsageError."""
        folder = self._view.snapshot.folder
        ids, where = checks.texts("ids", ids, call="index.delete"), _condition(where)
        changes = updating.delete(folder, ids=ids, where=where)
        self.refresh()
        return changes.deleted

    def compact(
        self,
        *,
        queries: np.ndarray | None = None,
        language: str | None = None,
        progress: Progress = SILENT,
    ) -> None:
        """Merge all segments into one without what was deleted, index it again, and measure its recall again.

        `language` is the code of the one that words are read in from now on; without it, it stays what it is.
        """
        folder = self._view.snapshot.folder
        if queries is not None:
            queries = checked_queries(queries, self.dim, "queries")
        check_progress(progress)
        updating.compact(folder, queries=queries, language=language, progress=progress)
        self.refresh()

    def rebuild(
        self,
        *,
        spec: str | None = None,
        goal: ann.Goal | None = None,
        queries: np.ndarray | None = None,
        progress: Progress = SILENT,
    ) -> None:
        """Make the FAISS indexes of all segments again from their vectors, towards the goal the index has, or another one.

        Nothing is encoded. Raises UsageError, ResourceError.
        """
        folder = self._view.snapshot.folder
        if queries is not None:
            queries = checked_queries(queries, self.dim, "queries")
        if spec is not None:
            spec = checks.text("spec", spec)
        if goal is not None:
            checks.instance("goal", goal, ann.Goal, give="Goal(recall=0.95)")
        check_progress(progress)
        updating.rebuild(folder, spec=spec, goal=goal, queries=queries, progress=progress)
        self.refresh()

    def collect(self, keep: int) -> list[str]:
        """Remove the generations before the last `keep`, and what interrupted work has left; returns the paths removed."""
        return updating.collect(self._view.snapshot.folder, keep)

    def rollback(self, generation: int) -> None:
        """Bring a generation back that is kept, as the newest. Raises UsageError for another."""
        updating.rollback(self._view.snapshot.folder, checks.count("generation", generation, least=None))
        self.refresh()

    # -- what it holds -----------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many documents it holds."""
        return self._view.documents_alive

    @property
    def manifest(self) -> Manifest:
        """What the index says of itself: metric, dim, encoder, counts, provenance, files."""
        return self._view.snapshot.manifest

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self._folder

    @property
    def dim(self) -> int:
        """Length of its vectors."""
        return self.manifest.dim

    @property
    def metric(self) -> Metric:
        """The metric it was built for."""
        return Metric(self.manifest.metric)

    @property
    def tally(self) -> Tally | None:
        """What its encoder has counted, if it has one that counts."""
        self._view  # noqa: B018
        return self._encoder.tally if self._encoder else None

    @property
    def encoder(self) -> Encoder:
        """The encoder that made its vectors. Raises UsageError for an index that does not carry one of vecsearch's own."""
        self._view  # noqa: B018
        if self._encoder:
            return self._encoder
        if self.manifest.encoder:
            raise UsageError(
                "this index was built by an encoder of your own: give it to Index.open(encoder=…), "
                "or search with vectors or ids"
            )
        raise UsageError("this index was built from ready vectors and carries no encoder: search it with vectors or ids")

    def documents(self, rows: Sequence[int]) -> list[Document]:
        """The documents at `rows`, in that order. Raises UsageError for a row that there is not."""
        view = self._view
        return [view.stored(row)[0] for row in checks.rows("rows", rows, view.snapshot.manifest.rows).tolist()]

    def rows(self, ids: Sequence[str]) -> list[int]:
        """The rows of the documents with these ids, the first of each where texts are split into passages.

        Raises UsageError naming the ids that the index does not have.
        """
        return [rows[0] for rows in self._view.rows(checks.texts("ids", ids, call="index.rows"))]

    def alive(self) -> np.ndarray:
        """The rows that are not deleted, rising: (r,) int64."""
        return self._view.alive()

    def document_rows(self) -> np.ndarray:
        """The first row of each document that is not deleted, rising: (n,) int64; the others of a split one follow it."""
        return self._view.first_rows()

    @property
    def clustering(self) -> Clustering | None:
        """The clusters that the index keeps, where it has any: `vecsearch.clustering` makes them."""
        return self._view.snapshot.clustering

    @property
    def earlier_words(self) -> bool:
        """Whether a part of the index is found by words only as an earlier vecsearch knew them, until it is compacted."""
        return any(POSTINGS not in segment.documents.tables for segment in self._view.snapshot.segments)

    def known(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that documents of the index have."""
        return set(self._view.known(checks.texts("ids", ids, call="index.known")))

    def vectors(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """The stored vectors at `rows`: (n, dim) float32, as encoded. Raises UsageError for a row that there is not."""
        view = self._view
        return view.vectors(checks.rows("rows", rows, view.snapshot.manifest.rows))

    # -- searching ---------------------------------------------------------------------------------------------------

    def search(
        self,
        vectors: np.ndarray,
        k: int = 10,
        *,
        metric: Metric | str | None = None,
        exact: bool = False,
        where: str | None = None,
    ) -> Neighbors:
        """The k best rows for each query vector: (q, dim) float -> Neighbors (q, k'); k' is k, or how many rows there are.

        `metric` other than the index's own, or `exact`, looks at every vector. `where` is a condition on the fields, such as
        "year > 1990 and genre = 'noir'". Raises UsageError for k < 1, another dimension, a query that is not finite, or a
        condition that is not understood.
        """
        view, options = self._view, _options(metric, exact, where)
        k = _hits_wanted(k, view)
        return view.search(checked_queries(vectors, self.dim), k, **options)

    def remarks(self, where: str) -> list[str]:
        """What a person should know of the answer to a condition, a sentence each: how many texts it passes over because it
        compares their field with a number, and which of its names mean two things. Raises UsageError as `search` does."""
        return self._view.remarks(checks.text("where", where))

    def encode(self, texts: Sequence[str], *, marked: bool = False) -> np.ndarray:
        """Query vectors of `texts`, (n, dim) float32; if `marked`, that of the [[marked]] word as its sentence uses it.

        Raises UsageError for marks where the encoder's words are the same in any context, DataError for a mark that is none.
        """
        self._view  # noqa: B018
        texts, marked = checks.texts("texts", texts, call="index.encode"), checks.flag("marked", marked)
        encoder = self.encoder
        if not marked:
            return self._encoded(texts)
        return checked_vectors(encoder, encoder.encode_in_context(texts), len(texts))

    def _encoded(self, texts: list[str]) -> np.ndarray:
        encoder = self.encoder
        return checked_vectors(encoder, encoder.encode(texts), len(texts))

    def query(
        self,
        texts: Sequence[str],
        k: int = 10,
        *,
        metric: Metric | str | None = None,
        exact: bool = False,
        where: str | None = None,
    ) -> list[list[Hit]]:
        """The k best documents for each text, best first; none for a text without a word that the model knows."""
        view, texts = self._view, checks.texts("texts", texts, call="index.query")
        return self._by_meaning(view, texts, _hits_wanted(k, view), **_options(metric, exact, where))

    def _by_meaning(self, view: View, texts: list[str], k: int, **options: Any) -> list[list[Hit]]:
        vectors = self._asked(texts)
        found = view.nearest(vectors, k, **options)
        return [hits if vector.any() else [] for hits, vector in zip(found, vectors, strict=True)]

    def nearest(
        self,
        vectors: np.ndarray,
        k: int = 10,
        *,
        metric: Metric | str | None = None,
        exact: bool = False,
        where: str | None = None,
    ) -> list[list[Hit]]:
        """The k best documents for each query vector (q, dim), with the options of `search`."""
        view, options = self._view, _options(metric, exact, where)
        k = _hits_wanted(k, view)
        return view.nearest(checked_queries(vectors, self.dim), k, **options)

    def keywords(self, texts: Sequence[str], k: int = 10, *, where: str | None = None) -> list[list[Hit]]:
        """The k best documents for each text by the words they share, scored by BM25; a "phrase in quotes" has to be there.

        Finds names, codes and rare words that the model has never seen. Raises UsageError as `search` does.
        """
        view, texts = self._view, checks.texts("texts", texts, call="index.keywords")
        return view.keywords(texts, _hits_wanted(k, view), where=_condition(where))

    def hybrid(
        self,
        texts: Sequence[str],
        k: int = 10,
        *,
        weights: tuple[float, float] | None = None,
        fusion: Fusion | str = Fusion.SCORES,
        exact: bool = False,
        where: str | None = None,
    ) -> list[list[Hit]]:
        """The k best documents for each text by meaning and by words together; `weights` are those of the two, without them
        those that `keep_weights` has kept, or equal ones.

        Each of the best by either is given both scores, as a share of the best one's from the least that there could be: cosine
        from -1, BM25 from 0. A document's score is their weighted mean (Bruch, Gai and Ingber 2023, An Analysis of Fusion
        Functions for Hybrid Retrieval). With `fusion` "ranks" it is the sum of weight / (60 + rank) over the two lists
        (Cormack et al. 2009, Reciprocal rank fusion).
        """
        view, texts = self._view, checks.texts("texts", texts, call="index.hybrid")
        weights = two_weights((view.snapshot.manifest.weights or EQUAL) if weights is None else weights)
        k, fusion, exact = _hits_wanted(k, view), Fusion(fusion), checks.flag("exact", exact)
        found = view.candidates(texts, self._asked(texts), max(FUSED, k), exact=exact, where=_condition(where))
        if fusion is Fusion.RANKS:
            return [fused((near, worded), weights, k) for near, worded, _ in found]
        return [added(both, weights, k) for _, _, both in found]

    def candidates(self, texts: Sequence[str]) -> list[Candidates]:
        """The 100 best documents for each text by meaning and as many by words, with both scores: what `hybrid` weighs."""
        view, texts = self._view, checks.texts("texts", texts, call="index.candidates")
        return [both for _, _, both in view.candidates(texts, self._asked(texts), FUSED)]

    def _asked(self, texts: list[str]) -> np.ndarray:
        return checked_queries(self._encoded(texts), self.dim)

    def keep_weights(self, weights: tuple[float, float]) -> None:
        """Have `hybrid` weigh meaning and words so from now on, where it is not told otherwise."""
        updating.weigh(self._view.snapshot.folder, two_weights(weights))
        self.refresh()

    def similar(
        self,
        ids: Sequence[str],
        k: int = 10,
        *,
        metric: Metric | str | None = None,
        exact: bool = False,
        where: str | None = None,
    ) -> list[list[Hit]]:
        """The k documents most like each of the documents `ids`, itself left out; of a split one, like all of its passages."""
        view, ids, options = self._view, checks.texts("ids", ids, call="index.similar"), _options(metric, exact, where)
        k = _hits_wanted(k, view)
        own = np.array([view.vectors(rows).mean(axis=0) for rows in view.rows(ids)], np.float32).reshape(-1, self.dim)
        found = view.nearest(own, k + 1, **options)
        return [[hit for hit in hits if hit.id != id][:k] for id, hits in zip(ids, found, strict=True)]

    def hits(self, neighbors: Neighbors) -> list[list[Hit]]:
        """The documents behind rows and scores, a list for each query; documents that were split may come several times."""
        view = self._view
        return view.hits(checked_neighbors(neighbors, view.snapshot.manifest.rows))


def _opened_again(folder: Path, generation: int, encoder: Encoder | None) -> Index:
    return Index.open(folder, generation=generation, encoder=encoder, check=False)


def _generation_named(folder: Path) -> int:
    """The newest generation, as CURRENT names it."""
    return int(read_current(folder)[0].removeprefix("manifest-").removesuffix(".json"))


def _check_encoder(snapshot: Snapshot, encoder: Encoder | None) -> None:
    """Raise UsageError unless `encoder`, if there is one, gives the vectors that the index holds."""
    recorded = snapshot.manifest.encoder
    if encoder and recorded and encoder.fingerprint != recorded["fingerprint"]:
        raise UsageError(
            f"{snapshot.folder} was built with the encoder {recorded['fingerprint']}, this one is {encoder.fingerprint}: "
            "their vectors cannot be compared; leave the encoder out to use the index's own, or build the index again"
        )
    if encoder and encoder.dim != snapshot.manifest.dim:
        raise UsageError(f"the encoder gives vectors of length {encoder.dim}, {snapshot.folder} holds {snapshot.manifest.dim}")


def _carried_encoder(snapshot: Snapshot) -> Encoder | None:
    """The encoder in the index's folder, if it is one that vecsearch can open."""
    folder = snapshot.encoder_folder
    return open_encoder(folder) if folder and can_open(folder) else None


def _hits_wanted(k: int, view: View) -> int:
    """How many hits are looked for: k, or as many as there are rows. Raises TypeError, and UsageError for k < 1."""
    k = checks.count("k", k, least=None)
    if k < 1:
        raise UsageError(f"k is {k}; ask for at least 1 hit")
    return min(k, max(1, view.snapshot.manifest.rows))


def _condition(where: str | None) -> str | None:
    return None if where is None else checks.text("where", where)


def _options(metric: Metric | str | None, exact: bool, where: str | None) -> dict[str, Any]:
    """What a search is asked for beside vectors, looked at. Raises TypeError, and UsageError for an unknown metric."""
    metric = None if metric is None else Metric(metric)
    return {"metric": metric, "exact": checks.flag("exact", exact), "where": _condition(where)}
