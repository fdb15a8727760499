"""Which kind of index will be the fastest over all vectors, as tried on parts of them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vecsearch.ann.approximate import ApproximateSearcher
from vecsearch.ann.construction import construct
from vecsearch.ann.planner import IndexKind, kinds, reduced_dim
from vecsearch.ann.questions import Questions, Sample
from vecsearch.ann.questions import kinds as kinds_of_queries
from vecsearch.ann.source import Source
from vecsearch.ann.spec import copies, is_graph, usual_parameters
from vecsearch.ann.tuner import on_average, tune
from vecsearch.progress import Progress

LEAST_ROWS, MOST_ROWS, SHARE = 10_000, 60_000, 20
"""Kinds are tried on half of the vectors, but on no fewer and no more than these, or of many on one in SHARE: codes that tell
neighbors apart among few may be too short among many;"""
SMALLER = 4
"""and before on so many times fewer: what is fast among few need not be among many, and the two tell how its time grows."""
QUERIES = 500
"""Of either kind."""
MUCH_SLOWER = 1.6
"""A kind that takes so many times as long as the best among few vectors is not tried among many."""
WORTH_BUILDING = 0.8
"""A kind is built beside one that reaches the goal if it promises to take less than this share of its time, and a graph is
tried among many vectors only where it may come to promise that: lists come first, which are made in a tenth of the time."""
LEAST_GROWTH = 0.15
"""The power of the number of vectors with which a graph's time grows at the least."""


@dataclass(frozen=True)
class Trial:
    """A kind tried on `rows` vectors: the recall it reached, the milliseconds of a query, and those expected over all."""

    spec: str
    build_s: float
    rows: int
    reached: bool
    recall: float
    ms: float
    expected_ms: float

    def as_dict(self) -> dict[str, Any]:
        """Its fields, rounded, for the manifest."""
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(self).items()}


class Trials:
    """Tries kinds of index for all vectors of `source` towards a `target` recall; `progress` is told what came of it."""

    def __init__(self, source: Source, questions: Questions, target: float, progress: Progress) -> None:
        kept = questions.kept
        most = max(MOST_ROWS, len(kept) // SHARE)
        step = max(1, len(kept) // min(most, max(LEAST_ROWS, len(kept) // 2)))
        self._source, self._large = source.drawn(kept[::step])
        self._small = self._large[::SMALLER]
        self._rows, self._parts, self._target, self._progress = len(source), source.parts, target, progress
        made = questions.made(0)
        few = slice(QUERIES * len(kinds_of_queries(made)))
        self._k, self._queries, self._made = questions.k, questions.queries(0)[few], made[few]
        points = self._source.points(self._large[:: max(1, len(self._large) // MOST_ROWS)])
        self._dim = points.shape[1]
        asked, euclidean = source.compared.of_queries(self._queries), source.compared.euclidean
        of_each_kind = [asked[which] for which in kinds_of_queries(self._made).values()]
        self._reduced = reduced_dim(points, of_each_kind, self._k, target, euclidean=euclidean)
        fast, small = self._kinds(self._rows, self._parts)
        self.kinds = fast + small
        """All that there are, whether tried or not."""
        self._fast = len(fast)

    def _kinds(self, rows: int, indexes: int = 1) -> tuple[list[IndexKind], list[IndexKind]]:
        return kinds(rows, self._dim, self._reduced, indexes=indexes)

    def run(self, memory: int | None) -> list[Trial]:
        """Trials of the kinds that fit `memory` (bytes), the best first."""
        fitting = [memory is None or kind.memory_bytes <= memory for kind in self.kinds]
        roomy = all(fitting[: self._fast])
        chosen = range(self._fast) if roomy else range(len(fitting))
        sample = self._sample(self._small)
        trials = {number: self._try(number, self._small, sample) for number in chosen if fitting[number]}
        best = min((trial.ms for trial in trials.values() if trial.reached), default=math.inf)
        promising = [number for number, trial in trials.items() if trial.ms <= MUCH_SLOWER * best]
        alone = len(promising) == 1 and trials[promising[0]].reached
        # Of one alone the index over all vectors will tell, unless its codes are short for want of memory.
        if not (alone and roomy):
            self._try_among_many(trials, promising)
        return sorted(trials.values(), key=lambda trial: (not trial.reached, trial.expected_ms))

    def _try_among_many(self, trials: dict[int, Trial], promising: list[int]) -> None:
        """Try the promising kinds again, graphs last, where there is hope for them still; `trials` then has what came of it."""
        sample, expected = self._sample(self._large), math.inf
        for number in sorted(promising, key=lambda number: is_graph(trials[number].spec)):
            if self._may_take(trials[number]) < WORTH_BUILDING * expected:
                trials[number] = trial = self._try(number, self._large, sample, trials[number])
                if trial.reached:
                    expected = min(expected, trial.expected_ms)

    def _may_take(self, first: Trial) -> float:
        """The fewest milliseconds over all vectors that a trial among few leaves to hope for."""
        return self._over_all(first.spec, first.ms, first.rows, LEAST_GROWTH) if is_graph(first.spec) else 0.0

    def _over_all(self, spec: str, ms: float, rows: int, growth: float) -> float:
        # Of several graphs each is walked; lists are read once, in parts.
        graphs = self._parts if is_graph(spec) else 1
        return graphs * ms * (self._rows / graphs / rows) ** growth

    def _sample(self, rows: np.ndarray) -> Sample:
        return Sample(self._queries, self._source.truth(rows, self._queries, self._k), self._made)

    def _try(self, number: int, rows: np.ndarray, sample: Sample, before: Trial | None = None) -> Trial:
        fast, small = self._kinds(len(rows))
        spec = (fast + small)[number].spec
        index = construct(spec, self._source, rows)
        searcher = ApproximateSearcher(index, copies(spec), self._source, usual_parameters(index, sample.k))
        tuned, reached = tune(searcher, sample, self._target, enough=on_average)
        ms = 1000 * tuned.seconds
        # Without a trial before, as long as the slowest growth that was seen: that of a kind which will not be built.
        growth = min(1.0, max(0.0, math.log(ms / before.ms) / math.log(len(rows) / before.rows))) if before else 0.5
        kind = self.kinds[number]
        expected = self._over_all(kind.spec, ms, len(rows), growth)
        self._progress.note(f"{kind.spec} over {len(rows):,} vectors: recall {tuned.recall.mean:.3f} in {ms:.3f} ms")
        return Trial(kind.spec, kind.build_s, len(rows), reached, tuned.recall.mean, ms, expected)
