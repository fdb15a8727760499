"""From stored vectors to the fastest FAISS index that reaches a recall, with the proof that it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch import checks
from vecsearch.ann.filling import Filling, OneFile
from vecsearch.ann.planner import EXACT_NUMBERS, exact_bytes
from vecsearch.ann.questions import Ask, Questions
from vecsearch.ann.recall import Recall, most_provable
from vecsearch.ann.source import Source
from vecsearch.ann.spec import is_graph, reason
from vecsearch.ann.trials import WORTH_BUILDING, Trial, Trials
from vecsearch.ann.tuner import Judge, judge
from vecsearch.errors import UsageError
from vecsearch.metric import EXACT
from vecsearch.progress import Progress


@dataclass(frozen=True)
class Goal:
    """A recall@k to reach, None for none in particular, and the bytes that the index may take in memory, None for any."""

    recall: float | None = None
    k: int = 10
    memory: int | None = None

    def __post_init__(self) -> None:
        """Raises: TypeError: no numbers. UsageError: a recall not above 0 and up to 1, a k or memory below 1."""
        if self.recall is not None:
            object.__setattr__(self, "recall", checks.number("recall", self.recall, 0, 1))
            if not self.recall:
                raise UsageError("the recall is 0; it must be greater than 0 and at most 1, such as 0.95")
        object.__setattr__(self, "k", checks.count("k", self.k, least=1))
        if self.memory is not None:
            object.__setattr__(self, "memory", checks.count("memory", self.memory, least=1))


@dataclass(frozen=True)
class Outcome:
    """The kind that was built, its search parameters, its recall as proved, and whether that is what was asked for.

    `ms` are the milliseconds of a query of a batch on one thread. Where there was nothing to measure, for search is exact or
    there are too few rows to hold any out, `recall` is None and `ms` NaN. `trials` are the kinds
    that were tried on a part of the vectors, with what they gave.
    """

    spec: str
    search_parameters: dict[str, float] = field(default_factory=dict)
    recall: Recall | None = None
    reached: bool = True
    ms: float = nan
    trials: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self, goal: Goal) -> dict[str, Any] | None:
        """The recall as the manifest keeps it, with what was asked for; None where nothing was measured."""
        if self.recall is None:
            return None
        return {**self.recall.as_dict(), "target": goal.recall, "memory": goal.memory}


class Builder:
    """Builds an index over `source` towards `goal`; `progress` is told what it does, and how many vectors it added.

    Beside rows that are held out it asks the questions that `ask` makes of their documents; `queries` (q, d) float32 stand in
    for both. `judge` says what an index is worth, `filling` makes it.
    """

    def __init__(
        self,
        source: Source,
        goal: Goal,
        *,
        queries: np.ndarray | None,
        ask: Ask | None = None,
        progress: Progress,
        judge: Judge = judge,
        filling: Callable[[Any, Path, Progress], Filling] = OneFile,
    ) -> None:
        self._judge, self._filling = judge, filling
        self._source, self._goal = source, goal
        self._questions = Questions(source, queries, goal.k, ask)
        self._progress = progress

    def build(self, path: Path) -> Outcome:
        """Write the fastest index that reaches the goal to `path`, or nothing where that is exact search.

        Where none does, it is the one whose recall is best. Raises UsageError when none can be that fits the memory.
        """
        if why := self._why_exact():
            self._progress.note(f"exact search: {why}")
            return Outcome(EXACT)
        return self.build_best(self._trials(), path)

    def build_best(self, trials: Sequence[Trial], path: Path) -> Outcome:
        """Write the fastest index of the kinds that were tried, the best first, as `build` does."""
        figures, filling = [trial.as_dict() for trial in trials], self._filling(self._source, path, self._progress)
        best = None
        reached = [trial for trial in trials if trial.reached]
        for trial in sorted(reached, key=lambda trial: (is_graph(trial.spec), trial.expected_ms)):
            if best and best.reached and trial.expected_ms >= WORTH_BUILDING * best.ms:
                continue
            outcome = self._built(filling, trial.spec, figures)
            self._progress.note(f"{trial.spec}: recall@{self._goal.k} {outcome.recall}, {outcome.ms:.3f} ms")
            if best is None or _merit(outcome) > _merit(best):
                best = outcome
                filling.keep()
        if best is None or (not best.reached and self._exact_fits()):
            filling.discard()
            self._progress.note("exact search: no other kind reaches the recall")
            return Outcome(EXACT, trials=figures)
        return self._finished(filling, best)

    def build_kind(self, spec: str, path: Path) -> Outcome:
        """Write an index of the kind `spec` to `path`. Raises UsageError when it does not fit the vectors."""
        filling = self._filling(self._source, path, self._progress)
        outcome = self._built(filling, spec, [])
        filling.keep()
        return self._finished(filling, outcome)

    def _built(self, filling: Filling, spec: str, trials: list[dict[str, Any]]) -> Outcome:
        """What an index over the rows that are kept is worth, tuned and proved."""
        self._progress.note(f"building {spec}")
        searcher = filling.make(spec, self._questions.kept, self._goal.k)
        try:
            recall, reached, ms = self._judge(searcher, self._questions, self._goal.recall)
        except RuntimeError as error:
            raise UsageError(
                f"an index of the spec {spec!r} cannot be searched: {reason(error)}; choose another --spec"
            ) from None
        return Outcome(spec, searcher.search_parameters, recall, reached, ms, trials)

    def _finished(self, filling: Filling, outcome: Outcome) -> Outcome:
        filling.finish(outcome.spec, self._questions.held_out)
        return outcome

    def _why_exact(self) -> str | None:
        """Why nothing but exact search needs to be tried, or None."""
        if len(self._source) * self._source.dim <= EXACT_NUMBERS:
            return f"over {len(self._source):,} vectors nothing is faster"
        if self._goal.recall > most_provable(self._questions.fewest):
            return f"{self._questions.fewest:,} queries are too few to prove a recall of {self._goal.recall}"
        return None

    def _exact_fits(self) -> bool:
        return self._goal.memory is None or exact_bytes(len(self._source), self._source.dim) <= self._goal.memory

    def _trials(self) -> list[Trial]:
        trials = Trials(self._source, self._questions, self._goal.recall, self._progress)
        found = trials.run(self._goal.memory)
        if not any(trial.reached for trial in found) and not self._exact_fits():
            raise UsageError(self._refusal(trials, found))
        return found

    def _refusal(self, trials: Trials, found: list[Trial]) -> str:
        """Why there is no index for the goal, and the nearest that there is."""
        memory, exact = self._goal.memory, exact_bytes(len(self._source), self._source.dim)
        self._progress.note("nothing reaches the recall in that memory; looking for what would")
        sizes = {kind.spec: kind.memory_bytes for kind in trials.kinds}
        enough = min((sizes[trial.spec] for trial in trials.run(exact) if trial.reached), default=exact)
        if not found:
            return f"no index of these vectors fits {memory:,} bytes of memory; give --memory {_megabytes(enough)}"
        best = max(trial.recall for trial in found)
        return (
            f"in {memory:,} bytes of memory a recall of {best:.3f} is reached, not {self._goal.recall}; "
            f"ask for less, or give --memory {_megabytes(enough)}"
        )


def _merit(outcome: Outcome) -> tuple[bool, float]:
    """What reaches the goal, and then is fast, is better than what comes near to it."""
    return outcome.reached, -outcome.ms if outcome.reached else outcome.recall.low


def _megabytes(size: int) -> str:
    return f"{-(-size // 1_000_000)}MB"
