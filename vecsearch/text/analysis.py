"""The words of a text in a language: each as it is compared, and its stem."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from vecsearch.text.folding import NON_JOINER, folded
from vecsearch.text.languages import NONE, Language
from vecsearch.text.wording import single_words

_SIGNED_STOP_WORDS = {"i.e", "e.g"}
"""Latin, in texts of any language."""
_CHUNK = re.compile(r"[^\x00-/:-@\[-`{-\x7f]+")


class Word(NamedTuple):
    """A word as it is compared, and what it has in common with its other forms, first as it is written.

    With accents it may have two stems: that of the word itself, as Snowball knows it, and that of the word without them, under
    which it is found by who leaves them out.
    """

    form: str
    stems: tuple[str, ...]


class Analyser:
    """Takes texts apart, as those that are stored and what is asked have to be in the same way."""

    def __init__(self, code: str) -> None:
        """Raises UsageError for a language that there is nothing for."""
        self._language = Language(code)
        self.has_stems = code != NONE
        """Whether words have other forms."""
        self._stop_words = {word for phrase in self._language.stop_words for word in single_words(folded(phrase))}
        if self.has_stems:
            self._stop_words |= _SIGNED_STOP_WORDS

    @staticmethod
    def chunks(text: str) -> list[str]:
        """What stands between the signs and spaces of a text, in lower case and with its accents, which stems depend on."""
        if not text.isascii():
            text = unicodedata.normalize("NFC", NON_JOINER.sub(" ", text))
        return _CHUNK.findall(text.lower())

    def words(self, text: str) -> list[Word]:
        """All words of a text, in order."""
        return [word for chunk in self.chunks(text) for word in self.of_chunk(chunk)]

    def of_chunk(self, chunk: str) -> list[Word]:
        """The words of what stands between two signs or spaces, as `chunks` has it."""
        forms = self.forms(chunk)
        return [self.word(chunk, forms[0])] if len(forms) == 1 else [self.word(form, form) for form in forms]

    @staticmethod
    def forms(chunk: str) -> list[str]:
        """The words of a chunk as they are compared: several where signs beyond ASCII divide it, or where it has no spaces."""
        return [chunk] if chunk.isascii() else single_words(folded(chunk))

    def word(self, chunk: str, form: str) -> Word:
        """The only word of a chunk, as it is compared in this form."""
        stem = self._language.stem
        if chunk.isascii() or chunk == form:
            return Word(form, (stem(form),))
        written = single_words(folded(stem("".join(filter(_is_of_word, chunk)))))
        return Word(form, tuple(dict.fromkeys([*written[:1], stem(form)])))

    def decides(self, form: str) -> bool:
        """Whether a word or a form says what a text is about: a stop word does not."""
        return form not in self._stop_words


def _is_of_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"


@lru_cache(maxsize=8)
def analyser(code: str) -> Analyser:
    """The analyser of a language. Raises UsageError for one that there is nothing for."""
    return Analyser(code)
