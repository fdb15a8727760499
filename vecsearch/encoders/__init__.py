"""Texts to vectors: the encoder protocol, and `open_encoder`, which finds one by name or folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vecsearch.encoders.base import Encoder, Tally, encode_blocks
from vecsearch.encoders.folder import is_ulmfit
from vecsearch.encoders.ulmfit import UlmfitEncoder
from vecsearch.errors import CheckpointError

__all__ = ["DEFAULT", "Encoder", "Tally", "UlmfitEncoder", "encode_blocks", "find_encoder", "is_ulmfit", "open_encoder"]

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


def open_encoder(name: str | Path = DEFAULT, **options: Any) -> UlmfitEncoder:
    """The encoder that `find_encoder` finds, opened; `options` are those of `UlmfitEncoder`."""
    return UlmfitEncoder(find_encoder(name), **options)
