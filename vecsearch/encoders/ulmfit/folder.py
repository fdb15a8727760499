"""An encoder as a folder: config.json, model.safetensors, vocab.json, tokenizer.json. Nothing in it can run code.

The tensors, float32 or float16, for each direction ("forward", "backward") of V words, embedding size e and layers of h states:

    forward.embedding           (V, e)      may be int8; then there is also
    forward.scales              (V,)        what each row is multiplied by
    forward.lstm.0.weight_ih    (4h, e)     gates in the order input, forget, cell, output, as in torch
    forward.lstm.0.weight_hh    (4h, h)
    forward.lstm.0.bias         (4h,)       the sum of the checkpoint's two biases
    forward.lstm.1.…
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch.encoders.base import CONFIG
from vecsearch.encoders.ulmfit.embedding import Embedding
from vecsearch.encoders.ulmfit.pooling import Pooling
from vecsearch.encoders.ulmfit.postprocess import Postprocess, read_postprocess
from vecsearch.errors import CheckpointError, writing
from vecsearch.files import sha256
from vecsearch.schema import check, one_of
from vecsearch.text.tokenizer import Tokenizer, open_tokenizer
from vecsearch.text.vocabulary import Vocabulary

KIND, FORMAT = "ulmfit", 3
"""Formats 1 and 2 are read as well: 2 has neither an embedding of 8-bit numbers nor pieces of words; 1 has one `layer` where
later ones have `layers`."""
WEIGHTS, VOCABULARY = "model.safetensors", "vocab.json"


@dataclass(frozen=True, slots=True)
class Layer:
    """One LSTM layer of `h` states over inputs of size `i`: weights (4h, i) and (4h, h), bias (4h,), all float32."""

    weight_ih: np.ndarray
    weight_hh: np.ndarray
    bias: np.ndarray

    @property
    def dim(self) -> int:
        return self.weight_hh.shape[1]


@dataclass(frozen=True, slots=True)
class Stack:
    """One direction of the model: the embedding in the file's own precision, and the LSTM layers over it."""

    embedding: Embedding
    layers: tuple[Layer, ...]

    @property
    def dims(self) -> tuple[int, ...]:
        """Size of the vectors at each depth: the embedding, then each layer."""
        return (self.embedding.dim, *(layer.dim for layer in self.layers))

    def weights(self, layers: int) -> int:
        """How many numbers the first of the LSTM layers multiply a token with."""
        return sum(layer.weight_ih.size + layer.weight_hh.size for layer in self.layers[:layers])

    def check(self) -> None:
        """Raise ValueError for tensors whose sizes do not chain."""
        self.embedding.check()
        if not self.layers:
            raise ValueError("no LSTM layers over the embedding")
        below = self.embedding.dim
        for n, layer in enumerate(self.layers):
            h = layer.weight_hh.shape[-1]
            shapes = layer.weight_ih.shape, layer.weight_hh.shape, layer.bias.shape
            if shapes != ((4 * h, below), (4 * h, h), (4 * h,)):
                raise ValueError(f"the tensors of LSTM layer {n} have the shapes {shapes} over {below} inputs")
            below = h


@dataclass(frozen=True, slots=True)
class Config:
    """config.json: what the tensors cannot say. `files` holds the sha256 of every other file in the folder."""

    format: int
    kind: str
    directions: tuple[str, ...]
    pooling: str
    layers: tuple[int, ...]
    max_tokens: int | None
    files: dict[str, str]
    source: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EncoderFolder:
    """A folder as opened: everything in it, checked against config.json's hashes."""

    path: Path
    config: Config
    stacks: dict[str, Stack]
    vocabulary: Vocabulary
    tokenizer: Tokenizer
    postprocess: Postprocess


def write_encoder(
    folder: Path,
    tensors: Mapping[str, np.ndarray],
    vocabulary: Vocabulary,
    tokenizer: Tokenizer,
    *,
    source: Mapping[str, Any],
    layers: Sequence[int] = (-1,),
) -> Config:
    """Write an encoder that pools the mean of its `layers`, added up, into the existing, empty `folder`; returns its config.

    `tensors` are named as in this module's docstring. Raises ResourceError when the disk says no.
    """
    from safetensors.numpy import save

    with writing(folder):
        (folder / WEIGHTS).write_bytes(save({name: np.ascontiguousarray(array) for name, array in tensors.items()}))
        vocabulary.save(folder / VOCABULARY)
        tokenizer.save(folder)
        config = Config(
            format=FORMAT,
            kind=KIND,
            directions=tuple(d for d in ("forward", "backward") if f"{d}.embedding" in tensors),
            pooling=Pooling.MEAN.value,
            layers=tuple(layers),
            max_tokens=None,
            files={path.name: sha256(path) for path in sorted(folder.iterdir())},
            source=dict(source),
        )
        write_config(folder, config)
    return config


