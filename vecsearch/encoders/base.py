"""What an encoder is: anything that turns texts into vectors."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from vecsearch import checks
from vecsearch.errors import VectorsError

MEMBERS = ("dim", "fingerprint", "encode", "save")
"""What makes an encoder."""
ENCODES = ("dim", "encode")
"""What is needed of one that is not kept."""
DTYPES = ("auto", "float32", "bfloat16")
"""Precisions that encoders compute in, for those that have the choice."""


@runtime_checkable
class Encoder(Protocol):
    """Four members make an encoder; `vecsearch.encoders.ulmfit.UlmfitEncoder` is the one that ships."""

    dim: int
    """Length of its vectors."""
    fingerprint: str
    """Equal for two encoders exactly when they give the same vectors; an index refuses texts from any other."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of `texts` in input order: (n, dim) float32. An empty text gives the zero vector."""

    def save(self, folder: Path) -> None:
        """Write everything needed to open it again into the existing, empty `folder`."""


@runtime_checkable
class WordEncoder(Encoder, Protocol):
    """An encoder with words of its own, which `vecsearch build --vocabulary` indexes."""

    words: Sequence[str]
    """All of them, in the model's order."""

    def word_ids(self, *, all_words: bool = False) -> tuple[np.ndarray, dict[str, int]]:
        """The places in `words` of those with a vector of their own, with `all_words` of all, (m,) int64 in order; and how many
        were left out, by a name of `Index.build`'s counts."""

    def encode_words(self, ids: np.ndarray) -> np.ndarray:
        """Vectors of the words at these places, without tokenising them: (n,) int -> (n, dim) float32."""


class FromPath:
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


def check_encoder(encoder: Any, needed: Sequence[str] = MEMBERS, *, name: str = "encoder") -> Encoder:
    """The encoder, given under this name. Raises TypeError for what is none, naming the `needed` member that it lacks."""
    if isinstance(encoder, str | Path):
        raise TypeError(f"{name} is {checks.described(encoder)}; give open_encoder({str(encoder)!r})")
    if isinstance(encoder, type):
        raise TypeError(f"{name} is the class {encoder.__name__}; give an object of it: {encoder.__name__}()")
    if missing := [member for member in needed if not hasattr(encoder, member)]:
        lacks = f"which has no {' and no '.join(missing)}"
        raise TypeError(f"{name} is {checks.described(encoder)}, {lacks}; give an encoder: it has {', '.join(MEMBERS)}")
    checks.count("the encoder's dim", encoder.dim, least=1)
    if "fingerprint" in needed and not checks.text("the encoder's fingerprint", encoder.fingerprint):
        raise TypeError("the encoder's fingerprint is empty; give it a text that no other encoder has")
    for member in {"encode", "save"}.intersection(needed):
        checks.function(f"the encoder's {member}", getattr(encoder, member))
    return encoder


def checked_vectors(encoder: Encoder, vectors: Any, count: int) -> np.ndarray:
    """What an encoder returned for so many texts, as (count, dim) float32. Raises VectorsError for anything else."""
    name = f"what the encoder {getattr(encoder, 'kind', type(encoder).__name__)} returned"
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
    """Vectors of each block of texts, lazily; an encoder's own `encode_blocks` is used where it has one, to overlap work.

    Raises VectorsError where the encoder returns anything but (n, dim) numbers for each block.
    """
    lengths: deque[int] = deque()

    def measured() -> Iterator[Sequence[str]]:
        for block in blocks:
            lengths.append(len(block))
            yield block

    own = getattr(encoder, "encode_blocks", None)
    returned = 0
    made = own(measured()) if own else map(encoder.encode, measured())
    for vectors in checks.iterable("what the encoder's encode_blocks returned", made, "arrays"):
        if not lengths:
            raise VectorsError(f"the encoder returned more than the {returned:,} blocks of texts that it was given")
        yield checked_vectors(encoder, vectors, lengths.popleft())
        returned += 1
    if lengths:
        raise VectorsError(f"the encoder returned {returned:,} of {returned + len(lengths):,} blocks of texts")
