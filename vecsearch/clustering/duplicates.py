"""Pairs of documents that are duplicates, or nearly so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vecsearch import checks
from vecsearch.clustering.graph import alike
from vecsearch.clustering.points import Points
from vecsearch.corpus.document import Document
from vecsearch.errors import UsageError
from vecsearch.index.index import Index
from vecsearch.progress import SILENT, Progress, check_progress


@dataclass(frozen=True)
class Pair:
    """Two documents, and their cosine."""

    score: float
    a: Document
    b: Document


def duplicates(index: Index, threshold: float, *, progress: Progress = SILENT) -> tuple[list[Pair], int]:
    """Every two documents whose cosine is at least `threshold`, best first, and how many documents have more duplicates than
    are searched for; documents without a vector have none. Raises UsageError for a threshold outside of 0 to 1, or of 0."""
    checks.instance("index", index, Index, give="an Index")
    check_progress(progress)
    threshold = checks.number("threshold", threshold)
    if not 0 < threshold <= 1:
        raise UsageError(f"the threshold is {threshold}; it must be greater than 0 and at most 1, such as 0.95")
    points = Points(index)
    near = alike(points, threshold, progress=progress)
    owners = np.repeat(np.arange(len(points)), np.diff(near.starts))
    pairs = {
        (min(pair), max(pair)): score
        for pair, score in zip(zip(owners.tolist(), near.numbers.tolist(), strict=True), near.cosines.tolist(), strict=True)
    }
    best = sorted(pairs, key=lambda pair: (-pairs[pair], pair))
    numbers = sorted({number for pair in best for number in pair})
    documents = dict(zip(numbers, points.documents(numbers), strict=True))
    return [Pair(pairs[a, b], documents[a], documents[b]) for a, b in best], near.crowded
