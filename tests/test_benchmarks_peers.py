"""The comparison with other indexes: every adapter finds neighbors, and throughput at a recall is read off fairly."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsearch.metric import Metric, normalise

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import peers
from adapters import ADAPTERS, Adapter
from adapters.others import Scann
from adapters.ours import Vecsearch95
from adapters.with_faiss import FaissGraph

K = 10
points = st.lists(st.tuples(st.floats(0.5, 1), st.floats(10, 1e5)), min_size=1, max_size=12)


def clustered(n: int, seed: int) -> np.ndarray:
    """Vectors (n, 16) float32 around a few centres."""
    centres = np.random.default_rng(0).normal(size=(8, 16))
    rng = np.random.default_rng(seed)
    return (centres[rng.integers(8, size=n)] + rng.normal(size=(n, 16))).astype(np.float32)


def check(adapter: Adapter, folder: Path) -> None:
    """Its most thorough setting finds the neighbors, of all queries at once and one by one, and it can be saved."""
    base, queries = clustered(1200, 1), clustered(50, 2)
    if adapter.metric is Metric.COSINE:
        base, queries = normalise(base), normalise(queries)
    adapter.build(base, threads=1)
    together = adapter.search(queries, K, adapter.settings[-1], threads=1)
    alone = [adapter.search(query[None, :], K, adapter.settings[-1], threads=1)[0] for query in queries]
    truth = np.argsort(-queries @ base.T, axis=1)[:, :K]
    for rows in (together, np.array(alone)):
        shared = [len(set(a) & set(b)) for a, b in zip(rows.tolist(), truth.tolist(), strict=True)]
        assert np.mean(shared) / K >= 0.9
    adapter.save(folder)
    assert any(path.stat().st_size for path in folder.rglob("*"))


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("kind", ADAPTERS, ids=lambda kind: kind.name)
def test_the_most_thorough_setting_finds_the_neighbors(kind, metric, tmp_path):
    adapter = kind(metric)
    if obstacle := adapter.obstacle():
        pytest.skip(obstacle)
    check(adapter, tmp_path)


def test_scann_finds_them_in_partitions_too(tmp_path, monkeypatch):
    pytest.importorskip("scann")
    monkeypatch.setattr(Scann, "brute_force_rows", 0)
    check(Scann(Metric.COSINE), tmp_path)


@given(points)
def test_no_setting_beats_what_is_read_off_and_an_unbeaten_one_is_read_off_exactly(measured):
    for recall, qps in measured:
        rate = peers.qps_at(measured, recall)
        rivals = [other_qps for other, other_qps in measured if other >= recall]
        assert rate >= max(rivals) * (1 - 1e-9)
        if rivals.count(qps) == 1 and qps == max(rivals):
            assert rate == pytest.approx(qps)


@given(points, st.floats(0.5, 1), st.floats(0.5, 1))
def test_more_recall_never_has_more_throughput(measured, low, high):
    low, high = sorted((low, high))
    rates = [peers.qps_at(measured, recall) for recall in (low, high)]
    if high > max(recall for recall, _ in measured):
        assert rates[1] is None
    else:
        assert rates[0] >= rates[1] * (1 - 1e-9)


def test_throughput_between_two_settings_is_log_linear():
    assert peers.qps_at([(0.9, 1000.0), (1.0, 10.0)], 0.95) == pytest.approx(100)


def test_a_tie_with_the_last_neighbor_counts_and_a_missing_hit_does_not():
    base = np.array([[1, 0], [0.5, 0], [0.5, 0], [0, 1]], np.float32)
    data = peers.Data(base, base[:1], 2, Metric.INNER_PRODUCT, kth=np.array([0.5], np.float32))
    recalls = [data.recall(np.array([rows])) for rows in ([0, 1], [0, 2], [0, 3], [0, -1])]
    assert recalls == [1, 1, 0.5, 0.5]


def test_a_run_tells_every_setting_and_the_ratio_to_ours(tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "vectors.npy", clustered(700, 3))
    arguments = ["--rows", "500", "--queries", "40", "--rounds", "1", "--only", "vecsearch 0.95", "faiss HNSW32"]
    monkeypatch.setattr("report.RESULTS", tmp_path)
    monkeypatch.setattr("sys.argv", ["peers.py", str(tmp_path / "vectors.npy"), *arguments])
    peers.main()
    rows = [json.loads(line) for line in (tmp_path / "peers.jsonl").read_text().splitlines()]
    assert {row["rows"] for row in rows} == {500} and {row["queries"] for row in rows} == {40}
    assert sum("setting" in row for row in rows) == sum(len(kind.settings) for kind in (Vecsearch95, FaissGraph))
    ours, faiss, best = (row for row in rows if "setting" not in row)
    assert (ours["index"], ours["ours_0.95"], best["index"]) == ("vecsearch 0.95", 1, "best peer")
    assert faiss["ours_0.95"] == best["ours_0.95"] == pytest.approx(ours["qps_0.95"] / faiss["qps_0.95"], abs=0.01)
    assert "ours_0.95" in capsys.readouterr().out


def test_queries_are_left_out_of_the_base(tmp_path, monkeypatch):
    vectors = clustered(300, 4)
    np.save(tmp_path / "vectors.npy", vectors)
    monkeypatch.setattr("sys.argv", ["peers.py", str(tmp_path / "vectors.npy"), "--queries", "30", "--metric", "ip"])
    data = peers.read(peers.parse(), np.random.default_rng(0))
    together = np.concatenate([data.base, data.queries])
    assert (len(data.base), len(data.queries)) == (270, 30)
    assert np.array_equal(np.unique(together, axis=0), np.unique(vectors, axis=0))
    assert np.allclose(data.kth, np.sort(data.queries @ data.base.T, axis=1)[:, -10], atol=1e-5)
