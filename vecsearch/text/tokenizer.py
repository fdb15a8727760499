"""Tokenizers that give fastai's tokens, and the file that keeps one with its encoder."""

from __future__ import annotations

import json
import re
import shutil
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vecsearch.errors import CheckpointError, UsageError, writing
from vecsearch.text.chunks import ChunkMemo, Made, chunks_of, shown
from vecsearch.text.forms import composed, known_forms
from vecsearch.text.rules import apply_rules
from vecsearch.text.splitting import SplitRules, TokenSplitter
from vecsearch.text.vocabulary import Vocabulary

_FILE = "tokenizer.json"
_MODEL_FILE = "sentencepiece.model"
_FORMAT = 1
_TOGETHER = 1 << 14
"""Characters of texts that are cleaned together."""


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

    def numbering(self, vocabulary: Vocabulary) -> Callable[[Iterable[str]], Iterator[np.ndarray]]:
        """A function of texts: the ids of each one's `tokens_for`, (t,) int64, not to be written to.

        It is for many texts, and remembers what it has met.
        """

    def save(self, folder: Path) -> None:
        """Write what `open_tokenizer` needs into the existing `folder`."""

    def describe(self) -> dict[str, str | None]:
        """Its kind and its language, for people to read."""


class WordTokenizer:
    """fastai's default: its text rules, then spaCy's blank tokenizer; what a chunk became is remembered, which stays exact."""

    def __init__(self, rules: SplitRules, *, pieces: bool = False, remembered: int = 1 << 17) -> None:
        """With `pieces`, `tokens_for` splits words outside the vocabulary into pieces that are in it.

        The tokens of up to twice as many chunks as `remembered` says are kept, and the ids of as many for each `numbering`.
        """
        self.rules, self.pieces = rules, pieces
        self._splitter = TokenSplitter(rules, remembered=remembered // 2)
        self._remembered = remembered
        self._memo = ChunkMemo(self._splitter, tuple, remembered)
        self._cases_across_chunks = any(map(_reaches_across, rules.special_cases))

    def tokens(self, texts: Iterable[str]) -> Iterator[list[str]]:
        """The tokens of each text, `xxbos` first: fastai's of `TokenizeWithRules` and `SpacyTokenizer` for its normal form."""
        for parts in self._parts(texts, self._memo):
            yield [*chain.from_iterable(parts)]

    def words_for(self, vocabulary: Vocabulary, texts: Iterable[str]) -> Iterator[list[str]]:
        """The tokens of each text, with unknown ones in a plain form that is known: see `known_forms`."""
        return (self._known_forms(vocabulary, tokens) for tokens in self.tokens(texts))

    def tokens_for(self, vocabulary: Vocabulary, texts: Iterable[str]) -> Iterator[list[str]]:
        """`words_for`, with what is still unknown in pieces where it has any."""
        words = self.words_for(vocabulary, texts)
        return map(vocabulary.pieces, words) if self.pieces else words

    def numbering(self, vocabulary: Vocabulary) -> Callable[[Iterable[str]], Iterator[np.ndarray]]:
        """As `Tokenizer` has it. A token's forms and pieces depend on no other, so that the ids of a chunk are remembered."""

        def ids(tokens: Sequence[str]) -> bytes:
            rows = list(map(vocabulary.index.get, tokens))
            if None in rows:
                words = self._known_forms(vocabulary, tokens)
                rows = vocabulary.numericalise(vocabulary.pieces(words) if self.pieces else words)
            return array("q", rows).tobytes()

        memo = ChunkMemo(self._splitter, ids, self._remembered)
        return lambda texts: (np.frombuffer(b"".join(parts), np.int64) for parts in self._parts(texts, memo))

    def _known_forms(self, vocabulary: Vocabulary, tokens: Sequence[str]) -> list[str]:
        return known_forms(tokens, vocabulary.index, vocabulary.others, lambda part: next(self.tokens([part]))[1:])

    def _parts(self, texts: Iterable[str], memo: ChunkMemo[Made]) -> Iterator[list[Made]]:
        """What `memo` makes of the tokens of each text, in one or more parts."""
        for some in _batches(map(composed, texts)):
            if self._cases_across_chunks:
                yield from ([memo.make(shown(self._splitter.split(apply_rules(text))))] for text in some)
                continue
            chunks, begins = chunks_of(some)
            parts = memo.of(chunks)
            yield from (parts[begin:end] for begin, end in pairwise([*begins, len(parts)]))

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
            yield shown(self._processor.EncodeAsPieces(apply_rules(composed(text))))

    def words_for(self, vocabulary: Vocabulary, texts: Iterable[str]) -> Iterator[list[str]]:
        """The pieces of each text: the model has a normal form of its own."""
        return self.tokens(texts)

    tokens_for = words_for

    def numbering(self, vocabulary: Vocabulary) -> Callable[[Iterable[str]], Iterator[np.ndarray]]:
        """The ids of the pieces."""
        return lambda texts: (np.array(vocabulary.numericalise(pieces), np.int64) for pieces in self.tokens(texts))

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


def _reaches_across(case: str) -> bool:
    """Whether a special case can be met in more than one chunk: never with capitals, which the text rules leave none of."""
    inner = case.rstrip(" ")  # found by its tokens, and the space after the last is not looked at
    return case == case.lower() and not case.isspace() and any(map(str.isspace, inner))


def _write(folder: Path, values: dict[str, Any]) -> None:
    path = Path(folder) / _FILE
    with writing(path):
        path.write_text(json.dumps({"format": _FORMAT, **values}, ensure_ascii=False) + "\n", encoding="utf-8")
