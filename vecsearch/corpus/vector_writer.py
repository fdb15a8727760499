"""Vectors to a .npy or .h5 file: streamed, and visible under their name only when whole."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import IO, Any

import numpy as np

from vecsearch.corpus.vectors import VECTOR_SUFFIXES
from vecsearch.errors import UsageError, VectorsError, writing

_STRINGS = 1024
"""Strings written to HDF5 at once."""


def write_vectors(
    path: str | PathLike[str],
    blocks: Iterable[np.ndarray],
    *,
    rows: int | None = None,
    dim: int,
    ids: Iterable[str] | None = None,
    texts: Iterable[str] | None = None,
) -> int:
    """The number of rows written from (b, dim) blocks to a .npy or .h5 file, which appears only when it is whole.

    An .h5 file gets the datasets "vectors", "ids" and "texts". `ids` and `texts` are read after the last block, so they may be
    lists that are filled while the blocks are made; a .npy file has no place for them.

    Raises: UsageError for another suffix; VectorsError for a text that HDF5 cannot hold; ResourceError where the disk refuses;
    ValueError when blocks, `rows`, ids and texts do not fit one another.
    """
    path = Path(path)
    if path.suffix not in VECTOR_SUFFIXES:
        raise UsageError(f"{path}: vectors are written to .npy, .h5 and .hdf5 files; choose one of these suffixes")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with writing(path):
            if path.suffix == ".npy":
                count = _write_npy(unfinished, blocks, dim)
            else:
                count = _write_hdf5(unfinished, blocks, dim, {"ids": ids, "texts": texts})
            if rows is not None and count != rows:
                raise ValueError(f"{count} rows came where {rows} were announced")
            _publish(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


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


def _write_hdf5(path: Path, blocks: Iterable[np.ndarray], dim: int, strings: dict[str, Iterable[str] | None]) -> int:
    import h5py

    count = 0
    with h5py.File(path, "w") as file:
        vectors = file.create_dataset("vectors", (0, dim), "<f4", maxshape=(None, dim), chunks=(_chunk_rows(dim), dim))
        for block in blocks:
            vectors.resize(count + len(block), axis=0)
            vectors[count:] = _checked(block, dim)
            count += len(block)
        for name, values in strings.items():
            if values is not None:
                _write_strings(file.create_dataset(name, (count,), h5py.string_dtype()), values)
    return count


def _chunk_rows(dim: int) -> int:
    """Rows in about 1 MiB, HDF5's chunk cache."""
    return max(1, (1 << 18) // dim)


def _write_strings(dataset: Any, values: Iterable[str]) -> None:
    values, done = iter(values), 0
    while part := list(islice(values, _STRINGS)):
        if done + len(part) > len(dataset):
            raise ValueError(f"more {dataset.name} than the {len(dataset)} rows")
        for row, text in enumerate(part, done):
            if "\0" in text:
                raise VectorsError(f"row {row} of {dataset.name} holds a NUL character, which HDF5 ends a string at; remove it")
        dataset[done : done + len(part)] = part
        done += len(part)
    if done < len(dataset):
        raise ValueError(f"{done} {dataset.name} for {len(dataset)} rows")


def _checked(block: np.ndarray, dim: int) -> np.ndarray:
    if block.ndim != 2 or block.shape[1] != dim:
        raise ValueError(f"a block has the shape {block.shape}, not (b, {dim})")
    return block


def _publish(unfinished: Path, path: Path) -> None:
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(unfinished, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
