"""Labelled pairs of texts: which are matches, and which belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike

import numpy as np

from vecsearch import checks
from vecsearch.corpus.pairs import Pair, read_pairs
from vecsearch.corpus.source import CorpusTally
from vecsearch.errors import CorpusError

LEAST_PAIRS = 20


@dataclass(frozen=True, slots=True)
class Labelled:
    """n pairs of texts; whether each is a match, (n,) bool; and its group, (n,) int64: see `grouped`."""

    name: str
    a: list[str]
    b: list[str]
    matches: np.ndarray
    groups: np.ndarray


def read_labelled(
    path: str | PathLike[str],
    *,
    positive: float | None = None,
    columns: Sequence[str] = (),
    format: str | None = None,
    skip_bad: bool = False,
    tally: CorpusTally | None = None,
) -> Labelled:
    """The pairs of a file that `read_pairs` reads, with labels 0 and 1, or a score that makes a match from `positive` on.

    Raises: CorpusError for a file without labels, with others than 0 and 1, with fewer than 20 pairs, or of one class.
    """
    positive = None if positive is None else checks.number("positive", positive)
    pairs = list(read_pairs(path, columns=columns, format=format, skip_bad=skip_bad, tally=tally))
    matches = np.array([_is_match(pair, positive, f"{path}, pair {n}") for n, pair in enumerate(pairs, 1)], bool)
    if len(pairs) < LEAST_PAIRS:
        raise CorpusError(f"{path} holds {len(pairs)} pairs; at least {LEAST_PAIRS} are needed: label more")
    if matches.all() or not matches.any():
        mend = "label some of both" if positive is None else f"choose another score than --positive {positive:g}"
        raise CorpusError(f"{path}: all {len(pairs):,} pairs are {'matches' if matches.all() else 'non-matches'}; {mend}")
    a, b = [pair.a for pair in pairs], [pair.b for pair in pairs]
    return Labelled(str(path), a, b, matches, grouped(a, b))


def grouped(a: Sequence[str], b: Sequence[str]) -> np.ndarray:
    """A group for each of n pairs of texts, (n,) int64 from 0: pairs that share a text, be it through others, are of one.

    They are the connected components of the graph whose nodes are texts and whose edges are pairs.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    texts, at = np.unique(np.array([*a, *b], object), return_inverse=True)
    edges = coo_array((np.ones(len(a)), (at[: len(a)], at[len(a) :])), shape=(len(texts), len(texts)))
    return connected_components(edges, directed=False)[1][at[: len(a)]].astype(np.int64)


def _is_match(pair: Pair, positive: float | None, where: str) -> bool:
    if pair.score is None:
        raise CorpusError(f"{where} has no label; name the columns of texts and label: --columns A,B,LABEL")
    if positive is not None:
        return pair.score >= positive
    if pair.score not in (0, 1):
        raise CorpusError(
            f"{where}: the label is {pair.score:g}, not 0 or 1; --positive says from which score on it is a match"
        )
    return pair.score == 1
