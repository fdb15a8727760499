"""Index kinds as FAISS factory strings: which FAISS accepts, and the search parameters of each kind.

One thing is added to FAISS's strings: in IVF512x2 every vector is in two of the 512 lists, see `ann.spill`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from vecsearch.errors import UsageError
from vecsearch.metric import EXACT, Metric

EF_CONSTRUCTION = 100
"""efConstruction of a graph: nodes looked at to find a new one's neighbors. FAISS's 40 costs recall that no search regains."""

PQ_ROUNDS = 10
"""Rounds of k-means for each part of a product quantiser: FAISS's 25 take twice the time and change no recall."""

MOST_NODES = 4096
"""Nodes of a graph that a search keeps at the most: one that needs more takes longer than exact search."""

SearchParameters = Mapping[str, float]
"""What trades time for recall: "efSearch" (nodes kept of a graph) or "nprobe" (lists read of an inverted file), and
"candidates" (hits that are ranked again by their exact scores). Of residuals also "margin": lists are not read whose centroid's
product with a query of length 1 is smaller than the nearest's by more than that."""


BLOCKS = (32, 64, 96, 128, 160)
"""Codes of half a byte that may lie in a block, by which they are compared."""
_BLOCK = re.compile(r"x4fsr?_(\d+)")
_TWICE = re.compile(r"(?<=IVF)(\d+)x2(?=,PQ\d+x4fsr?(?:_\d+)?$)")
_RESIDUALS = re.compile(r"(?:^|,)IVF\d+(?:x2)?,PQ\d+x4fsr(?:_\d+)?$")


def copies(spec: str) -> int:
    """How many times an index of this kind holds each vector."""
    return 2 if _TWICE.search(spec) else 1


def has_residuals(spec: str) -> bool:
    """Whether its codes are of residuals, what is left of points without their list's centroid, and compared by inner product:
    one table of a query serves the codes of all lists, where distances would take a table for each."""
    return bool(_RESIDUALS.search(spec))


def is_graph(spec: str) -> bool:
    """Whether this kind of index is a graph."""
    return "HNSW" in spec and "IVF" not in spec


def check_spec(spec: str, dim: int, metric: Metric) -> None:
    """Raise UsageError unless `spec` is "exact" or a factory string that FAISS accepts for vectors of length `dim`."""
    if spec != EXACT:
        new_index(spec, dim, euclidean=metric is Metric.COSINE)


def new_index(spec: str, dim: int, *, euclidean: bool) -> Any:
    """An empty FAISS index for the points of vectors of length `dim`. Raises UsageError when FAISS does not accept the spec."""
    import faiss

    if not spec.isascii() or "\0" in spec:
        raise UsageError(f"the spec {spec!r} holds letters that no kind of index has; try HNSW32")
    if re.search(r"HNSW0*[01](?!\d)|IVF0*1x2|[A-Za-z]0+(?!\d)", spec):
        # FAISS takes these for valid and then crashes, or never returns.
        raise UsageError(
            f"the spec {spec!r} asks for no lists, parts or dimensions, no neighbors in a graph or two of one list; try HNSW32"
        )
    if re.search(r"(?:^|,)(?:IDMap2?|Refine|RFlat)(?=[,(]|$)", spec):
        # The rows have numbers already, and every hit is ranked by its exact score.
        raise UsageError(
            f"the spec {spec!r} numbers rows or ranks hits again, which every index of vecsearch does: "
            f"leave {'IDMap' if 'IDMap' in spec else 'Refine'} out; try Flat or HNSW32"
        )
    if (block := _BLOCK.search(spec)) and int(block[1]) not in BLOCKS:
        # FAISS accepts it, and ends the process when several queries are searched.
        raise UsageError(
            f"the spec {spec!r} asks for codes in blocks of {block[1]}, which FAISS cannot search; give one of "
            f"{', '.join(map(str, BLOCKS))}, such as PQ16x4fs_64"
        )
    if "NSG" in spec:
        # It crashes over equal vectors.
        raise UsageError(f"the spec {spec!r} asks for an NSG graph, which cannot be added to; try HNSW32")
    metric = faiss.METRIC_L2 if euclidean and not has_residuals(spec) else faiss.METRIC_INNER_PRODUCT
    try:
        index = faiss.index_factory(dim, _TWICE.sub(r"\1", spec), metric)
    except RuntimeError as error:
        raise UsageError(
            f"FAISS does not accept the spec {spec!r} for vectors of length {dim}: {reason(error)}. "
            f"Use exact, or a factory string such as HNSW32, IVF256,Flat or PCA{min(dim, 128)},HNSW32,SQ8"
        ) from None
    graph, lists = graph_of(index), lists_of(index)
    if graph:
        graph.hnsw.efConstruction = EF_CONSTRUCTION
    if lists:
        lists.cp.min_points_per_centroid = 1  # else FAISS warns on stderr; what few points cost shows in the measured recall
        if has_residuals(spec):
            lists.cp.spherical = False  # means, from which residuals are shorter than from points as far out as the others
    if pq := _pq_of(lists or graph or index):
        pq.cp.min_points_per_centroid = 1
        pq.cp.niter = PQ_ROUNDS
        _balance(index, pq.M)
    return index


