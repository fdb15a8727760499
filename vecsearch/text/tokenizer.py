"""Tokenizers that give fastai's tokens, and the file that keeps one with its encoder."""

from __future__ import annotations

import json
import re
import shutil
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from vecsearch.errors import CheckpointError, UsageError, writing
from vecsearch.text.forms import composed, known_forms
from vecsearch.text.rules import BOS, apply_rules, clean, mark_case
from vecsearch.text.splitting import SplitRules, TokenSplitter
from vecsearch.text.vocabulary import Vocabulary

_FILE = "tokenizer.json"
_MODEL_FILE = "sentencepiece.model"
_FORMAT = 1
# In a clean text, whose spaces stand alone, whitespace is a token from its first character that is not a space.
_WHITESPACE_TOKEN = re.compile(r"([^\S ]\s*)")


class Tokenizer(Protocol):
    """What turns a text into the tokens a model was trained on."""

    pieces: bool
    """Whether `tokens_for` splits words outside the vocabulary into pieces that are in it."""

    def tokens(self, text: str) -> list[str]:
        """The tokens of `text`, in Unicode's normal form C, `xxbos` first."""

    def words_for(self, vocabulary: Vocabulary, text: str) -> list[str]:
        """The tokens of `text` with those that a vocabulary does not have in a form that it has, where there is one."""

    def tokens_for(self, vocabulary: Vocabulary, text: str) -> list[str]:
        """`words_for`, with what is still unknown in pieces where the model has any: what the model reads."""

    def save(self, folder: Path) -> None:
        """Write what `open_tokenizer` needs into the existing `folder`."""

    def describe(self) -> dict[str, str | None]:
        """Its kind and its language, for people to read."""


class _Joined(tuple[str, ...]):
    """Tokens of a chunk in which a special case was joined: a longer one that reaches into a neighbor would prevent that."""


class _Memo(dict[str, tuple[str, ...]]):
    """Chunk, with its capitals -> its tokens, for the chunks met lately.

    Threads may share it: each step is one operation of a dict, and losing a race costs only a second computation.
    """

    longest = 64  # a longer chunk is hardly met twice

    def __init__(self, splitter: TokenSplitter, most: int) -> None:
        self._splitter, self._most = splitter, most
        self._older: dict[str, tuple[str, ...]] = {}

    def __missing__(self, chunk: str) -> tuple[str, ...]:
        tokens = self._older.get(chunk) or self._split(chunk)
        if len(chunk) <= self.longest:
            if len(self) >= self._most:
                self._older = dict(self)
                self.clear()
            self[chunk] = tokens
        return tokens

    def _split(self, chunk: str) -> tuple[str, ...]:
        marked = (chunk,) if chunk.isspace() else mark_case(chunk).split(" ")
        split = [self._splitter.split_chunk(part) for part in marked]
        joined = [self._splitter.join_cases(part) for part in split]
        tokens = chain.from_iterable(joined)
        shown = map(_show_space, tokens) if " " in chunk else tokens
        return tuple(shown) if joined == split else _Joined(shown)


