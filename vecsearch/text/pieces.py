"""Words outside a vocabulary as pieces that it has: WordPiece, as BERT splits words.

Schuster and Nakajima 2012, Japanese and Korean voice search; Devlin and others 2019, BERT. A piece that goes on within a word
begins with "##" in the vocabulary: fastai's rules set a # apart, so that no word does.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from vecsearch.text.forms import without_accents

CONTINUES = "##"
"""What a piece begins with that is not a word's first."""
_PARTS = re.compile(r"[^\W_]+|[\W_]")
LONGEST = 64
"""Letters of a word that is split into pieces; what is longer is no word."""


def pieces_of(word: str, known: Collection[str]) -> tuple[str, ...]:
    """The longest known beginning of a word, then the longest known piece of what is left, and so on; () where that fails."""
    found: list[str] = []
    start = 0 if len(word) <= LONGEST else len(word)
    while start < len(word):
        for stop in range(len(word), start, -1):
            piece = CONTINUES + word[start:stop] if start else word[:stop]
            if piece in known:
                break
        else:
            return ()
        found.append(piece)
        start = stop
    return tuple(found)


def known_parts(word: str, known: Collection[str]) -> tuple[str, ...]:
    """What of a word is known: its pieces, or those of the word without accents, or those of what stands between its signs and
    the signs themselves; () where nothing is."""
    whole = pieces_of(word, known) or pieces_of(without_accents(word), known)
    parts = _PARTS.findall(word)
    return whole or (tuple(piece for part in parts for piece in known_parts(part, known)) if len(parts) > 1 else ())


def whole_words(tokens: Sequence[str], amounts: Sequence[float]) -> tuple[list[str], list[float]]:
    """Tokens and an amount of each, with the pieces of a word put together again and their amounts added up."""
    words: list[str] = []
    sums: list[float] = []
    for token, amount in zip(tokens, map(float, amounts), strict=True):
        if words and token.startswith(CONTINUES) and token != CONTINUES:
            words[-1] += token.removeprefix(CONTINUES)
            sums[-1] += amount
        else:
            words.append(token)
            sums.append(amount)
    return words, sums
