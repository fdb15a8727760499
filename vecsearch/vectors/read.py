"""Ready vectors in a .npy or .h5 file, read block by block as float32, and ids in a text file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from vecsearch.errors import UsageError, VectorsError
from vecsearch.files import release

VECTOR_SUFFIXES = (".npy", ".h5", ".hdf5")
_HDF5_DAMAGE = (OSError, RuntimeError)
"""What h5py raises for a damaged file."""


@dataclass(frozen=True, slots=True)
class VectorFile:
    """Vectors on disk: (rows, dim) numbers, and the id of each row where the file holds ids."""

    path: Path
    rows: int
    dim: int
    ids: Sequence[str] | None
    _open: Callable[[], AbstractContextManager[Any]]

    def blocks(self, rows_per_block: int) -> Iterator[np.ndarray]:
        """The vectors from first to last, as new (b, dim) float32 arrays with b <= `rows_per_block`.

        Raises: VectorsError naming the first row with NaN, an infinity, or a number beyond float32.
        """
        try:
            with self._open() as stored:
                for start in range(0, self.rows, rows_per_block):
                    yield _finite(stored[start : start + rows_per_block], self.path, start)
                    release(stored)
        except _HDF5_DAMAGE as error:
            raise VectorsError(f"{self.path} cannot be read: {error}; make it again") from error


def _finite(stored: np.ndarray, path: Path, start: int) -> np.ndarray:
    with np.errstate(over="ignore"):
        vectors = np.array(stored, dtype=np.float32, order="C")
    finite = np.isfinite(vectors)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        value = stored[row, column]
        problem = f"row {start + row} holds {'NaN' if np.isnan(value) else value} in column {column}"
        if np.isfinite(value):
            problem += f", and float32 ends at {np.finfo(np.float32).max:.3g}"
        raise VectorsError(f"{path}: {problem}; leave the row out, or make its vector again")
    return vectors


def open_vectors(path: str | PathLike[str]) -> VectorFile:
    """The vectors in a .npy file, memory-mapped, or in a .h5 one: in its dataset "vectors", else "train", else the only
    two-dimensional one of floats. Rows are counted from 0; ids come from the HDF5 dataset "ids".

    Raises: UsageError for another suffix; VectorsError where the file does not hold one table of finite real numbers.
    """
    path = Path(path)
    if path.suffix not in VECTOR_SUFFIXES:
        raise UsageError(f"{path}: vectors are read from .npy, .h5 and .hdf5 files; save them as one of these")
    if not path.is_file():
        raise VectorsError(f"{path} {'is not a file' if path.exists() else 'does not exist'}; check the path")
    return _open_npy(path) if path.suffix == ".npy" else _open_hdf5(path)


def _open_npy(path: Path) -> VectorFile:
    header_of = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            if version not in header_of:
                raise VectorsError(f"{path}: .npy version {version} holds no plain numbers; save them with numpy.save")
            shape, fortran_order, dtype = header_of[version](file)
            offset = file.tell()
    except (ValueError, OSError, TokenError) as error:  # numpy tokenises a header that it cannot parse
        raise VectorsError(f"{path} is not a .npy file: {error}; save the vectors with numpy.save") from error
    _check_table(path, shape, dtype)
    needed, there = offset + shape[0] * shape[1] * dtype.itemsize, path.stat().st_size
    if there < needed:
        raise VectorsError(f"{path} is truncated: {there} bytes, but its header needs {needed}; copy or make it again")
    table = np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape, order="F" if fortran_order else "C")
    return VectorFile(path, *shape, ids=None, _open=partial(nullcontext, table))


def _open_hdf5(path: Path) -> VectorFile:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            name = _find_dataset(file, path)
            _check_table(path, file[name].shape, file[name].dtype)
            rows, dim = file[name].shape
            ids = _hdf5_ids(file["ids"], rows, path) if "ids" in file else None
    except _HDF5_DAMAGE as error:
        raise VectorsError(f"{path} cannot be read as HDF5: {error}; check the file, or make it again") from error
    return VectorFile(path, rows, dim, ids=ids, _open=partial(_stored_dataset, path, name))


@contextmanager
def _stored_dataset(path: Path, name: str) -> Iterator[Any]:
    import h5py

    with h5py.File(path, "r") as file:
        yield file[name]


def _find_dataset(file: Any, path: Path) -> str:
    import h5py

    datasets = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset)}
    for name in ("vectors", "train"):
        if name in datasets:
            return name
    tables = [name for name, item in datasets.items() if item.ndim == 2 and item.dtype.kind == "f"]
    if len(tables) != 1:
        found = f"{len(tables)} of them ({', '.join(tables)})" if tables else f"none among: {', '.join(file) or 'nothing'}"
        problem = f'{path} has no dataset "vectors" or "train", and not one two-dimensional dataset of floats but {found}'
        raise VectorsError(f'{problem}; put the vectors into a dataset named "vectors"')
    return tables[0]


def _check_table(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
    if dtype.kind == "O":
        raise VectorsError(f"{path} holds Python objects or rows of different lengths; save one table of numbers")
    if dtype.kind not in "fiu":
        raise VectorsError(f"{path} holds {dtype}, not real numbers; save the vectors as float32")
    if len(shape) != 2:
        raise VectorsError(f"{path} has {len(shape)} dimensions, {shape}, where vectors have two; save them as (rows, columns)")
    if min(shape) < 1:
        raise VectorsError(f"{path} is empty: {shape[0]} rows of {shape[1]} numbers; check how it was made")


def _hdf5_ids(dataset: Any, rows: int, path: Path) -> list[str]:
    if dataset.shape != (rows,):
        problem = f'{path}: the dataset "ids" has shape {dataset.shape}, but there are {rows} vectors'
        raise VectorsError(f"{problem}; write one id for each vector")
    return [_id(value, row, path) for row, value in enumerate(dataset[:])]


def _id(value: Any, row: int, path: Path) -> str:
    if isinstance(value, np.integer):
        return str(value)
    if not isinstance(value, bytes):
        raise VectorsError(f'{path}: row {row} of "ids" is {value!r}; write ids as strings or whole numbers')
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise VectorsError(f'{path}: row {row} of "ids" is not UTF-8; write it in UTF-8') from error
    if not text:
        raise VectorsError(f'{path}: row {row} of "ids" is empty; give every vector an id')
    return text


def read_ids(path: str | PathLike[str]) -> list[str]:
    """The ids in a UTF-8 file, one a line.

    Raises: VectorsError for a missing or undecodable file, and for an empty line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise VectorsError(f"{path}, line {line}: not UTF-8; convert the file to UTF-8") from error
    except OSError as error:
        raise VectorsError(f"{path} cannot be read: {error.strerror}; check the path") from error
    if lines[-1] == "":
        lines.pop()
    if "" in lines:
        raise VectorsError(f"{path}, line {lines.index('') + 1}: empty; give every vector an id, one a line")
    return lines
