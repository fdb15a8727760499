"""Chunks of texts, which are what whitespace sets apart and whitespace that is a token itself, and what is made of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, chain
from typing import TypeVar

from vecsearch.text.rules import BOS, CASE_MARKS, clean, clean_with_repeated_words, mark_case, repeated_words, single_spaces
from vecsearch.text.splitting import TokenSplitter

_BEGIN = ""
"""Stands for the beginning of a text among chunks, of which none is empty."""
# Whitespace is a token from its first character that is not a space.
_LINE_BREAKS = re.compile(r"(\n\s*)")
_WHITESPACE = re.compile("([\t-\r\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]\\s*)")
Made = TypeVar("Made", tuple[str, ...], bytes)


def chunks_of(texts: Sequence[str]) -> tuple[list[str], list[int]]:
    """Words and whitespace tokens of texts after the rules that look beyond a chunk, and where each text begins among them."""
    cleaned = clean(texts)
    chunks, begins, words = _split(cleaned)
    if places := repeated_words(words):
        texts_of = [*accumulate(map(_BEGIN.__eq__, words))]
        for number in {texts_of[place] - 1 for place in places}:
            cleaned[number] = clean_with_repeated_words(texts[number])
        chunks, begins, _ = _split(cleaned)
    return chunks, begins


def _split(texts: Iterable[str]) -> tuple[list[str], list[int], list[str]]:
    """Words and whitespace tokens of clean texts, each text behind `_BEGIN`; where these stand; all but the whitespace."""
    chunks: list[str] = []
    words: list[str] = []
    begins = []
    for text in map(str.strip, texts):
        begins.append(len(chunks))
        chunks.append(_BEGIN)
        words.append(_BEGIN)
        if text.isprintable():  # which no whitespace is but the space
            found = text.split()
            chunks += found
            words += found
            continue
        only_lines = text.replace("\n", "").isprintable()
        for part in (_LINE_BREAKS if only_lines else _WHITESPACE).split(text):
            found = part.split()
            chunks += found or (part,)
            words += found
    return chunks, begins, words


class ChunkMemo(dict[str, Made]):
    """Chunk, with its capitals -> what is made of its tokens, for the chunks met lately; what is empty its neighbors decide.

    Threads may share it: each step is one operation of a dict, and losing a race costs only a second computation.
    """

    longest = 64  # a longer chunk is hardly met twice

    def __init__(self, splitter: TokenSplitter, make: Callable[[Sequence[str]], Made], most: int) -> None:
        self.make = make
        self._splitter, self._most = splitter, most
        self._marks = {mark: splitter.split_chunk(mark) for mark in CASE_MARKS}
        self._older: dict[str, Made] = {}

    def __missing__(self, chunk: str) -> Made:
        made = self._older.get(chunk) or self.make(self._alone(chunk))
        if len(chunk) <= self.longest:
            if len(self) >= self._most:
                self._older = dict(self)
                self.clear()
            self[chunk] = made
        return made

    def of(self, chunks: list[str]) -> list[Made]:
        """What is made of the tokens of chunks in a row: of each, or of several at the first of them."""
        parts = list(map(self.__getitem__, chunks))
        if not all(parts):
            self._join(chunks, parts)
        return parts

    def _alone(self, chunk: str) -> Sequence[str]:
        """The tokens of a chunk; none where a special case is joined among them: one with its neighbors may prevent that."""
        if not chunk.strip():
            return shown(chain.from_iterable(self._parts(chunk)))
        mark, _, word = mark_case(chunk).rpartition(" ")
        tokens = self._splitter.split_chunk(word)
        if self._splitter.has_cases(tokens) and (*self._splitter.join_cases([tokens]),) != tokens:
            return ()
        return (*self._marks[mark], *tokens) if mark else tokens

    def _parts(self, chunk: str) -> list[tuple[str, ...]]:
        """The tokens of a chunk and before them those of the mark for its capitals, no special cases joined."""
        if chunk == _BEGIN:
            return [(BOS,)]
        words = [single_spaces(chunk)] if chunk.isspace() else mark_case(chunk).split(" ")
        return list(map(self._splitter.split_chunk, words))

    def _join(self, chunks: list[str], parts: list[Made]) -> None:
        """Put into the empty `parts` what is made of their chunks' tokens with special cases joined.

        spaCy looks for all that special cases are cut into, and joins nothing that overlaps more tokens of that kind, were they
        of two words, which are no case. Each of them is in `case_tokens`: none reaches over a place where a token is not.
        """
        stop = 0
        for place in [place for place, part in enumerate(parts) if not part]:
            if place < stop:
                continue
            start, stop = place, place + 1
            while start and self._reaches(chunks[start - 1], chunks[start]):
                start -= 1
            while stop < len(chunks) and self._reaches(chunks[stop - 1], chunks[stop]):
                stop += 1
            tokens = self._splitter.join_cases(part for chunk in chunks[start:stop] for part in self._parts(chunk))
            parts[start:stop] = [self.make(shown(tokens)), *[self.make(())] * (stop - start - 1)]

    def _reaches(self, before: str, after: str) -> bool:
        """Whether a special case may be found across two chunks."""
        cases = self._splitter.case_tokens
        return _BEGIN not in (before, after) and self._parts(before)[-1][-1] in cases and self._parts(after)[0][0] in cases


def shown(tokens: Iterable[str]) -> list[str]:
    """fastai's one rule for tokens, `replace_space`: a token holds no space, so that tokens can be joined by spaces."""
    return [token.replace(" ", "▁") for token in tokens]
