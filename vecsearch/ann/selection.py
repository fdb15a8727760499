"""A FAISS search that finds some of the rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from vecsearch.ann.spec import SearchParameters, graph_of, lists_of


def selection(index: Any, mask: np.ndarray | None, wanted: SearchParameters) -> Any:
    """FAISS's search parameters for the rows that `mask` (n,) bool leaves, without it for all, searched with `wanted`."""
    import faiss

    inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexIDMap) else index
    transformed = isinstance(inner, faiss.IndexPreTransform)
    if transformed and inner is not index and mask is not None:
        # A map of ids translates the parameters that it is given, not those within them.
        mask = mask[faiss.vector_to_array(index.id_map)]
    core = faiss.downcast_index(inner.index) if transformed else inner
    some = {} if mask is None else {"sel": faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))}
    if lists_of(core):
        parameters = faiss.SearchParametersIVF(**some, nprobe=wanted["nprobe"])
    elif graph_of(core):
        parameters = faiss.SearchParametersHNSW(**some, efSearch=wanted["efSearch"])
    else:
        parameters = faiss.SearchParameters(**some)
    return faiss.SearchParametersPreTransform(index_params=parameters) if transformed else parameters
