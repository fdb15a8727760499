"""Texts to vectors: the encoder protocol, and `open_encoder`, which finds one by name or folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vecsearch.encoders.base import Encoder, Tally, encode_blocks
from vecsearch.encoders.folder import is_ulmfit
from vecsearch.encoders.transformer import TransformerEncoder, is_transformer
from vecsearch.encoders.ulmfit import UlmfitEncoder
from vecsearch.errors import CheckpointError, UsageError

__all__ = [
    "DEFAULT",
    "Encoder",
    "Tally",
    "TransformerEncoder",
    "UlmfitEncoder",
    "can_open",
    "encode_blocks",
    "find_encoder",
    "is_transformer",
    "open_encoder",
]

DEFAULT = "english"
"""The encoder that ships with the package."""


def find_encoder(name: str | Path) -> Path:
    """The encoder folder `name`, or the one that ships under that name. Raises CheckpointError when there is neither."""
    folder = Path(name)
    if folder.is_dir():
        return folder
    shipped = Path(__file__).parent.parent / "models"
    names = sorted(path.name for path in shipped.iterdir() if path.is_dir())
    if str(name) not in names:
        raise CheckpointError(
            f"no encoder folder {name}; give a folder made by `vecsearch model import`, "
            f"or a name that ships: {', '.join(names)}"
        )
    return shipped / str(name)


def can_open(folder: Path) -> bool:
    """Whether `open_encoder` knows the kind of encoder in a folder."""
    return is_ulmfit(folder) or is_transformer(folder)


def open_encoder(name: str | Path = DEFAULT, **options: Any) -> UlmfitEncoder | TransformerEncoder:
    """The encoder that `find_encoder` finds, opened; `options` are those of `UlmfitEncoder`, or of `TransformerEncoder`.

    Raises CheckpointError for a folder that cannot be used, UsageError for an option that this kind of encoder does not have.
    """
    folder = find_encoder(name)
    if not is_transformer(folder):
        return UlmfitEncoder(folder, **options)
    if unknown := [option for option in ("pooling", "layers") if options.pop(option, None) is not None]:
        raise UsageError(f"{folder} is a sentence transformer, which has its own pooling: leave out {' and '.join(unknown)}")
    return TransformerEncoder(folder, **options)
