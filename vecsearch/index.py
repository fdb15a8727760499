"""The index: documents and their vectors on disk, searched by vector, by text, or by a document of its own."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch import ann
from vecsearch.building import add_faiss, blocks
from vecsearch.corpus.document import Document
from vecsearch.encoders import Encoder, Tally, is_ulmfit, open_encoder
from vecsearch.errors import CorpusError, ResourceError, UnsupportedIndexError, UsageError, VecsearchError
from vecsearch.hits import Hit, Neighbors
from vecsearch.metric import Metric, norms
from vecsearch.store.manifest import Manifest
from vecsearch.store.segment import Segment
from vecsearch.store.snapshot import Snapshot, open_snapshot, read_manifest
from vecsearch.store.writer import IndexWriter


class Index:
    """An index folder, opened at its newest generation. Use `Index.build` to make one and `Index.open` to open it."""

    def __init__(self, snapshot: Snapshot, encoder: Encoder | None) -> None:
        # Everything is opened here: a writer that replaces this generation may remove its files at any time after.
        self._snapshot = snapshot
        self._encoder = encoder
        self._exact = [ann.ExactSearcher(segment.vectors, segment.norms) for segment in snapshot.segments]
        self._approximate = [
            self._searcher(segment) for segment in snapshot.segments if segment.index_path and self._searchable
        ]

    @property
    def _searchable(self) -> bool:
        """Whether its FAISS files, should it have any, are of the format that is searched: those of format 1 lack an effort."""
        return self.manifest.format > 1 or self.manifest.spec == ann.EXACT

    def _searcher(self, segment: Segment) -> ann.ApproximateSearcher:
        # What was built for little memory does not fill it with the vectors that are ranked again.
        little = bool(self.manifest.recall and self.manifest.recall.get("memory"))
        source = ann.Rows(segment.vectors, segment.norms, self.metric, read=segment.read if little else None)
        return ann.open_searcher(segment.index_path, self.manifest.spec, source, self.manifest.effort)

    # -- making and opening ------------------------------------------------------------------------------------------

    @classmethod
    def build(
        cls,
        folder: str | Path,
        documents: Iterable[Document],
        encoder: Encoder | None = None,
        *,
        vectors: Iterable[np.ndarray] | None = None,
        dim: int | None = None,
        metric: Metric = Metric.COSINE,
        spec: str | None = None,
        goal: ann.Goal | None = None,
        queries: np.ndarray | None = None,
        replace: bool = False,
        resume: bool = False,
        provenance: Mapping[str, Any] | None = None,
        counts: Callable[[], Mapping[str, int]] = dict,
        progress: Callable[[int], None] = lambda rows: None,
        indexing: Callable[[int], None] = lambda rows: None,
        note: Callable[[str], None] = lambda line: None,
    ) -> Index:
        """Encode `documents` with `encoder` into a new index at `folder`, and open it.

        With `vectors`, blocks (b, dim) float32 that together hold a row for each document, nothing is encoded; `encoder` is
        then the one that made them, if it is known. Documents stream: memory does not grow with their number.

        `spec` is the kind of index, "exact" or a FAISS factory string. Without one, the `goal`'s recall is reached by the
        fastest kind that does; without that too, search is exact. The recall is proved on rows held out, or on the vectors
        `queries` (q, dim) float32, and kept in the manifest. Where the kind asked for does not reach the goal, the index is
        made all the same, and `manifest.recall` says how far it comes.

        `replace` puts the new index in an old one's place once it is whole; `resume` goes on with an interrupted build of the
        same corpus and options. `provenance` and `counts()` are kept in the manifest; `progress` hears the number of rows on
        disk, `indexing` that of vectors added to an index of FAISS, `note` what is tried.

        Raises UsageError, CorpusError, VectorsError and ResourceError; whatever happens, an old index at `folder` stays whole.
        """
        if encoder and dim not in (None, encoder.dim):
            raise UsageError(f"the vectors have the length {dim}, those of the encoder {encoder.dim}: it has not made them")
        dim = encoder.dim if encoder else dim
        if dim is None:
            raise TypeError("an index over ready vectors needs their dim")
        goal = goal or ann.Goal()
        if spec is not None:
            ann.check_spec(spec, dim, metric)
        if queries is not None:
            queries = _checked_queries(queries, dim)
        dtype = getattr(encoder, "dtype", "float32")
        signature = {"encoder": encoder.fingerprint if encoder else None, "dtype": dtype, **(provenance or {})}
        counted = _tally(encoder)
        with IndexWriter(Path(folder), replace=replace, resume=resume) as writer:
            segment = writer.segment(dim, signature)
            before = Counter(segment.progress.counts)
            for block, rows in blocks(documents, encoder, vectors, segment):
                segment.append(block, rows, counts={**(before + _tally(encoder) - counted), **counts()})
                progress(segment.rows)
            if not segment.rows:
                raise CorpusError("there is no document to index")
            segment.finish()
            outcome = add_faiss(
                segment.folder, (segment.rows, dim), metric, spec=spec, goal=goal, queries=queries, note=note, progress=indexing
            )
            saved = None
            if encoder:
                _save(encoder, writer.encoder_folder(encoder.fingerprint))
                saved = {"fingerprint": encoder.fingerprint, "dtype": dtype}
            writer.commit(
                metric=metric,
                dim=dim,
                spec=outcome.spec,
                effort=outcome.effort,
                recall=outcome.as_dict(goal),
                encoder=saved,
                counts=segment.progress.counts,
                provenance={**(provenance or {}), **({"trials": outcome.trials} if outcome.trials else {})},
            )
        return cls.open(folder, encoder=encoder, check=False)

    @classmethod
    def open(cls, folder: str | Path, *, encoder: Encoder | None = None, check: bool = True) -> Index:
        """The index at `folder`, every file of it checked against its hash (`check=False`: only against its size).

        `encoder` stands in for the one that the index carries, for encoders of your own; it must have the same fingerprint.
        Raises UnsupportedIndexError, DamagedIndexError, UsageError.
        """
        while True:
            snapshot = open_snapshot(Path(folder), check=check)
            try:
                _check_encoder(snapshot, encoder)
                return cls(snapshot, encoder or _carried_encoder(snapshot))
            except VecsearchError:
                snapshot.close()
                # A writer may have replaced this generation between the two steps; then the new one is opened.
                if read_manifest(Path(folder)).generation == snapshot.manifest.generation:
                    raise

    def close(self) -> None:
        """Let go of the files."""
        self._snapshot.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- what it holds -----------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self.manifest.rows

    @property
    def manifest(self) -> Manifest:
        """What the index says of itself: metric, dim, encoder, counts, provenance, files."""
        return self._snapshot.manifest

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
        return getattr(self._encoder, "tally", None)

    @property
    def encoder(self) -> Encoder:
        """The encoder that made its vectors. Raises UsageError for an index that does not carry one of vecsearch's own."""
        if self._encoder:
            return self._encoder
        if self.manifest.encoder:
            raise UsageError(
                "this index was built by an encoder of your own: give it to Index.open(encoder=…), "
                "or search with vectors or ids"
            )
        raise UsageError("this index was built from ready vectors and carries no encoder: search it with vectors or ids")

    def documents(self, rows: Sequence[int]) -> list[Document]:
        """The documents at `rows`, in that order."""
        found: dict[int, Document] = {}
        for first, segment in self._located():
            local = [row - first for row in rows if first <= row < first + segment.rows]
            found.update(zip((row + first for row in local), segment.documents.get(local), strict=True))
        return [found[row] for row in rows]

    def rows(self, ids: Sequence[str]) -> list[int]:
        """The rows of the documents with these ids. Raises UsageError naming the ids that the index does not have."""
        found: dict[str, int] = {}
        for first, segment in self._located():
            found.update((id, first + row) for id, row in segment.documents.rows(ids).items())
        if missing := [id for id in ids if id not in found]:
            raise UsageError(f"the index has no document with the id {', '.join(map(repr, missing[:5]))}")
        return [found[id] for id in ids]

    def vectors(self, rows: Sequence[int]) -> np.ndarray:
        """The stored vectors at `rows`: (n, dim) float32, as encoded."""
        out = np.empty((len(rows), self.dim), np.float32)
        wanted = np.asarray(rows, np.int64)
        for first, segment in self._located():
            here = (wanted >= first) & (wanted < first + segment.rows)
            out[here] = segment.vectors[wanted[here] - first]
        return out

    # -- searching ---------------------------------------------------------------------------------------------------

    def search(self, vectors: np.ndarray, k: int = 10, *, metric: Metric | None = None, exact: bool = False) -> Neighbors:
        """The k best rows for each query vector: (q, dim) float -> Neighbors, (q, min(k, len(self))) each.

        `metric` other than the index's own, or `exact`, looks at every vector. Raises UsageError for k < 1, another dimension
        or a query that is not finite.
        """
        _check_k(k)
        queries = _checked_queries(vectors, self.dim)
        metric = metric or self.metric
        exact = exact or metric is not self.metric or self.manifest.spec == ann.EXACT
        if not exact and not self._searchable:
            raise UnsupportedIndexError(
                f"{self._snapshot.folder} is of format 1, whose {self.manifest.spec} index is not read any more; "
                "build the index again, or search with exact (--exact)"
            )
        found = [
            self._exact[number].search(queries, k, metric) if exact else self._approximate[number].search(queries, k)
            for number in range(len(self._exact))
        ]
        scores, rows = found[0]
        for (first, _), (more_scores, more) in zip(list(self._located())[1:], found[1:], strict=True):
            scores, rows = ann.merge((scores, more_scores), (rows, np.where(more < 0, -1, more + first)), k)
        return Neighbors(rows, scores)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Query vectors of `texts`, (n, dim) float32; a [[marked]] word is encoded as its sentence uses it."""
        return getattr(self.encoder, "encode_in_context", self.encoder.encode)(texts)

    def query(self, texts: Sequence[str], k: int = 10, *, metric: Metric | None = None, exact: bool = False) -> list[list[Hit]]:
        """The k best documents for each text, best first; none for a text without a word that the model knows."""
        vectors = self.encode(texts)
        found = self.hits(self.search(vectors, k, metric=metric, exact=exact))
        return [hits if vector.any() else [] for hits, vector in zip(found, vectors, strict=True)]

    def similar(self, ids: Sequence[str], k: int = 10, *, metric: Metric | None = None, exact: bool = False) -> list[list[Hit]]:
        """The k documents most like each of the documents `ids`, itself left out."""
        _check_k(k)
        own = self.rows(ids)
        found = self.search(self.vectors(own), k + 1, metric=metric, exact=exact)
        return [[hit for hit in hits if hit.id != id][:k] for id, hits in zip(ids, self.hits(found), strict=True)]

    def hits(self, neighbors: Neighbors) -> list[list[Hit]]:
        """The documents behind rows and scores, a list for each query."""
        present = np.unique(neighbors.rows[neighbors.rows >= 0]).tolist()
        documents = dict(zip(present, self.documents(present), strict=True))
        return [
            [
                Hit(documents[row].id, score, documents[row].text, documents[row].fields)
                for row, score in zip(rows, scores, strict=True)
                if row >= 0
            ]
            for rows, scores in zip(neighbors.rows.tolist(), neighbors.scores.tolist(), strict=True)
        ]

    def _located(self) -> Iterator[tuple[int, Segment]]:
        """Each segment with the index's row number of its row 0."""
        first = 0
        for segment in self._snapshot.segments:
            yield first, segment
            first += segment.rows


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
    return open_encoder(folder) if folder and is_ulmfit(folder) else None


def _checked_queries(vectors: np.ndarray, dim: int) -> np.ndarray:
    """The vectors as (q, dim) float32. Raises UsageError for another shape, and for what no score can be computed of."""
    queries = np.ascontiguousarray(vectors, np.float32)
    if queries.ndim != 2 or queries.shape[1] != dim:
        raise UsageError(f"the query vectors have the shape {queries.shape}, the index holds vectors of length {dim}")
    if not math.isfinite(np.vdot(queries, queries)):
        # Their sum is not; float64 tells whether one of them is too long, or only all together.
        with np.errstate(over="ignore", invalid="ignore"):
            finite = np.isfinite(norms(queries))
        if not finite.all():
            raise UsageError(f"query vector {int(np.argmin(finite))} holds NaN or infinity, or is too long for float32")
    return queries


def _check_k(k: int) -> None:
    if k < 1:
        raise UsageError(f"k is {k}; ask for at least 1 hit")


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
