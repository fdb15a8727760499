"""Vectors to a .npy or .h5 file: streamed, and visible under their name only when whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import IO

import numpy as np

from vecsearch.errors import UsageError, VectorsError
from vecsearch.files import new_file
from vecsearch.vectors.hdf5 import new_hdf5
from vecsearch.vectors.read import VECTOR_SUFFIXES


def write_vectors(
    path: str | PathLike[str], blocks: Iterable[np.ndarray], *, dim: int, ids: Sequence[str] | None = None
) -> int:
    """The number of rows written from (b, dim) blocks to a .npy or .h5 file, which appears only when it is whole.

    An .h5 file gets the datasets "vectors" and "ids". A block's ids are read when the block has come, so `ids` may be a list
    that is filled while the blocks are made; a .npy file has no place for them.

    Raises: UsageError for another suffix; VectorsError for an id that HDF5 cannot hold, as soon as its block has come;
    ResourceError where the disk refuses; ValueError when blocks and ids do not fit one another.
    """
    path = Path(path)
    if path.suffix not in VECTOR_SUFFIXES:
        raise UsageError(f"{path}: vectors are written to .npy, .h5 and .hdf5 files; choose one of these suffixes")
    with new_file(path) as unfinished:
        if path.suffix == ".npy":
            return _write_npy(unfinished, blocks, dim)
        return _write_hdf5(unfinished, blocks, dim, ids, path)


def _write_npy(path: Path, blocks: Iterable[np.ndarray], dim: int) -> int:
    count = 0
    with path.open("wb") as file:
        _write_header(file, 0, dim)
        for block in blocks:
            file.write(_checked(block, dim).astype("<f4").tobytes())
            count += len(block)
        file.seek(0)  # the header is padded so that the row count can grow in place
        _write_header(file, count, dim)
    return count


def _write_header(file: IO[bytes], rows: int, dim: int) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (rows, dim)})


def _write_hdf5(unfinished: Path, blocks: Iterable[np.ndarray], dim: int, ids: Sequence[str] | None, path: Path) -> int:
    import h5py

    count = 0
    with new_hdf5(unfinished) as (file, check):
        vectors = file.create_dataset("vectors", (0, dim), "<f4", maxshape=(None, dim), chunks=(_chunk_rows(dim), dim))
        for block in blocks:
            if ids is not None:
                _check_ids(ids[count : count + len(block)], count, path)
            vectors.resize(count + len(block), axis=0)
            vectors[count:] = _checked(block, dim)
            check()
            count += len(block)
        if ids is not None:
            if len(ids) != count:
                raise ValueError(f"{len(ids)} ids for {count} rows")
            file.create_dataset("ids", data=ids, dtype=h5py.string_dtype())
    return count


def _check_ids(ids: Sequence[str], first: int, path: Path) -> None:
    for row, id in enumerate(ids, first):
        if "\0" in id:
            problem = f"row {row} (rows count from 0) has the id {id!r}, with a NUL character, which ends a string in HDF5"
            raise VectorsError(f"{path} cannot be written: {problem}; remove it, or write a .npy file, which holds no ids")


def _chunk_rows(dim: int) -> int:
    """Rows in about 1 MiB, HDF5's chunk cache."""
    return max(1, (1 << 18) // dim)


def _checked(block: np.ndarray, dim: int) -> np.ndarray:
    if block.ndim != 2 or block.shape[1] != dim:
        raise ValueError(f"a block has the shape {block.shape}, not (b, {dim})")
    return block
