"""Which rows of some segments meet a condition, and what a person should know of the answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vecsearch import checks
from vecsearch.errors import UsageError
from vecsearch.index.facets import cluster_labels
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


class Asked(NamedTuple):
    """A condition that is asked of a part of an index: `fields` are the names of those that documents of other parts have."""

    where: str
    fields: frozenset[str]
    seconds: float


def masks(snapshot: Snapshot, asked: Asked) -> list[np.ndarray]:
    """The rows that are not deleted and whose documents meet a condition, (n,) bool for each segment.

    Raises UsageError as `Condition` does.
    """
    condition = _condition(snapshot, asked)
    labels = cluster_labels(snapshot) if snapshot.clustering else [None] * len(snapshot.segments)
    found = []
    for number, (segment, alive, clusters) in enumerate(zip(snapshot.segments, snapshot.alive, labels, strict=True)):
        mask = np.zeros(segment.rows, bool)
        mask[segment.documents.rows(condition.matching(number, clusters))] = True
        found.append(mask if alive is None else mask & alive)
    return found


class PassedOver(NamedTuple):
    """What should be known of a condition's answer: remarks on its names, and how many documents count as missing, by the field
    and by what the condition reads it as."""

    remarks: list[str]
    texts: Counter[tuple[str, str]]


def passed_over(snapshot: Snapshot, asked: Asked) -> PassedOver:
    """What should be known of a condition's answer. Raises UsageError as `Condition` does."""
    condition = _condition(snapshot, asked)
    passed: Counter[tuple[str, str]] = Counter()
    for number, (segment, alive) in enumerate(zip(snapshot.segments, snapshot.alive, strict=True)):
        for read, numbers in condition.passed_over(number).items():
            starts = segment.documents.first_rows()[numbers]
            passed[read] += len(starts) if alive is None else int(alive[starts].sum())
    return PassedOver(condition.remarks, passed)


def remarks(parts: Sequence[PassedOver]) -> list[str]:
    """A sentence for each thing that is to be known of the answers of all parts of an index."""
    passed = sum((part.texts for part in parts), Counter())
    names = dict.fromkeys(remark for part in parts for remark in part.remarks)
    texts = [
        f"{count:,} documents have a text as {field!r}, which the condition reads as {reading}: they count as if they had none"
        for (field, reading), count in passed.items()
        if count
    ]
    return [*names, *texts]


def _condition(snapshot: Snapshot, asked: Asked) -> Condition:
    parts = [segment.documents for segment in snapshot.segments]
    clustered = snapshot.clustering is not None
    return Condition(asked.where, parts, clustered=clustered, fields=asked.fields, seconds=asked.seconds)
