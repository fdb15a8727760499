"""From the states of a text's tokens to one vector, window by window, so that a text may be of any length."""

from __future__ import annotations

import numpy as np

from vecsearch.checks import Choice


class Pooling(Choice):
    """How the states of a text's tokens become its vector."""

    RAW = "raw"
    """The mean of the words' embeddings, without context; special tokens are left out."""
    MEAN = "mean"
    """The mean of the contextual states."""
    MAX = "max"
    """The largest value of each component over the contextual states."""
    LAST = "last"
    """The contextual state of the last token."""
    CONCAT = "concat"
    """last, max and mean one after the other: what fastai's text classifier pools (Howard and Ruder 2018, section 3.3)."""

    @property
    def parts(self) -> tuple[Pooling, ...]:
        return (Pooling.LAST, Pooling.MAX, Pooling.MEAN) if self is Pooling.CONCAT else (self,)


class Pool:
    """Pools the states of `len(start)` texts; of text i only the tokens start[i] <= t < stop[i] count.

    A text without such tokens pools to the zero vector.
    """

    def __init__(self, pooling: Pooling, dim: int, start: np.ndarray, stop: np.ndarray) -> None:
        self._start, self._stop = start, stop
        self._weight = np.zeros(len(start))
        # Sums are kept in float64: a book's worth of float32 states would lose digits to its own length.
        dtypes = {Pooling.MEAN: np.float64, Pooling.MAX: np.float32, Pooling.LAST: np.float32}
        self._parts = {part: np.zeros((len(start), dim), dtypes[part]) for part in pooling.parts}
        if Pooling.MAX in self._parts:
            self._parts[Pooling.MAX][stop > start] = -np.inf

    def add(self, first: int, states: np.ndarray, weights: np.ndarray | None = None) -> None:
        """Take in the states (t, b, dim) float32 of tokens first..first+t of the first b texts; in a mean they count by their
        `weights` (t, b) float32, without them alike."""
        t, b, _ = states.shape
        positions = np.arange(first, first + t)[:, None]  # (t, 1)
        inside = (positions >= self._start[:b]) & (positions < self._stop[:b])  # (t, b)
        if Pooling.MEAN in self._parts:
            counted = inside.astype(np.float32) if weights is None else inside * weights
            self._parts[Pooling.MEAN][:b] += np.einsum("tbd,tb->bd", states, counted)
            self._weight[:b] += counted.sum(axis=0)
        if Pooling.MAX in self._parts:
            np.maximum(
                self._parts[Pooling.MAX][:b],
                states.max(axis=0, where=inside[:, :, None], initial=-np.inf),
                out=self._parts[Pooling.MAX][:b],
                where=inside.any(axis=0)[:, None],
            )
        if Pooling.LAST in self._parts:
            at, text = np.nonzero((positions == self._stop[:b] - 1) & inside)
            self._parts[Pooling.LAST][text] = states[at, text]

    def vectors(self) -> np.ndarray:
        """The pooled vectors, (n, dim) float32, or (n, 3 dim) for `concat`."""
        if Pooling.MEAN in self._parts:
            self._parts[Pooling.MEAN] /= np.where(self._weight > 0, self._weight, 1)[:, None]
        return np.concatenate([part.astype(np.float32) for part in self._parts.values()], axis=1)
