"""What ranks a few texts again for a query: a cross-encoder, which reads the two together, or an encoder of any kind.

Nogueira and Cho 2019, Passage re-ranking with BERT. A cross-encoder is a folder as sentence-transformers writes it: config.json
with a model for sequence classification of one label, tokenizer.json, and model.safetensors or an .onnx file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vecsearch import checks
from vecsearch.encoders import find_encoder, open_encoder
from vecsearch.encoders.base import Encoder
from vecsearch.encoders.lstm import fast_dtype, one_thread_in_children
from vecsearch.encoders.onnx import INTEGERS, OnnxModel, find_model, is_onnx
from vecsearch.encoders.sentence import CONFIG, TOKENIZER
from vecsearch.encoders.transformer import NEEDED, without_torchvision
from vecsearch.errors import CheckpointError, UsageError
from vecsearch.forks import library_code, made_once
from vecsearch.metric import normalise

LONGEST = 512
"""Tokens of a query and a text together, where the model's files allow no other number."""
BATCH_TOKENS = 8192
"""Tokens of a batch, padding included."""


class Reranker(Protocol):
    """Scores how well texts answer a query: higher is better."""

    def scores(self, query: str, texts: Sequence[str]) -> np.ndarray:
        """(n,) float32 for n texts."""


def open_reranker(name: str | Path) -> Reranker:
    """A cross-encoder's folder, or an encoder as `open_encoder` takes it, to rank with.

    Raises CheckpointError for what cannot be used, UsageError where a library is missing.
    """
    path = checks.path("name", name)
    return CrossEncoder(path) if is_cross_encoder(path) else ByEncoder(open_encoder(find_encoder(name), dtype="auto"))


def is_cross_encoder(path: Path) -> bool:
    """Whether a folder's config.json says that the model classifies sequences, whatever else may be wrong with it."""
    try:
        named = json.loads((path / CONFIG).read_bytes()).get("architectures") or ()
        return any(str(name).endswith("ForSequenceClassification") for name in named)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return False


def _config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); save the model again") from None
    longest = config.get("max_position_embeddings", LONGEST) if isinstance(config, dict) else None
    if type(longest) is not int or longest < 1:
        raise CheckpointError(f"{path} says no number of tokens that the model takes; save the model again")
    return config


class ByEncoder:
    """The cosine of a query's and a text's vectors by an encoder, as a rule a stronger one than the index's."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def scores(self, query: str, texts: Sequence[str]) -> np.ndarray:
        """As `Reranker` has it: from -1 to 1, 0 for a text without a word that the encoder knows."""
        query, texts = checks.text("query", query), checks.texts("texts", texts, call="reranker.scores")
        vectors = normalise(self._encoder.encode([query, *texts]))
        return vectors[1:] @ vectors[0]


class CrossEncoder:
    """A model that reads a query and a text together and gives one number. Texts are cut to what it takes; queries are not.

    Raises CheckpointError for a folder that cannot be used, UsageError where its library is not installed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder = checks.path("folder", folder)
        config = _config(folder)
        labels = config.get("num_labels") or len(config.get("id2label") or {}) or 2
        if labels != 1:
            raise CheckpointError(f"{folder / CONFIG} has {labels} labels; a model that scores a text for a query has 1")
        wanted = (CONFIG, TOKENIZER) if is_onnx(folder) else NEEDED
        for name in wanted:
            if not (folder / name).is_file():
                raise CheckpointError(f"{folder / name} is missing: the model needs {', '.join(wanted)}; save it again")
        self._longest = min(LONGEST, config.get("max_position_embeddings", LONGEST))

    def scores(self, query: str, texts: Sequence[str]) -> np.ndarray:
        """As `Reranker` has it: from 0 to 1, as the model was trained. Raises CheckpointError where it fails, or gives NaN."""
        query, texts = checks.text("query", query), checks.texts("texts", texts, call="reranker.scores")
        tokenizer = self._tokenizer
        try:
            with library_code:
                read = tokenizer.encode_batch([(query, text) for text in texts])
        except Exception as error:  # the library raises nothing narrower
            raise UsageError(f"the query and a text do not fit {self._longest} tokens together: {error}") from None
        order = np.argsort([-len(pair.ids) for pair in read], kind="stable")
        found = np.zeros(len(texts), np.float32)
        first = 0
        while first < len(order):
            width = len(read[order[first]].ids)
            chosen = order[first : first + max(1, BATCH_TOKENS // max(1, width))]
            ids, mask, types = np.zeros((3, len(chosen), width), np.int64)
            for row, i in enumerate(chosen):
                pair = read[i]
                stop = len(pair.ids)
                ids[row, :stop], mask[row, :stop], types[row, :stop] = pair.ids, 1, pair.type_ids
            with library_code:
                given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
                found[chosen] = np.asarray(self._run(given), np.float32).reshape(len(chosen))
            first += len(chosen)
        if not np.isfinite(found).all():
            raise CheckpointError(f"the model in {self._folder} gives NaN or infinity; save it again")
        return 0.5 * np.tanh(0.5 * found) + 0.5  # the logistic function

    @made_once
    def _tokenizer(self) -> Any:
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise UsageError(
                "a cross-encoder needs tokenizers: pip install 'vecsearch[transformer]' or 'vecsearch[onnx]'"
            ) from None
        try:
            tokenizer = Tokenizer.from_file(str(self._folder / TOKENIZER))
            tokenizer.enable_truncation(self._longest, strategy="only_second")
        except Exception as error:  # the library raises nothing narrower
            raise CheckpointError(f"{self._folder / TOKENIZER} cannot be used ({error}); save the model again") from None
        tokenizer.no_padding()
        return tokenizer

    @made_once
    def _run(self) -> Callable[[Mapping[str, np.ndarray]], np.ndarray]:
        """What turns a batch of token ids, mask and types (b, t) int64 into (b, 1) numbers."""
        return self._by_onnxruntime() if is_onnx(self._folder) else self._by_transformers()

    def _by_onnxruntime(self) -> Callable[[Mapping[str, np.ndarray]], np.ndarray]:
        model = OnnxModel(find_model(self._folder))
        inputs = {name: INTEGERS.get(value.type) for name, value in model.graph.inputs.items()}
        return lambda given: model.run({name: given[name].astype(dtype) for name, dtype in inputs.items()})

    def _by_transformers(self) -> Callable[[Mapping[str, np.ndarray]], np.ndarray]:
        import torch

        one_thread_in_children()
        try:
            with without_torchvision():
                from transformers import AutoModelForSequenceClassification
                from transformers.utils.logging import disable_progress_bar

                disable_progress_bar()
                model, found = AutoModelForSequenceClassification.from_pretrained(
                    self._folder,
                    local_files_only=True,
                    use_safetensors=True,
                    trust_remote_code=False,
                    dtype=getattr(torch, fast_dtype()),
                    output_loading_info=True,
                )
        except ImportError:
            raise UsageError("a cross-encoder needs transformers: pip install 'vecsearch[transformer]'") from None
        except Exception as error:  # a damaged file fails anywhere in the library, with any error
            raise CheckpointError(f"{self._folder} cannot be opened as a cross-encoder: {error}") from None
        if missing := sorted(found["missing_keys"]):  # the library fills them with random numbers
            raise CheckpointError(
                f"{self._folder} lacks {len(missing)} of its tensors, such as {missing[0]}; save the model again"
            )
        model.eval()

        def run(given: Mapping[str, np.ndarray]) -> np.ndarray:
            with torch.inference_mode():
                taken = {name: torch.from_numpy(array) for name, array in given.items()}
                return model(**taken).logits.float().numpy()

        return run