def _pq_of(index: Any) -> Any | None:
    """The product quantiser of a FAISS index, below a transform or a graph; None when there is none."""
    import faiss

    inner = faiss.downcast_index(index)
    while below := getattr(inner, "storage", None) or getattr(inner, "index", None):
        inner = faiss.downcast_index(below)
    return getattr(inner, "pq", None)


def _balance(index: Any, parts: int) -> None:
    """Have a PCA spread its variance evenly over the parts of the product quantiser behind it: each part has as many bits
    (Ge et al. 2013, Optimized product quantization, section 3.2)."""
    import faiss

    if isinstance(index, faiss.IndexPreTransform):
        pca = faiss.downcast_VectorTransform(index.chain.at(0))
        if isinstance(pca, faiss.PCAMatrix) and pca.d_out > parts:
            pca.balanced_bins = parts


def reason(error: Exception) -> str:
    """What FAISS said, without the place in its C++ sources and the condition that was not met there."""
    return re.sub(r"^Error in .*? at [^:]+:\d+: (?:Error: )?(?:'.*' failed: (?=.))?", "", str(error)).strip()


def graph_of(index: Any) -> Any | None:
    """The HNSW graph in a FAISS index, below transforms and maps of ids; None when there is none."""
    import faiss

    inner = faiss.downcast_index(index)
    while hasattr(inner, "index"):
        inner = faiss.downcast_index(inner.index)
    return inner if hasattr(inner, "hnsw") else None


def lists_of(index: Any) -> Any | None:
    """The inverted file in a FAISS index, below transforms and maps of ids; None when there is none."""
    import faiss

    with suppress(RuntimeError):
        return faiss.downcast_index(faiss.extract_index_ivf(index))
    return None


def compares_residuals(index: Any) -> bool:
    """Whether a FAISS index compares the codes of residuals by inner product, and makes lists by Euclidean distance."""
    import faiss

    lists = lists_of(index)
    if not isinstance(lists, faiss.IndexIVFPQFastScan) or not lists.by_residual or lists.metric_type == faiss.METRIC_L2:
        return False
    return isinstance(faiss.downcast_index(lists.quantizer), faiss.IndexFlat)


def row_numbers(index: Any) -> np.ndarray:
    """The numbers of all rows that a FAISS index holds, (n,) int64, in no order."""
    import faiss

    if isinstance(index, faiss.IndexIDMap):
        return faiss.vector_to_array(index.id_map)
    lists = lists_of(index).invlists
    parts = [faiss.rev_swig_ptr(lists.get_ids(number), lists.list_size(number)).copy() for number in range(lists.nlist)]
    return np.concatenate(parts)


def setting(index: Any) -> str | None:
    """Name of the setting that an index of this kind trades time for recall with, or None where it has none."""
    if lists_of(index):
        return "nprobe"
    return "efSearch" if graph_of(index) else None


def settings(index: Any, count: int, k: int) -> tuple[int, int]:
    """The least and the largest value of the setting of an index of `count` vectors that make sense for k hits."""
    lists = lists_of(index)
    return (1, lists.nlist) if lists else (min(k, count), min(max(k, MOST_NODES), count))


def set_parameters(index: Any, parameters: SearchParameters) -> None:
    """Have the FAISS index search with `parameters`. Raises UsageError for a setting that its kind does not have."""
    name = setting(index)
    names = {name, "candidates"} if name else {"candidates"}
    known = names | {"margin"} if compares_residuals(index) else names
    whole = [value for key, value in parameters.items() if key != "margin"]
    if not names <= parameters.keys() <= known or min(whole) < 1 or parameters.get("margin", 0) < 0:
        listed = " and ".join(sorted(names, reverse=True))
        raise UsageError(f"the search parameters of this kind of index are {listed}, not {dict(parameters)}")
    if name == "efSearch":
        graph_of(index).hnsw.efSearch = parameters[name]
    if name == "nprobe":
        lists = lists_of(index)
        lists.nprobe = min(parameters[name], lists.nlist)
        if coarse := graph_of(lists.quantizer):
            # The graph of the lists' centroids must find as many of them as are read.
            coarse.hnsw.efSearch = max(64, 2 * lists.nprobe)


def usual_parameters(index: Any, k: int) -> dict[str, int]:
    """Search parameters to begin with where nothing is known; FAISS's own begins with one list, and 16 nodes."""
    candidates = {"candidates": 4 * k}
    if lists := lists_of(index):
        return {"nprobe": min(lists.nlist, max(8, lists.nlist // 16))} | candidates
    return ({"efSearch": 128} if graph_of(index) else {}) | candidates


def parameters_text(parameters: SearchParameters) -> str:
    """Search parameters for people: "efSearch 64, candidates 20"."""
    names = sorted(parameters, key=("efSearch", "nprobe", "margin", "candidates").index)
    return ", ".join(f"{name} {parameters[name]}" for name in names)
