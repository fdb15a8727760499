"""One word in the forms that Unicode has for it: é as one character or as two, full-width letters, ligatures, what is not seen.

Texts are composed (NFC) before anything else, which changes none that is composed already. Only a word that a model does not
have as it stands is then looked up in its plain form: what a model knows stays what it was trained on.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

# Soft hyphens, joiners, marks of direction, variation selectors: what Unicode calls ignorable, and may stand within a word.
_RANGES = ((0x200C, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0xFE00, 0xFE0F))
_UNSEEN = dict.fromkeys([0xAD, 0x34F, 0x61C, 0x180E, 0xFEFF, *(code for low, high in _RANGES for code in range(low, high + 1))])
_BREAK = "\u200b"
"""The zero-width space, between two words or within one."""


def composed(text: str) -> str:
    """`text` in normal form C."""
    return text if text.isascii() or unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def plain_form(word: str, *, between: str = "") -> str:
    """A word in lower case and in normal form KC, without what is not seen; `between` stands for zero-width spaces."""
    seen = word.translate(_UNSEEN).replace(_BREAK, between)
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", seen).lower())


def without_accents(word: str) -> str:
    """A word's letters without the marks on them: é is e."""
    return "".join(character for character in unicodedata.normalize("NFD", word) if unicodedata.category(character) != "Mn")


def known_forms(
    tokens: Sequence[str], known: Mapping[str, int], others: Mapping[str, str], split: Callable[[str], Sequence[str]]
) -> list[str]:
    """The tokens, with those that are not `known` in a form that is.

    `others` has words as they are known by their composed form, where that is another. A plain form that is no word as a whole
    is `split` into tokens, and taken where one of these is known.
    """
    strange = [token for token in set(tokens).difference(known) if not token.isascii()]
    forms = {token: _form(token, known, others, split) for token in strange}
    return [form for token in tokens for form in forms.get(token, (token,))] if forms else list(tokens)


def _form(
    token: str, known: Mapping[str, int], others: Mapping[str, str], split: Callable[[str], Sequence[str]]
) -> Sequence[str]:
    if token in others:
        return (others[token],)
    form = plain_form(token)
    if form == token:
        return (token,)
    for whole in (form, others.get(form, form)):
        if whole in known:
            return (whole,)
    if not form:
        return ()  # nothing of it is seen
    parts = split(plain_form(token, between=" "))
    return parts if any(part in known for part in parts) else (token,)


def composed_places(text: str) -> tuple[str, Sequence[int]]:
    """`text` in normal form C, and where in `text` each of its characters begins, with the end of `text` behind them."""
    whole = composed(text)
    if whole == text:
        return text, range(len(text) + 1)
    begins = [i for i, character in enumerate(text) if not i or not _joins(character)]
    parts: list[str] = []
    places: list[int] = []
    for start, stop in pairwise([*begins, len(text)]):
        cluster = text[start:stop]
        parts.append(composed(cluster))
        # Of what is composed to several characters only the first has a place that is sure.
        places += [start + (i if parts[-1] == cluster else 0) for i in range(len(parts[-1]))]
    return ("".join(parts), [*places, len(text)]) if "".join(parts) == whole else (text, range(len(text) + 1))


def _joins(character: str) -> bool:
    """Whether a character can become one with what stands before it: marks, and Hangul's vowels and finals."""
    return unicodedata.category(character)[0] == "M" or "\u1160" <= character <= "\u11ff"
