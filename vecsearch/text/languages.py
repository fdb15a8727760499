"""Languages by their codes (ISO 639-1): which one texts are in, the stems of its words, and those that decide nothing.

Stems are Snowball's, stop words spaCy's, and what finds the language is py3langid.
"""

from __future__ import annotations

import importlib.util
import runpy
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vecsearch import checks

NONE = "none"
"""For texts in no language, or in several: each word is only itself, and all of them count."""
SNOWBALL = {
    "ar": "arabic",
    "ca": "catalan",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "et": "estonian",
    "eu": "basque",
    "fa": "persian",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "nb": "norwegian",
    "ne": "nepali",
    "nl": "dutch",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
}
"""What Snowball calls the languages that it has stems of."""
LANGUAGES = (*SNOWBALL, NONE)
_ALSO = {"no": "nb", "nn": "nb"}
_SAID_LEAST = 0.5
"""Share of the texts that have to be in one language."""
CHARACTERS = 1000
"""Of a text that are looked at."""
_LETTERS = 100
"""Fewer letters do not tell a language from another."""
_AT_ONCE = 300
"""Characters of short texts that are looked at as one."""


class Language:
    """The stems and the stop words of a language, or of none."""

    def __init__(self, code: str) -> None:
        """Raises UsageError for a language that there is nothing for."""
        self.code = checks.one_of("language", code, LANGUAGES)
        self.stop_words: frozenset[str] = frozenset() if code == NONE else _stop_words(code)
        """Words that are in most texts, and say nothing of what these are about; lower-case."""
        self._stemmer: Any = None
        if code != NONE:
            import Stemmer

            self._stemmer = Stemmer.Stemmer(SNOWBALL[code], 0)

    def stem(self, word: str) -> str:
        """What a lower-case word has in common with its other forms; the word itself where there is no language."""
        return word if self._stemmer is None else self._stemmer.stemWord(word) or word


def language_of(texts: Iterable[str], otherwise: str | None) -> str:
    """The code of the language that at least half of the texts are in; NONE where that is none that there are stems of.

    Short texts are looked at several at a time: a word may be one of several languages. Where there is too little to tell
    it is `otherwise`, if there are stems of that one.
    """
    parts = ["\n".join(some) for some in _together(text[:CHARACTERS] for text in texts)]
    told = [part for part in parts if sum(map(str.isalpha, part)) >= _LETTERS]
    if not told:
        return otherwise if otherwise in SNOWBALL else NONE
    from py3langid import classify

    (code, count), *_ = Counter(classify(part)[0] for part in told).most_common(1)
    code = _ALSO.get(code, code)
    return code if code in SNOWBALL and count >= _SAID_LEAST * len(parts) else NONE


def _together(texts: Iterable[str]) -> Iterable[list[str]]:
    some: list[str] = []
    for text in texts:
        some.append(text)
        if sum(map(len, some)) >= _AT_ONCE:
            yield some
            some = []
    if some:
        yield some


def _stop_words(code: str) -> frozenset[str]:
    """spaCy's list of a language, without an import of spaCy, which takes longer than a search."""
    spec = importlib.util.find_spec("spacy")
    assert spec is not None and spec.submodule_search_locations  # vecsearch needs it for its tokens
    path = Path(spec.submodule_search_locations[0]) / "lang" / code / "stop_words.py"
    return frozenset(runpy.run_path(str(path))["STOP_WORDS"]) if path.is_file() else frozenset()
