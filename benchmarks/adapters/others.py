"""Vector indexes of other projects, each set up as its own documentation recommends."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from adapters.base import Adapter, UnitVectorsOnly
from adapters.with_faiss import lists
from vecsearch.metric import Metric


class Hnswlib(Adapter):
    """The reference implementation of HNSW."""

    name, module, distribution = "hnswlib M=32", "hnswlib", "hnswlib"
    degree = 32

    def build(self, vectors: np.ndarray, *, threads: int) -> None:
        import hnswlib

        self.index = hnswlib.Index(space="ip", dim=vectors.shape[1])
        self.index.init_index(len(vectors), M=self.degree, ef_construction=200, random_seed=0)
        self.index.add_items(vectors, num_threads=threads)

    def search(self, queries: np.ndarray, k: int, setting: int, *, threads: int) -> np.ndarray:
        self.index.set_ef(max(setting, k))
        return self.index.knn_query(queries, k, num_threads=threads)[0]

    def save(self, folder: Path) -> None:
        self.index.save_index(str(folder / "index.bin"))


class HnswlibSmall(Hnswlib):
    name, degree = "hnswlib M=16", 16


class Usearch(Adapter):
    """USearch's HNSW over half-precision vectors."""

    name, module, distribution = "usearch f16", "usearch.index", "usearch"
    dtype = "f16"

    def build(self, vectors: np.ndarray, *, threads: int) -> None:
        from usearch.index import Index

        kind = {"metric": "cos" if self.metric is Metric.COSINE else "ip", "dtype": self.dtype}
        self.index = Index(ndim=vectors.shape[1], connectivity=32, expansion_add=200, enable_key_lookups=False, **kind)
        self.index.add(np.arange(len(vectors)), vectors, threads=threads)

    def search(self, queries: np.ndarray, k: int, setting: int, *, threads: int) -> np.ndarray:
        self.index.expansion_search = setting
        return self.index.search(queries, k, threads=threads).keys.reshape(len(queries), -1).astype(np.int64)

    def save(self, folder: Path) -> None:
        self.index.save(folder / "index.usearch")


class Usearch8Bit(UnitVectorsOnly, Usearch):
    name, dtype = "usearch i8", "i8"


class Voyager(Adapter):
    """Spotify's fork of hnswlib."""

    name, module, distribution = "voyager f32", "voyager", "voyager"
    storage = "Float32"

    def build(self, vectors: np.ndarray, *, threads: int) -> None:
        from voyager import Index, Space, StorageDataType

        space = Space.Cosine if self.metric is Metric.COSINE else Space.InnerProduct
        storage = getattr(StorageDataType, self.storage)
        self.index = Index(space, vectors.shape[1], M=32, ef_construction=200, random_seed=0, storage_data_type=storage)
        self.index.add_items(vectors, num_threads=threads)

    def search(self, queries: np.ndarray, k: int, setting: int, *, threads: int) -> np.ndarray:
        return self.index.query(queries, k, num_threads=threads, query_ef=max(setting, k))[0].astype(np.int64)

    def save(self, folder: Path) -> None:
        self.index.save(str(folder / "index.voy"))


class VoyagerE4M3(UnitVectorsOnly, Voyager):
    name, storage = "voyager E4M3", "E4M3"


class VoyagerFloat8(UnitVectorsOnly, Voyager):
    name, storage = "voyager Float8", "Float8"


