"""A sentence transformer in a folder, as `SentenceTransformer.save` writes it, by Hugging Face's transformers."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from vecsearch import checks
from vecsearch.encoders.base import CONFIG, DTYPES
from vecsearch.encoders.sentence.base import TOKENIZER, SentenceEncoder
from vecsearch.encoders.torch_settings import by_threads, fast_dtype, one_thread_in_children
from vecsearch.errors import CheckpointError, UsageError
from vecsearch.forks import made_once

R = TypeVar("R")
T = TypeVar("T")

WEIGHTS = "model.safetensors"
NEEDED = (CONFIG, WEIGHTS, TOKENIZER)


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


def pretrained(folder: Path, head: str, *, what: str, dtype: str, unused: str | None = None) -> Any:
    """The model in a folder, by the class `head` of transformers, such as "AutoModel"; `what` it is called in messages. Tensors
    whose names hold `unused` may be missing.

    Raises CheckpointError for a folder that cannot be used, UsageError where transformers is not installed.
    """
    import torch

    one_thread_in_children()
    try:
        with without_torchvision():
            import transformers
            from transformers.utils.logging import disable_progress_bar

            disable_progress_bar()
            model, found = getattr(transformers, head).from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=getattr(torch, dtype),
                output_loading_info=True,
            )
    except ImportError:
        raise UsageError(f"{what} needs transformers: pip install 'vecsearch[transformer]'") from None
    except Exception as error:  # a damaged file fails anywhere in the library, with any error
        raise CheckpointError(f"{folder} cannot be opened as {what}: {error}") from None
    # The library fills them with random numbers.
    if missing := sorted(key for key in found["missing_keys"] if unused is None or unused not in key):
        raise CheckpointError(
            f"{folder / WEIGHTS} lacks {len(missing)} of the tensors that {CONFIG} asks for, such as {missing[0]}; "
            "save the model again"
        )
    return model.eval()


def output_of(model: Any, name: str, folder: Path, given: Mapping[str, np.ndarray]) -> np.ndarray:
    """What the model of a folder gives under a name for a batch of token ids and what goes with them: float32. Raises
    CheckpointError where it fails on them."""
    import torch

    taken = inspect.signature(model.forward).parameters
    try:
        with torch.inference_mode():
            found = model(**{key: torch.from_numpy(array) for key, array in given.items() if key in taken})
            return getattr(found, name).float().numpy()
    except (IndexError, RuntimeError, AttributeError) as error:
        raise CheckpointError(f"the model in {folder} fails on its tokenizer's tokens: {error}") from None


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
        # The pooler is not used, and often left out.
        return pretrained(self._folder, "AutoModel", what=self.kind, dtype=self.dtype, unused="pooler.")

    def _each(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        _model = self._model if items else None  # opened here: transformers cannot be imported by two threads at a time
        return by_threads(function, items)

    def _vectors(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        states = output_of(
            self._model, "last_hidden_state", self._folder, {"input_ids": ids, "attention_mask": mask}
        )  # (b, t, d)
        return self._pooled(states, mask)
