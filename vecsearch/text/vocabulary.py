"""A model's vocabulary: which row of the embedding a token has."""

from __future__ import annotations

import json
import re
import reprlib
import unicodedata
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

from vecsearch.errors import CheckpointError, writing
from vecsearch.forks import made_once
from vecsearch.text.pickles import unpickle
from vecsearch.text.pieces import CONTINUES, known_parts
from vecsearch.text.rules import SPECIAL_TOKENS

_PADDING = "xxfake"  # fastai fills a vocabulary up with it to a multiple of 8
_COUNTED = re.compile(r"\S+[ \t]+[0-9][0-9.,]*")
_COUNT_ENDS = frozenset("0123456789.,")
_SURROGATE = re.compile("[\ud800-\udfff]")
UNKNOWN = ("xxunk", "_unk_")
"""fastai's mark for what a vocabulary does not have, of 1 and 2, and of 0.7."""
_REMEMBERED = 1 << 16
"""Words of which is remembered how they were split."""
_MARKS = (*SPECIAL_TOKENS, "_unk_", "_pad_")  # the last two are fastai 0.7's


class Vocabulary:
    """The words of a model in the order of its embedding's rows."""

    unknown = 0
    """The row of every word outside the vocabulary, as in fastai."""

    def __init__(self, words: Sequence[str], *, where: str = "vocabulary") -> None:
        """Raises `CheckpointError`, naming `where`: no words, a word that is no text, broken or empty, or the same twice."""
        self.index = _index(words, where)
        self.words = tuple(words)
        self._split: dict[str, tuple[str, ...]] = {}

    def __len__(self) -> int:
        return len(self.words)

    @made_once
    def special_ids(self) -> tuple[int, ...]:
        """The rows of fastai's marks and of its padding: what is no word."""
        rows, row = [self.index[mark] for mark in _MARKS if mark in self.index], -1
        for _ in range(self.words.count(_PADDING)):
            row = self.words.index(_PADDING, row + 1)
            rows.append(row)
        return tuple(sorted(rows))

    @made_once
    def others(self) -> dict[str, str]:
        """The words that are not in Unicode's normal form C, by their normal form."""
        forms = {unicodedata.normalize("NFC", word): word for word in self.index if not word.isascii()}
        return {form: word for form, word in forms.items() if form != word and form not in self.index}

    @made_once
    def piece_ids(self) -> tuple[int, ...]:
        """The rows of pieces that go on within a word: what is no word by itself."""
        return tuple(row for row, word in enumerate(self.words) if word.startswith(CONTINUES) and word != CONTINUES)

    def pieces(self, tokens: Sequence[str]) -> list[str]:
        """The tokens, with those outside the vocabulary as pieces that are in it, where they can be made up of such."""
        return [piece for token in tokens for piece in ((token,) if token in self.index else self._pieces_of(token))]

    @made_once
    def _parts(self) -> frozenset[str]:
        return frozenset(self.index.keys() - set(_MARKS))  # a word that begins with a mark's letters is none

    def _pieces_of(self, word: str) -> tuple[str, ...]:
        found = self._split.get(word)
        if found is None:
            if len(self._split) >= _REMEMBERED:
                self._split.clear()
            # Threads may share it: each step is one operation of a dict.
            found = self._split[word] = known_parts(word, self._parts) or (word,)
        return found

    @property
    def first_is_a_word(self) -> bool:
        """Whether the first row, which every word outside the vocabulary gets, is that of a word and not of fastai's mark."""
        return self.words[self.unknown] not in UNKNOWN

    def numericalise(self, tokens: Sequence[str]) -> list[int]:
        """The row of each token, `unknown` for one outside the vocabulary."""
        return list(map(self.index.get, tokens, repeat(self.unknown)))

    def save(self, path: Path) -> None:
        """Write the words to `path` as a JSON list."""
        with writing(path):
            Path(path).write_text(json.dumps(self.words, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """The vocabulary in a .json list, a .txt with a word a line, or a .pkl as fastai saves it, none of whose code is run.

        Raises `CheckpointError`, naming `path`, for any other file and for what is no vocabulary.
        """
        path = Path(path)
        try:
            words = _read(path)
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read ({error.strerror}); check the path") from error
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{path}: byte {error.start} is not UTF-8; save the vocabulary as UTF-8 text") from error
        except json.JSONDecodeError as error:
            raise CheckpointError(
                f"{path}, line {error.lineno}: broken JSON ({error.msg}); save the list of words again"
            ) from error
        return cls(words, where=str(path))


def _read(path: Path) -> Any:
    if path.suffix == ".json":
        return json.loads(_text(path))
    if path.suffix == ".txt":
        text = _text(path).replace("\r\n", "\n")
        return text.removesuffix("\n").split("\n") if text else []  # other line breaks of Unicode occur within tokens
    if path.suffix == ".pkl":
        value = unpickle(path)
        # A classifier's file has two vocabularies, the texts' and the categories'.
        return value[0] if isinstance(value, list | tuple) and value and isinstance(value[0], list | tuple) else value
    raise CheckpointError(f"{path}: a vocabulary is a .json, .txt or .pkl file, not {path.suffix or 'one without a suffix'!r}")


def _text(path: Path) -> str:
    """What a file holds, without its byte-order mark; line ends stay as they are."""
    return path.read_bytes().decode().removeprefix("\ufeff")


def _index(words: Any, where: str) -> dict[str, int]:
    """The row of each word but for the padding. Every command opens a vocabulary: all words are looked at together, which says
    of almost every one that it is well. Raises `CheckpointError` for any other."""
    if not isinstance(words, list | tuple):
        raise CheckpointError(f"{where}: holds a {type(words).__name__}, not a list of words; give the list alone")
    if not words:
        raise CheckpointError(f"{where}: no words; give the vocabulary that the model was trained with")
    texts = set(map(type, words)) == {str}
    together = "".join(words) if texts else ""
    # A word and a number have a space or a tab between them.
    if not texts or together.count(" ") + together.count("\t") > len(words) / 2:
        _refuse_counted(words, where)
    index = dict(zip(words, range(len(words)), strict=True)) if texts else {}
    unlike = len(index) == len(words) - max(0, words.count(_PADDING) - 1)
    if not (unlike and all(words) and not _SURROGATE.search(together)):
        _refuse_broken(words, where)
    index.pop(_PADDING, None)
    return index


def _refuse_counted(words: Sequence[Any], where: str) -> None:
    """Raise `CheckpointError` for lines of a word, a space or a tab, and how often it was met."""
    counted = [word for word in words if isinstance(word, str) and word[-1:] in _COUNT_ENDS and _COUNTED.fullmatch(word)]
    if len(counted) > max(2, len(words) / 2):
        raise CheckpointError(
            f"{where}: {len(counted):,} of {len(words):,} lines are a word and a number, as {reprlib.repr(counted[0])}, and no "
            "token is like that; give the words alone, in the model's order"
        )


def _refuse_broken(words: Sequence[Any], where: str) -> None:
    rows: dict[str, int] = {}
    for row, word in enumerate(words):
        if not isinstance(word, str):
            raise CheckpointError(f"{where}: word {row + 1} is {reprlib.repr(word)}, not text; give a list of strings")
        if not word:
            raise CheckpointError(f"{where}: word {row + 1} is empty; a word that holds a line break needs a .json file")
        if _SURROGATE.search(word):
            raise CheckpointError(
                f"{where}: word {row + 1}, {word!r}, holds half a surrogate pair, which is no character; save the words again"
            )
        if rows.setdefault(word, row) != row and word != _PADDING:
            raise CheckpointError(f"{where}: {word!r} is word {rows[word] + 1} and word {row + 1}; each has one row")
