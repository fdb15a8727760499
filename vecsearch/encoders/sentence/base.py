"""What all sentence transformers have in common, whatever runs the model: the files beside it, its tokens, cut and pooling."""

from __future__ import annotations

import hashlib
import json
import shutil
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from vecsearch import checks
from vecsearch.encoders.base import CONFIG, FromPath, Tally
from vecsearch.errors import CheckpointError, UsageError
from vecsearch.files import sha256
from vecsearch.forks import library_code, made_once
from vecsearch.metric import normalise
from vecsearch.text.pieces import CONTINUES

if TYPE_CHECKING:
    from tokenizers import Tokenizer

R = TypeVar("R")
T = TypeVar("T")

BATCH_TOKENS = 8192
"""Tokens of a batch, padding included: enough for full matrix speed, few enough for the cache."""
TOKENIZER, MODULES, POOLING = "tokenizer.json", "modules.json", "1_Pooling/config.json"
SETTINGS = "sentence_bert_config.json"
WORD_STARTS = "\u2581\u0120"
"""What a token that begins a word begins with, by SentencePiece and by GPT-2; WordPiece marks the others instead."""
POOLINGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "first", "pooling_mode_max_tokens": "max"}


class SentenceEncoder(FromPath):
    """A model with tokenizer.json, and what sentence-transformers writes beside it. `tally` counts what it has encoded since.

    Its pooling (mean, first token or max) is what 1_Pooling/config.json says, else mean; vectors are scaled to length 1 where
    modules.json says so. Texts longer than the model takes, or than `max_tokens`, are cut, and counted. No code in the folder
    is run, and none of it is a pickle.

    Raises CheckpointError for a folder that cannot be used, UsageError for a cut below 1 token.
    """

    def __init__(self, folder: Path, max_tokens: int | None) -> None:
        self._folder = folder
        if max_tokens is not None and (max_tokens := checks.count("max_tokens", max_tokens, least=None)) < 1:
            raise UsageError(f"max_tokens is {max_tokens}; it must be at least 1")
        self.pooling = self._read_pooling()
        longest = [self._number(SETTINGS, "max_seq_length"), self._number(CONFIG, "max_position_embeddings")]
        self._longest: int | None = min((value for value in longest if value), default=None)
        cuts = [value for value in (self._longest, max_tokens) if value]
        self.max_tokens: int | None = min(cuts, default=None)
        modules = self._json(MODULES, list)
        self._unit = any(isinstance(module, dict) and str(module.get("type")).endswith("Normalize") for module in modules)
        self.tally = Tally()

    @property
    @abstractmethod
    def _model_files(self) -> Mapping[str, Path]:
        """The files that hold the model itself, by the names that `save` gives them."""

    @abstractmethod
    def _vectors(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Vectors (b, dim) float32 of a batch of token ids (b, t) int64, with a mask that is 1 where there is a token."""

    @property
    def words(self) -> list[str]:
        """The tokens that are whole words of lower-case letters, in the order of their ids: as a rule the commonest first."""
        vocabulary = self._tokenizer.get_vocab()
        pieces = sorted(vocabulary, key=vocabulary.__getitem__)
        marked = [piece[1:] for piece in pieces if piece[:1] and piece[0] in WORD_STARTS]
        return [word for word in marked or pieces if len(word) > 1 and word.isalpha() and word == word.lower()]

    @property
    def pieces(self) -> list[str]:
        """The tokens of letters and digits that go on within a word, marked as WordPiece does, in the order of their ids."""
        vocabulary = self._tokenizer.get_vocab()
        found = [piece for piece in vocabulary if piece.startswith(CONTINUES) and piece.removeprefix(CONTINUES).isalnum()]
        return sorted(found, key=vocabulary.__getitem__)

    @made_once
    def fingerprint(self) -> str:
        """32 hex digits over every file as `save` writes it, the pooling and the cut."""
        files = {name: sha256(path) for name, path in self._files.items()}
        files |= {name: hashlib.sha256(data).hexdigest() for name, data in self._written.items()}
        identity = [files, self.pooling, self.max_tokens]
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of `texts` in input order: (n, dim) float32. A blank text gives the zero vector.

        Raises CheckpointError where the model fails, or gives NaN.
        """
        tokenizer, texts = self._tokenizer, checks.texts("texts", texts, call="encoder.encode")
        with refused(self._folder / TOKENIZER), library_code:
            encodings = tokenizer.encode_batch(texts)
        ids = [encoding.ids for encoding in encodings]
        self._count(texts, encodings)
        vectors = np.zeros((len(texts), self.dim), np.float32)
        batches = list(full_batches(ids, [i for i, text in enumerate(texts) if ids[i] and text.strip()]))
        for chosen, found in zip(batches, self._each(partial(self._batch, ids), batches), strict=True):
            vectors[chosen] = found
        if not np.isfinite(vectors).all():
            raise CheckpointError(f"the model in {self._folder} gives NaN or infinity; save it again")
        return normalise(vectors) if self._unit else vectors

    def _batch(self, ids: Sequence[Sequence[int]], chosen: Sequence[int]) -> np.ndarray:
        """The vectors (b, dim) of some of the texts, of token ids `ids`."""
        rows = [ids[i] for i in chosen]
        with library_code:
            return self._vectors(padded(rows), padded([[1] * len(row) for row in rows]))

    def _each(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """`function` of each item, in order; at the same time where that is faster: it runs batches."""
        return map(function, items)

    def save(self, folder: Path) -> None:
        """Copy the model, with its present cut, into the existing, empty `folder`."""
        for name, path in self._files.items():
            target = Path(folder) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        for name, data in self._written.items():
            (Path(folder) / name).write_bytes(data)

    def describe(self) -> dict[str, object]:
        """Facts for people, by name."""
        return {
            "length": self.dim,
            "pooling": f"{self.pooling}{', scaled to length 1' if self._unit else ''}",
            "longest text": f"{self.max_tokens:,} tokens" if self.max_tokens else "any",
            "tokenizer": f"{self._tokenizer.get_vocab_size():,} tokens",
        }

    @property
    def _written(self) -> dict[str, bytes]:
        """What `save` writes itself: the cut, where it is not the folder's own."""
        if self.max_tokens == self._longest:
            return {}
        settings = self._json(SETTINGS, dict) | {"max_seq_length": self.max_tokens}
        return {SETTINGS: json.dumps(settings, sort_keys=True).encode()}

    @property
    def _files(self) -> dict[str, Path]:
        """What the vectors depend on and `save` copies, by the names that it gives them."""
        beside = {name: self._folder / name for name in (CONFIG, TOKENIZER, MODULES, SETTINGS, POOLING)}
        found = {name: path for name, path in beside.items() if path.is_file() and name not in self._written}
        return found | dict(self._model_files)

    def _json(self, name: str, type: type[Any]) -> Any:
        """What a file of the folder holds, an object of that type; an empty one where there is no such file."""
        path = self._folder / name
        try:
            found = json.loads(path.read_bytes())
        except FileNotFoundError:
            return type()
        except (OSError, ValueError, RecursionError) as error:
            raise CheckpointError(f"{path} cannot be read ({error}); save the model again") from None
        if not isinstance(found, type):
            raise CheckpointError(f"{path} holds no {type.__name__}; save the model again")
        return found

    def _number(self, name: str, key: str) -> int | None:
        """A number from 1 that a file of the folder may hold."""
        value = self._json(name, dict).get(key)
        if value is not None and (type(value) is not int or not 1 <= value < 1 << 31):
            raise CheckpointError(
                f"{self._folder / name} has the {key} {value!r}, and not a number from 1; save the model again"
            )
        return value

    def _read_pooling(self) -> str:
        chosen = [POOLINGS.get(name, name) for name, on in self._json(POOLING, dict).items() if on is True]
        chosen = [name for name in chosen if name != "include_prompt"] or ["mean"]
        if len(chosen) > 1 or chosen[0] not in POOLINGS.values():
            raise CheckpointError(
                f"{self._folder}/1_Pooling pools by {' and '.join(chosen)}; known are {', '.join(POOLINGS.values())}"
            )
        return chosen[0]

    @made_once
    def _tokenizer(self) -> Tokenizer:
        tokenizer = read_tokenizer(self._folder)
        with refused(self._folder / TOKENIZER):
            marks = tokenizer.num_special_tokens_to_add(False)
        if self.max_tokens is not None:
            if self.max_tokens <= marks:
                error = CheckpointError if self.max_tokens == self._longest else UsageError
                raise error(
                    f"{self._folder} would have texts cut to {self.max_tokens} tokens, {marks} of which are marks; "
                    f"at least {marks + 1} are needed"
                )
            tokenizer.enable_truncation(self.max_tokens)
        return tokenizer

    def _pooled(self, states: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """One vector for each text, (b, d), of its tokens' states (b, t, d)."""
        weights = mask[:, :, None].astype(np.float32)
        if self.pooling == "mean":
            return (states * weights).sum(axis=1) / weights.sum(axis=1)
        if self.pooling == "max":
            return np.where(weights == 0, -np.inf, states).max(axis=1)
        return states[:, 0]

    def _count(self, texts: Sequence[str], encodings: Sequence[Any]) -> None:
        tokens = sum(len(encoding.ids) for encoding in encodings)
        marks = self._tokenizer.num_special_tokens_to_add(False)
        cut = [sum(len(part.ids) - marks for part in encoding.overflowing) for encoding in encodings]
        self.tally += Tally(
            texts=len(texts),
            empty=sum(not text.strip() for text in texts),
            tokens=tokens,
            words=tokens,
            cut_texts=sum(count > 0 for count in cut),
            cut_tokens=sum(cut),
        )


def read_tokenizer(folder: Path) -> Tokenizer:
    """The folder's tokenizer.json, which neither pads nor, until told to, cuts. Raises CheckpointError where it is damaged,
    UsageError where tokenizers is not installed."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise UsageError(
            "a tokenizer.json needs tokenizers: pip install 'vecsearch[onnx]' or 'vecsearch[transformer]'"
        ) from None
    with refused(folder / TOKENIZER):
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.no_padding()
    return tokenizer


def full_batches(ids: Sequence[Sequence[int]], places: Sequence[int]) -> Iterator[list[int]]:
    """The places of token ids in batches of like lengths, longest first, of at most BATCH_TOKENS tokens with the padding."""
    order = sorted(places, key=lambda place: -len(ids[place]))
    first = 0
    while first < len(order):
        chosen = order[first : first + max(1, BATCH_TOKENS // max(1, len(ids[order[first]])))]
        yield chosen
        first += len(chosen)


def padded(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """Rows of numbers with zeros behind the shorter ones: (b, t) int64."""
    table = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for line, row in zip(table, rows, strict=True):
        line[: len(row)] = row
    return table


@contextmanager
def refused(path: Path) -> Iterator[None]:
    """Turn what tokenizers raises over a damaged file into a CheckpointError."""
    try:
        yield
    except BaseException as error:  # the library raises nothing narrower than Exception, and Rust's panics are not even that
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise CheckpointError(f"{path} cannot be used ({error}); save the model again") from None
