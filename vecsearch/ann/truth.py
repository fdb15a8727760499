"""Ground truth: the exact neighbours of queries, computed in one pass over data of any size, and kept for the next time."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np

from vecsearch.ann.exact import nearest
from vecsearch.metric import Metric

KEPT_BYTES = 200 << 20
"""What the truths that are kept may take on disk together."""
VERSION = 1
"""To be raised when ground truth is computed differently: what was kept before is then not found any more."""

Blocks = Iterable[tuple[np.ndarray, np.ndarray]]
"""Vectors (b, d) float32 with their lengths (b,) float32, from the first row to the last."""


def ground_truth(
    blocks: Blocks, queries: np.ndarray, k: int, metric: Metric, *, own_rows: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (q, k') float32, best first, and rows int64 of the k exact nearest neighbours; equal scores by row.

    `blocks` are read once. `own_rows` (q,) int64 are the rows that the queries are themselves: each is left out of its own
    neighbours, its duplicates are not. k' is k, or the number of rows that are left where that is less.
    """
    more = own_rows is not None
    scores, rows = nearest(blocks, queries, k + more, metric)
    return leave_out(scores, rows, own_rows, max(0, rows.shape[1] - more))


def leave_out(scores: np.ndarray, rows: np.ndarray, own_rows: np.ndarray | None, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best hits of each query, of scores and rows (q, any), without the query's own row where it has one."""
    if own_rows is None:
        return scores[:, :k], rows[:, :k]
    own = rows == own_rows[:, None]
    order = np.argsort(own, axis=1, kind="stable")[:, :k]
    scores, rows = np.where(own, -np.inf, scores).astype(np.float32), np.where(own, -1, rows)
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


class TruthCache:
    """Ground truths kept in a folder by what they were computed from, the oldest removed beyond KEPT_BYTES.

    It only ever saves time: what is damaged is computed again, and a folder that cannot be written stays empty.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ground_truth(
        self,
        blocks: Blocks,
        queries: np.ndarray,
        k: int,
        metric: Metric,
        *,
        content: str,
        own_rows: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """What `ground_truth` returns; `blocks` are not read where it is kept. `content` is a hash of all that they hold."""
        key = _key(queries, k, metric, content, own_rows)
        kept = self._read(key)
        if kept is None:
            kept = ground_truth(blocks, queries, k, metric, own_rows=own_rows)
            with suppress(OSError):
                self._write(key, *kept)
                self._forget_oldest()
        return kept

    def _read(self, key: str) -> tuple[np.ndarray, np.ndarray] | None:
        try:
            data = (self._folder / key).read_bytes()
        except OSError:
            return None
        # The hash comes before the parser, as everywhere; with the key in it, it also tells one entry from another.
        if data[:32] != _digest(key, data[32:]):
            return None
        with np.load(io.BytesIO(data[32:]), allow_pickle=False) as arrays:
            return arrays["scores"], arrays["rows"]

    def _write(self, key: str, scores: np.ndarray, rows: np.ndarray) -> None:
        npz = io.BytesIO()
        np.savez(npz, scores=scores, rows=rows)
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self._folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_digest(key, npz.getvalue()) + npz.getvalue())
            os.replace(name, self._folder / key)
        except BaseException:
            os.unlink(name)
            raise

    def _forget_oldest(self) -> None:
        found = sorted(((entry.stat(), entry.path) for entry in os.scandir(self._folder)), key=lambda e: -e[0].st_mtime_ns)
        total = 0
        for stat, path in found:
            total += stat.st_size
            if total > KEPT_BYTES:
                os.unlink(path)


def _key(queries: np.ndarray, k: int, metric: Metric, content: str, own_rows: np.ndarray | None) -> str:
    own = np.empty(0) if own_rows is None else own_rows
    digest = hashlib.sha256(repr((VERSION, content, metric.value, k, queries.shape, own.shape)).encode())
    digest.update(np.ascontiguousarray(queries, "<f4"))
    digest.update(np.ascontiguousarray(own, "<i8"))
    return digest.hexdigest()


def _digest(key: str, body: bytes) -> bytes:
    return hashlib.sha256(key.encode() + body).digest()
