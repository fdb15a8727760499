"""Any FAISS factory string as an index over stored vectors; its hits are ranked again by their exact scores."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch.ann.exact import merge, scores_of, unit_rows
from vecsearch.errors import DamagedIndexError, ResourceError, UsageError
from vecsearch.metric import Metric, normalise

EXACT = "exact"
"""The spec of an index without a FAISS file: every query looks at every vector."""
OVERSAMPLE = 4
"""Hits fetched for each one asked for, to be ranked again from the stored vectors."""
TRAINING_ROWS = 262_144
"""Vectors that centroids and quantisers are trained on at the most, spread evenly over the index."""
BLOCK_ROWS = 65_536


def check_spec(spec: str, dim: int) -> None:
    """Raise UsageError unless `spec` is "exact" or a factory string that FAISS accepts for vectors of length `dim`."""
    if spec != EXACT:
        _new_index(spec, dim)


def _new_index(spec: str, dim: int) -> Any:
    import faiss

    if re.search(r"(?:HNSW|NSG)0*[01](?!\d)|[A-Za-z]0+(?!\d)", spec):
        # FAISS takes these for valid and then crashes, or never returns.
        raise UsageError(f"the spec {spec!r} asks for no lists, parts or dimensions, or a graph without neighbours; try HNSW32")
    try:
        return faiss.index_factory(dim, spec, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise UsageError(
            f"FAISS does not accept the spec {spec!r} for vectors of length {dim}: {_reason(error)}. "
            "Use exact, or a factory string such as HNSW32, IVF256,Flat or HNSW32,SQ8"
        ) from None


def _reason(error: RuntimeError) -> str:
    """What FAISS said, without the place in its C++ sources."""
    return re.sub(r"^Error in .*? at [^:]+:\d+: (?:Error: )?", "", str(error)).strip()


def build(spec: str, vectors: np.ndarray, norms: np.ndarray, metric: Metric, path: Path) -> None:
    """Train and fill the index `spec` over vectors (n, d) float32 and write it to `path`.

    Raises UsageError when the spec does not fit the vectors (their length, too few of them to train on), ResourceError when
    the disk refuses.
    """
    import faiss

    index = _new_index(spec, vectors.shape[1])
    step = max(1, len(vectors) // TRAINING_ROWS)
    try:
        if not index.is_trained:
            index.train(_rows(vectors[::step], norms[::step], metric))
        for first in range(0, len(vectors), BLOCK_ROWS):
            part = slice(first, first + BLOCK_ROWS)
            index.add(_rows(vectors[part], norms[part], metric))
    except RuntimeError as error:
        raise UsageError(f"the spec {spec!r} cannot be built over {len(vectors):,} vectors: {_reason(error)}") from None
    try:
        faiss.write_index(index, str(path))
    except RuntimeError as error:  # FAISS's writer raises no OSError
        raise ResourceError(f"cannot write {path}: {_reason(error)}; free some space") from error


def _rows(vectors: np.ndarray, norms: np.ndarray, metric: Metric) -> np.ndarray:
    return unit_rows(vectors, norms) if metric is Metric.COSINE else np.ascontiguousarray(vectors)


class ApproximateSearcher:
    """A FAISS file over stored vectors (n, d) float32, for the one metric that it was built for."""

    def __init__(self, path: Path, vectors: np.ndarray, norms: np.ndarray, metric: Metric) -> None:
        import faiss

        try:
            self._index = faiss.read_index(str(path))
        except RuntimeError as error:
            raise DamagedIndexError(f"FAISS cannot read {path}: {error}; build the index again") from None
        if (self._index.ntotal, self._index.d) != vectors.shape:
            raise DamagedIndexError(
                f"{path} holds {self._index.ntotal} vectors of length {self._index.d}, "
                f"vectors.npy {vectors.shape[0]} of length {vectors.shape[1]}; build the index again"
            )
        _set_effort(self._index)
        self._vectors, self._norms, self._metric = vectors, norms, metric

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores (q, k') float32, best first, and rows int64; k' <= k, and row -1 with score -inf where nothing was found."""
        wanted = min(k * OVERSAMPLE, len(self._vectors))
        if self._metric is Metric.COSINE:
            queries = normalise(queries)
        _, rows = self._index.search(np.ascontiguousarray(queries), wanted)
        scores = np.full(rows.shape, -np.inf, np.float32)
        for query, found, out in zip(queries, rows, scores, strict=True):
            hits = found >= 0  # FAISS marks a missing hit with row -1
            norms = self._norms[found[hits]] if self._metric is Metric.COSINE else None
            out[hits] = scores_of(query[None, :], self._vectors[found[hits]], norms)[0]
        empty = np.empty((len(queries), 0))
        return merge((scores, empty.astype(np.float32)), (rows, empty.astype(np.int64)), k)


def _set_effort(index: Any) -> None:
    """Give the search a useful recall: FAISS's own defaults look at one list (nprobe 1) and 16 graph nodes (efSearch)."""
    import faiss

    with suppress(RuntimeError):  # not an inverted file, wherever it is wrapped
        lists = faiss.extract_index_ivf(index)
        lists.nprobe = max(8, lists.nlist // 16)
    with suppress(RuntimeError):  # not a graph
        faiss.ParameterSpace().set_index_parameter(index, "efSearch", 128)
