"""Texts to vectors: the encoder protocol, the kinds of encoders, and `open_encoder`, which finds one by its name or path."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from vecsearch import checks
from vecsearch.encoders.base import DTYPES, Encoder, Tally, encode_blocks
from vecsearch.encoders.folder import is_ulmfit
from vecsearch.encoders.joined import JoinedEncoder, is_joined, joined_folders
from vecsearch.encoders.onnx import OnnxEncoder, OnnxTextEncoder, is_onnx, takes_texts
from vecsearch.encoders.pooling import Pooling
from vecsearch.encoders.transformer import TransformerEncoder, is_transformer
from vecsearch.encoders.ulmfit import UlmfitEncoder
from vecsearch.encoders.words.encoder import WordsEncoder, is_words
from vecsearch.errors import CheckpointError, UsageError

__all__ = [
    "DEFAULT",
    "ULMFIT",
    "Encoder",
    "JoinedEncoder",
    "OnnxEncoder",
    "OnnxTextEncoder",
    "Tally",
    "TransformerEncoder",
    "UlmfitEncoder",
    "WordsEncoder",
    "can_open",
    "encode_blocks",
    "find_encoder",
    "find_ulmfit",
    "kind_of",
    "open_encoder",
]

DEFAULT = "english"
"""The encoder that ships with the package."""


def open_joined(folder: Path, **options: Any) -> JoinedEncoder:
    """The joined encoder in a folder; every part is opened with the `options`."""
    parts, weights = joined_folders(folder)
    return JoinedEncoder([open_encoder(part, **options) for part in parts], weights)


class Kind(NamedTuple):
    """A kind of encoder: what it is called, whether a path is that of one, and what opens it with the options that it has."""

    name: str
    fits: Callable[[Path], bool]
    open: Callable[..., Any]


ULMFIT = Kind(UlmfitEncoder.kind, is_ulmfit, UlmfitEncoder)
KINDS = (
    ULMFIT,
    Kind(JoinedEncoder.kind, is_joined, open_joined),
    Kind(OnnxTextEncoder.kind, takes_texts, OnnxTextEncoder),
    Kind(OnnxEncoder.kind, is_onnx, OnnxEncoder),
    Kind(TransformerEncoder.kind, is_transformer, TransformerEncoder),
    Kind(WordsEncoder.kind, is_words, WordsEncoder),
)
"""The first that fits is taken."""


def find_encoder(name: str | Path) -> Path:
    """The encoder's folder or file `name`, or the folder that ships under that name.

    Raises CheckpointError when there is neither, or a file of no kind that is known.
    """
    path = checks.path("name", name)
    if path.is_dir() or (path.is_file() and can_open(path)):
        return path
    shipped = Path(__file__).parent.parent / "models"
    names = sorted(folder.name for folder in shipped.iterdir() if folder.is_dir())
    if str(name) in names:
        return shipped / str(name)
    if path.is_file():
        raise CheckpointError(f"{name} is no encoder; a fastai checkpoint becomes one with `vecsearch model import`")
    raise CheckpointError(
        f"no encoder folder {name}; give a folder made by `vecsearch model import`, or a name that ships: {', '.join(names)}"
    )


def can_open(path: Path) -> bool:
    """Whether `open_encoder` knows the kind of encoder in a folder or file, and in each part of a joined one."""
    if is_joined(path):
        return all(map(can_open, joined_folders(path)[0]))
    return any(kind.fits(path) for kind in KINDS)


def kind_of(path: Path) -> Kind:
    """The kind of encoder at a path. What is of none is taken for an ULMFiT folder, whose reader says what it lacks."""
    return next((kind for kind in KINDS if kind.fits(path)), ULMFIT)


def find_ulmfit(name: str | Path) -> Path:
    """`find_encoder` of an ULMFiT model's folder, for what needs its words or weights. Raises UsageError for another kind."""
    path = find_encoder(name)
    if (kind := kind_of(path)) is not ULMFIT:
        raise UsageError(f"{path} is {kind.name}; here {ULMFIT.name} is needed")
    return path


def open_encoder(name: str | Path = DEFAULT, **options: Any) -> Any:
    """The encoder that `find_encoder` finds, opened; `options` are those of its kind: see `UlmfitEncoder` and the others.

    A `dtype` of "auto" leaves the choice to any kind. Raises CheckpointError for what cannot be used, UsageError for an option
    that this kind of encoder does not have.
    """
    if options.get("dtype") is not None:
        options["dtype"] = checks.one_of("dtype", options["dtype"], DTYPES)
    if options.get("pooling") is not None:
        options["pooling"] = Pooling(options["pooling"])
    path = find_encoder(name)
    kind = kind_of(path)
    taken = inspect.signature(kind.open).parameters
    known = options.keys() if "options" in taken else options.keys() & taken.keys()
    given = {option: value for option, value in options.items() if value is not None}
    if unknown := [option for option in given if option not in known and (option, given[option]) != ("dtype", "auto")]:
        raise UsageError(f"{path} is {kind.name}, which has no such choice: leave out {' and '.join(unknown)}")
    return kind.open(path, **{option: value for option, value in given.items() if option in known})
