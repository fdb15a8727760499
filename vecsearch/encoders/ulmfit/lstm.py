"""The AWD-LSTM's forward pass (Merity, Keskar and Socher 2017) in evaluation mode, where it is a plain stack of LSTM layers.

Two engines give the same states: torch, which runs batches at the processor's matrix rate, and numpy, which has answered a
query, or encoded a thousand short texts, before torch would have been imported (1 to 3 seconds).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from vecsearch.blas import each_by_a_thread, one_thread
from vecsearch.encoders.torch_settings import by_threads, one_thread_in_children
from vecsearch.encoders.ulmfit.folder import Layer, Stack

if TYPE_CHECKING:
    import torch

R = TypeVar("R")
T = TypeVar("T")

Carried = list[Any]
"""Each layer's (h, c) after a window, in the engine's own arrays; an empty list before the first."""


PREPARED_SHAPES = "32"
"""Shapes of batches for which oneDNN keeps its prepared LSTM: its own 1,024 take hundreds of megabytes, and few recur."""


class Engine(Protocol):
    """Runs a window of tokens through one stack, and adds up its states at some `depths`: 0 the embedding, 1… the layers."""

    def run(self, ids: np.ndarray, carried: Carried) -> tuple[np.ndarray, Carried]:
        """States at the depths, added up, (t, b, dim) float32, for token ids (t, b), going on from `carried`.

        `b` may shrink from window to window: the first b texts go on, the others have ended.
        """

    def each(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """`function` of each item, in order, at the same time where that is faster: it runs windows."""


class NumpyEngine:
    """Ready at once. One text at a time is as fast as torch, and so are batches in float32 of a small model."""

    def __init__(self, stack: Stack, depths: tuple[int, ...]) -> None:
        self._embedding, self._layers, self._depths = stack.embedding, stack.layers[: max(depths)], depths

    def run(self, ids: np.ndarray, carried: Carried) -> tuple[np.ndarray, Carried]:
        x = self._embedding.rows(ids)  # (t, b, e)
        after, states = [], x if 0 in self._depths else None
        for depth, layer in enumerate(self._layers, 1):
            b = ids.shape[1]
            h, c = (a[:b] for a in carried[depth - 1]) if carried else np.zeros((2, b, layer.dim), np.float32)
            x, h, c = _lstm(layer, x, h, c)
            after.append((h, c))
            if depth in self._depths:
                states = x if states is None else states + x
        return states, after

    def each(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        items = list(items)
        # How many threads share a product decides its last bits: here none do.
        with each_by_a_thread(len(items)) as each, one_thread():
            return iter(each(function, items))


def _lstm(layer: Layer, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    inputs = x @ layer.weight_ih.T + layer.bias  # (t, b, 4h): all time steps in one product
    states = np.empty((*x.shape[:2], layer.dim), np.float32)
    # One tanh for all gates: three of them are logistic functions, in the form that cannot overflow.
    scale = np.repeat(np.array([0.5, 0.5, 1, 0.5], np.float32), layer.dim)
    for t, gates in enumerate(inputs):
        gates = np.tanh(scale * (gates + h @ layer.weight_hh.T))
        i, f, g, o = (gates[:, first : first + layer.dim] for first in range(0, 4 * layer.dim, layer.dim))
        c = (0.5 * f + 0.5) * c + (0.5 * i + 0.5) * g
        h = (0.5 * o + 0.5) * np.tanh(c)
        states[t] = h
    return states, h, c


class TorchEngine:
    """For batches, on the GPU where torch has one. On a processor oneDNN's LSTM is what `torch.nn.LSTM` runs in inference."""

    def __init__(self, stack: Stack, depths: tuple[int, ...], dtype: str) -> None:
        import torch

        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", PREPARED_SHAPES)  # oneDNN reads it when it first runs
        self._dtype = getattr(torch, dtype)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._table = torch.from_numpy(stack.embedding.table).to(self._device)
        scales = stack.embedding.scales
        self._scales = None if scales is None else torch.from_numpy(scales).to(self._device)
        self._layers = [torch_lstm(layer).eval().to(self._device, self._dtype) for layer in stack.layers[: max(depths)]]
        self._depths = depths

    def run(self, ids: np.ndarray, carried: Carried) -> tuple[np.ndarray, Carried]:
        import torch

        with torch.inference_mode():
            rows = torch.from_numpy(ids).to(self._device)
            x = torch.nn.functional.embedding(rows, self._table).to(self._dtype)  # (t, b, e)
            if self._scales is not None:
                x = x * self._scales[rows].to(self._dtype)[:, :, None]
            after, states = [], x.float() if 0 in self._depths else None
            for depth, lstm in enumerate(self._layers, 1):
                # (1, b, h) each; a fresh copy, since oneDNN wants the shrunken batch contiguous
                before = tuple(a[:, : ids.shape[1]].contiguous() for a in carried[depth - 1]) if carried else None
                x, state = lstm(x, before)
                after.append(state)
                if depth in self._depths:
                    states = x.float() if states is None else states + x
            return states.cpu().numpy(), after

    def each(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        return by_threads(function, items) if self._device == "cpu" else map(function, items)


def torch_lstm(layer: Layer) -> torch.nn.LSTM:
    """A `torch.nn.LSTM` of one layer that holds the layer's weights."""
    import torch

    one_thread_in_children()
    lstm = torch.nn.LSTM(layer.weight_ih.shape[1], layer.dim)
    parts = {
        "weight_ih_l0": layer.weight_ih,
        "weight_hh_l0": layer.weight_hh,
        "bias_ih_l0": layer.bias,
        "bias_hh_l0": np.zeros_like(layer.bias),
    }
    lstm.load_state_dict({name: torch.from_numpy(array) for name, array in parts.items()})
    return lstm
