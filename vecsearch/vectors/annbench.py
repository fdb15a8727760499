"""Data sets of ann-benchmarks in HDF5: base vectors, queries, and the exact neighbors of each query.

Source: Aumüller, Bernhardsson and Faithfull 2020, "ANN-Benchmarks: a benchmarking tool for approximate nearest neighbor
algorithms". A distance is lower when it is better: "angular" is 1 - cosine, "dot" the negative inner product.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch.errors import VectorsError
from vecsearch.files import new_file
from vecsearch.metric import Metric, norms

_METRICS = {
    "angular": Metric.COSINE,
    "cosine": Metric.COSINE,
    "dot": Metric.INNER_PRODUCT,
    "ip": Metric.INNER_PRODUCT,
}
_NAMES = {Metric.COSINE: "angular", Metric.INNER_PRODUCT: "dot"}
_UNIT_TOLERANCE = 1e-3
"""How far from 1 the length of a vector may be that was scaled to length 1 in half precision."""


@dataclass(frozen=True, slots=True)
class AnnBench:
    """`train` (n, d) and `test` (q, d) float32; of each query the rows of its nearest, `neighbors` (q, k) int32, and their
    `distances` (q, k) float32, nearest first."""

    train: np.ndarray
    test: np.ndarray
    neighbors: np.ndarray
    distances: np.ndarray
    metric: Metric


def is_annbench(path: str | PathLike[str]) -> bool:
    """Whether the file is HDF5 with queries or answers in it, not vectors alone; False for what cannot be read."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return not {"test", "neighbors", "distances"}.isdisjoint(file)
    except (OSError, RuntimeError):
        return False


def read_annbench(path: str | PathLike[str]) -> AnnBench:
    """The data set in `path`; Euclidean ones only with base vectors of length 1, whose order is that of the cosine.

    Raises: VectorsError naming what is missing or does not fit.
    """
    import h5py

    path = Path(path)
    try:
        with h5py.File(path, "r") as file:
            distance = _distance(file, path)
            train, test = (_vectors(file, name, path) for name in ("train", "test"))
            neighbors = _table(file, "neighbors", "iu", path)[:].astype(np.int64)
            distances = _table(file, "distances", "f", path)[:].astype(np.float32)
    except (OSError, RuntimeError) as error:  # what h5py raises for a damaged file
        raise VectorsError(f"{path} cannot be read as HDF5: {error}; check the file, or fetch it again") from error
    if train.shape[1] != test.shape[1]:
        raise VectorsError(
            f'{path}: "train" has vectors of length {train.shape[1]}, "test" of length {test.shape[1]}; they must be the same'
        )
    _check_neighbors(neighbors, distances, train, test, path)
    return AnnBench(train, test, neighbors.astype(np.int32), distances, _metric(distance, train, path))


def _distance(file: Any, path: Path) -> str:
    value = file.attrs.get("distance")
    distance = value.decode(errors="replace") if isinstance(value, bytes) else value
    if distance not in (*_METRICS, "euclidean"):
        found = "no attribute" if value is None else f"{distance!r} as the attribute"
        raise VectorsError(f'{path} has {found} "distance"; a data set by angular or dot distance is needed')
    return distance


def _metric(distance: str, train: np.ndarray, path: Path) -> Metric:
    if distance != "euclidean":
        return _METRICS[distance]
    lengths = norms(train)
    row = int(np.argmax(np.abs(lengths - 1)))
    if abs(lengths[row] - 1) > _UNIT_TOLERANCE:
        raise VectorsError(
            f'{path} ranks by Euclidean distance, and row {row} of "train" has the length {lengths[row]:.4g}: only among '
            "vectors of length 1 is that the order of the cosine; scale them, or take a data set by angular or dot distance"
        )
    return Metric.COSINE


def _table(file: Any, name: str, kinds: str, path: Path) -> Any:
    """The two-dimensional dataset `name`, of one of numpy's `kinds` of numbers."""
    import h5py

    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise VectorsError(f'{path} has no dataset "{name}" but {", ".join(file) or "nothing"}; take another file')
    if dataset.ndim != 2 or min(dataset.shape) < 1:
        raise VectorsError(f'{path}: "{name}" has the shape {dataset.shape}, where rows and columns are needed')
    if dataset.dtype.kind not in kinds:
        wanted = "floats" if "f" in kinds else "row numbers"
        raise VectorsError(f'{path}: "{name}" holds {dataset.dtype}, not {wanted}')
    return dataset


def _vectors(file: Any, name: str, path: Path) -> np.ndarray:
    with np.errstate(over="ignore"):
        vectors = _table(file, name, "fiu", path)[:].astype(np.float32)
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise VectorsError(
            f'{path}: row {int(np.argmin(finite))} of "{name}" holds NaN, infinity or a number beyond float32; leave it out'
        )
    return vectors


def _check_neighbors(neighbors: np.ndarray, distances: np.ndarray, train: np.ndarray, test: np.ndarray, path: Path) -> None:
    if len(neighbors) != len(test):
        raise VectorsError(f'{path}: "neighbors" has {len(neighbors)} rows for {len(test)} of "test"; they must be the same')
    if distances.shape != neighbors.shape:
        raise VectorsError(f'{path}: "distances" has the shape {distances.shape}, "neighbors" {neighbors.shape}')
    outside = (neighbors < 0) | (neighbors >= len(train))
    if outside.any():
        query, place = np.argwhere(outside)[0]
        raise VectorsError(
            f'{path}: row {query} of "neighbors" names row {neighbors[query, place]} of "train", which has {len(train)} rows'
        )


def write_annbench(
    path: str | PathLike[str],
    train: np.ndarray,
    test: np.ndarray,
    neighbors: np.ndarray,
    distances: np.ndarray,
    *,
    metric: Metric,
) -> None:
    """Write train (n, d), test (q, d), neighbors (q, k) and distances (q, k), lower is nearer, as float32 and int32.

    The file appears only when it is whole. Raises: ResourceError where the disk refuses.
    """
    import h5py

    with new_file(Path(path)) as unfinished, h5py.File(unfinished, "w") as file:
        file.attrs.update(type="dense", distance=_NAMES[metric], dimension=train.shape[1], point_type="float")
        for name, table in (("train", train), ("test", test), ("distances", distances)):
            file.create_dataset(name, data=table, dtype="<f4")
        file.create_dataset("neighbors", data=neighbors, dtype="<i4")


def distances_of(scores: np.ndarray, metric: Metric) -> np.ndarray:
    """Scores of any shape as ann-benchmarks' distances: 1 - cosine, or the negative inner product."""
    return 1 - scores if metric is Metric.COSINE else -scores
