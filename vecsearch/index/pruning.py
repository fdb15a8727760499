"""The best documents of a segment for a query for words, without scoring those that cannot be among them.

MaxScore (Turtle and Flood 1995, Query evaluation: strategies and optimizations): what each list of documents can add to a score
at the most is known beforehand. The lists that can add most come first. As soon as the others together could not lift a new
document to the k-th best score so far, they are only asked for the documents that are still in question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

SLACK = 1 - 1e-9
"""Of a score that has to be reached: a sum in another order differs in its last bits."""
FEW = 32
"""Times as many documents in the segment as in all lists together: those in the lists are then numbered by themselves."""
GROUPED = 64
"""Values of which only the largest is looked at first."""
LOOKED_UP = 8
"""Documents of a list that are gone through in the time in which one is looked up."""
BLOCK = 1 << 16
"""Documents of a list that are added at a time: what is computed for them stays in the processor's cache."""
_OVERHEAD = 400
"""Bytes that Python takes for a list and its arrays."""


@dataclass(frozen=True, slots=True)
class Having:
    """The documents of a segment that have something that a query asks for, and what each has of it: BM25's count part."""

    numbers: np.ndarray
    """(n,) int32, rising."""
    counts: np.ndarray
    """(n,) how often each has it; or the shares themselves where there is no `beside`."""
    most: float
    """No share is larger."""
    beside: np.ndarray | None = None
    """(documents,) float64 by number: what a text of this length has beside the count in BM25's divisor."""
    factor: float = 1.0
    """Of the count in the dividend."""

    def shares(self, places: np.ndarray | slice) -> np.ndarray:
        """BM25's count part of the documents at some places of the list: (p,) float64."""
        if self.beside is None:
            return self.counts[places]
        counts = self.counts[places].astype(np.float64)
        divisors = self.beside[self.numbers[places].astype(np.intp)]
        divisors += counts
        counts *= self.factor
        counts /= divisors
        return counts

    @property
    def nbytes(self) -> int:
        """The memory that it takes for itself."""
        return _OVERHEAD + self.numbers.nbytes + self.counts.nbytes


class Weighed(NamedTuple):
    """What having something counts, times the share."""

    having: Having
    worth: float

    @property
    def most(self) -> float:
        return self.worth * self.having.most


def scored(lists: Sequence[Weighed], numbers: np.ndarray) -> np.ndarray:
    """The scores of documents (m,) int32, rising: (m,) float64, to the last bit the same whichever others are asked for."""
    scores = np.zeros(len(numbers))
    for one in lists:
        _add(one, numbers, scores)
    return scores


def best(
    lists: Sequence[Weighed], k: int, documents: int, allowed: np.ndarray | None, least: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Documents of a segment of so many, (m,) int32 rising, with their scores (m,) float64 above 0: the k best that score
    `least` at the least, and what is as good as the k-th. Of those that `allowed` (documents,) bool leaves."""
    if FEW * sum(len(one.having.numbers) for one in lists) < documents:
        numbers = _union(lists)
        numbers = numbers if allowed is None else numbers[allowed[numbers]]
    else:
        numbers = _candidates(lists, k, documents, allowed, least)
    scores = scored(lists, numbers)
    good = scores >= max(least, _kth(scores, k))
    return numbers[good], scores[good]


def _candidates(lists: Sequence[Weighed], k: int, documents: int, allowed: np.ndarray | None, least: float) -> np.ndarray:
    """The documents that may be among the k best, rising: (m,) int32."""
    order = sorted(lists, key=lambda one: -one.most)
    # What all lists from each on can add.
    left = [*np.cumsum([one.most for one in reversed(order)])[::-1].tolist(), 0.0]
    sums, taken = np.zeros(documents), 0
    numbers = np.empty(0, np.intp)
    while taken < len(order):
        size = len(order[taken].having.numbers)
        if left[taken] < least * SLACK and FEW * size > documents:
            numbers = np.flatnonzero(sums >= least * SLACK - left[taken])
            if LOOKED_UP * len(numbers) < size:
                break
        least = _add_all(order[taken], allowed, sums, k, least)
        taken += 1
    else:
        numbers = np.flatnonzero(sums >= max(least * SLACK, np.finfo(np.float64).tiny))
    numbers, sums = numbers.astype(np.int32), sums[numbers]
    for place in range(taken, len(order)):
        _add(order[place], numbers, sums)
        least = max(least, _kth(sums, k))
        good = sums >= least * SLACK - left[place + 1]
        numbers, sums = numbers[good], sums[good]
    return numbers


def _add_all(one: Weighed, allowed: np.ndarray | None, sums: np.ndarray, k: int, least: float) -> float:
    """Add a list to the sums (documents,) of those of its documents that are allowed; the k-th best sum, or `least`."""
    numbers, most = one.having.numbers, np.empty(0)
    for start in range(0, len(numbers), BLOCK):
        places: np.ndarray | slice = slice(start, start + BLOCK)
        some = numbers[places].astype(np.intp)
        if allowed is not None:
            places = np.flatnonzero(allowed[some])
            some = some[places]
            places += start
        reached = sums[some] + one.worth * one.having.shares(places)
        sums[some] = reached
        most = np.concatenate([most, reached[reached > least]])
        if len(most) >= k:
            least = _kth(most, k)
            most = most[most >= least]
    return least


def _add(one: Weighed, numbers: np.ndarray, sums: np.ndarray) -> None:
    """Add to the sums (m,) of documents (m,), rising, what these have of a list."""
    theirs = one.having.numbers
    shorter, longer = (theirs, numbers) if len(theirs) < len(numbers) else (numbers, theirs)
    if not len(shorter):
        return
    at = np.searchsorted(longer, shorter)
    at[at == len(longer)] = 0
    found = np.flatnonzero(longer[at] == shorter)
    at = at[found]
    here, there = (at, found) if shorter is theirs else (found, at)
    sums[here] += one.worth * one.having.shares(there)


def _union(lists: Sequence[Weighed]) -> np.ndarray:
    """All documents of the lists, rising: (m,) int32."""
    numbers = np.sort(np.concatenate([np.empty(0, np.int32), *(one.having.numbers for one in lists)]), kind="stable")
    return numbers[np.diff(numbers, prepend=-1) != 0]


def _kth(values: np.ndarray, k: int) -> float:
    """The k-th best of the values (m,); 0 where there are fewer."""
    if len(values) >= 2 * GROUPED * k:
        # As many groups have a value that is as good as the k-th best of their largest ones.
        groups = len(values) // GROUPED
        values = values[values >= _kth(values[: GROUPED * groups].reshape(GROUPED, groups).max(axis=0), k)]
    return float(np.partition(values, len(values) - k)[len(values) - k]) if len(values) >= k else 0.0
