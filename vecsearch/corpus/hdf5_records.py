"""Records of HDF5 files."""

from __future__ import annotations

from typing import Any

import numpy as np

from vecsearch.corpus.layout import plain
from vecsearch.corpus.source import BadRecord, CorpusSource, Records
from vecsearch.errors import CorpusError

_BLOCK = 1024
"""Records held in memory at once."""
MOST_COLUMNS = 64
"""Of a two-dimensional dataset that is kept, as a list for each record: wider ones are vectors rather than fields."""


def hdf5_records(path: str, source: CorpusSource) -> Records:
    """A record for each position of the file's one-dimensional datasets, which are its fields. Of a two-dimensional one of as
    many rows, and of few columns, each row is a list; what else there is the tally notes.

    Raises: CorpusError where it has no such dataset, or has them of different lengths.
    """
    import h5py

    number = 0
    with h5py.File(path, "r") as file:
        datasets = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset)}
        rows = _common_length({name: item for name, item in datasets.items() if item.ndim == 1}, source)
        columns = {name: item for name, item in datasets.items() if _is_column(item, rows)}
        if left_out := [name for name in file if name not in columns]:
            source.tally.notes.append(
                f"{source.name}: left out {', '.join(left_out)}; what is kept is a dataset of one value for each record, "
                f"or of a list of up to {MOST_COLUMNS}"
            )
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


def _common_length(columns: dict[str, Any], source: CorpusSource) -> int:
    if not columns:
        raise CorpusError(f'{source.name} has no one-dimensional dataset; put the texts into one, named "text"')
    (first, length), *others = ((name, len(column)) for name, column in columns.items())
    for name, other in others:
        if other != length:
            problem = f'{source.name}: the dataset "{first}" has {length} records and "{name}" has {other}'
            raise CorpusError(f"{problem}; write all its one-dimensional datasets with the same length")
    return length


def _is_column(dataset: Any, rows: int) -> bool:
    return dataset.ndim == 1 or (dataset.ndim == 2 and len(dataset) == rows and dataset.shape[1] <= MOST_COLUMNS)


def _python(name: str, value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [_python(name, item) for item in value]
    if isinstance(value, bytes):
        return plain(name, value)
    return value if isinstance(value, np.datetime64 | np.timedelta64) or not isinstance(value, np.generic) else value.item()
