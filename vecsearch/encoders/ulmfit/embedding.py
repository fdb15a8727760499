"""A model's embedding: a row for each word, as float32, as float16, or as 8-bit numbers with a scale for each row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LARGEST = 127
"""The largest 8-bit number of a row."""
BLOCK = 8192
"""Rows that are turned into 8-bit numbers at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """A table (V, e) float32, float16 or int8; `scales` (V,) float32 are what the rows of an int8 table are multiplied by."""

    table: np.ndarray
    scales: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.table)

    @property
    def dim(self) -> int:
        return self.table.shape[1]

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """The rows of words, ids of any shape (…): (…, e) float32."""
        found = self.table[ids].astype(np.float32)
        if self.scales is not None:
            found *= self.scales[ids][..., None]
        return found

    def whole(self) -> np.ndarray:
        """All rows, (V, e) float32: a new array unless the table has float32 itself."""
        return self.table.astype(np.float32, copy=False) if self.scales is None else self.table * self.scales[:, None]

    def beginnings(self) -> np.ndarray:
        """The first two numbers of every row, (V, 2) float32, or one where there is one: what tells most rows apart."""
        first = self.table[:, :2]
        return first.astype(np.float32) if self.scales is None else first * self.scales[:, None]

    def check(self) -> None:
        """Raise ValueError for arrays that are no embedding."""
        if self.table.ndim != 2:
            raise ValueError(f"an embedding of shape {self.table.shape}")
        if (self.table.dtype == np.int8) != (self.scales is not None):
            raise ValueError("an embedding of 8-bit numbers has a scale for each row, one of others has none")
        if self.scales is not None and self.scales.shape != self.table.shape[:1]:
            raise ValueError(f"{self.scales.shape[0]:,} scales for {len(self.table):,} rows of the embedding")


def in_eight_bits(rows: np.ndarray) -> Embedding:
    """The embedding (V, e) float32 as 8-bit numbers: half of float16's room, each number off by 1/254 of its row's largest at
    the most. Rows that were made from 8-bit numbers become these again."""
    scales = np.abs(rows).max(axis=1) / LARGEST
    table = np.empty(rows.shape, np.int8)
    for first in range(0, len(rows), BLOCK):
        part = slice(first, first + BLOCK)
        table[part] = np.rint(rows[part] / np.where(scales[part] > 0, scales[part], 1)[:, None])
    return Embedding(table, scales.astype(np.float32))
