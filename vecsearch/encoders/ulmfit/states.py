"""The states of a model's layers after each token, pooled to one vector for each text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vecsearch.encoders.torch_settings import fast_dtype, has_cuda_driver
from vecsearch.encoders.ulmfit.batches import batches, windows
from vecsearch.encoders.ulmfit.folder import Stack
from vecsearch.encoders.ulmfit.lstm import Engine, NumpyEngine, TorchEngine
from vecsearch.encoders.ulmfit.pooling import Pool, Pooling
from vecsearch.encoders.ulmfit.sequences import Reader, Sequences
from vecsearch.forks import library_code, made_once

FEW_TOKENS = 256
"""Up to so many tokens numpy answers, one text at a time; beyond, batches are faster."""
FEW_TEXTS, FEW_PRODUCTS = 2048, 1 << 35
"""Up to so many texts, and products of their tokens with weights, numpy encodes batches: it has done so before torch would
have been imported. For the model that ships these are 65,000 tokens. Which engine it is depends on the texts alone: encoded
again, or by several processes, they have the same vectors."""
RAW_TOKENS = 4096
"""Embedding rows that `raw` pooling gathers at a time: they stay in the cache, and a long text takes no more memory."""


@dataclass(eq=False)
class States:
    """What makes vectors of token ids: a model's directions, the depths whose states are added up, and how they are pooled.

    `weights` (V,) has a weight for each word, if they differ; `reader` knows which rows are those of words, which alone `raw`
    pooling counts.
    """

    stacks: Mapping[str, Stack]
    depths: tuple[int, ...]
    pooling: Pooling
    weights: np.ndarray | None
    reader: Reader
    requested_dtype: str

    @made_once
    def dtype(self) -> str:
        """The precision that batches are computed in: "float32" or "bfloat16"."""
        return fast_dtype() if self.requested_dtype == "auto" else self.requested_dtype

    def pooled(self, sequences: Sequences) -> np.ndarray:
        """A vector for each text, those of the directions one behind the other: (n, dim) float32."""
        return np.concatenate([self._pooled(sequences, direction) for direction in self.stacks], axis=1)

    def of_ids(self, ids: np.ndarray, direction: str, *, few: bool) -> np.ndarray:
        """States after each of the token ids (t,), as the direction reads them: (t, dim) float32; by numpy if `few`."""
        engine = self._engine(direction, few=few)
        carried: list = []
        states = []
        for _, window in windows([ids]):
            with library_code:
                out, carried = engine.run(window, carried)
            states.append(out[:, 0])
        return np.concatenate(states)

    def _pooled(self, sequences: Sequences, direction: str) -> np.ndarray:
        if self.pooling is Pooling.RAW:
            return self._raw(sequences, direction)
        return self._contextual(sequences if direction == "forward" else sequences.backward(), direction)

    def _contextual(self, sequences: Sequences, direction: str) -> np.ndarray:
        lengths = np.array([len(ids) for ids in sequences.ids])
        tokens = int(lengths.sum())
        few = tokens <= FEW_TOKENS
        with library_code:
            engine = self._engine(direction, few=few or self._are_few(direction, len(lengths), tokens))
        dim = self.stacks[direction].dims[self.depths[0]] * len(self.pooling.parts)
        vectors = np.empty((len(lengths), dim), np.float32)
        parts = list(np.arange(len(lengths))[:, None] if few else batches(lengths))
        encoded = (map if few else engine.each)(lambda chosen: self._batch(engine, sequences[chosen], direction), parts)
        for chosen, found in zip(parts, encoded, strict=True):
            vectors[chosen] = found
        return vectors

    def _batch(self, engine: Engine, batch: Sequences, direction: str) -> np.ndarray:
        """The vectors of texts that are run together, the longest first."""
        pool = Pool(self.pooling, self.stacks[direction].dims[self.depths[0]], batch.start, batch.stop)
        carried: list = []
        for first, ids in windows(batch.ids):
            with library_code:
                states, carried = engine.run(ids, carried)
            pool.add(first, states, None if self.weights is None else self.weights[ids])
        return pool.vectors()

    def _raw(self, sequences: Sequences, direction: str) -> np.ndarray:
        table, weights = self.tables[direction], self.weights
        vectors = np.zeros((len(sequences.ids), table.shape[1]), np.float32)
        for i, (ids, start, stop) in enumerate(zip(sequences.ids, sequences.start, sequences.stop, strict=True)):
            words = ids[start:stop]
            words = words[self.reader.is_word[words]]
            total = len(words) if weights is None else weights[words].sum()
            for first in range(0, len(words), RAW_TOKENS):
                part = words[first : first + RAW_TOKENS]
                vectors[i] += (table[part].sum(axis=0) if weights is None else weights[part] @ table[part]) / total
        return vectors

    @made_once
    def tables(self) -> dict[str, np.ndarray]:
        """The embeddings in float32: converting them once costs less than converting the rows of a thousand texts."""
        return {direction: stack.embedding.whole() for direction, stack in self.stacks.items()}

    def _are_few(self, direction: str, texts: int, tokens: int) -> bool:
        """Whether numpy has encoded so many texts before torch would have been imported. It has no bfloat16 and no GPU."""
        products = tokens * self.stacks[direction].weights(max(self.depths))
        few = texts <= FEW_TEXTS and products <= FEW_PRODUCTS and self.requested_dtype != "bfloat16"
        return few and not has_cuda_driver()

    def _engine(self, direction: str, *, few: bool) -> Engine:
        stack = self.stacks[direction]
        if few or self.depths == (0,):
            return NumpyEngine(stack, self.depths)
        if direction not in self._torch_engines:
            self._torch_engines[direction] = TorchEngine(stack, self.depths, self.dtype)
        return self._torch_engines[direction]

    @made_once
    def _torch_engines(self) -> dict[str, TorchEngine]:
        return {}
