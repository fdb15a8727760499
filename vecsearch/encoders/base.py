"""What an encoder is: anything that turns texts into vectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np


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


def encode_blocks(encoder: Encoder, blocks: Iterable[Sequence[str]]) -> Iterator[np.ndarray]:
    """Vectors of each block of texts, lazily; an encoder's own `encode_blocks` is used where it has one, to overlap work."""
    own = getattr(encoder, "encode_blocks", None)
    return own(blocks) if own else map(encoder.encode, blocks)
