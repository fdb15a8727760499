"""The AWD-LSTM as torch trains it: from an encoder's folder, and back to its tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vecsearch import checks
from vecsearch.encoders.ulmfit.embedding import Embedding
from vecsearch.encoders.ulmfit.folder import Layer, Stack
from vecsearch.encoders.ulmfit.lstm import torch_lstm
from vecsearch.errors import UsageError

SHUT = -3.0
"""Bias of an output gate that lets 5 % through."""


class Network(nn.Module):
    """The stacks of an encoder, each the mean of its states at `depths` (0 the embedding, 1… the layers), added up.

    In training, `dropout` of the components of the embedding and of each layer's states are left out, the same ones at every
    token of a text (Gal and Ghahramani 2016, A theoretically grounded application of dropout in recurrent neural networks).
    While `words_only`, vectors are those of the embedding alone, as if the layers above it gave zeros: much less work. With
    `sparse` the embedding's gradients are those of the words that were read.
    """

    def __init__(self, stacks: dict[str, Stack], depths: tuple[int, ...], *, dropout: float, sparse: bool = False) -> None:
        super().__init__()
        self._directions = list(stacks)
        self._depths, self._dropout = depths, dropout
        self.words_only = False
        self.embeddings = nn.ModuleList(_embedding(stack, sparse=sparse) for stack in stacks.values())
        self.lstms = nn.ModuleList(nn.ModuleList(map(torch_lstm, stack.layers)) for stack in stacks.values())

    def forward(self, texts: Sequence[np.ndarray]) -> Tensor:
        """Vectors (b, d) float32 of texts as token ids, each of at least one."""
        parts = []
        for direction, embedding, lstms in zip(self._directions, self.embeddings, self.lstms, strict=True):
            if self.words_only:
                parts.append(self._mean(embedding, texts))
                continue
            ids, mask = _padded(texts if direction == "forward" else [text[::-1] for text in texts])
            parts.append(self._pooled(embedding(ids), lstms, mask))
        return torch.cat(parts, dim=1)

    def _mean(self, embedding: nn.Embedding, texts: Sequence[np.ndarray]) -> Tensor:
        lengths = np.array([len(text) for text in texts])
        rows = embedding(torch.from_numpy(np.concatenate(texts)))
        sums = torch.zeros(len(texts), rows.shape[1]).index_add_(
            0, torch.from_numpy(np.repeat(np.arange(len(texts)), lengths)), rows
        )
        return sums / torch.from_numpy(lengths)[:, None]

    def _pooled(self, embedded: Tensor, lstms: nn.ModuleList, mask: Tensor) -> Tensor:
        states = self._dropped(embedded)  # (t, b, e)
        total: Tensor | None = states if 0 in self._depths else None
        for depth, lstm in enumerate(lstms, 1):
            states = self._dropped(lstm(states)[0])  # (t, b, h)
            if depth in self._depths:
                total = states if total is None else total + states
        return (total.float() * mask[:, :, None]).sum(dim=0) / mask.sum(dim=0)[:, None]

    def _dropped(self, states: Tensor) -> Tensor:
        if not self.training or not self._dropout:
            return states
        kept = torch.empty((1, *states.shape[1:]), dtype=states.dtype).bernoulli_(1 - self._dropout)
        return states * kept / (1 - self._dropout)

    def tensors(self) -> dict[str, np.ndarray]:
        """The weights under the names of an encoder's folder, float32."""
        found = {}
        for direction, embedding, lstms in zip(self._directions, self.embeddings, self.lstms, strict=True):
            found[f"{direction}.embedding"] = embedding.weight
            for n, lstm in enumerate(lstms):
                found[f"{direction}.lstm.{n}.weight_ih"] = lstm.weight_ih_l0
                found[f"{direction}.lstm.{n}.weight_hh"] = lstm.weight_hh_l0
                found[f"{direction}.lstm.{n}.bias"] = lstm.bias_ih_l0 + lstm.bias_hh_l0
        return {name: tensor.detach().float().cpu().numpy() for name, tensor in found.items()}


def layer_sizes(dims: Any) -> tuple[int, ...]:
    """`dims` as the sizes of an embedding and of each layer. Raises: TypeError: no whole numbers. UsageError: none above 0, or
    no layer."""
    sizes = tuple(checks.count("dims", size, least=1, most=checks.MANY) for size in checks.iterable("dims", dims, "sizes"))
    if len(sizes) < 2:
        raise UsageError(f"dims are {list(sizes)}; give the size of the embedding and of each layer")
    return sizes


def random_stack(embedding: np.ndarray, dims: Sequence[int], rng: np.random.Generator, *, shut: bool) -> Stack:
    """A stack over an embedding (V, e) float32 whose layers of `dims` states are drawn as torch draws them.

    With `shut` the last layer's output gates are nearly closed at first, so that it does not add noise to the embedding.
    """
    layers, below = [], embedding.shape[1]
    for dim in dims:
        bound = dim**-0.5
        drawn = [rng.uniform(-bound, bound, shape).astype(np.float32) for shape in ((4 * dim, below), (4 * dim, dim))]
        bias = np.zeros(4 * dim, np.float32)
        bias[dim : 2 * dim] = 1  # a forget gate that is open at first
        layers.append(Layer(*drawn, bias))
        below = dim
    if shut:
        layers[-1].bias[3 * below :] = SHUT
    return Stack(Embedding(embedding), tuple(layers))


def _embedding(stack: Stack, *, sparse: bool) -> nn.Embedding:
    return nn.Embedding.from_pretrained(torch.from_numpy(stack.embedding.whole()), freeze=False, sparse=sparse)


def _padded(texts: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Token ids (t, b) int64, 0 after each text's end, and where they are the text's, (t, b) float32."""
    lengths = np.array([len(text) for text in texts])
    inside = np.arange(lengths.max())[:, None] < lengths
    ids = np.zeros(inside.shape, np.int64)
    ids.T[inside.T] = np.concatenate(texts)
    return torch.from_numpy(ids), torch.from_numpy(inside.astype(np.float32))
