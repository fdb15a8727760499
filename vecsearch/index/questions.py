"""Questions made of the documents of an index, with which it is tuned and its recall proved: most of what users ask is short,
and a short text has its neighbors elsewhere than a document.

A question is what a document is called: its title, or what else names it. Of one without a name it is some words from any place
of its text, as many as questions have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from vecsearch.corpus.document import TITLES, title_of
from vecsearch.encoders import can_open, open_encoder
from vecsearch.encoders.base import Encoder, encode_texts
from vecsearch.errors import UsageError, VecsearchError, VectorsError
from vecsearch.metric import norms
from vecsearch.progress import Progress
from vecsearch.store.documents import Documents
from vecsearch.text.wording import word_spans

LEAST_WORDS, MOST_WORDS = 5, 12
"""Words of a question made of a text. Fewer have neighbors that are harder to find than those of what is asked, and a sentence
has neighbors that are easier to find."""
LEAST_ASKED = 0.5
"""Share of the documents that have to make a question: what few of them make says little of the rest. Where most texts are as
short as a question, they are asked themselves."""
LONGEST_NAME = 300
"""Characters: what is longer names nothing."""
_NAMES = tuple(name for name in TITLES if name != "path")  # nobody asks in paths
_WINDOW = 1000
"""Characters of a text that are looked at, from any place on: it may be a book."""

OpenEncoder = Callable[[], Encoder | None]
"""Opens the encoder of an index's texts when it is first needed; gives None where there is none."""


@dataclass
class Made:
    """Questions of documents, as texts, "" of one that makes none; how many of them are names, and how many parts of texts."""

    texts: list[str] = field(default_factory=list)
    names: int = 0
    parts: int = 0

    def add(self, *texts: str, names: int = 0, parts: int = 0) -> None:
        self.texts += texts
        self.names += names
        self.parts += parts


def questions(documents: Documents, rows: np.ndarray, first: int = 0) -> Made:
    """A question of the document of each of the rows (r,) of a segment, which has `first` rows of its index before it: the same
    for the same row, whoever makes it, and however the index is divided."""
    made = Made()
    for row, number in zip(rows.tolist(), documents.numbers(rows).tolist(), strict=True):
        (document,) = documents.get([number])
        name = (title_of(document.fields, _NAMES) or "").strip()
        if 0 < len(name) <= LONGEST_NAME:
            made.add(name, names=1)
        else:
            start, stop = documents.span(row) or (0, len(document.text))
            part = some_words(document.text[start:stop], np.random.default_rng(first + row))
            made.add(part, parts=bool(part))
    return made


def some_words(text: str, rng: np.random.Generator) -> str:
    """Words that follow one another somewhere in a text, LEAST_WORDS to MOST_WORDS; "" of a text that has no more than the
    least: it is as short as a question itself."""
    start = int(rng.integers(0, max(0, len(text) - _WINDOW) + 1))
    window = text[start : start + _WINDOW]
    words = word_spans(window)
    # At either end of the window a word may have been cut.
    words = words[start > 0 : len(words) - (start + _WINDOW < len(text))]
    if len(words) <= LEAST_WORDS:
        return ""
    count = min(int(rng.integers(LEAST_WORDS, MOST_WORDS + 1)), len(words))
    first = int(rng.integers(0, len(words) - count + 1))
    return window[words[first][0] : words[first + count - 1][1]]


def asking(
    questions_of: Callable[[np.ndarray], Made], encoder: OpenEncoder, progress: Progress
) -> Callable[[np.ndarray], np.ndarray | None]:
    """Gives the vectors, (r, d) float32, of what `questions_of` makes of rows (r,), the zero vector of one that makes none.

    None where few documents make a question, or nothing can encode it. `progress` is told what was made, and what could not be.
    """

    def ask(rows: np.ndarray) -> np.ndarray | None:
        made = questions_of(rows)
        if made.names + made.parts < LEAST_ASKED * len(rows):
            return None
        try:
            opened = encoder()
        except VecsearchError as error:
            progress.note(f"the recall is measured with documents alone, and not with questions made of them: {error}")
            return None
        vectors = _encoded(made.texts, opened)
        if vectors is not None:
            progress.note(f"the recall is measured with questions as well: {made.names:,} names, {made.parts:,} parts of texts")
        return vectors

    return ask


def _encoded(texts: Sequence[str], encoder: Encoder | None) -> np.ndarray | None:
    """Vectors of texts (n, d) float32, the zero vector of "", if there is an encoder that knows words of most of them. Raises
    VectorsError for what is no vector."""
    if encoder is None:
        return None
    vectors = np.zeros((len(texts), encoder.dim), np.float32)
    some = [place for place, text in enumerate(texts) if text]
    vectors[some] = encode_texts(encoder, [texts[place] for place in some])
    if len(bad := np.flatnonzero(~np.isfinite(norms(vectors)))):
        raise VectorsError(
            f"the vector of the question {texts[bad[0]]!r:.100} holds NaN or infinity, or is too long for float32"
        )
    return vectors if np.mean(vectors.any(axis=1)) >= LEAST_ASKED else None


def carried(folder: Path | None, *, check: bool = True) -> Encoder | None:
    """The encoder in its folder within an index, if it is one that vecsearch can open; without `check` its files have been
    hashed."""
    return open_encoder(folder, check=check) if folder and can_open(folder) else None


def encoder_of(folder: Path | None, given: Encoder | None) -> OpenEncoder:
    """Opens, once, the encoder of an index's texts: a caller's own where it is given, or else that in its folder in the index,
    if it has one. What opens it raises UsageError where that is a caller's own and not given."""

    def opened() -> Encoder | None:
        found = given or carried(folder)
        if found is None and folder is not None:
            raise UsageError("the encoder of the index is one of your own, and was not given")
        return found

    return cache(opened)
