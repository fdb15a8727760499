"""ULMFiT's AWD-LSTM as an encoder: texts in, vectors out, the same vector whatever else is in the batch."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vecsearch import checks
from vecsearch.encoders.base import DTYPES, FromPath, Tally
from vecsearch.encoders.ulmfit.batches import ahead
from vecsearch.encoders.ulmfit.folder import EncoderFolder, describe_sizes, read_encoder, write_config
from vecsearch.encoders.ulmfit.pooling import Pooling
from vecsearch.encoders.ulmfit.postprocess import FILE as POSTPROCESS
from vecsearch.encoders.ulmfit.postprocess import Postprocess
from vecsearch.encoders.ulmfit.sequences import Reader, Sequences
from vecsearch.encoders.ulmfit.states import States
from vecsearch.errors import CheckpointError, UsageError
from vecsearch.files import sha256
from vecsearch.text.rules import BOS
from vecsearch.text.vocabulary import Vocabulary


class UlmfitEncoder(FromPath):
    """An encoder folder, opened. `tally` counts what it has encoded since: texts, tokens, unknown words, cut texts.

    `pooling`, `layers` (0 the embedding, 1… the LSTM layers, -1 the last; the states of several are added up) and `max_tokens`
    default to what the folder's config.json says. `dtype` is "float32", "bfloat16", or "auto" for the faster of the two on this
    machine; a call of at most `states.FEW_TOKENS` tokens is answered in float32. So is, with "auto", one of up to
    `states.FEW_TEXTS` texts and `states.FEW_PRODUCTS` products, unless there is a GPU. `check=False` passes over the hashes of
    the files, which are compared otherwise.

    Raises CheckpointError for a folder that cannot be used, UsageError for a layer that the model does not have and for layers
    of unequal size.
    """

    kind = "an ULMFiT model"

    def __init__(
        self,
        folder: Path,
        *,
        pooling: Pooling | str | None = None,
        layers: Sequence[int] | None = None,
        max_tokens: int | None = None,
        dtype: str = "float32",
        check: bool = True,
    ) -> None:
        folder, dtype = checks.path("folder", folder), checks.one_of("dtype", dtype, DTYPES)
        pooling = None if pooling is None else Pooling(pooling)
        layers = None if layers is None else _layers(layers)
        max_tokens = None if max_tokens is None else checks.count("max_tokens", max_tokens, least=None)
        self._made_from(folder, pooling=pooling, layers=layers, max_tokens=max_tokens, dtype=dtype)
        opened = read_encoder(folder, check=checks.flag("check", check))
        self._opened: EncoderFolder = opened
        self.pooling = Pooling(opened.config.pooling if pooling is None else pooling)
        self.layers = opened.config.layers if layers is None else layers
        self.max_tokens = opened.config.max_tokens if max_tokens is None else max_tokens
        self.tally = Tally()
        if self.max_tokens is not None and self.max_tokens < 1:
            raise UsageError(f"max_tokens is {self.max_tokens}; it must be at least 1")
        depths = {tuple(sorted(_depths(stack.dims, self.layers))) for stack in opened.stacks.values()}
        self._depths = (0,) if self.pooling is Pooling.RAW else depths.pop()
        pooled = sum(stack.dims[self._depths[0]] for stack in opened.stacks.values()) * len(self.pooling.parts)
        # It was fitted to vectors that were pooled as the folder says.
        own = (self.pooling, self.layers) == (opened.config.pooling, opened.config.layers)
        self._postprocess = opened.postprocess if own else Postprocess()
        self._files = {name: value for name, value in opened.config.files.items() if own or name != POSTPROCESS}
        if self._postprocess.mean is not None and len(self._postprocess.mean) != pooled:
            raise CheckpointError(
                f"{folder}/{POSTPROCESS} is for vectors of length {len(self._postprocess.mean)}, not {pooled}"
            )
        self.dim: int = self._postprocess.dim(pooled)
        self._reader = Reader(opened.tokenizer, opened.vocabulary)
        weights = self._postprocess.weights
        self._states = States(opened.stacks, self._depths, self.pooling, weights, self._reader, dtype)
        self.fingerprint: str = self._identity()

    @property
    def language(self) -> str | None:
        """The code of the language whose rules its tokens follow, where that is known."""
        return self._opened.tokenizer.describe()["lang"]

    @property
    def vocabulary(self) -> Vocabulary:
        """The model's words; word i is row i of its embedding."""
        return self._opened.vocabulary

    @property
    def source(self) -> dict:
        """Where the model came from, as config.json has it."""
        return self._opened.config.source

    @property
    def dtype(self) -> str:
        """The precision that batches are computed in: "float32" or "bfloat16"."""
        return self._states.dtype

    def _identity(self) -> str:
        """32 hex digits over weights, vocabulary, tokenizer, pooling, layer and cut: what a vector depends on."""
        depths = self._depths[0] if len(self._depths) == 1 else self._depths  # as it was before layers could be added up
        identity = [self._files, self.pooling, depths, self.max_tokens]
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of `texts` in input order: (n, dim) float32. A text without a known word gives the zero vector."""
        return self._vectors(*self._read(checks.texts("texts", texts, call="encoder.encode")))

    def encode_blocks(self, blocks: Iterable[Sequence[str]]) -> Iterator[np.ndarray]:
        """`encode` of each block, lazily; the next block is tokenised while the model runs."""
        # Raw pooling is Python as much as tokenising is: two threads of it would only wait for each other.
        read = (map if self.pooling is Pooling.RAW else ahead)(self._read, blocks)
        for sequences, tally in read:
            yield self._vectors(sequences, tally)

    def encode_in_context(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of the marked word in texts such as "on the [[bank]] of the river": (n, dim) float32.

        Only the marked word's states are pooled; the rest of the text is its context. A text without a mark is pooled whole.
        Raises DataError for a text with more than one mark, or with a mark that is not around whole words.
        """
        texts = checks.texts("texts", texts, call="encoder.encode_in_context")
        return self._vectors(*self._reader.read_marked(texts, self.max_tokens))

    def encode_words(self, ids: np.ndarray) -> np.ndarray:
        """Vectors of the vocabulary's words, without tokenising them: (n,) int -> (n, dim) float32.

        For `raw` pooling these are the embedding's own rows; else each word is read after xxbos.
        """
        ids = checks.rows("ids", ids, len(self.vocabulary))
        if self.pooling is Pooling.RAW:
            stacks = self._opened.stacks.values()
            rows = np.concatenate([stack.embedding.rows(ids) for stack in stacks], axis=1)
            return self._postprocess.apply(rows)
        begin = self.vocabulary.index.get(BOS, Vocabulary.unknown)
        sequences = Sequences.whole([np.array([begin, i]) for i in ids])
        return self._vectors(sequences, sequences.tally(self._reader.is_word))

    @property
    def words(self) -> Sequence[str]:
        """The vocabulary's words, fastai's marks among them."""
        return self.vocabulary.words

    def word_ids(self, *, all_words: bool = False) -> tuple[np.ndarray, dict[str, int]]:
        """As `Encoder` has it: marks, pieces and words that were never trained are left out."""
        ids = np.arange(len(self.vocabulary))
        if all_words:
            return ids, {}
        special, pieces = (np.array(rows, np.int64) for rows in (self.vocabulary.special_ids, self._pieces))
        untrained = np.setdiff1d(self.untrained_words(), np.union1d(special, pieces))
        counts = {"special_words": len(special), "pieces": len(pieces), "untrained_words": len(untrained)}
        return np.setdiff1d(ids, np.concatenate([special, pieces, untrained])), counts

    @property
    def _pieces(self) -> tuple[int, ...]:
        """The rows of pieces of words, where texts are split into such."""
        return self.vocabulary.piece_ids if self._opened.tokenizer.pieces else ()

    def untrained_words(self) -> np.ndarray:
        """Ids of the words that share their embedding with another word: they have no vector of their own.

        A fine-tuned model's vocabulary has such groups: every word that pretraining had not seen started at the mean embedding.
        """
        embeddings = [stack.embedding for stack in self._opened.stacks.values()]
        # Few rows begin alike, and only those are compared as a whole.
        alike = _repeated(embeddings[0].beginnings())
        return alike[_repeated(np.concatenate([embedding.rows(alike) for embedding in embeddings], axis=1))]

    def tokens(self, text: str) -> list[str]:
        """Tokens of a text as the model reads it: fastai's, xxbos first; unknown words in a form that is known."""
        return next(self._reader.tokens([checks.text("text", text)]))

    def states(self, text: str) -> tuple[list[str], np.ndarray]:
        """Tokens of a text and the forward model's state after each, (tokens, dim of the chosen layer) float32."""
        tokens = self.tokens(text)
        ids = np.array(self.vocabulary.numericalise(tokens))
        return tokens, self.states_of_ids(ids, "forward")

    def states_of_ids(self, ids: np.ndarray, direction: str) -> np.ndarray:
        """States of one direction's model after each of the token ids (t,): (t, dim of the chosen layer) float32."""
        return self._states.of_ids(ids, direction, few=False)

    def shares(self, text: str) -> tuple[list[str], np.ndarray]:
        """Tokens of a text as `encode` reads it, and the share of each in its vector, (tokens, dim) float32: they add up to it.

        Computed in float32 whatever the encoder's dtype, by the engine that is ready at once and takes one text as fast.
        Raises UsageError for a pooling other than mean and raw: a vector of largest or last states is no sum over tokens.
        """
        if self.pooling not in (Pooling.MEAN, Pooling.RAW):
            raise UsageError(
                f"what each word contributes is known where vectors are means of states, not with {self.pooling} pooling; "
                "build the index with pooling=mean or pooling=raw"
            )
        tokens = self.tokens(text)[: self.max_tokens]
        ids = np.array(self.vocabulary.numericalise(tokens), np.int64)
        if not self._reader.has_known_word(ids):
            return tokens, np.zeros((len(ids), self.dim), np.float32)
        weights = np.ones(len(ids)) if self._postprocess.weights is None else self._postprocess.weights[ids]
        if self.pooling is Pooling.RAW:
            weights = weights * self._reader.is_word[ids]
            states = np.concatenate([table[ids] for table in self._states.tables.values()], axis=1)
        else:
            parts = []
            for direction in self._opened.stacks:
                step = 1 if direction == "forward" else -1
                parts.append(self._states.of_ids(ids[::step], direction, few=True)[::step])
            states = np.concatenate(parts, axis=1)
        if self._postprocess.matrix is not None:
            states = (states - self._postprocess.mean) @ self._postprocess.matrix
        return tokens, (states * (weights / weights.sum())[:, None]).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Copy the encoder, with its present pooling, layer and cut, into the existing, empty `folder`.

        Raises CheckpointError when a file is not what it was when the encoder was opened.
        """
        for name, expected in self._files.items():
            shutil.copyfile(self._opened.path / name, Path(folder) / name)
            if sha256(Path(folder) / name) != expected:
                raise CheckpointError(f"{self._opened.path / name} has changed since it was opened; put the old file back")
        own = {"pooling": self.pooling, "layers": self.layers, "max_tokens": self.max_tokens, "files": self._files}
        write_config(Path(folder), replace(self._opened.config, **own))

    def describe(self) -> dict[str, object]:
        """Facts for people, by name."""
        opened = self._opened
        return {
            "vocabulary": _describe_size(self.vocabulary, len(self._pieces)),
            **({"unknown words": first_word_note(self.vocabulary)} if self.vocabulary.first_is_a_word else {}),
            **{direction: describe_sizes(stack.dims) for direction, stack in opened.stacks.items()},
            "tokenizer": ", ".join(str(value) for value in opened.tokenizer.describe().values()),
            "pooling": f"{self.pooling} of layer {' + '.join(map(str, self.layers))}",
            **self.source,
            "licence file": next((path.name for path in sorted(opened.path.glob("LICENSE*"))), "none"),
        }

    def _read(self, texts: Sequence[str]) -> tuple[Sequences, Tally]:
        return self._reader.read(texts, self.max_tokens)

    def _vectors(self, sequences: Sequences, tally: Tally) -> np.ndarray:
        if not sequences.ids:
            return np.zeros((0, self.dim), np.float32)
        pooled = self._states.pooled(sequences)
        # Counted only now: texts that were read ahead and never encoded do not count.
        self.tally = self.tally + tally
        return self._postprocess.apply(pooled)


def _repeated(rows: np.ndarray) -> np.ndarray:
    """Which of the rows (n, d) float32 are equal, bit by bit, to another of them."""
    whole = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    whole = whole.view(np.uint64) if whole.itemsize == 8 else whole
    _, group, size = np.unique(whole, return_inverse=True, return_counts=True)
    return np.flatnonzero(size[group] > 1)


def _layers(layers: Sequence[int]) -> tuple[int, ...]:
    given = tuple(checks.count("layers", layer, least=None) for layer in checks.iterable("layers", layers, "numbers of layers"))
    if not given:
        raise UsageError("layers is empty; name at least one")
    return given


def _describe_size(vocabulary: Vocabulary, pieces: int) -> str:
    return f"{len(vocabulary) - pieces:,} words" + (f", {pieces:,} pieces of others" if pieces else "")


def first_word_note(vocabulary: Vocabulary) -> str:
    """What follows for a vocabulary that does not begin with the mark for unknown words."""
    first = vocabulary.words[0]
    return f"get the vector of {first!r}: the vocabulary begins with it, not with xxunk; is it the model's own, in its order?"


def _depths(dims: tuple[int, ...], layers: Sequence[int]) -> set[int]:
    """Which of the vectors of sizes `dims` that a stack has, the embedding and each layer's states, are meant by `layers`."""
    for layer in layers:
        if not -len(dims) <= layer < len(dims):
            raise UsageError(f"layer {layer}: the model has layers 0 (the embedding) to {len(dims) - 1}")
    depths = {layer % len(dims) for layer in layers}
    if len(sizes := {dims[depth] for depth in depths}) > 1:
        raise UsageError(f"layers of {' and '.join(map(str, sorted(sizes)))} states cannot be added up; choose others")
    return depths
