"""A FAISS search that finds some of the rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from vecsearch.ann.spec import Effort, graph_of, lists_of


def selection(index: Any, mask: np.ndarray, effort: Effort) -> Any:
    """FAISS's search parameters for the rows that `mask` (n,) bool leaves, searched with `effort`."""
    import faiss

    inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexIDMap) else index
    transformed = isinstance(inner, faiss.IndexPreTransform)
    if transformed and inner is not index:
        # A map of ids translates the parameters that it is given, not those within them.
        mask = mask[faiss.vector_to_array(index.id_map)]
    core = faiss.downcast_index(inner.index) if transformed else inner
    bits = faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
    if lists_of(core):
        parameters = faiss.SearchParametersIVF(sel=bits, nprobe=effort["nprobe"])
    elif graph_of(core):
        parameters = faiss.SearchParametersHNSW(sel=bits, efSearch=effort["efSearch"])
    else:
        parameters = faiss.SearchParameters(sel=bits)
    return faiss.SearchParametersPreTransform(index_params=parameters) if transformed else parameters