class Scann(Adapter):
    """Partitions with SOAR and 4-bit codes of two dimensions each, hits ranked again; brute force over few vectors."""

    name, module, distribution = "scann", "scann", "scann"
    settings = (
        (8, 30),
        (16, 30),
        (24, 40),
        (32, 40),
        (32, 60),
        (48, 60),
        (64, 60),
        (64, 100),
        (96, 100),
        (128, 150),
        (192, 200),
    )
    brute_force_rows = 20_000

    def build(self, vectors: np.ndarray, *, threads: int) -> None:
        from scann import scann_ops_pybind

        builder = scann_ops_pybind.builder(vectors, 10, "dot_product").set_n_training_threads(threads)
        if len(vectors) < self.brute_force_rows:
            builder = builder.score_brute_force()
        else:
            training = {"training_sample_size": min(len(vectors), 250_000), "avq": 2.5}
            spill = {"soar_lambda": 1.5, "overretrieve_factor": 2.0}
            builder = builder.tree(lists(len(vectors)), num_leaves_to_search=16, **training, **spill)
            builder = builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(100)
        self.index = builder.build()

    def search(self, queries: np.ndarray, k: int, setting: tuple[int, int], *, threads: int) -> np.ndarray:
        leaves, reordered = setting
        if len(queries) == 1:
            return self.index.search(queries[0], k, max(reordered, k), leaves)[0][None, :]
        if threads == 1:
            return self.index.search_batched(queries, k, max(reordered, k), leaves)[0]
        self.index.set_num_threads(threads)
        return self.index.search_batched_parallel(queries, k, max(reordered, k), leaves)[0]

    def save(self, folder: Path) -> None:
        self.index.serialize(str(folder))


class Svs(Adapter):
    """Intel's Vamana graph over half-precision vectors."""

    name, module, distribution = "svs f16", "svs", "scalable-vs"

    def build(self, vectors: np.ndarray, *, threads: int) -> None:
        import svs

        # For vectors of length 1 the order is the same, and the graph for distances is the faster one.
        distance, alpha = (svs.L2, 1.2) if self.metric is Metric.COSINE else (svs.MIP, 0.95)
        graph = svs.VamanaBuildParameters(alpha=alpha, graph_max_degree=64, window_size=200)
        with TemporaryDirectory() as folder:
            data = self.data(vectors, Path(folder) / "vectors.fvecs")
            self.index = svs.Vamana.build(graph, data, distance, threads)

    def data(self, vectors: np.ndarray, path: Path) -> Any:
        """What is built from; it may be in a file at `path`."""
        return vectors.astype(np.float16)

    def search(self, queries: np.ndarray, k: int, setting: int, *, threads: int) -> np.ndarray:
        if self.index.num_threads != threads:
            self.index.num_threads = threads
        self.index.search_window_size = max(setting, k)
        return self.index.search(queries, k)[0].astype(np.int64)

    def save(self, folder: Path) -> None:
        self.index.save(*(str(folder / part) for part in ("config", "graph", "data")))


class Svs8Bit(UnitVectorsOnly, Svs):
    """Vamana over whole numbers, all components scaled alike."""

    name = "svs i8"

    def data(self, vectors: np.ndarray, path: Path) -> Any:
        self.scale = 127 / np.abs(vectors).max()
        return self.whole(vectors)

    def whole(self, vectors: np.ndarray) -> np.ndarray:
        return np.clip(np.round(vectors * self.scale), -127, 127).astype(np.int8)

    def search(self, queries: np.ndarray, k: int, setting: int, *, threads: int) -> np.ndarray:
        return super().search(self.whole(queries), k, setting, threads=threads)


class SvsLvq(Svs):
    """Vamana over 4-bit vectors, with 8 bits of the remainder for the last ranking."""

    name = "svs LVQ4x8"

    def obstacle(self) -> str | None:
        if (missing := super().obstacle()) is not None:
            return missing
        # On any other processor the library prints a line and ends the process.
        intel = "GenuineIntel" in Path("/proc/cpuinfo").read_text()
        return None if intel else "the library compresses on Intel processors only"

    def data(self, vectors: np.ndarray, path: Path) -> Any:
        import svs

        svs.write_vecs(vectors, str(path))
        return self.compressed(svs.VectorDataLoader(str(path), svs.DataType.float32, vectors.shape[1]))

    def compressed(self, stored: Any) -> Any:
        import svs

        return svs.LVQLoader(stored, primary=4, residual=8)


class SvsLeanVec(SvsLvq):
    """Vamana over half the dimensions, in 8 bits, with all of them in 8 bits for the last ranking."""

    name = "svs LeanVec"

    def compressed(self, stored: Any) -> Any:
        import svs

        return svs.LeanVecLoader(stored, stored.dims // 2, svs.LeanVecKind.lvq8, svs.LeanVecKind.lvq8)
