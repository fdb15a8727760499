"""Long texts as passages: runs of words of about so many tokens, each of which shares some with the one before."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from vecsearch import checks
from vecsearch.errors import UsageError

_WORD = re.compile(r"\S+")
_SENTENCE = re.compile(r"\S.*?(?:[.!?…][\"'”’)\]]*(?=\s)|[。！？]|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Chunks:
    """How long texts are split: into passages of at most `tokens` tokens, of which up to `overlap` are the last one's."""

    tokens: int
    overlap: int = 0

    def __post_init__(self) -> None:
        """Raises: TypeError: no whole numbers. UsageError: passages that are empty, or never come to the end of the text."""
        for name in ("tokens", "overlap"):
            object.__setattr__(self, name, checks.count(name, getattr(self, name), least=None))
        if self.tokens < 1 or not 0 <= self.overlap < self.tokens:
            raise UsageError(f"passages of {self.tokens} tokens cannot overlap by {self.overlap}; give 0 ≤ overlap < chunk")


def sentences(text: str) -> list[tuple[int, int]]:
    """Where each sentence begins and ends, in characters, told by the signs that end one; nothing but spaces lies between."""
    return [match.span() for match in _SENTENCE.finditer(text)]


class PassageSplitter:
    """Splits texts between words. `tokens` gives a text's tokens, the first of which marks its beginning.

    Each word's tokens are counted by themselves, so that a passage may have a few more or fewer than were asked for: what a
    model reads as one token across words, or marks of capitals that depend on their neighbors.
    """

    def __init__(self, chunks: Chunks, tokens: Callable[[str], list[str]]) -> None:
        self._chunks = chunks
        self._count = lru_cache(1 << 17)(lambda word: len(tokens(word)) - 1)

    def count(self, text: str) -> int:
        """How many tokens the words of a text have, each by itself."""
        return sum(max(1, self._count(match[0])) for match in _WORD.finditer(text))

    def split(self, text: str, most: int | None = None) -> list[tuple[int, int]]:
        """Where each passage begins and ends, in characters; a text without words is one passage. `most` stands in for the
        number of tokens."""
        most = self._chunks.tokens if most is None else most
        words = [match.span() for match in _WORD.finditer(text)]
        if not words:
            return [(0, len(text))]
        counts = [max(1, self._count(text[start:stop])) for start, stop in words]
        passages, first = [], 0
        while True:
            last, tokens = first, counts[first]
            while last + 1 < len(words) and tokens + counts[last + 1] <= most:
                last += 1
                tokens += counts[last]
            passages.append((words[first][0], words[last][1]))
            if last + 1 == len(words):
                return passages
            first = self._next(counts, first, last, most)

    def _next(self, counts: list[int], first: int, last: int, most: int) -> int:
        """The first word of the passage behind words first..last: it goes back for what overlaps, and never to `first`."""
        begin, shared = last + 1, 0
        # Without room for a word that is new, a passage would only be a part of the one before.
        room = min(self._chunks.overlap, most - counts[last + 1])
        while begin - 1 > first and shared + counts[begin - 1] <= room:
            begin -= 1
            shared += counts[begin]
        return begin
