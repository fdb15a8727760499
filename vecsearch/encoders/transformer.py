"""A sentence transformer in a folder, as `SentenceTransformer.save` writes it, by Hugging Face's transformers."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch.encoders.base import Tally
from vecsearch.encoders.lstm import fast_dtype
from vecsearch.errors import CheckpointError, UsageError
from vecsearch.files import sha256

BATCH_TOKENS = 8192
"""Tokens of a batch, padding included: enough for full matrix speed, few enough for the cache."""
NEEDED = ("config.json", "model.safetensors", "tokenizer.json")
WORD_STARTS = "\u2581\u0120"
"""What a token that begins a word begins with, by SentencePiece and by GPT-2; WordPiece marks the others instead."""
POOLINGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "first", "pooling_mode_max_tokens": "max"}


def is_transformer(folder: Path) -> bool:
    """Whether the folder holds a model of Hugging Face's, whatever else may be wrong with it."""
    try:
        return "model_type" in json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError, TypeError):
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


class TransformerEncoder:
    """A folder with config.json, model.safetensors and tokenizer.json. `tally` counts what it has encoded since.

    Its pooling (mean, first token or max) is what 1_Pooling/config.json says, else mean; vectors are scaled to length 1 where
    modules.json says so. Texts longer than the model takes are cut, and counted. No code in the folder is run, and none of it
    is a pickle.

    Raises CheckpointError for a folder that cannot be used, UsageError where transformers is not installed.
    """

    def __init__(self, folder: Path, *, max_tokens: int | None = None, dtype: str = "float32") -> None:
        self._folder = Path(folder)
        for name in NEEDED:
            if not (self._folder / name).is_file():
                raise CheckpointError(f"{self._folder / name} is missing: the model needs {', '.join(NEEDED)}; save it again")
        self._model_dtype = fast_dtype() if dtype == "auto" else dtype
        self.pooling = self._read_pooling()
        longest = [self._json("config.json").get("max_position_embeddings"), max_tokens]
        longest.append(self._json("sentence_bert_config.json").get("max_seq_length"))
        self.max_tokens: int = min(value for value in longest if value)
        self._unit = any(str(module.get("type")).endswith("Normalize") for module in self._json("modules.json", []))
        self.tally = Tally()
        self.dim: int = self._json("config.json")["hidden_size"]

    @property
    def dtype(self) -> str:
        """The precision that it computes in."""
        return self._model_dtype

    @property
    def words(self) -> list[str]:
        """The tokens that are whole words of lower-case letters, in the order of their ids: as a rule the commonest first."""
        vocabulary = self._tokenizer.get_vocab()
        pieces = sorted(vocabulary, key=vocabulary.__getitem__)
        marked = [piece[1:] for piece in pieces if piece[0] in WORD_STARTS]
        return [word for word in marked or pieces if len(word) > 1 and word.isalpha() and word == word.lower()]

    @cached_property
    def fingerprint(self) -> str:
        """32 hex digits over every file, the pooling and the cut."""
        files = {path.relative_to(self._folder).as_posix(): sha256(path) for path in self._files}
        identity = [files, self.pooling, self.max_tokens]
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of `texts` in input order: (n, dim) float32. A blank text gives the zero vector."""
        import torch

        encodings = self._tokenizer.encode_batch(list(texts))
        ids = [encoding.ids for encoding in encodings]
        self._count(texts, encodings)
        vectors = np.zeros((len(texts), self.dim), np.float32)
        order = [i for i in np.argsort([-len(i) for i in ids], kind="stable") if texts[i].strip()]
        first = 0
        while first < len(order):
            width = len(ids[order[first]])
            chosen = order[first : first + max(1, BATCH_TOKENS // width)]
            table, mask = torch.zeros((2, len(chosen), width), dtype=torch.int64)  # (b, t) each
            for row, i in enumerate(chosen):
                table[row, : len(ids[i])] = torch.tensor(ids[i])
                mask[row, : len(ids[i])] = 1
            with torch.inference_mode():
                states = self._model(input_ids=table, attention_mask=mask).last_hidden_state.float()  # (b, t, d)
                vectors[chosen] = self._pooled(states, mask).numpy()
            first += len(chosen)
        return vectors

    def save(self, folder: Path) -> None:
        """Copy the model into the existing, empty `folder`."""
        for path in self._files:
            target = Path(folder) / path.relative_to(self._folder)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)

    @property
    def _files(self) -> list[Path]:
        """What the vectors depend on."""
        names = (*NEEDED, "modules.json", "sentence_bert_config.json", "1_Pooling/config.json")
        return [path for name in names if (path := self._folder / name).is_file()]

    def _json(self, name: str, default: Any = None) -> Any:
        path = self._folder / name
        try:
            return json.loads(path.read_bytes())
        except FileNotFoundError:
            return {} if default is None else default
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path} cannot be read ({error}); save the model again") from None

    def _read_pooling(self) -> str:
        chosen = [POOLINGS.get(name, name) for name, on in self._json("1_Pooling/config.json").items() if on is True]
        chosen = [name for name in chosen if name != "include_prompt"] or ["mean"]
        if len(chosen) > 1 or chosen[0] not in POOLINGS.values():
            raise CheckpointError(
                f"{self._folder}/1_Pooling pools by {' and '.join(chosen)}; known are {', '.join(POOLINGS.values())}"
            )
        return chosen[0]

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_file(str(self._folder / "tokenizer.json"))
        except Exception as error:  # the library raises nothing narrower
            raise CheckpointError(f"{self._folder / 'tokenizer.json'} cannot be read ({error}); save the model again") from None
        tokenizer.enable_truncation(self.max_tokens)
        tokenizer.no_padding()
        return tokenizer

    @cached_property
    def _model(self) -> Any:
        import torch

        try:
            with without_torchvision():
                from transformers import AutoModel
                from transformers.utils.logging import disable_progress_bar

                disable_progress_bar()
                model = AutoModel.from_pretrained(
                    self._folder,
                    local_files_only=True,
                    use_safetensors=True,
                    trust_remote_code=False,
                    dtype=getattr(torch, self._model_dtype),
                )
        except ImportError:
            raise UsageError("a sentence transformer needs transformers: pip install 'vecsearch[transformer]'") from None
        except Exception as error:  # a damaged file fails anywhere in the library, with any error
            raise CheckpointError(f"{self._folder} cannot be opened as a sentence transformer: {error}") from None
        return model.eval()

    def _pooled(self, states: Any, mask: Any) -> Any:
        import torch

        weights = mask[:, :, None].float()
        if self.pooling == "mean":
            vectors = (states * weights).sum(dim=1) / weights.sum(dim=1)
        elif self.pooling == "max":
            vectors = states.masked_fill(weights == 0, -torch.inf).amax(dim=1)
        else:
            vectors = states[:, 0]
        return torch.nn.functional.normalize(vectors) if self._unit else vectors

    def _count(self, texts: Sequence[str], encodings: Sequence[Any]) -> None:
        tokens = sum(len(encoding.ids) for encoding in encodings)
        cut = [sum(len(part.ids) - 2 for part in encoding.overflowing) for encoding in encodings]
        self.tally += Tally(
            texts=len(texts),
            empty=sum(not text.strip() for text in texts),
            tokens=tokens,
            words=tokens,
            cut_texts=sum(count > 0 for count in cut),
            cut_tokens=sum(cut),
        )
