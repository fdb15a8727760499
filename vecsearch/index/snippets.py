"""What of a document to show for a query: its best sentence, with the words that answer marked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vecsearch.corpus.passages import sentences
from vecsearch.errors import UsageError
from vecsearch.index.explain import explain
from vecsearch.index.hits import Hit
from vecsearch.index.index import Index
from vecsearch.text.analysis import analyser
from vecsearch.text.languages import NONE

LONGEST = 240
"""Characters of a snippet, so that it fits on three lines."""
MARKED = 3
"""Words that are marked where none of the query's is there: those that meaning counts most."""
TABLE = " | "
"""Between the cells of a row."""
_PARAGRAPH = re.compile(r"(?:.+\n?)+")
_ROW = re.compile(r"\S.*")
_WORD = re.compile(r"\w+(?:['’]\w+)*")


@dataclass(frozen=True, slots=True)
class Snippet:
    """A part of a document's text, and from which character of it to which each marked word stands."""

    text: str
    marks: list[tuple[int, int]]


class Snippets:
    """The snippets of one query."""

    def __init__(self, index: Index, query: str) -> None:
        self._index, self.query = index, query
        self._analyse = analyser(index.manifest.language or NONE)
        self._stems = {stem for word in self._analyse.words(query) if self._analyse.decides(word.form) for stem in word.stems}
        self._vector: np.ndarray | None = None

    def of(self, hit: Hit) -> Snippet:
        """The sentence of the hit that has most of the query's words; where it has none, the one that its meaning is from."""
        text = body(hit)
        spans = list(_spans(text))
        if not spans:
            return Snippet("", [])
        words = [(*match.span(), stems) for match in _WORD.finditer(text) if (stems := self._asked(match[0]))]
        if words:
            best = max(spans, key=lambda span: len(set().union(*(s for a, b, s in words if span[0] <= a and b <= span[1]))))
            return _cut(text, best, [(first, last) for first, last, _ in words])
        counted = self._meaning(hit, len(_whole(hit)) - len(text))
        sums = [sum(count for first, last, count in counted if a <= first and last <= b) for a, b in spans]
        best = spans[int(np.argmax(sums))] if counted else spans[0]
        inside = [word for word in counted if best[0] <= word[0] and word[1] <= best[1] and word[2] > 0]
        most = sorted(inside, key=lambda word: -word[2])[:MARKED]
        most = [word for word in most if word[2] >= most[0][2] / 2]
        return _cut(text, best, sorted((first, last) for first, last, _ in most))

    def _asked(self, word: str) -> set[str]:
        return {stem for part in self._analyse.words(word) for stem in part.stems if stem in self._stems}

    def _meaning(self, hit: Hit, shift: int) -> list[tuple[int, int, float]]:
        """Where each word of the hit's body stands, and what it contributes to the score; none where that is not known."""
        if self._index.manifest.encoder is None:
            return []
        try:
            if self._vector is None:
                self._vector = self._index.encode([self.query])[0]
            if not self._vector.any():  # nothing in the query has a meaning
                return []
            words = explain(self._index, self._vector, hit)
        except UsageError:  # an encoder whose vectors are no sums
            return []
        return [(word.start - shift, word.stop - shift, word.contribution) for word in words if word.start >= shift]


def body(hit: Hit) -> str:
    """The text of a hit, or the passage that was found, without the headings that a file's passage begins with."""
    text, heading = _whole(hit), hit.fields.get("heading")
    return text[len(heading) :].lstrip("\n") if isinstance(heading, str) and text.startswith(f"{heading}\n\n") else text


def _whole(hit: Hit) -> str:
    return hit.text if hit.passage is None else hit.passage


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """The sentences of each paragraph, and the rows of each table."""
    for paragraph in _PARAGRAPH.finditer(text):
        rows = _ROW.finditer(paragraph[0]) if TABLE in paragraph[0] else ()
        for first, last in [row.span() for row in rows] or sentences(paragraph[0]):
            yield paragraph.start() + first, paragraph.start() + last


def _cut(text: str, span: tuple[int, int], marks: list[tuple[int, int]]) -> Snippet:
    """The sentence, or the part of a long one in which marks begin."""
    first, last = span
    inside = [mark for mark in marks if first <= mark[0] and mark[1] <= last]
    before, behind = "", ""
    if last - first > LONGEST:
        begin = max(first, min(inside[0][0] - LONGEST // 4, last - LONGEST)) if inside else first
        if begin > first:
            begin = max(begin, text.find(" ", begin, begin + LONGEST // 8) + 1)
            before = "… "
        first, last, behind = begin, min(begin + LONGEST, last), "…" if begin + LONGEST < last else ""
    shown = text[first:last].rstrip()
    shift = len(before) - first
    inside = [(a + shift, b + shift) for a, b in inside if a >= first and b <= first + len(shown)]
    return Snippet(before + shown + behind, inside)
