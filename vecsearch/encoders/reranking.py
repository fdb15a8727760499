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
from vecsearch.encoders.base import CONFIG, Encoder, check_encoder, encode_texts, said_in
from vecsearch.encoders.sentence.base import TOKENIZER, full_batches, padded, read_tokenizer
from vecsearch.encoders.sentence.onnx_model import TOKENS, OnnxModel, find_model, is_onnx
from vecsearch.encoders.sentence.transformer import NEEDED, output_of, pretrained
from vecsearch.encoders.torch_settings import fast_dtype
from vecsearch.errors import CheckpointError, UsageError
from vecsearch.forks import library_code, made_once
from vecsearch.metric import normalise

LONGEST = 512
"""Tokens of a query and a text together, where the model's files allow no other number."""


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
    named = said_in(path).get("architectures")
    return isinstance(named, list) and any(str(name).endswith("ForSequenceClassification") for name in named)


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
        self._encoder = check_encoder(encoder, kept=False)

    def scores(self, query: str, texts: Sequence[str]) -> np.ndarray:
        """As `Reranker` has it: from -1 to 1, 0 for a text without a word that the encoder knows."""
        query, texts = checks.text("query", query), checks.texts("texts", texts, call="reranker.scores")
        vectors = normalise(encode_texts(self._encoder, [query, *texts]))
        return vectors[1:] @ vectors[0]


class CrossEncoder:
    """A model that reads a query and a text together and gives one number. Texts are cut to what it takes; queries are not.

    Raises CheckpointError for a folder that cannot be used, UsageError where its library is not installed.
    """

    kind = "a cross-encoder"

    def __init__(self, folder: Path) -> None:
        self._folder = folder = checks.path("folder", folder)
        config = _config(folder)
        names = config.get("id2label")
        labels = config.get("num_labels") or (len(names) if isinstance(names, dict) else 2)
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
        logits = np.zeros(len(texts), np.float32)
        for chosen in full_batches([pair.ids for pair in read], range(len(read))):
            pairs = [read[i] for i in chosen]
            columns = ([getattr(pair, name) for pair in pairs] for name in ("ids", "attention_mask", "type_ids"))
            with library_code:
                found = self._run(dict(zip(TOKENS, map(padded, columns), strict=True)))
            if found.shape != (len(chosen), 1):
                raise CheckpointError(
                    f"the model in {self._folder} gives {found.shape} for {len(chosen)} texts, not a number each"
                )
            logits[chosen] = found[:, 0]
        if not np.isfinite(logits).all():
            raise CheckpointError(f"the model in {self._folder} gives NaN or infinity; save it again")
        return 0.5 * np.tanh(0.5 * logits) + 0.5  # the logistic function, in the form that cannot overflow

    @made_once
    def _tokenizer(self) -> Any:
        tokenizer = read_tokenizer(self._folder)
        tokenizer.enable_truncation(self._longest, strategy="only_second")
        return tokenizer

    @made_once
    def _run(self) -> Callable[[Mapping[str, np.ndarray]], np.ndarray]:
        """What turns a batch of TOKENS (b, t) int64 into (b, 1) float32."""
        if is_onnx(self._folder):
            graph = OnnxModel(find_model(self._folder))
            graph.check_takes_tokens()
            return graph.run_on_tokens
        model = pretrained(self._folder, "AutoModelForSequenceClassification", what=self.kind, dtype=fast_dtype())
        return lambda given: output_of(model, "logits", self._folder, given)
