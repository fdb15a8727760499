"""Texts as they are compared by their words: case, accents and what is only another form of a character are made one."""

from __future__ import annotations

import re
import unicodedata

_DROPPED = re.compile(
    # What is invisible, and variants of one character.
    "[\u00ad\u034f\u061c\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    "\U000e0000-\U000e0fff"
    # Accents of Latin, Greek and Cyrillic letters.
    "\u0300-\u036f\u0483-\u0487\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
    # Hebrew points; Arabic vowels, Koranic signs, tatweel: they are written or left out, in the same word.
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u0652"
    "\u0656-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed]"
)
_SAME = str.maketrans(
    {
        # As Lucene's ArabicNormalizer and PersianNormalizer have it: alef, yeh, teh marbuta and heh, kaf.
        **dict.fromkeys("آأإٱ", "ا"),
        **dict.fromkeys("ىی", "ي"),
        **dict.fromkeys("ةۀە", "ه"),
        "ک": "ك",
        # Russian is written with and without the dots; stress marks are no letters.
        **dict(zip("ёЁѐЀѝЍ", "еЕеЕиИ", strict=True)),
        **dict.fromkeys("\u2018\u2019\u02bb\u02bc\u2032\u00b4\u05f3", "'"),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-"),
    }
)
SIGNS = "¢-¥§°±\u20a0-\u20cf\u2190-\u22ff\u266d-\u266f"
"""Signs beyond ASCII that a form may have: currencies, degrees, arrows, those of mathematics and music."""
_KEPT = re.compile(f"[{SIGNS}]")
NON_JOINER = re.compile("(?<=[\u0600-\u06ff])\u200c")
"""Divides a Persian word as a space does; elsewhere it only shapes letters."""
_BEYOND = re.compile("[^\x00-\x7f]+")


class _Letters(dict[int, "str | None"]):
    """What each character beyond ASCII becomes, looked up once: for `str.translate`."""

    def __missing__(self, code: int) -> str | None:
        self[code] = found = self._folded(chr(code))
        return found

    def _folded(self, character: str) -> str | None:
        if character.isascii():
            return character
        if ord(character) in _SAME:
            return _SAME[ord(character)]
        if _DROPPED.match(character):
            return None
        kind = unicodedata.decomposition(character).split(" ")[0]
        # Half-width kana, full-width letters, ligatures; 10² is not 102, nor 1½ 11/2.
        if kind.startswith("<") and kind not in ("<super>", "<sub>", "<fraction>"):
            return unicodedata.normalize("NFKC", character).translate(self)
        base = unicodedata.normalize("NFD", character)[0]
        if base != character and unicodedata.name(base, "").startswith(("LATIN", "GREEK")):
            return base
        return character if unicodedata.category(character)[0] in "LMN" or _is_other(character) else " "


def _is_other(character: str) -> bool:
    """Whether a character that is no letter is kept: a sign of a form, private use, or one newer than this Python."""
    return bool(_KEPT.match(character)) or unicodedata.category(character) in ("Co", "Cn")


_LETTERS = _Letters()


def folded(text: str) -> str:
    """A text as texts are compared; its words are divided by spaces and signs."""
    if text.isascii():
        return text.lower()
    if "\u200c" in text:
        text = NON_JOINER.sub(" ", text)
    return _BEYOND.sub(_folded, unicodedata.normalize("NFC", text).lower())


def _folded(match: re.Match[str]) -> str:
    return unicodedata.normalize("NFC", match[0].translate(_LETTERS).casefold())
