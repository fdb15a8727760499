"""How `query` asks an index: by meaning, by words or by both, perhaps ranked again or explained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from vecsearch.cli.conditions import condition
from vecsearch.cli.hits import why_no_words, why_nothing
from vecsearch.cli.marks import encode_marked
from vecsearch.cli.output import note
from vecsearch.cli.reranking import Ask, Reranking
from vecsearch.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from vecsearch.index.explain import Word
    from vecsearch.index.hits import Hit
    from vecsearch.index.index import Index
    from vecsearch.index.snippets import Snippet, Snippets

MEANING, KEYWORDS, HYBRID = "meaning", "keywords", "hybrid"
"""Ways to ask; the last is by both."""

WordsOf = Callable[[str, "Hit"], list["Word"]]
"""From a text and one of its hits to what each word of the hit contributes."""


@dataclass(frozen=True, kw_only=True)
class How:
    """The options of `query` that say how an index is asked, each as it was given."""

    k: int
    metric: str | None
    exact: bool
    where: str | None
    cluster: int | None
    min_score: float | None
    meaning: bool
    keywords: bool
    hybrid: bool
    weights: tuple[float, float] | None
    fusion: str | None
    rerank: str | None
    candidates: int | None
    marked: bool
    explain: bool


class Asking:
    """Asks an index in one way, and says why it finds nothing.

    Raises UsageError for options that make no sense for this index.
    """

    def __init__(self, index: Index, how: How, *, texts: bool) -> None:
        from vecsearch.metric import Metric

        self._index, self._how = index, how
        self._way = _way(index, how) if texts else MEANING
        if (how.weights or how.fusion) and self._way != HYBRID:
            raise UsageError(f"--weights and --fusion need --hybrid: what you ask for is found by {self._way}")
        if texts and how.min_score is not None and self._way == MEANING and not how.meaning and _holds_texts(index):
            note("note: by meaning alone, whose scores --min-score bounds; --hybrid bounds those of meaning and words")
        self._where = condition(index, how.where, how.cluster)
        self._metric = Metric(how.metric) if how.metric else None
        self._again = Reranking(how.rerank, how.k, how.candidates) if how.rerank is not None else None
        self._snippets: Snippets | None = None
        self._ask = self._again.after(self._asked()) if self._again else self._asked()

    def _asked(self) -> Ask:
        """What asks for texts, without anything that comes after."""
        how, where = self._how, self._where
        if self._way == KEYWORDS:
            return partial(self._index.keywords, where=where)
        if self._way == HYBRID:
            fusion = how.fusion or "scores"
            return partial(self._index.hybrid, weights=how.weights, fusion=fusion, exact=how.exact, where=where)
        return partial(self._index.query, metric=self._metric, exact=how.exact, where=where)

    def by_vectors(self, vectors: np.ndarray) -> list[list[Hit]]:
        """The hits of each of the vectors, (n, dim)."""
        how = self._how
        return self._index.nearest(vectors, how.k, metric=self._metric, exact=how.exact, where=self._where)

    def by_texts(self, texts: list[str], places: list[str]) -> tuple[list[list[Hit]], WordsOf | None]:
        """The hits of each of the texts, whose places name them in notes; and with --explain what explains a hit."""
        if not (self._how.explain or self._how.marked):
            return self._ask(texts, self._how.k), None
        encoder = self._index.encoder
        vectors = encode_marked(encoder, texts, places) if self._how.marked else self._index.encode(texts)
        # A zero vector is as near to everything: its text has no word that the model knows.
        found = [hits if vector.any() else [] for hits, vector in zip(self.by_vectors(vectors), vectors, strict=True)]
        return found, self._explaining(texts, vectors) if self._how.explain else None

    def _explaining(self, texts: list[str], vectors: np.ndarray) -> WordsOf:
        from vecsearch.index.explain import explain

        asked: dict[str, Any] = dict(zip(texts, vectors, strict=True))
        return lambda text, hit: explain(self._index, asked[text], hit, metric=self._metric)

    def snippet(self, query: str, hit: Hit) -> Snippet:
        """What of a hit to show for a query."""
        from vecsearch.index.snippets import Snippets

        if self._snippets is None or self._snippets.query != query:
            self._snippets = Snippets(self._index, query)
        return self._snippets.of(hit)

    def why_nothing(self, query: str) -> str:
        """Why a query may find nothing."""
        if self._where is not None and not self._index.count(self._where):
            return "no document meets the condition"
        by_words = why_no_words(query, earlier=self._index.earlier_words)
        if self._way == KEYWORDS:
            return by_words
        return f"{why_nothing(query)}{f', and {by_words}' if self._way == HYBRID else ''}"

    def note_time(self) -> None:
        """Say what --rerank took."""
        if self._again:
            self._again.note_time()


def _way(index: Index, how: How) -> str:
    """How texts are asked for. Scores of a metric's own are those of meaning alone."""
    if how.keywords or how.hybrid:
        return KEYWORDS if how.keywords else HYBRID
    if how.meaning or not _holds_texts(index):
        return MEANING
    own_scores = how.metric or how.explain or how.marked or how.min_score is not None
    return MEANING if own_scores else HYBRID


def _holds_texts(index: Index) -> bool:
    """Whether its documents are texts that its encoder read, and no vocabulary's words."""
    return index.manifest.encoder is not None and "all_words" not in index.manifest.provenance
