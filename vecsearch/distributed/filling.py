"""What workers do for one FAISS index over each of several segments, all of one kind that was trained before: they fill these,
and search them for the proof of their recall."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from vecsearch import ann
from vecsearch.ann.construction import add, fitting, read, write
from vecsearch.ann.source import Kept, Rows
from vecsearch.metric import Metric
from vecsearch.store.commit import sync_files
from vecsearch.store.layout import read_array
from vecsearch.store.segment import Segment
from vecsearch.store.shards import Shards


class Part(NamedTuple):
    """A segment, how many rows of the whole index come before it, and which of its own, rising, its index does not have yet."""

    segment: str
    first: int
    rows: int
    held_out: np.ndarray
    euclidean: bool | None = None
    """How vectors of all segments are compared, once that is known."""
    index: str = ""
    """The index's file in the segment's folder, where there is one."""

    @property
    def kept(self) -> Kept:
        """Which of its rows its index has."""
        return Kept(self.rows, self.held_out)


@dataclass(frozen=True)
class Common:
    """What all segments have in common, and a worker holds. With `little` memory, vectors do not stay there."""

    shards: Shards
    dim: int
    metric: Metric
    little: bool


class Fill(NamedTuple):
    """A segment to fill an index of: a copy of the one in the file `trained` of the build's folder. All have `count` rows."""

    part: Part
    spec: str
    trained: str
    count: int


class Sent(NamedTuple):
    """An array of float32 in a file of the build's folder: workers are not sent it again and again."""

    name: str
    shape: tuple[int, ...]


class Asked(NamedTuple):
    """What is asked of some segments: the `k` best of each query (q, d); by their indexes, with search parameters."""

    parts: tuple[Part, ...]
    queries: Sent
    k: int
    spec: str = ""
    search_parameters: Mapping[str, float] = {}
    truth: np.ndarray | None = None
    """The k best exact scores of each query among all segments, (q, k) float32."""
    count: int = 0
    """Candidates that may be looked at."""


def held(common: Common) -> Common:
    """What a worker holds. Raises UsageError where its machine does not see the index's folder."""
    common.shards.check_there(platform.node())
    return common


@contextmanager
def opened(common: Common, part: Part, *, little: bool = False) -> Iterator[Rows]:
    """The vectors of a segment."""
    segment = Segment(common.shards.place_of(part.segment), rows=part.rows, dim=common.dim)
    read_some = segment.read if little or common.little else None
    try:
        yield Rows(segment.vectors, segment.norms, common.metric, read=read_some, euclidean=part.euclidean)
    finally:
        segment.close()


def fill(common: Common, task: Fill) -> Part:
    """Write an index of the rows that are not held out to a new file. Raises UsageError where they do not fit its kind."""
    part, spec = task.part, task.spec
    index = read(common.shards.place / task.trained)
    with opened(common, part) as rows, fitting(spec, task.count):
        add(index, ann.copies(spec), rows, part.kept)
    return part._replace(index=_written(common, part, index))


def finish(common: Common, task: tuple[Part, str]) -> tuple[str, dict[str, Any]]:
    """Add the rows that were held out to the index of a segment, whose kind is the spec; it goes to a new file, so that it may
    be done again. Returns the file's name, with its size and hash."""
    part, spec = task
    name = part.index
    if len(part.held_out):
        index = read(common.shards.place_of(part.segment) / name)
        with opened(common, part) as rows:
            add(index, ann.copies(spec), rows, part.held_out)
        name = _written(common, part, index)
    return name, sync_files(common.shards.place_of(part.segment), [name])[name]


def _written(common: Common, part: Part, index: Any) -> str:
    """Write an index to a file of its own, for whoever did this before may only seem to be lost; returns its name."""
    name = common.shards.new_index()
    path = common.shards.place_of(part.segment) / name
    try:
        write(index, path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return name


def lengths(common: Common, part: Part) -> tuple[float, float]:
    """Those of the shortest and the longest vector."""
    with opened(common, part) as rows:
        return rows.norms.min(initial=np.inf), rows.norms.max(initial=0)


def truth(common: Common, asked: Asked) -> np.ndarray:
    """The k best exact scores of each query among the rows that are not held out, best first: (q, up to k) float32."""
    queries = _queries(common, asked)
    found = np.empty((len(queries), 0), np.float32)
    for part in asked.parts:
        with opened(common, part) as rows:
            found = best_scores(found, rows.truth(part.kept, queries, asked.k), asked.k)
    return found


def search(common: Common, asked: Asked) -> tuple[np.ndarray, np.ndarray]:
    """Scores (q, up to k) float32, best first, and rows int64 of the whole index, as the segments' indexes find them."""
    queries = _queries(common, asked)
    found = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    for part, searcher in _searchers(common, asked):
        scores, rows = searcher.search(queries, asked.k)
        rows = np.where(rows < 0, -1, rows + part.first)
        found = ann.merge((found[0], scores), (found[1], rows), asked.k)
    return found


def hits(common: Common, asked: Asked) -> np.ndarray:
    """How many true hits are among the first 1, 2 … `count` candidates of all segments, k at the most: (q, count), of a type
    as small as k."""
    assert asked.truth is not None
    queries = _queries(common, asked)
    found = np.zeros((len(queries), asked.count), np.int64)
    for _, searcher in _searchers(common, asked):
        own = searcher.hits(queries, asked.truth, asked.count)
        found[:, : own.shape[1]] += own
        found[:, own.shape[1] :] += own[:, -1:]
    return np.minimum(found, asked.k).astype(np.min_scalar_type(asked.k))


def seconds(common: Common, asked: Asked) -> float:
    """What one query takes over all segments, on one thread."""
    queries = _queries(common, asked)
    return sum(searcher.seconds(queries, asked.k) for _, searcher in _searchers(common, asked))


def _queries(common: Common, asked: Asked) -> np.ndarray:
    return read_array(common.shards.place / asked.queries.name, asked.queries.shape, "<f4")


def _searchers(common: Common, asked: Asked) -> Iterator[tuple[Part, ann.ApproximateSearcher]]:
    """The segments, and what searches their indexes; in one of no rows FAISS has nothing to look for."""
    for part in asked.parts:
        if count := len(part.kept):
            with opened(common, part) as rows:
                path = common.shards.place_of(part.segment) / part.index
                yield part, ann.open_searcher(path, asked.spec, rows, asked.search_parameters, count=count)


def best_scores(some: np.ndarray, others: np.ndarray, k: int) -> np.ndarray:
    """The k best of two lists of scores for each query, each (q, any) float32, best first."""
    return -np.sort(-np.concatenate([some, others], axis=1), axis=1)[:, :k]
