"""Vector indexes behind one small interface.

Every adapter gets float32 vectors, of length 1 where the metric is cosine, and searches with as many threads as it is told.
A package is imported when its adapter is asked whether it can run.
"""

from adapters.base import Adapter
from adapters.others import (
    Hnswlib,
    HnswlibSmall,
    Scann,
    Svs,
    Svs8Bit,
    SvsLeanVec,
    SvsLvq,
    Usearch,
    Usearch8Bit,
    Voyager,
    VoyagerE4M3,
    VoyagerFloat8,
)
from adapters.ours import Vecsearch90, Vecsearch95, Vecsearch99
from adapters.with_faiss import Autofaiss, FaissGraph, FaissGraph8Bit, FaissInverted

ADAPTERS: tuple[type[Adapter], ...] = (
    Vecsearch90,
    Vecsearch95,
    Vecsearch99,
    FaissGraph,
    FaissGraph8Bit,
    FaissInverted,
    Autofaiss,
    Hnswlib,
    HnswlibSmall,
    Usearch,
    Usearch8Bit,
    Voyager,
    VoyagerE4M3,
    VoyagerFloat8,
    Scann,
    Svs,
    Svs8Bit,
    SvsLvq,
    SvsLeanVec,
)
"""Ours first."""
