"""What an encoder is: anything that turns texts into vectors."""

from __future__ import annotations

import inspect
import json
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch import checks
from vecsearch.errors import UsageError, VectorsError
from vecsearch.progress import Progress
from vecsearch.text.rules import BOS

CONFIG = "config.json"
"""What says of a folder which kind of encoder it holds."""
DTYPES = ("auto", "float32", "bfloat16")
"""Precisions that encoders compute in, for those that have the choice."""


class Encoder(ABC):
    """Turns texts into vectors. An encoder of your own derives from it and has `dim`, `fingerprint` and `encode`; all else has
    a default, which serves unless the encoder knows better. `vecsearch.encoders.ulmfit.encoder.UlmfitEncoder` ships."""

    dim: int = 0
    """Length of its vectors: a number from 1, which every encoder gives."""
    fingerprint: str = ""
    """Equal for two encoders exactly when they give the same vectors; an index refuses texts from any other. One that is only
    evaluated needs none."""
    dtype: str = "float32"
    """The precision that it computes in, which an index records."""
    language: str | None = None
    """The code of the language that it was made for, in which an index reads words; None where it is found from the texts."""
    tally: Tally | None = None
    """What it has met since it was opened, None for one that does not count."""
    words: Sequence[str] = ()
    """The words that it knows, as a rule the commonest first; empty where there is no such list."""
    pieces: Sequence[str] = ()
    """The pieces that it splits other words into, each marked as WordPiece marks what goes on within a word."""

    @property
    def kind(self) -> str:
        """What it is called in messages; by default as its class is."""
        return type(self).__name__

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of `texts` in input order: (n, dim) float32. An empty text gives the zero vector."""

    def encode_blocks(self, blocks: Iterable[Sequence[str]]) -> Iterator[np.ndarray]:
        """`encode` of each block, lazily: for encoders that get the next one ready while they encode."""
        return map(self.encode, blocks)

    def encode_in_context(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of the [[marked]] word of each text, (n, dim) float32. Raises UsageError where context does not tell."""
        raise UsageError(f"marked words need an ULMFiT model: in {self.kind} a word is the same in any context")

    def tokens(self, text: str) -> list[str]:
        """Tokens of a text, behind one that marks its beginning: the length of passages is counted in them. By default what
        stands between spaces."""
        return [BOS, *text.split()]

    def shares(self, text: str) -> tuple[list[str], np.ndarray]:
        """Tokens of a text, and the share of each in its vector, (tokens, dim) float32: they add up to it. Raises UsageError
        where its vectors are no such sums."""
        raise UsageError(f"what each word contributes is known of ULMFiT models and of word vectors; this is {self.kind}")

    def word_ids(self, *, all_words: bool = False) -> tuple[np.ndarray, dict[str, int]]:
        """The places in `words` of those with a vector of their own, with `all_words` of all, (m,) int64 in order; and how many
        were left out, by a name of `Index.build`'s counts. Raises UsageError for an encoder without words of its own."""
        raise UsageError(self._wordless)

    def encode_words(self, ids: np.ndarray) -> np.ndarray:
        """Vectors of the words at these places, without tokenising them: (n,) int -> (n, dim) float32. Raises UsageError as
        `word_ids` does."""
        raise UsageError(self._wordless)

    def prepare(self, progress: Progress) -> None:  # noqa: B027 - most have nothing to do
        """Do now what takes long and would be done when it is first asked, such as reading a file of word vectors."""

    def save(self, folder: Path) -> None:
        """Write everything needed to open it again into the existing, empty `folder`. By default the name of its class: an
        encoder of your own comes back by `Index.open(folder, encoder=…)`."""
        (Path(folder) / CONFIG).write_text(json.dumps({"class": type(self).__qualname__}) + "\n", encoding="utf-8")

    def describe(self) -> dict[str, object]:
        """Facts for people, by name."""
        return {"length": self.dim}

    def __repr__(self) -> str:
        """What it is; nothing is computed for it, so that a fingerprint over large files is there once it was asked for."""
        known = {name: inspect.getattr_static(self, name, None) for name in ("dim", "pooling", "fingerprint")}
        facts = [f"{name} {str(value)[:12]}" for name, value in known.items() if isinstance(value, str | int) and value]
        return f"<{self.kind}: {', '.join(facts)}>"

    @property
    def _wordless(self) -> str:
        return f"{self.kind} has no words of its own: here an ULMFiT model or word vectors are needed"


