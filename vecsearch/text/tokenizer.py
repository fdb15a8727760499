"""Tokenizers that give fastai's tokens, and the file that keeps one with its encoder."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator
from itertools import chain
from operator import eq
from pathlib import Path
from typing import Any, Protocol

from vecsearch.errors import CheckpointError, UsageError, writing
from vecsearch.text.forms import composed, known_forms
from vecsearch.text.rules import BOS, apply_rules, clean, clean_with_repeated_words, mark_case, repeats_a_word, single_spaces
from vecsearch.text.splitting import SplitRules, TokenSplitter
from vecsearch.text.vocabulary import Vocabulary

_FILE = "tokenizer.json"
_MODEL_FILE = "sentencepiece.model"
_FORMAT = 1
_TOGETHER = 1 << 16
"""Characters of texts that are cleaned together."""
# Whitespace is a token from its first character that is not a space.
_LINE_BREAKS = re.compile(r"(\n\s*)")
_WHITESPACE = re.compile("([\t-\r\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]\\s*)")


class Tokenizer(Protocol):
    """What turns a text into the tokens a model was trained on."""

    pieces: bool
    """Whether `tokens_for` splits words outside the vocabulary into pieces that are in it."""

    def tokens(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """The tokens of each text, in Unicode's normal form C, `xxbos` first."""

    def words_for(self, vocabulary: Vocabulary, texts: Iterable[str]) -> Iterator[list[str]]:
        """The tokens of each text with those that a vocabulary does not have in a form that it has, where there is one."""

    def tokens_for(self, vocabulary: Vocabulary, texts: Iterable[str]) -> Iterator[list[str]]:
        """`words_for`, with what is still unknown in pieces where the model has any: what the model reads."""

    def save(self, folder: Path) -> None:
        """Write what `open_tokenizer` needs into the existing `folder`."""

    def describe(self) -> dict[str, str | None]:
        """Its kind and its language, for people to read."""


class _MayReach(Exception):
    """A special case was joined among the tokens of a chunk: a longer one that reaches into a neighbor would prevent that."""


class _Joined:
    """The tokens of such a chunk, which are not taken without a look at its neighbors."""

    def __init__(self, tokens: tuple[str, ...]) -> None:
        self.tokens = tokens

    def __iter__(self) -> Iterator[str]:
        raise _MayReach


class _Memo(dict[str, "tuple[str, ...] | _Joined"]):
    """Chunk, with its capitals -> its tokens, for the chunks met lately.

    Threads may share it: each step is one operation of a dict, and losing a race costs only a second computation.
    """

    longest = 64  # a longer chunk is hardly met twice

    def __init__(self, splitter: TokenSplitter, most: int) -> None:
        self._splitter, self._most = splitter, most
        self._older: dict[str, tuple[str, ...] | _Joined] = {}

    def __missing__(self, chunk: str) -> tuple[str, ...] | _Joined:
        tokens = self._older.get(chunk) or self._split(chunk)
        if len(chunk) <= self.longest:
            if len(self) >= self._most:
                self._older = dict(self)
                self.clear()
            self[chunk] = tokens
        return tokens

    def _split(self, chunk: str) -> tuple[str, ...] | _Joined:
        tokens: tuple[str, ...] = ()
        joined = False
        for part in (single_spaces(chunk),) if chunk.isspace() else mark_case(chunk).split(" "):
            split = self._splitter.split_chunk(part)
            together = self._splitter.join_cases(split)
            joined = joined or together != split
            tokens += together
        if " " in chunk:
            tokens = tuple(map(_show_space, tokens))
        return _Joined(tokens) if joined else tokens


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

    def tokens(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """The tokens of each text, `xxbos` first: fastai's of `TokenizeWithRules` and `SpacyTokenizer` for its normal form."""
        for some in _batches(map(composed, texts)):
            yield from map(self._tokens, some, clean(some))

    def words_for(self, vocabulary: Vocabulary, texts: Iterable[str]) -> Iterator[list[str]]:
        """The tokens of each text, with unknown ones in a plain form that is known: see `known_forms`."""
        for some in _batches(texts):
            for text, tokens in zip(some, self.tokens(some), strict=True):
                if text.isascii() and "&" not in text:  # nor an entity, which may stand for any character
                    yield tokens
                else:
                    yield known_forms(tokens, vocabulary.index, vocabulary.others, lambda part: next(self.tokens([part]))[1:])

    def tokens_for(self, vocabulary: Vocabulary, texts: Iterable[str]) -> Iterator[list[str]]:
        """`words_for`, with what is still unknown in pieces where it has any."""
        words = self.words_for(vocabulary, texts)
        return map(vocabulary.pieces, words) if self.pieces else words

    def _tokens(self, text: str, cleaned: str) -> list[str]:
        if not self._cases_across_chunks:
            chunks, repeats = _chunks(cleaned)
            if repeats and repeats_a_word(cleaned.split()):
                chunks, _ = _chunks(clean_with_repeated_words(text))
            try:
                return [BOS, *chain.from_iterable(map(self._memo.__getitem__, chunks))]
            except _MayReach:
                if (parts := self._standing_alone(chunks)) is not None:
                    return [BOS, *chain.from_iterable(parts)]
        return [_show_space(token) for token in self._splitter.split(apply_rules(text))]

    def _standing_alone(self, chunks: list[str]) -> list[tuple[str, ...]] | None:
        """The tokens of each chunk; None where a special case could reach from a joined one into its neighbors."""
        parts = list(map(self._memo.__getitem__, chunks))
        around = [(), *parts, ()]
        for place in [place for place, part in enumerate(parts) if isinstance(part, _Joined)]:
            before, after = around[place], around[place + 2]
            if isinstance(before, _Joined) or isinstance(after, _Joined):
                return None
            if not self._case_tokens.isdisjoint((*before[-1:], *after[:1])):
                return None
        return [part.tokens if isinstance(part, _Joined) else part for part in parts]

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

    def tokens(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """The pieces of each text after fastai's text rules."""
        for text in texts:
            yield [_show_space(piece) for piece in self._processor.EncodeAsPieces(apply_rules(composed(text)))]

    def words_for(self, vocabulary: Vocabulary, texts: Iterable[str]) -> Iterator[list[str]]:
        """The pieces of each text: the model has a normal form of its own."""
        return self.tokens(texts)

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


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """The texts, in groups that are cleaned together: as many as there is a cache's room for."""
    some: list[str] = []
    size = 0
    for text in texts:
        some.append(text)
        size += len(text)
        if size >= _TOGETHER:
            yield some
            some, size = [], 0
    if some:
        yield some


def _chunks(text: str) -> tuple[list[str], bool]:
    """Words and whitespace tokens of a clean `text`, and whether any two words in a row are the same."""
    text = text.strip()
    if text.isprintable():  # which no whitespace is but the space
        chunks, repeats = text.split(), False
    else:
        only_lines = text.replace("\n", "").isprintable()
        words, *rest = (_LINE_BREAKS if only_lines else _WHITESPACE).split(text)
        chunks, repeats = words.split(), False
        for whitespace, words in zip(rest[::2], rest[1::2], strict=True):
            following = words.split()
            repeats = repeats or chunks[-1] == following[0]
            chunks.append(whitespace)
            chunks += following
    return chunks, repeats or any(map(eq, chunks, chunks[1:]))


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
