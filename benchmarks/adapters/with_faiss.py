"""What FAISS offers by itself, and through autofaiss."""

from __future__ import annotations

from math import log2, sqrt
from pathlib import Path

import numpy as np

from adapters.base import GRAPH_EFFORTS, Adapter


class Faiss(Adapter):
    """A FAISS factory string; a setting is what faiss.ParameterSpace understands."""

    module, distribution = "faiss", "faiss-cpu"
    construction: str | None = None
    """What faiss.ParameterSpace is to set before the vectors go in."""

    def spec(self, n: int, dim: int) -> str:
        raise NotImplementedError

    def faiss_metric(self) -> int:
        import faiss

        return faiss.METRIC_INNER_PRODUCT

    def build(self, vectors: np.ndarray, *, threads: int) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        self.index = faiss.index_factory(vectors.shape[1], self.spec(*vectors.shape), self.faiss_metric())
        if self.construction:
            faiss.ParameterSpace().set_index_parameters(self.index, self.construction)
        self.index.train(vectors)
        self.index.add(vectors)

    def search(self, queries: np.ndarray, k: int, setting: str, *, threads: int) -> np.ndarray:
        import faiss

        faiss.omp_set_num_threads(threads)
        if self.changes(setting):
            faiss.ParameterSpace().set_index_parameters(self.index, setting)
        return self.index.search(queries, k)[1]

    def save(self, folder: Path) -> None:
        import faiss

        faiss.write_index(self.index, str(folder / "index.faiss"))


class FaissGraph(Faiss):
    """HNSW over the vectors as they are."""

    name = "faiss HNSW32"
    settings = tuple(f"efSearch={effort}" for effort in GRAPH_EFFORTS)
    construction = "efConstruction=200"

    def spec(self, n: int, dim: int) -> str:
        return "HNSW32,Flat"


class FaissGraph8Bit(FaissGraph):
    """HNSW over vectors in 8 bits, its hits ranked again."""

    name = "faiss HNSW32,SQ8"
    settings = tuple(f"efSearch={effort},k_factor_rf={2 if effort < 48 else 4}" for effort in GRAPH_EFFORTS)

    def spec(self, n: int, dim: int) -> str:
        return "HNSW32,SQ8,RFlat"


class FaissInverted(Faiss):
    """Inverted lists of 4-bit product codes, their hits ranked again."""

    name = "faiss IVF,PQfs"
    settings = tuple(
        f"nprobe={probes},k_factor_rf={factor}"
        for probes, factor in ((8, 4), (16, 4), (24, 4), (32, 4), (48, 6), (64, 6), (96, 8), (128, 10), (192, 10), (256, 20))
    )

    def spec(self, n: int, dim: int) -> str:
        codes = dim // 2 if dim % 2 == 0 else dim
        return f"IVF{lists(n)},PQ{codes}x4fs,RFlat"


def lists(n: int) -> int:
    """Inverted lists for n vectors: the power of two nearest to twice the root."""
    return 2 ** round(log2(2 * sqrt(n)))


class Autofaiss(Faiss):
    """The FAISS index that autofaiss chooses, given memory enough."""

    name, module, distribution = "autofaiss", "autofaiss", "autofaiss"

    def build(self, vectors: np.ndarray, *, threads: int) -> None:
        import logging

        import faiss
        from autofaiss import build_index

        quiet = {"save_on_disk": False, "verbose": logging.WARNING}
        self.index, _ = build_index(vectors, nb_cores=threads, metric_type="ip", **quiet)
        effort = "nprobe" if faiss.try_extract_index_ivf(self.index) else "efSearch"
        self.settings = tuple(f"{effort}={value}" for value in GRAPH_EFFORTS)
