"""Models in ONNX files as encoders, run by onnxruntime: sentence transformers, and graphs that take the texts themselves."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vecsearch import checks
from vecsearch.encoders.base import CONFIG, FromPath, Tally
from vecsearch.encoders.sentence.base import TOKENIZER, SentenceEncoder
from vecsearch.encoders.sentence.onnx_model import TOKENS, OnnxModel, find_model
from vecsearch.errors import CheckpointError
from vecsearch.files import sha256
from vecsearch.forks import library_code, made_once

BATCH_TEXTS = 64
"""Texts that a graph takes at a time."""


class OnnxEncoder(SentenceEncoder):
    """A sentence transformer as an .onnx file, or a folder with one, beside its tokenizer.json: a `SentenceEncoder`.

    The vector of a text is the output with a name of `VECTORS` where there is one, else that of `STATES` pooled, else the only
    output that has the shape of either.

    Raises CheckpointError for a file or folder that cannot be used, UsageError where onnxruntime is not installed.
    """

    kind = "an ONNX model"

    def __init__(self, path: Path, *, max_tokens: int | None = None) -> None:
        path = checks.path("path", path)
        self._made_from(path, max_tokens=max_tokens)
        self._model = OnnxModel(find_model(path))
        super().__init__(_folder_of(self._model.path), max_tokens)
        self._model.check_takes_tokens()
        dim = self._model.dim or self._number(CONFIG, "hidden_size")
        if dim is None:
            raise CheckpointError(
                f"neither {self._model.path} nor a {CONFIG} beside it says the length of the vectors; export the model again"
            )
        self.dim: int = dim

    def describe(self) -> dict[str, object]:
        """Facts for people, by name."""
        return {**self._model.describe(), **super().describe()}

    @property
    def _model_files(self) -> Mapping[str, Path]:
        return self._model.files

    def _vectors(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        found = self._model.run_on_tokens(dict(zip(TOKENS, (ids, mask, np.zeros_like(ids)), strict=True)))
        if found.shape[-1] != self.dim or (found.ndim == 3 and found.shape[1] != ids.shape[1]):
            raise CheckpointError(
                f"{self._model.path} makes {found.shape} of tokens {ids.shape}, for vectors of length {self.dim}"
            )
        return found if found.ndim == 2 else self._pooled(found, mask)


class OnnxTextEncoder(FromPath):
    """An .onnx file whose graph takes texts, and gives one vector for each, or one for each of its tokens, whose mean is taken:
    the Universal Sentence Encoder or ELMo, exported. `tally` counts what it has encoded since.

    Raises CheckpointError for a file that cannot be used, UsageError where onnxruntime is not installed.
    """

    kind = "an ONNX model of texts"

    def __init__(self, path: Path) -> None:
        path = checks.path("path", path)
        self._made_from(path)
        self._model = OnnxModel(find_model(path))
        if len(self._model.graph.inputs) != 1:
            raise CheckpointError(f"{self._model.path} takes {', '.join(self._model.graph.inputs)}, and only texts are given")
        self._input, value = next(iter(self._model.graph.inputs.items()))
        if value.shape is not None and len(value.shape) != 1:
            raise CheckpointError(f"{self._model.path} takes texts in the shape {value.shape}; it has to be a list")
        self.tally = Tally()

    @made_once
    def dim(self) -> int:
        """Length of its vectors: as the file says, or as those of a first text show."""
        return self._model.dim or self._run(["a"]).shape[-1]

    @made_once
    def fingerprint(self) -> str:
        """32 hex digits over the model's files."""
        hashes = "".join(sha256(path) for path in self._model.files.values())
        return hashlib.sha256(hashes.encode()).hexdigest()[:32]

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of `texts` in input order: (n, dim) float32. A blank text gives the zero vector.

        Raises CheckpointError where the model fails, or gives NaN.
        """
        texts = checks.texts("texts", texts, call="encoder.encode")
        vectors = np.zeros((len(texts), self.dim), np.float32)
        given = [i for i, text in enumerate(texts) if text.strip()]
        # A text of several is padded to the longest, and no mask tells which states are padding.
        size = BATCH_TEXTS if self._model.gives_vectors else 1
        for first in range(0, len(given), size):
            chosen = given[first : first + size]
            found = self._run([texts[i] for i in chosen])
            if found.shape[-1] != self.dim:
                raise CheckpointError(f"{self._model.path} says vectors of length {self.dim}, and gives {found.shape[-1]}")
            vectors[chosen] = found
        if not np.isfinite(vectors).all():
            raise CheckpointError(f"{self._model.path} gives NaN or infinity; export it again")
        self.tally += Tally(texts=len(texts), empty=len(texts) - len(given))
        return vectors

    def save(self, folder: Path) -> None:
        """Copy the model into the existing, empty `folder`."""
        for name, path in self._model.files.items():
            target = Path(folder) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)

    def describe(self) -> dict[str, object]:
        """Facts for people, by name."""
        return {**self._model.describe(), "length": self.dim}

    def _run(self, texts: list[str]) -> np.ndarray:
        with library_code:
            found = self._model.run({self._input: np.array(texts, object)})
        return found if found.ndim == 2 else found.mean(axis=1)


def _folder_of(model: Path) -> Path:
    """The folder of the tokenizer that belongs to a model: its own, or the one above a folder named onnx."""
    own, above = model.parent, model.parent.parent
    folder = above if own.name == "onnx" and not (own / TOKENIZER).is_file() else own
    if not (folder / TOKENIZER).is_file():
        raise CheckpointError(f"{folder / TOKENIZER} is missing: {model.name} takes the tokens that it makes; copy it there")
    return folder
