"""Training and filling a FAISS index over stored vectors, block by block, and writing it to disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch.ann.source import BLOCK_ROWS, Numbers, Source
from vecsearch.ann.spec import compares_residuals, copies, lists_of, new_index, reason
from vecsearch.ann.spill import add_twice
from vecsearch.errors import ResourceError, UsageError
from vecsearch.forks import library_code
from vecsearch.metric import Metric
from vecsearch.progress import SILENT, Progress

TRAINING_ROWS = 65_536
"""Vectors that transforms and quantisers are trained on at the most, spread evenly over the index."""
ROWS_PER_LIST = 128
"""Vectors for each list of an inverted file that its centroids are trained on: FAISS asks for 39, and takes up to 256."""
LONGEST = 1e15
"""FAISS sums squares of lengths in float32, and ends the process where they overflow."""


def construct(spec: str, source: Source, rows: Numbers, *, progress: Progress = SILENT) -> Any:
    """A trained FAISS index of the factory string `spec` that holds the vectors at `rows` under these numbers.

    `progress` is told how many were added. Raises UsageError when the spec does not fit the vectors: their length, or too few
    of them to train on.
    """
    index = trained(spec, source, rows)
    with fitting(spec, len(rows)):
        add(index, copies(spec), source, rows, progress=progress)
    return index


def trained(spec: str, source: Source, rows: Numbers) -> Any:
    """An empty FAISS index of `spec`, trained on vectors at `rows`, as many as it needs. Raises UsageError as `construct`."""
    longest = source.compared.longest
    if source.metric is Metric.INNER_PRODUCT and longest > LONGEST:
        raise UsageError(
            f"a vector of length {longest:.3g} is too long for the spec {spec!r} by inner product, which takes {LONGEST:.0e} "
            "at the most; scale the vectors, compare by cosine, or use exact"
        )
    index = _numbered(spec, source)
    if not index.is_trained:
        with fitting(spec, len(rows)), library_code:
            _train(index, source, rows)
    return index


@contextmanager
def fitting(spec: str, count: int) -> Iterator[None]:
    """Turn what FAISS says of a spec that does not fit so many vectors into a UsageError."""
    try:
        yield
    except RuntimeError as error:
        raise UsageError(f"the spec {spec!r} cannot be built over {count:,} vectors: {reason(error)}") from None


def _train(index: Any, source: Source, rows: Numbers) -> None:
    """Train the parts of an index one after the other: an inverted file needs many vectors, its transform far fewer, and
    transformed they take less memory."""
    import faiss

    inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexIDMap) else index
    core, transforms = inner, []
    if isinstance(inner, faiss.IndexPreTransform):
        core = faiss.downcast_index(inner.index)
        for transform in map(inner.chain.at, range(inner.chain.size())):
            if not transform.is_trained:
                sample = _spread(source, rows, TRAINING_ROWS, transforms)
                if inner.metric_type != faiss.METRIC_L2:
                    # With its mirror image a sample has the mean 0: to move the origin would change inner products.
                    sample = np.repeat(sample[::2], 2, axis=0)
                    np.negative(sample[1::2], out=sample[1::2])
                transform.train(sample)
            transforms.append(transform)
    if not core.is_trained:
        lists = lists_of(core)
        sample = _spread(source, rows, max(TRAINING_ROWS, ROWS_PER_LIST * lists.nlist if lists else 0), transforms)
        with _lists_by_distance(core):
            core.train(sample)
    inner.is_trained = index.is_trained = True


@contextmanager
def _lists_by_distance(index: Any) -> Iterator[None]:
    """Have an inverted file of residuals that are compared by inner product make and choose lists by Euclidean distance: so
    residuals are short, and their codes exact."""
    import faiss

    if not compares_residuals(index):
        yield
        return
    lists = lists_of(index)
    by_product = lists.quantizer
    by_distance = faiss.IndexFlatL2(lists.d)
    by_distance.add(by_product.reconstruct_n(0, by_product.ntotal))
    lists.quantizer = by_distance
    try:
        yield
    finally:
        lists.quantizer = by_product
        if not by_product.ntotal:
            by_product.add(by_distance.reconstruct_n(0, by_distance.ntotal))


def _spread(source: Source, rows: Numbers, count: int, transforms: list[Any]) -> np.ndarray:
    """At most `count` points, evenly spread over `rows`, and transformed: (c, d) float32."""
    sample = rows[:: -(-len(rows) // count)]
    out = None
    for first in range(0, len(sample), BLOCK_ROWS):
        block = source.points(sample[first : first + BLOCK_ROWS])
        for transform in transforms:
            block = transform.apply(block)
        out = np.empty((len(sample), block.shape[1]), np.float32) if out is None else out
        out[first : first + len(block)] = block
    return out


def _numbered(spec: str, source: Source) -> Any:
    """An empty index of `spec` that takes row numbers: an inverted file does by itself, a graph counts from 0."""
    import faiss

    index = new_index(spec, source.dim, euclidean=source.compared.euclidean)
    if lists_of(index):
        return index
    numbered = faiss.IndexIDMap(index)
    numbered.own_fields = True
    index.this.disown()
    return numbered


def add(index: Any, times: int, source: Source, rows: Numbers, *, progress: Progress = SILENT) -> None:
    """Add the vectors at `rows` to a trained index, once or twice each."""
    added = 0
    for part, block in source.blocks(rows):
        with library_code, _lists_by_distance(index):
            if times == 2:
                add_twice(index, block, part)
            else:
                index.add_with_ids(block, part)
        added += len(part)
        progress.step("vectors", added, len(rows))


def write(index: Any, path: Path) -> None:
    """Write a FAISS index to `path`. Raises ResourceError when the disk refuses."""
    import faiss

    try:
        with library_code:
            faiss.write_index(index, str(path))
    except RuntimeError as error:  # FAISS's writer raises no OSError
        raise ResourceError(f"cannot write {path}: {reason(error)}; free some space") from error


def read(path: Path) -> Any:
    """The FAISS index that was written to `path`, in memory, so that more can be added."""
    import faiss

    with library_code:
        return faiss.read_index(str(path))
