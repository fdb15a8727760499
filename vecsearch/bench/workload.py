"""What kinds of index are measured on: base vectors, the queries asked of them, and their exact answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vecsearch import checks
from vecsearch.ann import Rows, ground_truth
from vecsearch.ann.recall import recalls
from vecsearch.errors import UsageError, VectorsError, writing
from vecsearch.metric import Metric, norms
from vecsearch.store.layout import NORMS, VECTORS
from vecsearch.store.snapshot import open_snapshot
from vecsearch.vectors.annbench import distances_of, is_annbench, read_annbench, write_annbench
from vecsearch.vectors.read import VectorFile, open_vectors
from vecsearch.vectors.write import write_vectors

BLOCK_ROWS = 16_384
LEAST_AGREEMENT = 0.98
"""Share of the neighbors in a file that must be right: ties and rounding explain the rest."""


@dataclass(frozen=True, slots=True)
class Built:
    """A kind that was built: its FAISS file, None for exact search, and the search parameters that it is searched with."""

    spec: str
    path: Path | None
    search_parameters: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Workload:
    """Base vectors that lie in `folder`, queries (q, d) float32, and the scores and rows of their k best, exactly.

    `own_rows` (q,) are the rows of the base that the queries are, where they are rows of it: no query may find itself.
    """

    name: str
    folder: Path
    base: Rows
    queries: np.ndarray
    own_rows: np.ndarray | None
    k: int
    truth_scores: np.ndarray
    truth_rows: np.ndarray
    built: Built | None = None


def open_workload(
    source: str | Path,
    folder: Path,
    *,
    k: int = 10,
    number: int = 1000,
    queries: str | Path | None = None,
    metric: Metric | str | None = None,
    rng: np.random.Generator,
) -> Workload:
    """The workload that an index's folder, a file of vectors or a data set of ann-benchmarks makes; `folder` takes what it
    has to write.

    At most `number` queries are drawn by `rng`: from the file `queries`, from the data set's own, or else from the rows of the
    base. Rows of an index stay in it, rows of a file are left out of the base.

    Raises UsageError, VectorsError, and for an index whatever opening it raises.
    """
    source, folder = checks.path("source", source), checks.path("folder", folder)
    k, number = checks.count("k", k, least=None), checks.count("number", number, least=None)
    queries = None if queries is None else checks.path("queries", queries)
    metric = None if metric is None else Metric(metric)
    checks.instance("rng", rng, np.random.Generator, give="np.random.default_rng(0)")
    if k < 1 or number < 1:
        raise UsageError(f"k is {k} and the number of queries {number}; both must be at least 1")
    if metric and (source.is_dir() or is_annbench(source)):
        raise UsageError(f"{source} has its metric; --metric is for ready vectors")
    if source.is_dir():
        return _of_index(source, k, number, queries, rng)
    if is_annbench(source):
        if queries:
            raise UsageError(f"{source} has its queries; --queries is for an index or ready vectors")
        return _of_annbench(source, folder, k, number, rng)
    return _of_vectors(open_vectors(source), folder, k, number, queries, metric or Metric.COSINE, rng)


def _of_index(source: Path, k: int, number: int, queries: str | Path | None, rng: np.random.Generator) -> Workload:
    with open_snapshot(source) as snapshot:
        manifest, segments = snapshot.manifest, snapshot.segments
    if len(segments) != 1:
        raise UsageError(f"{source} has {len(segments)} segments, and one is measured at a time: vecsearch compact merges them")
    segment, own_rows = segments[0], None
    if queries:
        asked = _drawn_queries(queries, number, manifest.dim, rng)
    else:
        _check_rows(source, segment.rows)
        own_rows = _drawn_rows(segment.rows, min(number, segment.rows), rng)
        asked = segment.vectors[own_rows]
    base = Rows(segment.vectors, segment.norms, Metric(manifest.metric))
    built = Built(manifest.spec, segment.index_path, manifest.search_parameters)
    return _workload(source.name, segment.folder, base, asked, k, own_rows=own_rows, built=built)


def _of_vectors(
    file: VectorFile,
    folder: Path,
    k: int,
    number: int,
    queries: str | Path | None,
    metric: Metric,
    rng: np.random.Generator,
) -> Workload:
    if queries:
        asked = _drawn_queries(queries, number, file.dim, rng)
        base = _write_base(folder, file.blocks(BLOCK_ROWS), file.dim, metric)
    else:
        _check_rows(file.path, file.rows)
        # At least half of the rows stay, or there would be little to search.
        held_out = _drawn_rows(file.rows, min(number, file.rows // 2), rng)
        parts: list[np.ndarray] = []
        base = _write_base(folder, _without(file, held_out, parts), file.dim, metric)
        asked = np.concatenate(parts)
    return _workload(file.path.name, folder, base, asked, k)


def _of_annbench(source: Path, folder: Path, k: int, number: int, rng: np.random.Generator) -> Workload:
    data = read_annbench(source)
    chosen = _drawn_rows(len(data.test), min(number, len(data.test)), rng)
    base = _write_base(folder, iter([data.train]), data.train.shape[1], data.metric)
    workload = _workload(source.name, folder, base, data.test[chosen], k)
    _check_neighbors(workload, data.neighbors[chosen, :k])
    return workload


def _check_rows(source: Path, rows: int) -> None:
    if rows < 2:
        raise VectorsError(f"{source} has {rows} vector: once it is the query nothing is left to search; give --queries")


def _drawn_rows(rows: int, number: int, rng: np.random.Generator) -> np.ndarray:
    return np.sort(rng.choice(rows, number, replace=False))


def _drawn_queries(path: str | Path, number: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    file = open_vectors(path)
    if file.dim != dim:
        raise VectorsError(f"{path} has queries of length {file.dim}, the vectors have {dim}; encode both by the same model")
    drawn: list[np.ndarray] = []
    for _ in _without(file, _drawn_rows(file.rows, min(number, file.rows), rng), drawn):
        pass
    return np.concatenate(drawn)


def _without(file: VectorFile, rows: np.ndarray, left_out: list[np.ndarray]) -> Iterator[np.ndarray]:
    """The file's vectors block by block without `rows` (ascending), which go to `left_out`."""
    first = 0
    for block in file.blocks(BLOCK_ROWS):
        here = rows[(rows >= first) & (rows < first + len(block))] - first
        left_out.append(block[here])
        yield np.delete(block, here, axis=0)
        first += len(block)


