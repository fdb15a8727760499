"""Records of HDF5 files."""

from __future__ import annotations

from typing import Any

import numpy as np

from vecsearch.corpus.source import BadRecord, Records, Source
from vecsearch.errors import CorpusError

_BLOCK = 1024
"""Records held in memory at once."""


def hdf5_records(path: str, source: Source) -> Records:
    """A record for each position of the file's one-dimensional datasets, which are its fields.

    Raises: CorpusError where it has no such dataset, or has them of different lengths.
    """
    import h5py

    number = 0
    with h5py.File(path, "r") as file:
        columns = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset) and item.ndim == 1}
        rows = _common_length(columns, source)
        source.tally.fraction = lambda: number / max(1, rows)
        for start in range(0, rows, _BLOCK):
            block = zip(*(column[start : start + _BLOCK] for column in columns.values()), strict=True)
            for number, values in enumerate(block, start + 1):
                try:
                    record = {name: _python(name, value) for name, value in zip(columns, values, strict=True)}
                except BadRecord as bad:
                    source.refuse(number, bad)
                else:
                    yield number, record


def _common_length(columns: dict[str, Any], source: Source) -> int:
    if not columns:
        raise CorpusError(f'{source.name} has no one-dimensional dataset; put the texts into one, named "text"')
    (first, length), *others = ((name, len(column)) for name, column in columns.items())
    for name, other in others:
        if other != length:
            problem = f'{source.name}: the dataset "{first}" has {length} records and "{name}" has {other}'
            raise CorpusError(f"{problem}; write all its one-dimensional datasets with the same length")
    return length


def _python(name: str, value: Any) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            problem = f'byte {error.start + 1} of "{name}" (0x{value[error.start]:02x}) is not UTF-8'
            raise BadRecord(problem, "write it in UTF-8") from error
    return value if isinstance(value, np.datetime64 | np.timedelta64) or not isinstance(value, np.generic) else value.item()
