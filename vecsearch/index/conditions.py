"""Which rows of a generation meet a condition, and what a person should know of the answer."""

from __future__ import annotations

from collections import Counter

import numpy as np

from vecsearch import checks
from vecsearch.errors import UsageError
from vecsearch.store.filters import Condition
from vecsearch.store.snapshot import Snapshot


def checked_condition(where: str | None) -> str | None:
    """A condition, if there is one. Raises TypeError for what is no text."""
    return None if where is None else checks.text("where", where)


def checked_seconds(seconds: float) -> float:
    """How long a condition may take. Raises TypeError for no number, UsageError for none above 0."""
    if (found := checks.number("condition_seconds", seconds)) <= 0:
        raise UsageError(f"condition_seconds is {found:g}; give a number of seconds above 0")
    return found


def masks(snapshot: Snapshot, where: str, seconds: float) -> list[np.ndarray]:
    """The rows that are not deleted and whose documents meet a condition, (n,) bool for each segment.

    Raises UsageError as `Condition` does.
    """
    condition = _condition(snapshot, where, seconds)
    found, first = [], 0
    for number, (segment, alive) in enumerate(zip(snapshot.segments, snapshot.alive, strict=True)):
        clusters = None
        if snapshot.clustering:
            clusters = snapshot.clustering.labels[first + segment.documents.first_rows()]
        mask = np.zeros(segment.rows, bool)
        mask[segment.documents.rows(condition.matching(number, clusters))] = True
        first += segment.rows
        found.append(mask if alive is None else mask & alive)
    return found


def remarks(snapshot: Snapshot, where: str, seconds: float) -> list[str]:
    """What should be known of a condition's answer: texts that count as missing beside a number, names that mean two things."""
    condition = _condition(snapshot, where, seconds)
    passed: Counter[tuple[str, str]] = Counter()
    for number, (segment, alive) in enumerate(zip(snapshot.segments, snapshot.alive, strict=True)):
        for read, numbers in condition.passed_over(number).items():
            starts = segment.documents.first_rows()[numbers]
            passed[read] += len(starts) if alive is None else int(alive[starts].sum())
    texts = [
        f"{count:,} documents have a text as {field!r}, which the condition reads as {reading}: they count as if they had none"
        for (field, reading), count in passed.items()
        if count
    ]
    return [*condition.remarks, *texts]


def _condition(snapshot: Snapshot, where: str, seconds: float) -> Condition:
    parts = [segment.documents for segment in snapshot.segments]
    return Condition(where, parts, clustered=snapshot.clustering is not None, seconds=seconds)
