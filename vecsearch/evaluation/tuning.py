"""Weights of meaning and words for an index, chosen by queries whose relevant documents are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vecsearch import checks
from vecsearch.errors import UsageError
from vecsearch.evaluation.intervals import Drawn, draw_mean
from vecsearch.evaluation.measures import of_ranking
from vecsearch.evaluation.sets import Retrieval
from vecsearch.index.hits import added
from vecsearch.index.index import Index
from vecsearch.progress import SILENT, Progress

K = 10
STEPS = np.linspace(0, 1, 21)
"""Weights of meaning that are tried; words have the rest of 1."""
FOLDS = 5
"""Parts of the queries: each is measured with the weight that is best for the others."""
LEAST_QUERIES = 10
SEED = 0
BLOCK = 256
"""Queries that are asked at a time."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """The weights of meaning and words to take, and nDCG@10 by each way: of `tuned` ones on queries that they were not chosen
    by. Where these do not find more than equal ones, the weights are equal."""

    weights: tuple[float, float]
    meaning: Drawn
    words: Drawn
    equal: Drawn
    tuned: Drawn
    n: int
    missing: int
    """Relevant documents that the index does not have; they count as not found."""


def tune(index: Index, test: Retrieval, progress: Progress = SILENT) -> Tuned:
    """Weights for `index`, which has to hold the documents of the set, cross-validated over its queries.

    Raises UsageError where there are fewer than 10 queries, or the index has none of the documents that are relevant.
    """
    checks.instance("index", index, Index, give="what Index.open returned")
    checks.instance("test", test, Retrieval, give="what read_set returned for a BEIR folder")
    ids = list(test.queries)
    if len(ids) < LEAST_QUERIES:
        raise UsageError(f"{test.name} has {len(ids):,} queries with relevant documents; weights need at least {LEAST_QUERIES}")
    relevant = {id for grades in test.grades.values() for id, grade in grades.items() if grade > 0}
    if not (there := relevant & index.known(sorted(relevant))):
        raise UsageError(f"the index has none of the documents that are relevant in {test.name}; build it from that corpus")
    values = np.empty((len(STEPS), len(ids)))
    for first in range(0, len(ids), BLOCK):
        some = ids[first : first + BLOCK]
        for place, (id, found) in enumerate(zip(some, index.candidates([test.queries[id] for id in some]), strict=True), first):
            for step, weight in enumerate(STEPS):
                ranked = [hit.id for hit in added(found, (weight, 1 - weight), K)]
                values[step, place] = of_ranking(ranked, test.grades[id], K)[f"ndcg@{K}"]
        progress.step("queries", first + len(some), len(ids))
    held_out = np.empty(len(ids))
    for fold in np.array_split(np.random.default_rng(SEED).permutation(len(ids)), FOLDS):
        held_out[fold] = values[_best(np.delete(values, fold, axis=1)), fold]
    equal = values[len(STEPS) // 2]
    weight = float(STEPS[_best(values)]) if held_out.mean() > equal.mean() else 0.5
    ways = map(draw_mean, (values[-1], values[0], equal, held_out))
    return Tuned((weight, 1 - weight), *ways, len(ids), len(relevant) - len(there))


def _best(values: np.ndarray) -> int:
    """The step of the highest mean, of equal ones that nearest to the middle."""
    means = values.mean(axis=1)
    return int(min(np.flatnonzero(means >= means.max() - 1e-12), key=lambda step: abs(STEPS[step] - 0.5)))
