"""The least search parameters with which an index reaches a recall: found on one sample of queries, to be proved on another."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from math import nan
from typing import Protocol

import numpy as np

from vecsearch.ann.probing import reading
from vecsearch.ann.questions import Questions, Sample
from vecsearch.ann.recall import Recall, recalls
from vecsearch.ann.spec import SearchParameters

MOST_CANDIDATES, SHARE = 20, 100_000
"""Hits for each one asked for, ranked again by their exact scores, at the most: so many, or among many vectors one of so many.
The more there are, the closer they lie, and the more of them have codes that look alike; to read the lists takes far longer."""
FINENESS = 1.06
"""Settings that differ by less than this factor are as good as equal."""
LEEWAY = 2.33
"""Standard errors by which the lower end on the tuning sample has to pass the target, so that on another sample of the size it
reaches it 19 times in 20: 1.64 times the √2 of a difference."""
SCOUTS = 500
"""Queries of either kind that say near which setting to look."""
STRIDE = 1.25
"""Steps from there up: it takes a little more to be sure of the target for all of them."""
TIMED_QUERIES, ROUNDS = 500, 3
"""Each round times all search parameters that will do: a moment in which other work slows the machine hits them alike."""


Enough = Callable[[np.ndarray, int, float], bool]
"""Whether the recalls@k of queries, (q,), are enough for a target."""


@dataclass(frozen=True)
class Tuned:
    """Search parameters, what recall@k it gave on the tuning sample, and the seconds that one query took on one thread."""

    search_parameters: dict[str, float]
    recall: Recall
    seconds: float


class Searcher(Protocol):
    """What is tuned: an `ApproximateSearcher`, or several by the same search parameters, whose hits are merged. `len` is how
    many vectors each of them is over, at the most."""

    @property
    def setting(self) -> str | None: ...

    @property
    def search_parameters(self) -> dict[str, float]: ...

    def __len__(self) -> int: ...

    def settings(self, k: int) -> tuple[int, int]: ...

    def gaps(self, queries: np.ndarray) -> np.ndarray | None: ...

    def set_parameters(self, search_parameters: SearchParameters) -> None: ...

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]: ...

    def hits(self, queries: np.ndarray, truth: np.ndarray, count: int) -> np.ndarray: ...

    def seconds(self, queries: np.ndarray, k: int) -> float: ...


Judge = Callable[[Searcher, Questions, float | None], tuple[Recall | None, bool, float]]
"""What gives the recall of an index, whether that is the target's, and the milliseconds of a query of a batch."""


def judge(searcher: Searcher, questions: Questions, target: float | None) -> tuple[Recall | None, bool, float]:
    """The recall, proved where there is a target, and measured where there is none; None and NaN where nothing can be asked."""
    if not questions.size:
        return None, target is None, nan
    if target is None:
        recall, reached = measure(searcher, questions.sample(1)), True
    else:
        recall, reached = prove(searcher, questions, target)
    return recall, reached, 1000 * searcher.seconds(questions.queries(0)[:TIMED_QUERIES], questions.k)


def prove(searcher: Searcher, questions: Questions, target: float) -> tuple[Recall, bool]:
    """Recall@k on queries that the searcher was not tuned with, and whether the lower end of its interval reaches `target`.

    Should it fail, it is tuned with these queries as well, and proved with the last ones.
    """
    tuning = questions.sample(0)
    for number in (1, 2):
        _, passed = tune(searcher, tuning, target)
        sample = questions.sample(number)
        recall = measure(searcher, sample)
        if not passed or recall.low >= target:
            break
        tuning = tuning.joined(sample)
    return recall, recall.low >= target


def measure(searcher: Searcher, sample: Sample) -> Recall:
    """Recall@k of the searcher as it is set."""
    scores, _ = searcher.search(sample.queries, sample.k)
    return sample.recall(recalls(sample.truth, scores))


def will_prove(per_query: np.ndarray, k: int, target: float) -> bool:
    """Whether these recalls, (q,), promise that the lower end of the interval reaches the target on another sample."""
    return Recall.of(per_query, k).low - LEEWAY * per_query.std() / np.sqrt(len(per_query)) >= target


def on_average(per_query: np.ndarray, k: int, target: float) -> bool:
    """Whether the mean of these recalls, (q,), reaches the target."""
    return per_query.mean() >= target


