"""Why a document was found: its score as a sum over the words of its text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vecsearch import checks
from vecsearch.errors import UsageError
from vecsearch.index.hits import Hit
from vecsearch.index.index import Index
from vecsearch.metric import Metric
from vecsearch.text.forms import composed_places
from vecsearch.text.pieces import whole_words
from vecsearch.text.rules import SPECIAL_TOKENS

NEAR = 8
"""Characters that may lie between a token and the next, where both are as in the text."""
EACH_LOST = 10
"""Further characters for each one of the tokens that were not found: an entity such as &#12371; is one letter to the model."""
FARTHEST = 4096
"""Where nothing of the text is as the tokens have it, looking farther would only cost time."""
LONGEST_NUMBER = 10
"""Digits of more repeats than a text has letters: someone wrote the mark itself."""

_BLANK = r"(?:\s|<br />|nbsp;|\\n)"
"""What the text rules make whitespace of."""
_BLANKS = re.compile(f"{_BLANK}*")
_REPEATED = {"xxrep": "", "xxwrep": f"{_BLANK}+"}
"""The marks of repeats, before a number and what is repeated, with what may stand between two of these."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text, which is text[start:stop], and what it contributes to the score."""

    word: str
    start: int
    stop: int
    contribution: float


def explain(index: Index, query: np.ndarray, hit: Hit, *, metric: Metric | str | None = None) -> list[Word]:
    """The words of the passage, or else the text, that `hit` was found by; what they contribute adds up to its score.

    A vector that is the mean of its tokens' states makes every score with `query`, (dim,) float32, the sum of the states' own.
    Where the index was built in float32 the sum is exact to 1e-6 of the contributions' sizes; in bfloat16, to 0.003 of them,
    which is what its vectors were rounded by. Raises UsageError for an encoder or a pooling of which this is not known.
    """
    checks.instance("index", index, Index, give="an Index")
    checks.instance("hit", hit, Hit, give="one that the index found")
    metric = index.metric if metric is None else Metric(metric)
    query = checks.array("query", query)
    if query.shape != (index.dim,):
        raise UsageError(f"the query vector has the shape {query.shape}; give a single one, ({index.dim},)")
    text = hit.text if hit.passage is None else hit.passage
    tokens, parts = index.encoder.shares(text)
    shown, places = composed_places(text)  # as tokens have it
    words = by_word(shown, tokens, _contributions(parts, query, metric))
    return [_placed(word, text, places) for word in words]


def _placed(word: Word, text: str, places: Sequence[int]) -> Word:
    start, stop = places[word.start], places[word.stop]
    return Word(text[start:stop], start, stop, word.contribution)


def _contributions(parts: np.ndarray, query: np.ndarray, metric: Metric) -> np.ndarray:
    """What each of the parts (t, dim) of a vector adds to its score with `query`: (t,) float64."""
    products = np.einsum("td,d->t", parts, query, dtype=np.float64)
    if metric is Metric.INNER_PRODUCT:
        return products
    lengths = np.linalg.norm(parts.sum(axis=0, dtype=np.float64)) * np.linalg.norm(query.astype(np.float64))
    return products / lengths if lengths else products


def by_word(text: str, tokens: Sequence[str], contributions: Sequence[float]) -> list[Word]:
    """The words of `text` that the tokens stand for, in order; the contributions of all tokens are among theirs.

    Marks belong to the word that follows them. A token that is not in the text as it stands, such as é for &eacute;, is what
    lies between its neighbors. A text without letters has no word, and one of which no token is found is a single word.
    """
    words: list[Word] = []
    cursor, stop = _Cursor(text), 0
    waiting, lost, missing = 0.0, 0.0, 0
    named, amounts = whole_words(tokens, contributions)
    for (name, times, between), contribution in zip(_names(named), amounts, strict=True):
        waiting += contribution
        if not name:
            continue
        span = cursor.take(name, times, between)
        if span is None:
            lost, waiting, missing = lost + waiting, 0.0, missing + 1
            continue
        if missing:
            gap = _stripped(text, stop, span[0])
            if gap:
                words.append(Word(text[slice(*gap)], *gap, lost))
            else:
                waiting += lost
            lost, missing = 0.0, 0
        words.append(Word(text[slice(*span)], *span, waiting))
        waiting, stop = 0.0, span[1]
    # Of a text that was cut, what follows was not read: as many chunks as tokens are looked for at the most.
    chunks = list(re.compile(r"\S+").finditer(text, stop))[:missing]
    rest = (chunks[0].start(), chunks[-1].end()) if chunks else None if words else _stripped(text, 0, len(text))
    if rest:
        words.append(Word(text[slice(*rest)], *rest, lost + waiting))
    elif words:
        words[-1] = replace(words[-1], contribution=words[-1].contribution + lost + waiting)
    return words


def _names(tokens: Sequence[str]) -> Iterator[tuple[str, int, str]]:
    """Each token as it is looked for, "" where it stands for no letters; how many times, and with what between two of them."""
    plain = [token.replace("▁", " ").strip().casefold() for token in tokens]
    for mark, number, name in zip(["", "", *plain], ["", *plain], plain, strict=False):
        if name in SPECIAL_TOKENS or (number in _REPEATED and name.isdecimal()):
            yield "", 1, ""
        elif mark in _REPEATED and number.isdecimal() and len(number) < LONGEST_NUMBER:
            yield name, int(number), _REPEATED[mark]
        else:
            yield name, 1, ""


def _stripped(text: str, start: int, stop: int) -> tuple[int, int] | None:
    """text[start:stop] without blanks around it, if that leaves anything."""
    gap = text[start:stop]
    stripped = gap.strip()
    start += len(gap) - len(gap.lstrip())
    return (start, start + len(stripped)) if stripped else None


class _Cursor:
    """Finds tokens one after the other in a text, whatever its capitals."""

    def __init__(self, text: str) -> None:
        folded = [letter.casefold() for letter in text]
        self._text = "".join(folded)
        self._letters = [i for i, letters in enumerate(folded) for _ in letters]
        self._at = self._stop = self._lost = 0

    def take(self, name: str, times: int, between: str) -> tuple[int, int] | None:
        """Where in the text the name is next, as often as it is repeated; None where it is not near."""
        found = self._here(name, times, between) or self._near(name)
        if found is None or self._letters[found[0]] < self._stop:
            self._lost += len(name)
            return None
        start, self._stop = self._letters[found[0]], self._letters[found[1] - 1] + 1
        self._at, self._lost = found[1], 0
        return start, self._stop

    def _here(self, name: str, times: int, between: str) -> tuple[int, int] | None:
        at = _BLANKS.match(self._text, self._at).end()
        if 1 < times <= len(self._text):
            one = re.escape(name)
            repeated = re.compile(f"{one}(?:{between}{one}){{{times - 1}}}").match(self._text, at)
            if repeated:
                return repeated.span()
        spellings = (name, name.replace("…", "..."))
        return next(((at, at + len(spelt)) for spelt in spellings if self._text.startswith(spelt, at)), None)

    def _near(self, name: str) -> tuple[int, int] | None:
        """The next place that is a word of its own, so that a short token is not found within another."""
        one = rf"(?<!\w){re.escape(name)}(?!\w)" if name[0].isalnum() else re.escape(name)
        reach = len(name) + min(NEAR + EACH_LOST * self._lost, FARTHEST)
        found = re.compile(one).search(self._text, self._at, self._at + reach)
        return found.span() if found else None
