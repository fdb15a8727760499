"""Scored pairs as rows of JSON lines, CSV or TSV, as they are written."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch.corpus.pairs import Pair
from vecsearch.errors import CorpusError, UsageError, writing

DIGITS = 6
"""Decimals of the scores that are written: float32 has about seven."""
DELIMITERS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (".jsonl", *DELIMITERS)
ENCODE = json.JSONEncoder(ensure_ascii=False).encode
Row = dict[str, Any]
_BREAK = re.compile(r"[\t\n\r]")
_QUOTABLE = re.compile(r'[,"\n\r]|\A\s')


def scored_rows(block: Sequence[Pair], columns: Mapping[str, np.ndarray]) -> list[Row]:
    """The records of n pairs with their columns (n,), rounded. Raises CorpusError for a record that has one of these fields."""
    values = [_plain(column) for column in columns.values()]
    rows = []
    for pair, *found in zip(block, *values, strict=True):
        if taken := columns.keys() & pair.record.keys():
            raise CorpusError(f'the pair {pair.a!r}, {pair.b!r} has a field "{min(taken)}" already; call it otherwise')
        rows.append(pair.record | dict(zip(columns, found, strict=True)))
    return rows


class RowsFile:
    """Rows as lines of a file, appended behind its first `kept` bytes; `suffix`, one of SUFFIXES, is its format."""

    def __init__(self, part: Path, suffix: str, kept: int = 0) -> None:
        self._part, self._delimiter = part, DELIMITERS.get(suffix)
        with writing(part):
            self._file = part.open("r+" if kept else "w", encoding="utf-8", newline="")
        if os.fstat(self._file.fileno()).st_size < kept:
            self._file.close()
            raise UsageError(f"{part} is shorter than what was written to it; start again with --replace")
        self._respaced = 0
        self._names = self._header() if kept and self._delimiter else None
        self._file.seek(kept)
        self._file.truncate()

    def __enter__(self) -> RowsFile:
        return self

    def __exit__(self, *error: object) -> None:
        with writing(self._part):
            self._file.close()

    def write(self, rows: Sequence[Row], names: Sequence[str]) -> None:
        """Append rows; `names` are the fields of the first one there is, written or not."""
        with writing(self._part):
            if self._delimiter is None:
                self._file.writelines(f"{ENCODE(row)}\n" for row in rows)
            else:
                self._write_cells(rows, names)

    def flush(self) -> int:
        """How many bytes the file has, when they have reached the disk."""
        with writing(self._part):
            self._file.flush()
            os.fsync(self._file.fileno())
            return os.fstat(self._file.fileno()).st_size

    def taken_respaced(self) -> int:
        """In how many cells tabs and line ends have become spaces since this was last asked."""
        count, self._respaced = self._respaced, 0
        return count

    def _header(self) -> list[str]:
        if self._delimiter == "\t":
            return self._file.readline().removesuffix("\n").split("\t")
        return next(csv.reader(self._file))

    def _line(self, cells: Sequence[Any]) -> str:
        texts = ["" if cell is None else str(cell) for cell in cells]
        if self._delimiter == "\t":
            plain = [_BREAK.sub(" ", text) for text in texts]
            self._respaced += sum(map(str.__ne__, plain, texts))
            return "\t".join(plain) + "\n"
        # Python's own writer leaves a carriage return without quotes, where it ends a row.
        return ",".join('"' + text.replace('"', '""') + '"' if _QUOTABLE.search(text) else text for text in texts) + "\n"

    def _write_cells(self, rows: Sequence[Row], names: Sequence[str]) -> None:
        if self._names is None:
            self._names = list(names)
            self._file.write(self._line(self._names))
        for row in rows:
            if more := row.keys() - set(self._names):
                raise CorpusError(f'a pair has a field "{min(more)}", which the first has not; write .jsonl, or give it to all')
            self._file.write(self._line([_cell(row.get(name)) for name in self._names]))


def _plain(column: np.ndarray) -> list[Any]:
    """The column (n,) as Python's own values; None for NaN, which JSON does not have."""
    if column.dtype == bool:
        return column.tolist()
    rounded = column.astype(np.float64).round(DIGITS).tolist()
    return rounded if np.isfinite(column).all() else [value if isfinite(value) else None for value in rounded]


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
