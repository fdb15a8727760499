"""What an open index holds: what it is, its documents, and what is counted of their fields."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vecsearch import checks
from vecsearch.corpus.document import Document
from vecsearch.encoders import Encoder, Tally
from vecsearch.index.conditions import checked_condition
from vecsearch.index.facets import Facets
from vecsearch.index.field_values import Field
from vecsearch.index.hits import Hit
from vecsearch.index.parts import Missing
from vecsearch.index.view import View
from vecsearch.metric import Metric
from vecsearch.store.clusters import Clustering
from vecsearch.store.manifest import Manifest
from vecsearch.store.places import Places
from vecsearch.store.sources import read_sources


class Contents:
    """A generation of an index, open, and what it holds; `Reader` searches it as well."""

    def __init__(self, view: View) -> None:
        self._opened: View | None = view
        self._folder = view.snapshot.folder
        self._where = view.url or view.snapshot.folder

    @property
    def _view(self) -> View:
        """The generation that is shown. Raises ValueError, as Python's files do, for a closed index: every method begins with
        it."""
        if (view := self._opened) is None:
            raise ValueError(f"the index at {self._where} is closed: open it again with Index.open")
        return view

    def __repr__(self) -> str:
        """Where it lies and what it holds, so far as that costs nothing to say."""
        if self._opened is None:
            return f"<Index {self._where}: closed>"
        manifest, documents = self.manifest, f"{len(self):,} document{'s' * (len(self) != 1)}"
        what = f"generation {manifest.generation}, {documents}, dim {manifest.dim}, {manifest.metric}, {manifest.spec}"
        return f"<Index {self._where}: {what}>"

    # -- what it is --------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many documents it holds."""
        return self._view.documents_alive

    @property
    def manifest(self) -> Manifest:
        """What the index says of itself: metric, dim, encoder, counts, provenance, files."""
        return self._view.snapshot.manifest

    @property
    def folder(self) -> Path:
        """Where it lies; for one that was opened by a URL, its copy in the cache."""
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

    @property
    def clustering(self) -> Clustering | None:
        """The clusters that the index keeps, where it has any: `vecsearch.clustering` makes them."""
        return self._view.snapshot.clustering

    @property
    def places(self) -> Places | None:
        """The map that the index keeps, where it has one: `vecsearch.clustering` makes it."""
        return self._view.snapshot.places

    @property
    def earlier_words(self) -> bool:
        """Whether a part of the index is found by words only as an earlier vecsearch knew them, until it is compacted."""
        return self._view.earlier_words()

    @property
    def missing(self) -> list[Missing]:
        """What answers have lacked so far: of an index on an engine, opened with `partial`, what lost workers held."""
        return self._view.parts.missed

    # -- documents ---------------------------------------------------------------------------------------------------

    def documents(self, rows: Sequence[int]) -> list[Document]:
        """The documents at `rows`, in that order. Raises UsageError for a row that there is not."""
        view = self._view
        return view.documents(checks.rows("rows", rows, view.snapshot.manifest.rows).tolist())

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

    def known(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that documents of the index have."""
        return set(self._view.known(checks.texts("ids", ids, call="index.known")))

    def vectors(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """The stored vectors at `rows`: (n, dim) float32, as encoded. Raises UsageError for a row that there is not."""
        view = self._view
        return view.vectors(checks.rows("rows", rows, view.snapshot.manifest.rows))

    def file_of(self, hit: Hit) -> str | None:
        """The path of the file that a hit is a passage of; None where it is of none."""
        from vecsearch.corpus.folder.files import Files

        folder = self._view.snapshot.folder
        checks.instance("hit", hit, Hit, give="one that the index found")
        name, data = hit.fields.get("path"), read_sources(folder, self.manifest)
        return None if data is None or not isinstance(name, str) else Files.from_bytes(data).tree.path(name)

    def browse(self, where: str | None = None, offset: int = 0, k: int = 10) -> list[Hit]:
        """The documents that meet a condition, or all, as they are stored one after another: k after the first `offset`.

        Their score is None: nothing was asked that they could be good for. `count(where)` says how many there are. Raises
        UsageError as `search` does.
        """
        view, where = self._view, checked_condition(where)
        offset = checks.count("offset", offset, most=checks.MANY)
        return view.browse(where, offset, checks.count("k", k, least=1, most=checks.MANY))

    # -- counted -----------------------------------------------------------------------------------------------------

    def count(self, where: str | None = None, *, words: str | None = None) -> int:
        """How many documents meet a condition, and with `words` have a word of that text, as `keywords` finds them.

        The rows that meet a condition are kept for those who ask by the same one next. Raises UsageError for a condition that
        cannot be read, or takes too long.
        """
        view, words = self._view, None if words is None else checks.text("words", words)
        return view.facets((), checked_condition(where), words, 1).documents

    def facets(self, names: Sequence[str], *, where: str | None = None, words: str | None = None, limit: int = 10) -> Facets:
        """How many documents `count` would count, and for each of these fields its `limit` most common values among them.

        The name "cluster" stands for the number of a document's cluster, in an index that has clusters and no such field. The
        first call for a field reads its values, the next ones only count. Raises UsageError for a field that no document has,
        and as `count` does.
        """
        view, names = self._view, checks.texts("names", names, call="index.facets")
        words, limit = None if words is None else checks.text("words", words), checks.count("limit", limit, least=1)
        return view.facets(names, checked_condition(where), words, min(limit, checks.MANY))

    def fields(self) -> list[Field]:
        """The fields of its documents: their kinds of values, how many there are, and which are the most common.

        Those that most documents have come first. The first call of a generation reads the fields of all documents.
        """
        return self._view.fields()

    def examples(self) -> list[str]:
        """Up to six conditions on its own fields, such as "year >= 1957", each of which some document meets: what a person who
        has never written one can begin with."""
        return self._view.examples()
