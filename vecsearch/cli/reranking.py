"""`--rerank`: the best hits ranked again, and what that took."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING

from vecsearch.cli.output import note

if TYPE_CHECKING:
    from vecsearch.index.hits import Hit

Ask = Callable[[list[str], int], list[list["Hit"]]]
"""From texts and a number to as many hits for each."""


class Reranking:
    """Ranks the best hits of texts again, and remembers how long that took."""

    def __init__(self, folder: str, k: int, candidates: int | None) -> None:
        from vecsearch.encoders.reranking import open_reranker
        from vecsearch.index.rerank import CANDIDATES

        self._reranker, self._folder, self._candidates = open_reranker(folder), folder, max(k, candidates or CANDIDATES)
        self._seconds, self._texts, self._hits = 0.0, 0, 0

    def after(self, ask: Ask) -> Ask:
        """What asks as `ask` does, and ranks again."""
        from vecsearch.index.rerank import rerank

        def asked(texts: list[str], k: int) -> list[list[Hit]]:
            found = ask(texts, self._candidates)
            started = perf_counter()
            ranked = rerank(self._reranker, texts, found, k)
            self._seconds += perf_counter() - started
            self._texts, self._hits = self._texts + len(texts), self._hits + sum(map(len, found))
            return ranked

        return asked

    def note_time(self) -> None:
        """Say what it cost."""
        if self._hits:
            note(
                f"note: {self._hits:,} hits ranked again by {self._folder}: "
                f"{1000 * self._seconds / self._texts:,.0f} ms a query, opening the model included"
            )