class WordTokenizer:
    """fastai's default: its text rules, then spaCy's blank tokenizer; what a chunk became is remembered, which stays exact."""

    def __init__(self, rules: SplitRules, *, pieces: bool = False, remembered: int = 1 << 17) -> None:
        """With `pieces`, `tokens_for` splits words outside the vocabulary into pieces that are in it.

        The tokens of up to twice as many chunks as `remembered` says are kept.
        """
        self.rules, self.pieces = rules, pieces
        self._splitter = TokenSplitter(rules, remembered=remembered // 2)
        self._memo = _Memo(self._splitter, remembered)
        self._case_tokens = set(map(_show_space, self._splitter.case_tokens))
        self._cases_across_chunks = any(map(_reaches_across, rules.special_cases))

    def tokens(self, text: str) -> list[str]:
        """The tokens of `text`, `xxbos` first: fastai's of `TokenizeWithRules` and `SpacyTokenizer` for its normal form."""
        text = composed(text)
        if not self._cases_across_chunks:
            parts = [*map(self._memo.__getitem__, _chunks(clean(text).strip()))]
            if _Joined not in map(type, parts) or self._stand_alone(parts):
                return [BOS, *chain.from_iterable(parts)]
        return [_show_space(token) for token in self._splitter.split(apply_rules(text))]

    def words_for(self, vocabulary: Vocabulary, text: str) -> list[str]:
        """The tokens of `text`, with unknown ones in a plain form that is known: see `known_forms`."""
        tokens = self.tokens(text)
        if text.isascii() and "&" not in text:  # nor an entity, which may stand for any character
            return tokens
        return known_forms(tokens, vocabulary.index, vocabulary.others, lambda part: self.tokens(part)[1:])

    def tokens_for(self, vocabulary: Vocabulary, text: str) -> list[str]:
        """`words_for`, with what is still unknown in pieces where it has any."""
        tokens = self.words_for(vocabulary, text)
        return vocabulary.pieces(tokens) if self.pieces else tokens

    def _stand_alone(self, parts: list[tuple[str, ...]]) -> bool:
        """Whether no special case can reach from a joined part into its neighbors."""
        for before, part, after in zip([(), *parts], parts, [*parts[1:], ()], strict=False):
            if isinstance(part, _Joined) and (
                isinstance(before, _Joined)
                or isinstance(after, _Joined)
                or not self._case_tokens.isdisjoint((*before[-1:], *after[:1]))
            ):
                return False
        return True

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` into the existing `folder`."""
        _write(folder, {"kind": "spacy", "pieces": self.pieces, **self.rules.to_json()})

    def describe(self) -> dict[str, str | None]:
        """Its kind and its spaCy language."""
        return {"kind": "spacy, rare words in pieces" if self.pieces else "spacy", "lang": self.rules.lang}


class SentencePieceTokenizer:
    """fastai's `SentencePieceTokenizer` with a trained model: the same text rules, then the model's pieces."""

    pieces = False
    """Its own pieces are all the words that the model has."""

    def __init__(self, model_path: Path) -> None:
        try:
            from sentencepiece import SentencePieceProcessor
        except ImportError as error:
            raise UsageError(
                "this encoder splits texts with SentencePiece, which is missing: pip install 'vecsearch[sentencepiece]'"
            ) from error
        self._model_path = Path(model_path)
        self._processor = SentencePieceProcessor()
        try:
            self._processor.Load(str(model_path))
        except (OSError, RuntimeError) as error:
            raise CheckpointError(f"{model_path}: not a SentencePiece model ({error}); copy the file again") from error

    def tokens(self, text: str) -> list[str]:
        """The pieces of `text` after fastai's text rules."""
        return [_show_space(piece) for piece in self._processor.EncodeAsPieces(apply_rules(composed(text)))]

    def words_for(self, vocabulary: Vocabulary, text: str) -> list[str]:
        """The pieces of `text`: the model has a normal form of its own."""
        return self.tokens(text)

    tokens_for = words_for

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and `sentencepiece.model` into the existing `folder`."""
        with writing(folder):
            shutil.copyfile(self._model_path, Path(folder) / _MODEL_FILE)
        _write(folder, {"kind": "sentencepiece", "model": _MODEL_FILE})

    def describe(self) -> dict[str, str | None]:
        """Its kind; a SentencePiece model does not know its language."""
        return {"kind": "sentencepiece", "lang": None}


def open_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer that was saved in `folder`. Raises `CheckpointError` where its file is missing or damaged."""
    path = Path(folder) / _FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != _FORMAT:
            raise CheckpointError(f"{path}: format {values['format']!r}, this version reads {_FORMAT}; update vecsearch")
        if values["kind"] == "sentencepiece":
            return SentencePieceTokenizer(Path(folder) / Path(values["model"]).name)
        if values["kind"] == "spacy":
            return WordTokenizer(SplitRules.from_json(values), pieces=values.get("pieces", False) is True)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); import the model again") from error
    except (AttributeError, KeyError, TypeError, ValueError, re.error) as error:
        raise CheckpointError(f"{path}: damaged ({type(error).__name__}: {error}); import the model again") from error
    raise CheckpointError(f"{path}: kind {values['kind']!r} is none of 'spacy', 'sentencepiece'; update vecsearch")


def _chunks(text: str) -> list[str]:
    """Words and whitespace tokens of a clean, stripped `text`."""
    words, *rest = _WHITESPACE_TOKEN.split(text)
    chunks = words.split()
    for whitespace, words in zip(rest[::2], rest[1::2], strict=True):
        chunks.append(whitespace)
        chunks += words.split()
    return chunks


def _reaches_across(case: str) -> bool:
    """Whether a special case can be met in more than one chunk: never with capitals, which the text rules leave none of."""
    inner = case.rstrip(" ")  # found by its tokens, and the space after the last is not looked at
    return case == case.lower() and not case.isspace() and any(map(str.isspace, inner))


def _show_space(token: str) -> str:
    """fastai's one rule for tokens, `replace_space`: a token holds no space, so that tokens can be joined by spaces."""
    return token.replace(" ", "▁")


def _write(folder: Path, values: dict[str, Any]) -> None:
    path = Path(folder) / _FILE
    with writing(path):
        path.write_text(json.dumps({"format": _FORMAT, **values}, ensure_ascii=False) + "\n", encoding="utf-8")
