"""Recall against a plain loop, and its interval against the distributions that it has to cover."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vecsearch.ann import recall
from vecsearch.ann.recall import TOLERANCE, Recall, recalls


def hits(draw: st.DrawFn, queries: int, width: int) -> np.ndarray:
    """Scores with many ties, best first; some queries have fewer than `width`."""
    score = st.sampled_from([-1.0, -0.5, 0.0, 0.25, 0.5, 1.0])
    scores = -np.sort(-draw(arrays(np.float32, (queries, width), elements=score)), axis=1)
    for row in scores:
        row[draw(st.integers(0, width)) :] = -np.inf
    return scores


@st.composite
def searches(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    queries = draw(st.integers(0, 4))
    return hits(draw, queries, draw(st.integers(0, 6))), hits(draw, queries, draw(st.integers(0, 9)))


@given(searches())
def test_recalls_are_those_of_a_loop(search):
    truth_scores, found_scores = search
    expected = []
    for truth, found in zip(truth_scores, found_scores, strict=True):
        true = [score for score in truth if np.isfinite(score)]
        count = sum(bool(true) and score >= true[-1] for score in found)
        expected.append(min(count, len(true)) / len(true) if true else 1.0)
    assert recalls(truth_scores, found_scores).tolist() == expected


@given(st.integers(0, 100), st.sampled_from([1e-20, 1.0, 1e20]), st.sampled_from([2, 300, 2_000]))
def test_the_same_hits_summed_in_another_order_all_count(seed, scale, dim):
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((30, dim), np.float32) + np.float32(0.5)
    queries = np.float32(scale) * vectors[:5]
    one, other = queries @ vectors.T, np.array([[np.cumsum(q * v)[-1] for v in vectors] for q in queries])
    one, other = (-np.sort(-scores, axis=1)[:, :10] for scores in (one, other))
    assert (recalls(one, other) == 1).all() and (recalls(other, one) == 1).all()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_a_hit_that_is_worse_by_more_than_rounding_is_a_miss(scale):
    truth = np.float32(scale) * np.array([[1.0, 0.9]], np.float32)
    near, far = (np.float32(scale) * np.array([[1.0, 0.9 - error]], np.float32) for error in (TOLERANCE / 2, 2 * TOLERANCE))
    assert recalls(truth, near) == [1.0]
    assert recalls(truth, far) == [0.5]


def at_least(n: int, hits: int, p: float) -> float:
    """Probability of `hits` or more of `n` at the probability `p`."""
    return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(hits, n + 1))


@pytest.mark.parametrize(("n", "perfect"), [(1, 1), (1, 0), (20, 20), (20, 0), (40, 37), (200, 190)])
def test_where_each_query_finds_all_or_nothing_the_interval_is_that_of_clopper_and_pearson(n, perfect):
    found = Recall.of(np.repeat([1.0, 0.0], [perfect, n - perfect]), 10)
    assert (found.mean, found.queries, found.k) == (perfect / n, n, 10)
    assert found.low == 0 if perfect == 0 else at_least(n, perfect, found.low) == pytest.approx(0.025, abs=0.005)
    assert found.high == 1 if perfect == n else at_least(n, perfect + 1, found.high) == pytest.approx(0.975, abs=0.005)


@given(arrays(np.float64, st.integers(1, 50), elements=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])))
def test_the_interval_holds_the_mean_and_does_not_depend_on_the_order(per_query):
    found = Recall.of(per_query, 10)
    assert 0 <= found.low < found.mean <= found.high <= 1 or found.mean == found.low == 0
    assert Recall.of(np.sort(per_query)[::-1], 10).as_dict() == pytest.approx(found.as_dict())


DISTRIBUTIONS = {
    "mostly perfect": ([1, 0.9, 0.8, 0], [0.8, 0.15, 0.045, 0.005]),
    "rare failures": ([1, 0.9, 0], [0.9, 0.098, 0.002]),
    "all or nothing": ([1, 0], [0.95, 0.05]),
    "spread": (np.arange(11) / 10, np.array([1, 1, 1, 1, 1, 2, 4, 8, 20, 30, 31]) / 100),
}


@pytest.mark.slow
@pytest.mark.parametrize("queries", [50, 500, 2_000])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_ends_of_the_interval_hold_the_true_recall(monkeypatch, name, queries):
    """97.5 % of the time each; of 1,000 samples 965 is two standard errors below. Fewer draws make ends noisy, not biased."""
    monkeypatch.setattr(recall, "DRAWS", 500)
    values, shares = np.asarray(DISTRIBUTIONS[name][0], float), DISTRIBUTIONS[name][1]
    samples = np.random.default_rng(1).choice(values, (1_000, queries), p=shares)
    mean = values @ shares
    found = [Recall.of(sample, 10) for sample in samples]
    assert np.mean([one.low <= mean for one in found]) >= 0.965
    assert np.mean([one.high >= mean for one in found]) >= 0.965
    # And it is no wider than it must be: three and a half standard errors, and what one query more could change.
    spread = math.sqrt(values**2 @ shares - mean**2)
    assert np.mean([one.mean - one.low for one in found]) < 3.5 * spread / math.sqrt(queries) + 4 / queries


def test_it_can_be_read_and_kept():
    found = Recall(k=10, queries=2_000, mean=0.957, low=0.95249, high=0.96051)
    assert str(found) == "0.957 (0.952–0.961) over 2,000 queries"
    assert Recall(**json.loads(json.dumps(found.as_dict()))) == found
    assert json.loads(json.dumps(Recall.of(np.ones(3, np.float32), 5).as_dict()))["mean"] == 1.0
    kept = json.loads(json.dumps(found.as_dict() | {"target": 0.9, "memory": None}))
    assert Recall.from_dict(kept) == found  # as every earlier version has kept it
    with pytest.raises(ValueError, match="no queries"):
        Recall.of(np.empty(0), 10)


@given(st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=50), min_size=1, max_size=3))
def test_of_several_kinds_of_queries_the_one_that_gets_least_counts(samples):
    by = {str(number): Recall.of(np.array(sample), 10) for number, sample in enumerate(samples)}
    found = Recall.least(by)
    assert found.low == min(its.low for its in by.values())
    least = next(its for its in by.values() if its.low == found.low)
    assert (found.mean, found.queries, found.k) == (least.mean, least.queries, 10)
    assert found.by == (by if len(by) > 1 else {}) and ("by" in found.as_dict()) == (len(by) > 1)
    assert Recall.from_dict(json.loads(json.dumps(found.as_dict()))) == found
    assert all(str(its) in str(found) for its in by.values())
