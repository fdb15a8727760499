"""Data sets of ann-benchmarks go to a file and come back; one that does not fit is refused, naming what is wrong."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from vecsearch.errors import ResourceError, VectorsError
from vecsearch.metric import Metric
from vecsearch.vectors.annbench import distances_of, is_annbench, read_annbench, write_annbench
from vecsearch.vectors.read import open_vectors


def floats(*shape):
    return npst.arrays(np.float32, shape, elements=st.floats(-1e6, 1e6, width=32))


@st.composite
def data_sets(draw):
    n, q, d, k = (draw(st.integers(1, 7)) for _ in range(4))
    neighbors = draw(npst.arrays(np.int32, (q, k), elements=st.integers(0, n - 1)))
    return draw(floats(n, d)), draw(floats(q, d)), neighbors, draw(floats(q, k))


@pytest.mark.parametrize("metric", list(Metric))
@settings(max_examples=25)
@given(data=data_sets())
def test_round_trip(tmp_path_factory, metric, data):
    path = tmp_path_factory.mktemp("a") / "a.hdf5"
    write_annbench(path, *data, metric=metric)
    back = read_annbench(path)
    for before, after in zip(data, (back.train, back.test, back.neighbors, back.distances), strict=True):
        assert after.dtype == before.dtype and np.array_equal(before, after)
    assert back.metric is metric and is_annbench(path)
    assert np.array_equal(next(open_vectors(path).blocks(10)), data[0])
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_the_file_is_as_ann_benchmarks_writes_it(tmp_path):
    write_annbench(tmp_path / "a.hdf5", *valid().values(), metric=Metric.COSINE)
    with h5py.File(tmp_path / "a.hdf5") as file:
        assert dict(file.attrs) == {"type": "dense", "distance": "angular", "dimension": 2, "point_type": "float"}
        assert {name: (table.shape, table.dtype) for name, table in file.items()} == {
            "train": ((3, 2), np.float32),
            "test": ((2, 2), np.float32),
            "neighbors": ((2, 1), np.int32),
            "distances": ((2, 1), np.float32),
        }


def test_a_distance_is_lower_when_nearer():
    scores = np.array([[1.0, 0.25]], np.float32)
    assert distances_of(scores, Metric.COSINE).tolist() == [[0.0, 0.75]]
    assert distances_of(scores, Metric.INNER_PRODUCT).tolist() == [[-1.0, -0.25]]


def valid() -> dict[str, np.ndarray]:
    return {
        "train": np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32),
        "test": np.array([[2, 0], [0, 2]], np.float32),
        "neighbors": np.array([[0], [1]], np.int32),
        "distances": np.zeros((2, 1), np.float32),
    }


def written(path, distance="angular", **tables):
    """A file of the valid data set with other `tables`, None for a table that is left out."""
    with h5py.File(path, "w") as file:
        if distance is not None:
            file.attrs["distance"] = distance
        for name, table in (valid() | tables).items():
            if table is not None:
                file[name] = table
    return path


@pytest.mark.parametrize(
    ("distance", "metric"),
    [
        ("angular", Metric.COSINE),
        (np.bytes_("angular"), Metric.COSINE),
        ("cosine", Metric.COSINE),
        ("dot", Metric.INNER_PRODUCT),
        ("ip", Metric.INNER_PRODUCT),
        ("euclidean", Metric.COSINE),
    ],
)
def test_metrics(tmp_path, distance, metric):
    assert read_annbench(written(tmp_path / "a.hdf5", distance)).metric is metric


def test_other_numbers_are_converted(tmp_path):
    tables = {
        "train": valid()["train"].astype(np.float64),
        "test": np.array([[2, 0], [0, 2]]),
        "neighbors": np.array([[0], [1]]),
    }
    data = read_annbench(written(tmp_path / "a.hdf5", **tables))
    assert (data.train.dtype, data.test.dtype, data.neighbors.dtype) == (np.float32, np.float32, np.int32)


@pytest.mark.parametrize(
    ("distance", "tables", "problem"),
    [
        (None, {}, 'no attribute "distance"'),
        ("hamming", {}, "'hamming' as the attribute \"distance\""),
        (
            "euclidean",
            {"train": np.eye(2, dtype=np.float32) * 3},
            'row 0 of "train" has the length 3: only among vectors of length 1',
        ),
        ("dot", {"test": None}, 'no dataset "test" but distances, neighbors, train'),
        ("dot", {"train": np.zeros(3, np.float32)}, r'"train" has the shape \(3,\)'),
        ("dot", {"train": np.zeros((0, 2), np.float32)}, r'"train" has the shape \(0, 2\)'),
        ("dot", {"train": np.zeros((3, 2), bool)}, '"train" holds bool, not floats'),
        ("dot", {"neighbors": np.zeros((2, 1), np.float32)}, '"neighbors" holds float32, not row numbers'),
        ("dot", {"test": np.array([[0, 1], [0, np.nan]], np.float32)}, 'row 1 of "test" holds NaN'),
        ("dot", {"train": np.full((3, 2), 1e300)}, 'row 0 of "train" holds .* beyond float32'),
        ("dot", {"test": np.zeros((2, 3), np.float32)}, '"train" has vectors of length 2, "test" of length 3'),
        ("dot", {"neighbors": np.zeros((3, 1), np.int32)}, '"neighbors" has 3 rows for 2 of "test"'),
        ("dot", {"distances": np.zeros((2, 2), np.float32)}, r'"distances" has the shape \(2, 2\), "neighbors" \(2, 1\)'),
        ("dot", {"neighbors": np.array([[0], [3]])}, 'row 1 of "neighbors" names row 3 of "train", which has 3 rows'),
        ("dot", {"neighbors": np.array([[-1], [0]])}, 'row 0 of "neighbors" names row -1'),
    ],
)
def test_a_file_that_does_not_fit(tmp_path, distance, tables, problem):
    path = written(tmp_path / "a.hdf5", distance, **tables)
    with pytest.raises(VectorsError, match=problem) as refused:
        read_annbench(path)
    assert str(path) in str(refused.value)


def test_a_group_is_no_table(tmp_path):
    path = written(tmp_path / "a.hdf5", train=None)
    with h5py.File(path, "a") as file:
        file.create_group("train")
    with pytest.raises(VectorsError, match='no dataset "train"'):
        read_annbench(path)


def test_damage(tmp_path):
    path = written(tmp_path / "a.hdf5", train=np.ones((5_000, 2), np.float32))
    path.write_bytes(path.read_bytes()[:30_000])
    with pytest.raises(VectorsError, match="cannot be read as HDF5"):
        read_annbench(path)
    assert not is_annbench(path) and not is_annbench(tmp_path / "nothing")


def test_vectors_alone_are_no_data_set(tmp_path):
    assert not is_annbench(written(tmp_path / "a.hdf5", test=None, neighbors=None, distances=None))


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ResourceError, match="nowhere"):
        write_annbench(tmp_path / "nowhere" / "a.hdf5", *valid().values(), metric=Metric.COSINE)
