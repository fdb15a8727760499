"""Ground truth against every score sorted; what is kept of it against damage."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch.ann import exact, truth
from vecsearch.ann.truth import TruthCache, ground_truth
from vecsearch.files import cache_folder
from vecsearch.metric import Metric, normalise, norms


def vectors_of(seed: int, n: int, dim: int, metric: Metric) -> np.ndarray:
    """Vectors, zeros and duplicates among them, whose scores float32 holds exactly, so that equal ones are equal."""
    rng = np.random.default_rng(seed)
    if metric is Metric.INNER_PRODUCT:
        return rng.integers(-2, 3, (n, dim)).astype(np.float32)
    axes = np.eye(dim, dtype=np.float32)[rng.integers(0, dim, n)]
    return axes * rng.choice(np.array([-4, -1, 0, 0.5, 2], np.float32), (n, 1))


def blocks_of(vectors: np.ndarray, size: int):
    for first in range(0, len(vectors), size):
        yield vectors[first : first + size], norms(vectors[first : first + size])


def reference(vectors, queries, k, metric, own_rows):
    """All rows sorted by their scores in float64, each query's own row taken out."""
    if metric is Metric.COSINE:
        vectors, queries = normalise(vectors), normalise(queries)
    scores = queries.astype(np.float64) @ vectors.T.astype(np.float64)
    rows = np.argsort(-scores, axis=1, kind="stable")
    if own_rows is not None:
        rows = np.array([row[row != own] for row, own in zip(rows, own_rows, strict=True)], np.int64)
    rows = rows.reshape(len(queries), -1)[:, :k]
    return np.take_along_axis(scores, rows, axis=1), rows


def check(few, metric, seed, n, dim, k, block, queries, own):
    vectors = vectors_of(seed, n, dim, metric)
    own_rows = np.random.default_rng(seed).integers(0, n, queries) if own and n else None
    asked = vectors_of(seed + 1, queries, dim, metric) if own_rows is None else vectors[own_rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "FEW_QUERIES", few)
        scores, rows = ground_truth(blocks_of(vectors, block), asked, k, metric, own_rows=own_rows)
    expected_scores, expected_rows = reference(vectors, asked, k, metric, own_rows)
    assert (scores.dtype, rows.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_array_equal(scores, expected_scores)


@pytest.mark.parametrize("few", [1, 1000], ids=["faiss", "numpy"])
@pytest.mark.parametrize("metric", list(Metric))
@given(
    seed=st.integers(0, 1000),
    n=st.one_of(st.integers(0, 2), st.integers(0, 60)),
    dim=st.integers(1, 6),
    k=st.integers(1, 70),
    block=st.integers(1, 70),
    queries=st.integers(1, 5),
    own=st.booleans(),
)
@settings(max_examples=100)
def test_ground_truth_is_every_score_sorted(few, metric, seed, n, dim, k, block, queries, own):
    check(few, metric, seed, n, dim, k, block, queries, own)


@pytest.mark.parametrize("few", [1, 1000], ids=["faiss", "numpy"])
@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize(("n", "dim", "k", "block", "queries"), [(900, 3, 150, 400, 40), (3_000, 2_000, 20, 1_000, 30)])
def test_ground_truth_of_more_rows_is_every_score_sorted(few, metric, n, dim, k, block, queries):
    check(few, metric, 7, n, dim, k, block, queries, own=True)


@pytest.mark.parametrize("few", [1, 1000], ids=["faiss", "numpy"])
def test_a_query_leaves_out_itself_and_not_its_duplicates(few, monkeypatch):
    monkeypatch.setattr(exact, "FEW_QUERIES", few)
    vectors = np.ones((50, 3), np.float32)
    own = np.array([0, 3, 49])
    _, rows = ground_truth(blocks_of(vectors, 20), vectors[own], 4, Metric.COSINE, own_rows=own)
    assert rows.tolist() == [[1, 2, 3, 4], [0, 1, 2, 4], [0, 1, 2, 3]]


@pytest.mark.parametrize("own_rows", [None, np.empty(0, np.int64)])
def test_no_queries_have_no_neighbours(own_rows):
    vectors = np.ones((5, 3), np.float32)
    scores, rows = ground_truth(blocks_of(vectors, 2), vectors[:0], 2, Metric.COSINE, own_rows=own_rows)
    assert scores.shape == rows.shape and len(rows) == 0


class Passes:
    """A cache over 20 vectors, and how often they were read."""

    def __init__(self, folder: Path) -> None:
        self.vectors = np.random.default_rng(0).standard_normal((20, 4), np.float32)
        self.cache, self.count = TruthCache(folder), 0

    def ask(self, **changed):
        asked = {"queries": self.vectors[:3], "k": 5, "metric": Metric.COSINE, "content": "a", "own_rows": None} | changed
        return self.cache.ground_truth(self._blocks(), **asked)

    def _blocks(self):
        self.count += 1
        yield from blocks_of(self.vectors, 7)


@pytest.fixture
def passes(tmp_path) -> Passes:
    return Passes(tmp_path / "not yet" / "truth")


def files(passes: Passes) -> list[Path]:
    return sorted(passes.cache._folder.iterdir())


def same(one, other) -> bool:
    return all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(one, other, strict=True))


