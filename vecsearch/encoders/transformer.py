"""A sentence transformer in a folder, as `SentenceTransformer.save` writes it, by Hugging Face's transformers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch import checks
from vecsearch.encoders.base import DTYPES
from vecsearch.encoders.lstm import fast_dtype, one_thread_in_children
from vecsearch.encoders.sentence import CONFIG, TOKENIZER, SentenceEncoder
from vecsearch.errors import CheckpointError, UsageError
from vecsearch.forks import made_once

WEIGHTS = "model.safetensors"
NEEDED = (CONFIG, WEIGHTS, TOKENIZER)


def is_transformer(path: Path) -> bool:
    """Whether the folder holds a model of Hugging Face's, whatever else may be wrong with it."""
    try:
        return "model_type" in json.loads((path / CONFIG).read_bytes())
    except (OSError, ValueError, TypeError, RecursionError):
        return False


@contextmanager
def without_torchvision() -> Iterator[None]:
    """While entered, transformers can be imported: it would import torchvision for images, which is there for fastai, and
    cannot be imported beside a CPU build of torch."""
    before = sys.modules.get("torchvision")
    sys.modules["torchvision"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["torchvision"]
        if before is not None:
            sys.modules["torchvision"] = before


class TransformerEncoder(SentenceEncoder):
    """A folder with config.json, model.safetensors and tokenizer.json: a `SentenceEncoder` that transformers runs, in float32,
    in bfloat16, or with "auto" in the faster of the two.

    Raises CheckpointError for a folder that cannot be used, UsageError where transformers is not installed.
    """

    kind = "a sentence transformer"

    def __init__(self, folder: Path, *, max_tokens: int | None = None, dtype: str = "float32") -> None:
        folder, dtype = checks.path("folder", folder), checks.one_of("dtype", dtype, DTYPES)
        self._made_from(folder, max_tokens=max_tokens, dtype=dtype)
        for name in NEEDED:
            if not (folder / name).is_file():
                raise CheckpointError(f"{folder / name} is missing: the model needs {', '.join(NEEDED)}; save it again")
        super().__init__(folder, max_tokens)
        self._requested_dtype = dtype
        if not (dim := self._number(CONFIG, "hidden_size")):
            raise CheckpointError(f"{folder / CONFIG} says no hidden_size, the length of the vectors; save the model again")
        self.dim: int = dim

    @made_once
    def dtype(self) -> str:
        """The precision that it computes in."""
        return fast_dtype() if self._requested_dtype == "auto" else self._requested_dtype

    def describe(self) -> dict[str, object]:
        """Facts for people, by name."""
        return {"model": self._json(CONFIG, dict).get("model_type"), **super().describe()}

    @property
    def _model_files(self) -> Mapping[str, Path]:
        return {WEIGHTS: self._folder / WEIGHTS}

    @made_once
    def _model(self) -> Any:
        import torch

        one_thread_in_children()
        try:
            with without_torchvision():
                from transformers import AutoModel
                from transformers.utils.logging import disable_progress_bar

                disable_progress_bar()
                model, found = AutoModel.from_pretrained(
                    self._folder,
                    local_files_only=True,
                    use_safetensors=True,
                    trust_remote_code=False,
                    dtype=getattr(torch, self.dtype),
                    output_loading_info=True,
                )
        except ImportError:
            raise UsageError("a sentence transformer needs transformers: pip install 'vecsearch[transformer]'") from None
        except Exception as error:  # a damaged file fails anywhere in the library, with any error
            raise CheckpointError(f"{self._folder} cannot be opened as a sentence transformer: {error}") from None
        # The library fills them with random numbers. The pooler is not used, and often left out.
        if missing := sorted(key for key in found["missing_keys"] if "pooler." not in key):
            raise CheckpointError(
                f"{self._folder / WEIGHTS} lacks {len(missing)} of the tensors that {CONFIG} asks for, such as {missing[0]}; "
                "save the model again"
            )
        return model.eval()

    def _vectors(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        import torch

        model = self._model
        try:
            with torch.inference_mode():
                found = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask))
                states = found.last_hidden_state.float().numpy()  # (b, t, d)
        except (IndexError, RuntimeError, AttributeError) as error:
            raise CheckpointError(f"the model in {self._folder} fails on its tokenizer's tokens: {error}") from None
        return self._pooled(states, mask)
