"""What a living index costs: documents added, queries over many segments, conditions of every selectivity, words and meaning.

    python benchmarks/updates.py [VECTORS.npy] --rows 10000,100000[,1000000] [--recall 0.95] [--spec …] [--folder DIR]

VECTORS is a .npy or .h5 file; its rows are repeated, with a little noise, where there are fewer than asked for, and without it
they are drawn: Gaussian clusters. Each document has a made text (words by Zipf's law, one code of its own) and a field n, the
numbers from 0 in any order, so that a condition leaves any share of them. Nothing is encoded: what is measured is the index
alone, on one thread. Recall is against exact search over what the condition leaves.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from cost import seconds
from report import listed, report

from vecsearch import ann
from vecsearch.ann.recall import recalls
from vecsearch.corpus.document import Document
from vecsearch.encoders import Encoder
from vecsearch.index.build import Options
from vecsearch.index.index import Index
from vecsearch.vectors.read import open_vectors

K = 10
ADDED = 10_000
"""Documents that are added at a time."""
SEGMENTS = (1, 10, 100)
SHARES = (1.0, 0.5, 0.2, 0.1, 0.03, 0.01, 0.001, 0.0)
"""Of the documents that a condition leaves; 0 stands for a single one."""
QUERIES, BLOCK = 200, 16_384
WORDS, LENGTH, ASKED = 50_000, 40, 4
"""Different words, words of a text, words of a query."""


def main() -> None:
    parser = argparse.ArgumentParser(description="what a living index costs")
    parser.add_argument("vectors", type=Path, nargs="?", help="a .npy or .h5 file; drawn without it")
    parser.add_argument("--rows", type=listed(), default=[10_000, 100_000])
    parser.add_argument("--dim", type=int, default=256, help="length of drawn vectors (default: %(default)s)")
    parser.add_argument("--recall", type=float, default=0.95, help=f"recall@{K} to reach (default: %(default)s)")
    parser.add_argument("--spec", help="the kind of index; chosen by trial without it")
    parser.add_argument("--folder", type=Path, help="where the indexes are made, and removed again (default: the system's)")
    options = parser.parse_args()
    for rows in options.rows:
        data = Data(options.vectors, rows + ADDED + QUERIES, options.dim)
        facts = {"vectors": options.vectors.name if options.vectors else "drawn", "rows": rows, "dim": data.vectors.shape[1]}
        with tempfile.TemporaryDirectory(dir=options.folder) as folder, ann.threads(1):
            built = partial(Index.build, options=Options(spec=options.spec, goal=ann.Goal(options.recall, K)))
            with built(Path(folder) / "one", data.documents(0, rows), data, vectors=data.blocks(0, rows)) as index:
                facts |= {"spec": index.manifest.spec}
                report("updates", [{"what": what} | row | facts for what, row in measured(index, data, rows)])
            report("updates", [{"what": "segments"} | row | facts for row in segments(Path(folder), built, data, rows)])


class Data(Encoder):
    """Vectors, texts and fields; and the encoder that gives each query its vector, for the query's text is its number."""

    fingerprint = "ready"

    def __init__(self, path: Path | None, rows: int, dim: int) -> None:
        self._rng = np.random.default_rng(0)
        self.vectors = self._drawn(rows, dim) if path is None else self._read(path, rows)
        self.dim = self.vectors.shape[1]
        self._numbers = self._rng.permutation(rows)
        self.queries = self.vectors[-QUERIES:]
        self.texts = [f"{self._text(ASKED)} code-{row}" for row in range(QUERIES)]

    def _drawn(self, rows: int, dim: int) -> np.ndarray:
        centres = self._rng.standard_normal((max(1, rows // 200), dim), np.float32)
        vectors = self._rng.standard_normal((rows, dim), np.float32)
        vectors += centres[self._rng.integers(0, len(centres), rows)]
        return vectors

    def _read(self, path: Path, rows: int) -> np.ndarray:
        file = open_vectors(path)
        real = np.concatenate(list(file.blocks(BLOCK)))
        chosen = self._rng.permutation(max(rows, file.rows))[:rows]
        vectors = real[chosen % file.rows]
        noise = 0.05 * vectors.std() * self._rng.standard_normal(vectors.shape, np.float32)
        vectors += noise * (chosen >= file.rows)[:, None]
        return vectors

    def _text(self, words: int) -> str:
        return " ".join(f"w{rank % WORDS}" for rank in self._rng.zipf(1.2, words))

    def documents(self, first: int, stop: int) -> Iterator[Document]:
        for row in range(first, stop):
            yield Document(str(row), f"{self._text(LENGTH)} code-{row}", {"n": int(self._numbers[row])})

    def blocks(self, first: int, stop: int) -> Iterator[np.ndarray]:
        return (self.vectors[start : min(start + BLOCK, stop)] for start in range(first, stop, BLOCK))

    def encode(self, texts: list[str]) -> np.ndarray:
        return self.queries[[int(text.rpartition("-")[2]) for text in texts]]


def measured(index: Index, data: Data, rows: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for share in SHARES:
        yield "filter", filtered(index, data, share)
    yield from (("hybrid", row) for row in ways(index, data))
    taken = seconds(lambda: index.add(data.documents(rows, rows + ADDED), vectors=data.blocks(rows, rows + ADDED)))
    yield "add", {"documents": ADDED, "documents_per_s": round(ADDED / taken), "s": round(taken, 2)}
    taken = seconds(lambda: index.delete(where=f"n < {rows // 100}"))
    yield "delete", {"documents": rows + ADDED - len(index), "s": round(taken, 3)}
    yield "compact", {"s": round(seconds(index.compact), 1)}


def filtered(index: Index, data: Data, share: float) -> dict[str, Any]:
    numbers = len(data.vectors)
    limit = max(1, round(share * numbers))
    # One that is there: the last rows are not.
    where = f"n < {limit}" if share else f"n = {int(data._numbers[0])}"
    first = seconds(lambda: index.search(data.queries[:1], K, where=where))
    ms = per_query(lambda query: index.search(query, K, where=where), data)
    truth, found = (index.search(data.queries, K, where=where, exact=exact).scores for exact in (True, False))
    exact_ms = per_query(lambda query: index.search(query, K, where=where, exact=True), data)
    return {
        "share": share,
        "left": int((data._numbers[: len(index)] < limit).sum()) if share else 1,
        "ms": ms,
        "exact_ms": exact_ms,
        "first_ms": round(1000 * first, 2),
        f"recall@{K}": round(float(recalls(truth, found).mean()), 4),
    }


def ways(index: Index, data: Data) -> Iterator[dict[str, Any]]:
    for way, ask in (("vectors", index.query), ("keywords", index.keywords), ("hybrid", index.hybrid)):
        ms = [1000 * seconds(partial(ask, [text], K)) for text in data.texts]
        yield {"way": way, "ms": round(float(np.median(ms)), 3), "p99_ms": round(float(np.percentile(ms, 99)), 3)}


def segments(folder: Path, built: Callable[..., Index], data: Data, rows: int) -> Iterator[dict[str, Any]]:
    """The same rows in ever more segments: what a query costs by vectors, and by both."""
    for count in SEGMENTS:
        added = (count - 1) * (rows // 1000)
        first = rows - added
        with built(folder / f"{count}", data.documents(0, first), data, vectors=data.blocks(0, first)) as index:
            started = perf_counter()
            for start in range(first, rows, max(1, rows // 1000)):
                stop = start + rows // 1000
                index.add(data.documents(start, stop), vectors=data.blocks(start, stop))
            taken = perf_counter() - started
            hybrid = [1000 * seconds(partial(index.hybrid, [text], K)) for text in data.texts]
            yield {
                "segments": len(index.manifest.segments),
                "ms": per_query(lambda query, index=index: index.search(query, K), data),
                "hybrid_ms": round(float(np.median(hybrid)), 3),
                "ms_per_add": round(1000 * taken / max(1, count - 1), 1),
            }


def per_query(ask: Callable[[np.ndarray], Any], data: Data) -> float:
    """Milliseconds of the median query, asked alone."""
    return round(1000 * float(np.median([seconds(partial(ask, query[None])) for query in data.queries])), 3)


if __name__ == "__main__":
    main()