def test_what_was_computed_once_is_kept(passes):
    first = passes.ask()
    assert same(first, ground_truth(blocks_of(passes.vectors, 7), passes.vectors[:3], 5, Metric.COSINE))
    assert same(passes.ask(), first) and passes.count == 1
    assert same(Passes(passes.cache._folder).ask(), first) and len(files(passes)) == 1


def test_whatever_differs_is_computed_for_itself(passes):
    passes.ask()
    changes = [
        {"queries": passes.vectors[1:4]},
        {"queries": passes.vectors[:2]},
        {"k": 6},
        {"metric": Metric.INNER_PRODUCT},
        {"content": "b"},
        {"own_rows": np.array([0, 1, 2])},
        {"own_rows": np.array([0, 1, 3])},
    ]
    for number, change in enumerate(changes, 2):
        for _ in range(2):
            found = passes.ask(**change)
            assert passes.count == number, change
        asked = {"queries": passes.vectors[:3], "k": 5, "metric": Metric.COSINE, "own_rows": None} | change
        asked.pop("content", None)
        assert same(found, ground_truth(blocks_of(passes.vectors, 7), **asked))


def test_another_version_computes_again(passes, monkeypatch):
    passes.ask()
    monkeypatch.setattr(truth, "VERSION", truth.VERSION + 1)
    passes.ask()
    assert passes.count == 2


@given(st.data())
@settings(max_examples=60)
def test_a_damaged_entry_is_computed_again_and_mended(tmp_path_factory, data):
    passes = Passes(tmp_path_factory.mktemp("truth"))
    first = passes.ask()
    (path,) = files(passes)
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    flipped = whole[:place] + bytes([whole[place] ^ 1 << data.draw(st.integers(0, 7))]) + whole[place + 1 :]
    path.write_bytes(data.draw(st.sampled_from([flipped, whole[:place], whole + b"\0"])))
    assert same(passes.ask(), first) and passes.count == 2
    assert path.read_bytes()[:32] == whole[:32]
    assert same(passes.ask(), first) and passes.count == 2


def test_an_entry_under_the_name_of_another_is_not_taken_for_it(passes):
    passes.ask()
    (path,) = files(passes)
    other = passes.ask(k=6)
    (other_path,) = set(files(passes)) - {path}
    other_path.write_bytes(path.read_bytes())
    assert same(passes.ask(k=6), other) and passes.count == 3


def test_a_folder_that_cannot_be_used_is_no_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    passes = Passes(tmp_path / "file")
    assert same(passes.ask(), passes.ask()) and passes.count == 2
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_disk_that_is_full_leaves_nothing_behind(passes, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    assert same(passes.ask(), passes.ask()) and passes.count == 2
    assert files(passes) == []


def test_the_oldest_are_forgotten_first(passes, monkeypatch):
    known: set[Path] = set()
    for age, k in enumerate((3, 2, 1)):  # the oldest is the largest
        passes.ask(k=k)
        (new,) = set(files(passes)) - known
        os.utime(new, ns=(age, age))
        known.add(new)
    size = max(path.stat().st_size for path in known)
    monkeypatch.setattr(truth, "KEPT_BYTES", 2 * size + size // 2)
    passes.ask(k=4)
    assert len(files(passes)) == 2 and passes.count == 4
    passes.ask(k=4)
    passes.ask(k=1)
    assert passes.count == 4
    passes.ask(k=2)
    assert passes.count == 5


def test_the_cache_folder_is_the_user_s(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache" / "vecsearch"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "vecsearch"