def tune(searcher: Searcher, sample: Sample, target: float, *, enough: Enough = will_prove) -> tuple[Tuned, bool]:
    """The cheapest search parameters that are `enough` for `target`, and True; or the dearest that are of use, and False.

    They have to be enough for each kind of queries. The searcher is left set to them.
    """
    ladder = Ladder(searcher, sample.queries)
    if searcher.setting is None:
        found = _Attempt(searcher, ladder, sample, None)
        reached = found.fewest(target, enough)
        return _timed(searcher, sample, [ladder.at(None, reached or found.most)]), reached is not None
    _, most = searcher.settings(sample.k)
    least, reached = _least_setting(searcher, ladder, sample, target, enough)
    options = []
    # With more of one less of the other will do: which is cheaper depends on the vectors.
    for factor in (1.0, 1.15, 1.35, 1.7) if reached else (1.0,):
        value = min(most, round(least * factor))
        trial = _Attempt(searcher, ladder, sample, value)
        option = ladder.at(value, trial.fewest(target, enough) or trial.most)
        if option not in options:
            options.append(option)
    return _timed(searcher, sample, options), reached


class Ladder:
    """The search parameters of a searcher, with its setting at any value, for queries (q, d) such as these."""

    def __init__(self, searcher: Searcher, queries: np.ndarray) -> None:
        self._setting, self._gaps = searcher.setting, searcher.gaps(queries)

    def at(self, value: int | None, candidates: int) -> dict[str, float]:
        """Those with the setting, where there is one, at `value`."""
        if self._setting == "nprobe":
            return {**reading(value, self._gaps), "candidates": candidates}
        return ({} if self._setting is None else {self._setting: value}) | {"candidates": candidates}


def _least_setting(searcher: Searcher, ladder: Ladder, sample: Sample, target: float, enough: Enough) -> tuple[int, bool]:
    """The lowest setting that reaches the target with as many candidates as it takes: doubled until it does, then halved in. Of
    many queries a few say first where to begin."""

    def reached(value: int) -> bool:
        return _Attempt(searcher, ladder, sample, value).fewest(target, enough) is not None

    value, most = searcher.settings(sample.k)
    below, factor = 0, 2.0
    if len(sample.queries) > len((few := sample.first(SCOUTS)).queries):
        value, factor = _least_setting(searcher, ladder, few, target, on_average)[0], STRIDE
    while not reached(value):
        if value == most:
            return most, False
        below, value = value, min(math.ceil(factor * value), most)
    while value > below + 1 and value > FINENESS * below:
        middle = (below + value) // 2
        below, value = (below, middle) if reached(middle) else (middle, value)
    return value, True


class _Attempt:
    """What one setting finds, and how its recall grows with the number of candidates that are ranked again."""

    def __init__(self, searcher: Searcher, ladder: Ladder, sample: Sample, value: int | None) -> None:
        self.most = sample.k * max(MOST_CANDIDATES, len(searcher) // SHARE)
        if searcher.setting == "efSearch":
            self.most = min(self.most, value)  # FAISS would look at more nodes for more hits
        searcher.set_parameters(ladder.at(value, self.most))
        self._k, self._kinds = sample.k, sample.kinds.values()
        self._hits = np.minimum(searcher.hits(sample.queries, sample.truth, self.most), sample.k)  # (q, candidates)

    def fewest(self, target: float, enough: Enough) -> int | None:
        """The smallest number of candidates with which the recall passes the target; None where none does."""
        low, high = self._k - 1, self._hits.shape[1]
        if high < self._k or not self._passes(high, target, enough):
            return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._passes(middle, target, enough) else (middle, high)
        return high

    def _passes(self, candidates: int, target: float, enough: Enough) -> bool:
        per_query = self._hits[:, candidates - 1] / self._k
        return all(enough(per_query[which], self._k, target) for which in self._kinds)


def _timed(searcher: Searcher, sample: Sample, options: list[dict[str, float]]) -> Tuned:
    """The fastest of some search parameters."""
    best = [math.inf] * len(options)
    for _ in range(ROUNDS if len(options) > 1 else 1):
        for number, option in enumerate(options):
            searcher.set_parameters(option)
            best[number] = min(best[number], searcher.seconds(sample.queries[:TIMED_QUERIES], sample.k))
    fastest = best.index(min(best))
    searcher.set_parameters(options[fastest])
    return Tuned(searcher.search_parameters, measure(searcher, sample), best[fastest])
