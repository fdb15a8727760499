"""Texts of unequal length as full batches, and work done one item ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

S = TypeVar("S")
T = TypeVar("T")

WINDOW = 48
"""Tokens a text advances at a time at the most; its state is carried on to the next window."""
NARROWEST = 4
"""A window ends early, where a tenth of its texts have ended, but not before so many tokens: each window costs a call."""
BATCH_TOKENS = 3072
"""Tokens of one window over all texts of a batch: enough rows for a thread's full matrix speed, few enough for its cache."""


def batches(lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Positions of texts of like length, longest first, in batches of at most BATCH_TOKENS padded tokens a window.

    `lengths` (n,) int64 -> arrays (b,) int64 that together hold every position once. Longest first, so that the largest
    memory is asked for at the start and texts that end early are at the end of their batch.
    """
    order = np.argsort(-lengths, kind="stable")
    first = 0
    while first < len(order):
        longest = max(1, min(int(lengths[order[first]]), WINDOW))
        rows = max(1, BATCH_TOKENS // longest)
        yield order[first : first + rows]
        first += rows


def windows(sequences: list[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """(first token, ids (t, b) int64) of each window over token sequences sorted longest first.

    b shrinks as texts end; what is left of a window after a text's end is id 0, which its vector never sees.
    """
    lengths = np.array([len(sequence) for sequence in sequences])
    first = 0
    while first < lengths[0]:
        running = int(np.searchsorted(-lengths, -first, side="left"))
        longest, most = int(lengths[0]) - first, int(lengths[9 * running // 10]) - first
        # Going on to the longest text's end would compute 6 % more than there are tokens; this way it is 1 to 2 %.
        width = min(WINDOW, longest, max(NARROWEST, most))
        ids = np.zeros((running, width), np.int64)
        for row, sequence in enumerate(sequences[:running]):
            part = sequence[first : first + width]
            ids[row, : len(part)] = part
        yield first, np.ascontiguousarray(ids.T)
        first += width


def ahead(function: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
    """`function` of each item in order, computed in a background thread while the result before it is being used.

    The items themselves are drawn in the caller's thread: a read from a terminal can be interrupted, a database stays where
    it was opened.
    """
    with ThreadPoolExecutor(1) as pool:
        coming = None
        for item in items:
            ready, coming = coming, pool.submit(function, item)
            if ready:
                yield ready.result()
        if coming:
            yield coming.result()