def _write_base(folder: Path, blocks: Iterator[np.ndarray], dim: int, metric: Metric) -> Rows:
    """Vectors as an index keeps them: on disk, and mapped from there."""
    write_vectors(folder / VECTORS, blocks, dim=dim)
    vectors = np.load(folder / VECTORS, mmap_mode="r").view(np.ndarray)
    starts = range(0, len(vectors), BLOCK_ROWS)
    lengths = np.concatenate([norms(vectors[first : first + BLOCK_ROWS]) for first in starts])
    with writing(folder):
        np.save(folder / NORMS, lengths)
    return Rows(vectors, lengths, metric)


def _workload(
    name: str,
    folder: Path,
    base: Rows,
    queries: np.ndarray,
    k: int,
    *,
    own_rows: np.ndarray | None = None,
    built: Built | None = None,
) -> Workload:
    blocks = base.stored_blocks(np.arange(len(base)))
    scores, rows = ground_truth(blocks, queries, k, base.metric, own_rows=own_rows)
    return Workload(name, folder, base, queries, own_rows, k, scores, rows, built)


def _check_neighbors(workload: Workload, given: np.ndarray) -> None:
    """Raise VectorsError unless the rows `given` (q, any) as the nearest of each query are so, by their scores."""
    scores = np.empty(given.shape, np.float32)
    for query, (vector, rows) in enumerate(zip(workload.queries, given, strict=True)):
        # By the same products as the truth.
        blocks = iter([(workload.base.vectors[rows], workload.base.norms[rows])])
        scores[query] = ground_truth(blocks, vector[None], len(rows), workload.base.metric)[0]
    agreement = recalls(workload.truth_scores[:, : given.shape[1]], scores).mean()
    if agreement < LEAST_AGREEMENT:
        raise VectorsError(
            f'{workload.name}: "neighbors" holds {agreement:.1%} of the nearest of {len(given):,} queries, by its "distance"; '
            "it was made by another distance or from other vectors"
        )


def export_annbench(path: str | Path, workload: Workload) -> None:
    """Write base, queries and exact neighbors as a data set of ann-benchmarks.

    Queries that are rows of the base are left out of it, as such a data set has it, and their neighbors found again.
    """
    base, metric = workload.base, workload.base.metric
    vectors, scores, rows = base.vectors, workload.truth_scores, workload.truth_rows
    if workload.own_rows is not None:
        kept = np.delete(np.arange(len(base)), workload.own_rows)
        if not len(kept):
            raise UsageError(f"all {len(base)} rows are queries, and nothing is left to export; ask for a lower --number")
        scores, rows = ground_truth(base.stored_blocks(kept), workload.queries, workload.k, metric)
        vectors = vectors[kept]
    write_annbench(path, vectors, workload.queries, rows, distances_of(scores, metric), metric=metric)
