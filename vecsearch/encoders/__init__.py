"""Texts to vectors: what an encoder is, the kinds of encoders, and `open_encoder`, which finds one by its name or path."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from vecsearch import checks
from vecsearch.encoders.base import DTYPES, Encoder, Tally, encode_blocks, said_in
from vecsearch.encoders.concatenated import KIND as CONCATENATED_KIND
from vecsearch.encoders.concatenated import ConcatenatedEncoder, parts_in
from vecsearch.encoders.sentence.onnx import OnnxEncoder, OnnxTextEncoder
from vecsearch.encoders.sentence.onnx_model import is_onnx, takes_texts
from vecsearch.encoders.sentence.transformer import TransformerEncoder
from vecsearch.encoders.ulmfit.encoder import UlmfitEncoder
from vecsearch.encoders.ulmfit.folder import KIND as ULMFIT_KIND
from vecsearch.encoders.ulmfit.pooling import Pooling
from vecsearch.encoders.words.encoder import WordsEncoder
from vecsearch.encoders.words.folder import KIND as WORDS_KIND
from vecsearch.encoders.words.importing import is_words_file
from vecsearch.errors import CheckpointError, UsageError

__all__ = [
    "DEFAULT",
    "ULMFIT",
    "ConcatenatedEncoder",
    "Encoder",
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


def open_concatenated(folder: Path, **options: Any) -> ConcatenatedEncoder:
    """The concatenated encoder in a folder; every part is opened with the `options`."""
    parts, weights = parts_in(folder)
    return ConcatenatedEncoder([open_encoder(part, **options) for part in parts], weights)


class EncoderKind(NamedTuple):
    """A kind of encoder: what it is called, and what opens one with the options that it has."""

    name: str
    open: Callable[..., Encoder]


ULMFIT = EncoderKind(UlmfitEncoder.kind, UlmfitEncoder)
CONCATENATED = EncoderKind(ConcatenatedEncoder.kind, open_concatenated)
WORDS = EncoderKind(WordsEncoder.kind, WordsEncoder)
ONNX_TEXTS = EncoderKind(OnnxTextEncoder.kind, OnnxTextEncoder)
ONNX = EncoderKind(OnnxEncoder.kind, OnnxEncoder)
TRANSFORMER = EncoderKind(TransformerEncoder.kind, TransformerEncoder)
NAMED = {ULMFIT_KIND: ULMFIT, CONCATENATED_KIND: CONCATENATED, WORDS_KIND: WORDS}
"""Those whose folders are vecsearch's own, by the `kind` in their config.json."""


_FOR_ANY = (("dtype", "auto"), ("check", True), ("check", False))
"""Options that no kind refuses."""


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
        raise CheckpointError(f"{name} is not an encoder; make one of a fastai checkpoint with `vecsearch model import`")
    raise CheckpointError(
        f"no encoder folder {name}; give a folder made by `vecsearch model import`, or a name that ships: {', '.join(names)}"
    )


def can_open(path: Path) -> bool:
    """Whether `open_encoder` knows the kind of encoder in a folder or file, and in each part of a concatenated one."""
    kind = _known_kind(path)
    return all(map(can_open, parts_in(path)[0])) if kind is CONCATENATED else kind is not None


def kind_of(path: Path) -> EncoderKind:
    """The kind of encoder at a path. What is of none is taken for an ULMFiT folder, whose reader says what it lacks."""
    return _known_kind(path) or ULMFIT


def _known_kind(path: Path) -> EncoderKind | None:
    said = said_in(path)
    named = said.get("kind")
    if isinstance(named, str) and named in NAMED:
        return NAMED[named]
    if is_onnx(path):
        return ONNX_TEXTS if takes_texts(path) else ONNX
    if "model_type" in said:
        return TRANSFORMER
    return WORDS if is_words_file(path) else None


def find_ulmfit(name: str | Path) -> Path:
    """`find_encoder` of an ULMFiT model's folder, for what needs its words or weights. Raises UsageError for another kind."""
    path = find_encoder(name)
    if (kind := kind_of(path)) is not ULMFIT:
        raise UsageError(f"{path} is {kind.name}; here {ULMFIT.name} is needed")
    return path


def open_encoder(name: str | Path = DEFAULT, **options: Any) -> Encoder:
    """The encoder that `find_encoder` finds, opened; `options` are those of its kind: see `UlmfitEncoder` and the others.

    A `dtype` of "auto" leaves the choice to any kind, and `check=False` says to any that its files have been hashed. Raises
    CheckpointError for what cannot be used, UsageError for an option that this kind of encoder does not have.
    """
    if options.get("dtype") is not None:
        options["dtype"] = checks.one_of("dtype", options["dtype"], DTYPES)
    if options.get("pooling") is not None:
        options["pooling"] = Pooling(options["pooling"])
    if options.get("check") is not None:
        options["check"] = checks.flag("check", options["check"])
    path = find_encoder(name)
    kind = kind_of(path)
    taken = inspect.signature(kind.open).parameters
    known = options.keys() if "options" in taken else options.keys() & taken.keys()
    given = {option: value for option, value in options.items() if value is not None}
    if unknown := [option for option in given if option not in known and (option, given[option]) not in _FOR_ANY]:
        raise UsageError(f"{path} is {kind.name}, which has no such choice: leave out {' and '.join(unknown)}")
    return kind.open(path, **{option: value for option, value in given.items() if option in known})
