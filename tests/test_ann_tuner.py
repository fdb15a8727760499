"""The tuner against searchers whose recall is known, and the samples of queries that it and the proof are given."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import made_vectors, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch import ann
from vecsearch.ann import questions as questions_module
from vecsearch.ann import tuner
from vecsearch.ann.questions import Questions, Sample
from vecsearch.ann.recall import TOLERANCE, reaches
from vecsearch.ann.tuner import measure, on_average, prove, tune, will_prove
from vecsearch.metric import Metric

K = 10


class Known:
    """A searcher that finds hit j of query i from the setting `needs[i, j]` on, if it has `ranks` candidates."""

    def __init__(self, needs: np.ndarray, *, ranks: int = K, most: int = 300, size: int = 1000) -> None:
        self._needs, self._ranks, self._most, self._size = needs, ranks, most, size
        self.setting, self.search_parameters = "nprobe", {"nprobe": 1, "candidates": K}

    def __len__(self) -> int:
        return self._size

    def settings(self, k: int) -> tuple[int, int]:
        return 1, self._most

    def gaps(self, queries: np.ndarray) -> None:
        return None

    def set_parameters(self, search_parameters) -> None:
        self.search_parameters = dict(search_parameters)

    def candidates(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        found = self._needs[queries[:, 0].astype(int)] <= self.search_parameters["nprobe"]
        scores = np.full((len(queries), max(count, self._ranks)), -1, np.float32)  # worse than every true one
        scores[:, self._ranks - K : self._ranks] = np.where(found, 1, -1)
        scores = scores[:, :count]
        return scores, np.zeros(scores.shape, np.int64)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        scores, rows = self.candidates(queries, max(self._ranks, self.search_parameters["candidates"]))
        if self.search_parameters["candidates"] < self._ranks:
            scores[:, self.search_parameters["candidates"] :] = -1
        return -np.sort(-scores, axis=1)[:, :k], rows[:, :k]

    def hits(self, queries: np.ndarray, truth: np.ndarray, count: int) -> np.ndarray:
        return np.cumsum(reaches(truth, self.candidates(queries, count)[0]), axis=1)

    def seconds(self, queries: np.ndarray, k: int) -> float:
        return 0.001


def numbered(queries: int) -> Sample:
    """Queries that are their own numbers, whose true scores are all 1."""
    return Sample(np.arange(queries, dtype=np.float32)[:, None], np.ones((queries, K), np.float32))


@pytest.mark.parametrize("size, reached", [(1_000, False), (3_000_000, False), (4_000_000, True)])
def test_among_more_vectors_more_candidates_are_ranked_again(size, reached):
    needs = np.ones((400, K))
    _, enough = tune(Known(needs, ranks=400, size=size), numbered(400), 0.9)
    assert enough == reached


@pytest.mark.parametrize("harder", [1, 4, 0.25], ids=["alike", "the first are easier", "the first are harder"])
@given(st.integers(0, 100), st.floats(0.5, 0.97), st.sampled_from([10, 25, 60]), st.sampled_from([20, 400]))
@settings(max_examples=25)
def test_the_least_setting_and_the_fewest_candidates_that_do_are_found(harder, seed, target, ranks, scouts):
    needs = np.random.default_rng(seed).geometric(0.03, (400, K))
    needs[20:] = np.ceil(harder * needs[20:])
    searcher = Known(needs, ranks=ranks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuner, "SCOUTS", scouts)
        tuned, reached = tune(searcher, numbered(400), target, enough=on_average)
    least = next((value for value in range(1, 301) if (needs <= value).mean() >= target), None)
    assert reached == (least is not None) and searcher.search_parameters == tuned.search_parameters
    assert tuned.recall == measure(searcher, numbered(400))
    if reached:
        assert least <= tuned.search_parameters["nprobe"] <= 1.7 * tuner.FINENESS * least + 1
        assert ranks - K < tuned.search_parameters["candidates"] <= ranks and tuned.recall.mean >= target


def test_where_nothing_is_enough_the_dearest_is_kept():
    searcher = Known(np.where(np.arange(400)[:, None] % 5 == 0, 10_000, 1) * np.ones((1, K)))
    tuned, reached = tune(searcher, numbered(400), 0.9, enough=on_average)
    assert not reached and tuned.search_parameters["nprobe"] == 300 and tuned.recall.mean == pytest.approx(0.8)


@given(st.integers(0, 100), st.floats(0.5, 0.97))
@settings(max_examples=25)
def test_what_promises_a_proof_passes_on_average_as_well(seed, target):
    recalls = np.random.default_rng(seed).binomial(K, 0.95, 300) / K
    assert not will_prove(recalls, K, target) or on_average(recalls, K, target)


kinds_of_queries = st.lists(st.booleans(), min_size=40, max_size=40).map(np.array)


@given(made=kinds_of_queries, easy=st.integers(1, 20), hard=st.integers(1, 600), target=st.sampled_from([0.5, 0.9]))
@settings(max_examples=60)
def test_what_is_tuned_is_enough_for_each_kind_of_queries(made, easy, hard, target):
    """However few of the queries are of the harder kind, and whatever both get on average."""
    needs = np.where(made[:, None], hard, easy) + np.zeros((40, K), int)
    sample, whole = numbered(40), Known(needs)
    tuned, reached = tune(whole, Sample(sample.queries, sample.truth, made), target, enough=on_average)
    assert reached == (max(needs.ravel()) <= whole.settings(K)[1])
    if reached:
        assert tuned.recall.mean == 1 and all(its.mean == 1 for its in tuned.recall.by.values())
    else:
        assert tuned.recall.mean == 0
    assert tuned.recall.by.keys() == ({"rows", "questions"} if made.any() and not made.all() else set())


class Samples:
    """Three samples of known queries, and which of them were asked for."""

    def __init__(self, size: int) -> None:
        self.size, self.asked = size, []

    def sample(self, number: int) -> Sample:
        self.asked.append(number)
        whole = numbered(3 * self.size)
        part = slice(number * self.size, (number + 1) * self.size)
        return Sample(whole.queries[part], whole.truth[part])


def test_a_recall_that_the_tuning_queries_alone_have_is_not_proved():
    needs = np.ones((1_500, K))
    needs[500:, 5:] = 10_000
    samples = Samples(500)
    recall, reached = prove(Known(needs), samples, 0.9)
    assert not reached and recall.mean == 0.5 and recall.high < 0.9
    assert samples.asked == [0, 1, 2]


@pytest.mark.parametrize("hard", [0, 1])
def test_the_recall_of_one_kind_of_queries_makes_up_for_no_other(hard):
    needs = np.ones((1_500, K))
    needs[hard::2, :2] = 10_000  # 0.8 of one kind, 1 of the other

    class Both(Samples):
        def sample(self, number: int) -> Sample:
            sample = super().sample(number)
            return Sample(sample.queries, sample.truth, sample.queries[:, 0] % 2 == 1)

    recall, reached = prove(Known(needs), Both(500), 0.85)
    assert not reached and recall.mean == 0.8 and recall.by["questions" if hard else "rows"].mean == 0.8
    assert recall.by["rows" if hard else "questions"].mean == 1
    assert prove(Known(needs), Both(500), 0.7)[1]
    assert prove(Known(needs), Samples(500), 0.85)[1]  # as one kind they would do


def test_a_proof_that_fails_is_tried_once_more_on_queries_not_yet_seen():
    needs = np.where(np.random.default_rng(0).random((1_500, K)) < 0.15, 50, 1)
    needs[:500] = 1  # the first queries are easy
    samples = Samples(500)
    recall, reached = prove(Known(needs), samples, 0.95)
    assert reached and recall.mean == 1 and recall.queries == 500 and samples.asked == [0, 1, 2]


def test_a_proof_that_holds_looks_at_no_other_queries():
    samples = Samples(500)
    recall, reached = prove(Known(np.ones((1_500, K))), samples, 0.9)
    assert reached and recall.mean == 1 and samples.asked == [0, 1]


@pytest.mark.parametrize("broken", [0.2, 0.5])
def test_a_searcher_that_loses_hits_is_not_proved(broken):
    source = rows_of(made_vectors("gaussian", 3_000, 8, 0), Metric.COSINE)
    questions = Questions(source, None, K)
    index = ann.construct("IVF8,Flat", source, questions.kept)
    searcher = ann.ApproximateSearcher(index, 1, source, {"nprobe": 8, "candidates": K})
    assert prove(searcher, questions, 0.9)[1]
    lost = np.random.default_rng(1).random(3_000) < broken
    whole = searcher.candidates

    def lossy(queries, count):
        scores, rows = whole(queries, count)
        return np.where(lost[rows], -np.inf, scores).astype(np.float32), rows

    def search(queries, k):
        scores, rows = lossy(queries, max(k, searcher.search_parameters["candidates"]))
        scores[:, searcher.search_parameters["candidates"] :] = -np.inf
        return -np.sort(-scores, axis=1)[:, :k], rows[:, :k]

    searcher.candidates, searcher.search = lossy, search
    recall, reached = prove(searcher, questions, 0.95)
    assert not reached and recall.high < 0.95


@given(n=st.integers(1, 400), dim=st.integers(1, 4), k=st.integers(1, 30), metric=st.sampled_from(list(Metric)))
@settings(max_examples=40)
def test_held_out_rows_are_three_samples_without_one_row_in_common(n, dim, k, metric):
    vectors = np.arange(n * dim, dtype=np.float32).reshape(n, dim) + 1  # every row differs
    source = rows_of(vectors, metric)
    questions = Questions(source, None, k)
    assert sorted([*questions.held_out, *questions.kept[:]]) == list(range(n))
    assert len(questions.kept) >= questions_module.LEAST_KEPT * n and len(questions.held_out) == 3 * questions.size
    asked = np.concatenate([questions.queries(number) for number in range(3)])
    assert sorted(asked[:, 0]) == vectors[questions.held_out, 0].tolist()
    if questions.size:
        kept = vectors[questions.kept[:]]
        truth, _ = ann.ExactSearcher(kept, source.norms[questions.kept[:]]).search(questions.queries(1), k, metric)
        np.testing.assert_allclose(questions.sample(1).truth, truth, rtol=TOLERANCE)  # which way they are computed may differ


@given(st.integers(1, 60), st.integers(0, 60))
@settings(max_examples=20)
def test_queries_of_your_own_are_split_and_hold_out_no_row(n, count):
    source = rows_of(made_vectors("gaussian", n, 3, 0), Metric.COSINE)
    own = np.arange(3 * count, dtype=np.float32).reshape(count, 3)
    questions = Questions(source, own, 5)
    assert questions.size == count // 3 and len(questions.kept) == n and len(questions.held_out) == 0
    asked = np.concatenate([questions.queries(number) for number in range(3)])[:, 0].tolist()
    assert len(set(asked)) == 3 * questions.size and set(asked) <= set(own[:, 0])
