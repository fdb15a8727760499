"""[[Marked]] words in texts that the user gave, where marking is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING

import click

from vecsearch.cli.output import note
from vecsearch.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from vecsearch.encoders import Encoder

marked_option = click.option(
    "--marked", is_flag=True, help="A [[marked]] word of a text stands for that word as its sentence uses it."
)


def encode_marked(encoder: Encoder, texts: Sequence[str], places: Sequence[str]) -> np.ndarray:
    """Vectors of the marked words of texts, (n, dim) float32; what is no mark is said with the text's place, and left as text.

    Raises UsageError for an encoder in which a word is the same in any context.
    """
    import numpy as np

    try:
        return encoder.encode_in_context(texts)
    except DataError:
        parts = [_one(encoder, text, place) for text, place in zip(texts, places, strict=True)]
    return np.concatenate(parts)


def encode_marked_blocks(encoder: Encoder, blocks: Iterable[Sequence[str]]) -> Iterator[np.ndarray]:
    """`encode_marked` of each block; a text's place is its number."""
    numbers = count(1)
    for texts in blocks:
        yield encode_marked(encoder, texts, [f"text {next(numbers)}" for _ in texts])


def _one(encoder: Encoder, text: str, place: str) -> np.ndarray:
    try:
        return encoder.encode_in_context([text])
    except DataError as error:
        note(f"note: {place} was read as it stands, brackets and all: {error}")
        return encoder.encode([text])