class FromPath(Encoder):
    """An encoder in a folder or file: another process, to which it is sent as a pickle, opens that with the same options. What
    it has counted stays here."""

    def _made_from(self, path: str | Path, **options: Any) -> None:
        self._opens_again = partial(type(self), Path(path).absolute(), **options)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._opens_again, ()


@dataclass(slots=True)
class Tally:
    """What an encoder has met since it was opened: nothing is cut or unknown in silence."""

    texts: int = 0
    empty: int = 0
    tokens: int = 0
    words: int = 0
    """Tokens that are no marks of fastai's, unknown words among them."""
    unknown: int = 0
    cut_texts: int = 0
    cut_tokens: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    def as_dict(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.__slots__}


def said_in(folder: Path) -> Mapping[str, Any]:
    """What a folder's config.json says, by name; nothing where there is none that can be read."""
    try:
        found = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def check_encoder(encoder: Any, *, kept: bool = True, name: str = "encoder") -> Encoder:
    """The encoder, given under this name; one that is `kept`, in an index or by what was learnt with it, has a fingerprint.
    Raises TypeError for what is none."""
    if isinstance(encoder, str | Path):
        raise TypeError(f"{name} is {checks.described(encoder)}; give open_encoder({str(encoder)!r})")
    if isinstance(encoder, type):
        raise TypeError(f"{name} is the class {encoder.__name__}; give an object of it: {encoder.__name__}()")
    own = "open_encoder(), or an object of a class of your own that derives from vecsearch.Encoder"
    checks.instance(name, encoder, Encoder, give=f"an encoder: {own}")
    checks.count("the encoder's dim", encoder.dim, least=1)
    if kept and not checks.text("the encoder's fingerprint", encoder.fingerprint):
        raise TypeError("the encoder's fingerprint is empty; give it a text that no other encoder has")
    checks.function("the encoder's encode", encoder.encode)
    checks.function("the encoder's save", encoder.save)
    return encoder


def checked_vectors(encoder: Encoder, vectors: Any, count: int) -> np.ndarray:
    """What an encoder returned for so many texts, as (count, dim) float32. Raises VectorsError for anything else."""
    name = f"what the encoder {encoder.kind} returned"
    try:
        found = checks.array(name, vectors)
    except TypeError as error:
        raise VectorsError(f"{error} of the shape ({count}, {encoder.dim})") from None
    if found.shape != (count, encoder.dim):
        raise VectorsError(
            f"{name} for {count:,} texts has the shape {found.shape}; it has to be ({count}, {encoder.dim}), a row for each"
        )
    return found


def encode_texts(encoder: Encoder, texts: Sequence[str]) -> np.ndarray:
    """Vectors of texts, (n, dim) float32, in input order. Raises VectorsError where the encoder returns anything else."""
    return checked_vectors(encoder, encoder.encode(texts), len(texts))


def encode_blocks(encoder: Encoder, blocks: Iterable[Sequence[str]]) -> Iterator[np.ndarray]:
    """Vectors of each block of texts, lazily, by the encoder's `encode_blocks`.

    Raises VectorsError where the encoder returns anything but (n, dim) numbers for each block.
    """
    lengths: deque[int] = deque()

    def measured() -> Iterator[Sequence[str]]:
        for block in blocks:
            lengths.append(len(block))
            yield block

    returned = 0
    made = encoder.encode_blocks(measured())
    for vectors in checks.iterable("what the encoder's encode_blocks returned", made, "arrays"):
        if not lengths:
            raise VectorsError(f"the encoder returned more than the {returned:,} blocks of texts that it was given")
        yield checked_vectors(encoder, vectors, lengths.popleft())
        returned += 1
    if lengths:
        raise VectorsError(f"the encoder returned {returned:,} of {returned + len(lengths):,} blocks of texts")
