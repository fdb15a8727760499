"""Which kinds of index are worth trying for so many vectors in so much memory, and what each will cost."""

from __future__ import annotations

import math
import os
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

EXACT_NUMBERS = 1 << 20
"""Numbers in all vectors up to which nothing beats looking at each: it takes about as long as the call."""
DEGREE = 32
"""Neighbors of a node of a graph; twice as many on its lowest level."""
REDUCTIONS = (16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 192, 224, 256, 320, 384, 448, 512)
"""Numbers of dimensions that vectors are reduced to: multiples of 16, which SQ8 takes at once, other numbers one by one."""
FAST_PARTS = 0.75
"""Half-bytes for each dimension that tells neighbors apart. With a third less, more hits have to be ranked again; with a third
more, more bytes are read: the one took 15 % longer over one encoder's vectors, the other 5 % over another's."""
MANY_DIMENSIONS = 96
"""Dimensions from which on no more than a half-byte for two of them pays: of 80, as many half-bytes as dimensions took 15 %
less time at a recall of 0.99, of 96 as much, of 256 a quarter more."""
CACHED, BLOCK, SHARED_BLOCK = 24 << 20, 64, 32
"""Up to so many bytes of codes, which stay near to a processor, lists hold them in blocks of BLOCK rows. Of more, in blocks of
SHARED_BLOCK, which FAISS compares with several queries of a batch at a time: they wait for memory less. A list of fewer rows
takes as much as one block."""
LOST_BY_REDUCTION = 0.25
"""Share of the recall that may be missing that the reduction may take; the rest is the search's."""


@dataclass(frozen=True)
class IndexKind:
    """A kind of index, as a factory string, and what is expected of it; memory and disk without vectors and documents."""

    spec: str
    memory_bytes: int
    build_s: float


def kinds(rows: int, dim: int, reduced: int, *, indexes: int = 1) -> tuple[list[IndexKind], list[IndexKind]]:
    """The kinds worth trying over `rows` points of length `dim`, of which `reduced` dimensions tell neighbors apart: fast ones
    that take little time to build first, and small ones for where those do not fit the memory. The rows may be in several
    `indexes`, by the same training."""
    fast = lists(rows, dim, _parts(FAST_PARTS * reduced, dim), copies=2, indexes=indexes)
    sizes = dict.fromkeys(_parts(share * reduced, dim) for share in (1.0, 0.5, 0.25))
    return [fast, graph(rows, dim, reduced)], [lists(rows, dim, parts, copies=1, indexes=indexes) for parts in sizes]


def _parts(wanted: float, dim: int) -> int:
    """Half-bytes, about as many as are wanted: two dimensions share one, since the rotation gives each pair one that matters;
    of few dimensions each has its own."""
    parts = max(8, round(wanted / 8) * 8)
    if 2 * parts <= dim:
        return parts
    return dim if dim < MANY_DIMENSIONS else dim // 2


def graph(rows: int, dim: int, reduced: int) -> IndexKind:
    """An HNSW graph over points reduced to so many dimensions, a byte each: the fastest for many vectors."""
    transform = f"PCA{reduced}," if reduced < dim else f"Pad{-(-dim // 16) * 16}," if dim % 16 else ""
    node = reduced + 4 * (2 * DEGREE + DEGREE / (DEGREE - 1)) + 8 + 8 + 4
    seconds = rows * math.log2(max(2, rows)) * (8e-6 + 7e-8 * reduced) / _cores()
    return IndexKind(f"{transform}HNSW{DEGREE},SQ8", round(rows * node), seconds)


def lists(rows: int, dim: int, parts: int, *, copies: int, indexes: int = 1) -> IndexKind:
    """An inverted file of product-quantised points, `parts` half-bytes each: the smallest, and fast where graphs get lost."""
    reduced = 2 * parts if 2 * parts <= dim else parts
    count = list_count(rows, copies)
    twice = "x2" if copies == 2 else ""
    assigning = rows * count * reduced * 2 / (_cores() * 4e10)
    training = 10 * assigning * min(1.0, 128 * count / rows)
    seconds = assigning + training + copies * rows * parts * 1e-7 / _cores()
    memory = copies * rows * (parts // 2 + 8) + indexes * count * reduced * 4
    block = BLOCK if copies * rows * parts / 2 <= CACHED * indexes else SHARED_BLOCK
    if indexes > 1:
        # Each has all centroids, and lists of whole blocks; where these hold many rows, that hardly counts.
        filled = copies * rows / (indexes * count)
        memory += round(indexes * count * min(1.0, filled) * (block - min(filled, block / 2)) * parts / 2)
    return IndexKind(f"PCA{reduced},IVF{count}{twice},PQ{parts}x4fsr_{block}", memory, seconds)


def list_count(rows: int, copies: int) -> int:
    """Lists of an inverted file over so many vectors: to look for the nearest lists takes about as long as to read them."""
    wanted = (1.6 if copies == 2 else 2.5) * math.sqrt(rows)
    return max(16, min(65_536, round(wanted / 16) * 16))


def exact_bytes(rows: int, dim: int) -> int:
    """What exact search takes in memory: every vector passes through it."""
    return rows * dim * 4


def reduced_dim(points: np.ndarray, queries: Sequence[np.ndarray], k: int, target: float, *, euclidean: bool) -> int:
    """The fewest dimensions, by PCA, in which the nearest of 4 k points still hold the k nearest, but for a small part of what
    the `target` recall lets be missed. Points (n, d) float32, and queries of each kind, (q, d) float32."""
    import faiss

    metric = faiss.METRIC_L2 if euclidean else faiss.METRIC_INNER_PRODUCT

    def nearest(asked: np.ndarray, among: np.ndarray, count: int) -> np.ndarray:
        return faiss.knn(asked, among, min(count, len(among)), metric=metric)[1]

    fitting = [reduced for reduced in REDUCTIONS if reduced < points.shape[1] and reduced <= len(points)]
    if not fitting:
        return points.shape[1]
    # The leading components of one PCA are those of every smaller one.
    pca = faiss.PCAMatrix(points.shape[1], fitting[-1])
    pca.train(points if euclidean else np.concatenate([points, -points]))
    rotated = pca.apply(points)
    kinds = [(pca.apply(asked), nearest(asked, points, k)) for asked in queries]

    def enough(reduced: int) -> bool:
        part = np.ascontiguousarray(rotated[:, :reduced])
        for asked, truth in kinds:
            found = nearest(np.ascontiguousarray(asked[:, :reduced]), part, 4 * k)
            kept = np.mean([np.isin(a, b).mean() for a, b in zip(truth, found, strict=True)])
            if kept < 1 - LOST_BY_REDUCTION * (1 - target):
                return False
        return True

    # The more dimensions there are, the more is kept.
    first = bisect_left(fitting, True, key=enough)
    return fitting[first] if first < len(fitting) else points.shape[1]


def _cores() -> int:
    return os.cpu_count() or 1
