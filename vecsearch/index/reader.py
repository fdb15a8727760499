"""What an open index holds, and how it is searched: by vector, by text, by words, or by a document of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch import checks
from vecsearch.corpus.document import Document
from vecsearch.corpus.folder.files import Files
from vecsearch.encoders import Encoder, Tally
from vecsearch.errors import UsageError
from vecsearch.index.conditions import checked_condition, remarks
from vecsearch.index.hits import Candidates, Fusion, Hit, Neighbors, checked_neighbors, two_weights
from vecsearch.index.view import View
from vecsearch.metric import Metric, checked_queries
from vecsearch.store.clusters import Clustering
from vecsearch.store.manifest import Manifest
from vecsearch.store.postings import POSTINGS
from vecsearch.store.sources import read_sources

EQUAL = (1.0, 1.0)
"""Weights of meaning and words where nothing else is known."""


class Reader:
    """A generation of an index, open: what it holds, and what is found in it. `Index` is one that can be changed as well."""

    def __init__(self, view: View) -> None:
        self._opened: View | None = view
        self._folder = view.snapshot.folder

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
        what = f"generation {manifest.generation}, {documents}, dim {manifest.dim}, {manifest.metric}, {manifest.spec}"
        return f"<Index {self._folder}: {what}>"

    # -- what it holds -----------------------------------------------------------------------------------------------

    def file_of(self, hit: Hit) -> str | None:
        """The path of the file that a hit is a passage of; None where it is of none."""
        folder = self._view.snapshot.folder
        checks.instance("hit", hit, Hit, give="one that the index found")
        name, data = hit.fields.get("path"), read_sources(folder, self.manifest)
        return None if data is None or not isinstance(name, str) else Files.from_bytes(data).tree.path(name)

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
        encoder = self._view.encoder
        return encoder.tally if encoder else None

    @property
    def encoder(self) -> Encoder:
        """The encoder that made its vectors. Raises UsageError for an index that does not carry one of vecsearch's own."""
        return self._view.queries_encoder

    def documents(self, rows: Sequence[int]) -> list[Document]:
        """The documents at `rows`, in that order. Raises UsageError for a row that there is not."""
        view = self._view
        return [view.stored(row)[0] for row in checks.rows("rows", rows, view.snapshot.manifest.rows).tolist()]

    def rows(self, ids: Sequence[str]) -> list[int]:
        """The rows of the documents with these ids, the first of each where texts are split into passages.

        Raises UsageError naming the ids that the index does not have.
        """
        return [rows[0] for rows in self._view.rows(checks.texts("ids", ids, call="index.rows"))]

    def count(self, where: str) -> int:
        """How many documents meet a condition. Raises UsageError for one that cannot be read."""
        return self._view.count(checked_condition(where))

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
        return view.search(checked_queries(vectors, view.dim), k, **options)

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
        return view.nearest(checked_queries(vectors, view.dim), k, **options)

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
        return view.query(texts, _hits_wanted(k, view), **_options(metric, exact, where))

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
        view, ids = self._view, checks.texts("ids", ids, call="index.similar")
        return view.similar(ids, _hits_wanted(k, view), **_options(metric, exact, where))

    def keywords(self, texts: Sequence[str], k: int = 10, *, where: str | None = None) -> list[list[Hit]]:
        """The k best documents for each text by the words they share, scored by BM25; a "phrase in quotes" has to be there.

        Finds names, codes and rare words that the model has never seen. Raises UsageError as `search` does.
        """
        view, texts = self._view, checks.texts("texts", texts, call="index.keywords")
        return view.keywords(texts, _hits_wanted(k, view), where=checked_condition(where))

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
        weights = two_weights((self.manifest.weights or EQUAL) if weights is None else weights)
        k, fusion, exact = _hits_wanted(k, view), Fusion(fusion), checks.flag("exact", exact)
        return view.hybrid(texts, k, weights, fusion, exact=exact, where=checked_condition(where))

    def candidates(self, texts: Sequence[str]) -> list[Candidates]:
        """The 100 best documents for each text by meaning and as many by words, with both scores: what `hybrid` weighs."""
        view, texts = self._view, checks.texts("texts", texts, call="index.candidates")
        return [both for _, _, both in view.candidates(texts)]

    def hits(self, neighbors: Neighbors) -> list[list[Hit]]:
        """The documents behind rows and scores, a list for each query; documents that were split may come several times."""
        view = self._view
        return view.hits(checked_neighbors(neighbors, view.snapshot.manifest.rows))

    def encode(self, texts: Sequence[str], *, marked: bool = False) -> np.ndarray:
        """Query vectors of `texts`, (n, dim) float32; if `marked`, that of the [[marked]] word as its sentence uses it.

        Raises UsageError for marks where the encoder's words are the same in any context, DataError for a mark that is none.
        """
        view, texts = self._view, checks.texts("texts", texts, call="index.encode")
        return view.encode(texts, marked=checks.flag("marked", marked))

    def remarks(self, where: str) -> list[str]:
        """What a person should know of the answer to a condition, a sentence each: how many texts it passes over because it
        compares their field with a number, and which of its names mean two things. Raises UsageError as `search` does."""
        return remarks(self._view.snapshot, checks.text("where", where))


def _hits_wanted(k: int, view: View) -> int:
    """How many hits are looked for: k, or as many as there are rows. Raises TypeError, and UsageError for k < 1."""
    k = checks.count("k", k, least=None)
    if k < 1:
        raise UsageError(f"k is {k}; ask for at least 1 hit")
    return min(k, max(1, view.snapshot.manifest.rows))


def _options(metric: Metric | str | None, exact: bool, where: str | None) -> dict[str, Any]:
    """What a search is asked for beside vectors, looked at. Raises TypeError, and UsageError for an unknown metric."""
    metric = None if metric is None else Metric(metric)
    return {"metric": metric, "exact": checks.flag("exact", exact), "where": checked_condition(where)}