def write_config(folder: Path, config: Config) -> None:
    """Write config.json."""
    (folder / CONFIG).write_text(json.dumps(asdict(config), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_encoder(folder: Path, *, check: bool = True) -> EncoderFolder:
    """The encoder in `folder`, its files compared with their hashes if asked. Raises CheckpointError naming the file that is
    missing, damaged or does not fit."""
    config = _read_config(folder)
    for name, expected in config.files.items():
        path = folder / name
        if not path.is_file():
            raise CheckpointError(
                f"{path} is missing: the encoder folder is incomplete; copy it again or import the model again"
            )
        if check and (found := sha256(path)) != expected:
            raise CheckpointError(
                f"{path} is damaged: its sha256 is {found[:16]}…, config.json says {expected[:16]}…; "
                "copy it again or import the model again"
            )
    vocabulary = Vocabulary.load(folder / VOCABULARY)
    stacks = _read_stacks(folder / WEIGHTS, config.directions)
    for direction, stack in stacks.items():
        if len(vocabulary) != len(stack.embedding):
            raise CheckpointError(
                f"{folder}: the vocabulary has {len(vocabulary):,} words, the {direction} embedding "
                f"{len(stack.embedding):,} rows; import the model again with the vocabulary it was trained with"
            )
    postprocess = read_postprocess(folder, len(vocabulary))
    return EncoderFolder(folder, config, stacks, vocabulary, open_tokenizer(folder), postprocess)


def _read_config(folder: Path) -> Config:
    path = folder / CONFIG
    try:
        values = json.loads(path.read_bytes())
        if values.get("format") not in (1, 2, FORMAT) or values.get("kind") != KIND:
            raise CheckpointError(
                f"{path}: encoder format {values.get('format')} of kind {values.get('kind')!r}; "
                f"this vecsearch reads formats 1 to {FORMAT} of kind {KIND!r}: upgrade vecsearch"
            )
        if values["format"] == 1:
            values["layers"] = [values["layer"]]
        check(values, _EXPECTED)
        _check_files(values["files"], folder)
        values |= {"format": FORMAT, **{name: tuple(values[name]) for name in ("directions", "layers")}}
        return Config(**{f.name: values[f.name] for f in fields(Config)})
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder} is not an encoder folder: it has no {CONFIG}; make one with `vecsearch model import CHECKPOINT -o …`"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise CheckpointError(
            f"{path} cannot be read as an encoder's configuration ({error}); import the model again"
        ) from None


_EXPECTED = {
    "directions": one_of(["forward"], ["forward", "backward"]),
    "pooling": one_of(*Pooling),
    "layers": [int, ...],
    "max_tokens": (None, int),
    "files": {...: str},
    "source": dict,
}


def _check_files(files: Mapping[str, str], folder: Path) -> None:
    """Raise ValueError for a file with a hash that leaves the folder, and for one in it that has none."""
    if any("/" in name or "\\" in name or name.startswith(".") for name in files):
        raise ValueError("a file name that leaves the folder")
    if missing := {WEIGHTS, VOCABULARY, *(path.name for path in folder.glob("*") if path.name != CONFIG)} - set(files):
        raise ValueError(f"no hash for {', '.join(sorted(missing))}")


def describe_sizes(dims: Sequence[int]) -> str:
    """For people: the size of the embedding, and those of the LSTM layers over it."""
    layers = f"{len(dims) - 1} LSTM layer{'s' * (len(dims) > 2)}"
    return f"embedding {dims[0]}, {layers} of {', '.join(map(str, dims[1:]))}"


def _read_stacks(path: Path, directions: tuple[str, ...]) -> dict[str, Stack]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            names = set(file.keys())
            stacks = {}
            for direction in directions:
                depth = sum(name.startswith(f"{direction}.lstm.") and name.endswith(".bias") for name in names)
                layers = (
                    (file.get_tensor(f"{direction}.lstm.{n}.{part}") for part in ("weight_ih", "weight_hh", "bias"))
                    for n in range(depth)
                )
                stacks[direction] = Stack(
                    Embedding(
                        file.get_tensor(f"{direction}.embedding"),
                        file.get_tensor(f"{direction}.scales").astype(np.float32) if f"{direction}.scales" in names else None,
                    ),
                    tuple(Layer(*(array.astype(np.float32) for array in arrays)) for arrays in layers),
                )
                stacks[direction].check()
            return stacks
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}; import the model again") from None
