"""The memory-mapped folder of word vectors, written block by block as a file is read."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from itertools import accumulate, pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np

from vecsearch.encoders.words.block import Block, Subwords
from vecsearch.encoders.words.folder import (
    DTYPES,
    FORMAT,
    HASHES,
    KIND,
    NGRAMS,
    ROWS,
    STARTS,
    VECTORS,
    WORDS,
    WordsConfig,
    word_hashes,
    write_config,
)
from vecsearch.encoders.words.subwords import learned, with_ngrams
from vecsearch.errors import CheckpointError
from vecsearch.files import HEADER_BYTES, npy_header, sha256
from vecsearch.metric import normalise

CASE_WORDS = 10_000
"""So many words, the first, tell whether a model was trained on texts with capitals."""
LEARNED_FROM = 100_000
"""So many words, the first, teach n-grams what they mean."""
LEARNED = Subwords(3, 6, 200_000)
"""The n-grams of fastText's default, in a tenth of its buckets."""
COMPOSED_ROWS = 1_024
"""Words whose n-grams are added up at a time."""


class FolderWriter:
    """Writes words, vectors and n-grams into the existing, empty `folder` as they come; in memory are 16 bytes a word."""

    def __init__(self, folder: Path, dim: int, dtype: str, files: ExitStack) -> None:
        self._folder, self._dim, self._dtype = folder, dim, dtype
        self._lengths = array("q")
        self._hashes: list[np.ndarray] = []
        self._cased = False
        self._words: IO[bytes] = files.enter_context((folder / WORDS).open("wb"))
        self._tables = {name: files.enter_context((folder / name).open("wb")) for name in (VECTORS, NGRAMS)}
        self._counts = dict.fromkeys(self._tables, 0)
        for table in self._tables.values():
            table.write(bytes(HEADER_BYTES))  # the header is known when the rows have been counted

    @property
    def rows(self) -> int:
        """Vectors of words that have been written."""
        return self._counts[VECTORS]

    def add(self, block: Block) -> None:
        """Write a block. Raises CheckpointError for a number that the folder's dtype cannot hold."""
        lines = [word.encode() + b"\n" for word in block.words]
        self._words.write(b"".join(lines))
        if len(self._lengths) < CASE_WORDS:
            self._cased = self._cased or any(word != word.lower() for word in block.words)
        self._lengths.extend(map(len, lines))
        self._hashes.append(word_hashes(block.words))
        for name, rows in ((VECTORS, block.vectors), (NGRAMS, block.ngrams)):
            if rows is not None:
                self._tables[name].write(self._cast(rows).tobytes())
                self._counts[name] += len(rows)

    def close(self) -> None:
        """All rows have come: what was written can be read from now on."""
        for name, table in self._tables.items():
            table.seek(0)
            table.write(npy_header((self._counts[name], self._dim), DTYPES[self._dtype]))
            table.close()
        self._words.close()
        self._starts = np.fromiter(accumulate(self._lengths, initial=0), np.int64, len(self._lengths) + 1)
        self._text = np.memmap(self._folder / WORDS, np.uint8, "r")

    def compose(self, subwords: Subwords, progress: Callable[[float], None]) -> None:
        """Have each word's vector be the mean of its own row and of those of its n-grams, as fastText does."""
        vectors, ngrams = self._table(VECTORS, "r+"), self._table(NGRAMS, "r").view(np.ndarray)
        for first in range(0, self.rows, COMPOSED_ROWS):
            rows = vectors[first : first + COMPOSED_ROWS]
            words = [self._word(first + i) for i in range(len(rows))]
            rows[:] = with_ngrams(rows.astype(np.float32), ngrams, words, subwords)
            progress((first + len(rows)) / self.rows)
        vectors.flush()

    def learn(self, progress: Callable[[float], None]) -> Subwords:
        """Write rows of n-grams from which words that the file does not have get a vector."""
        rows = min(LEARNED_FROM, self.rows)
        vectors = normalise(self._table(VECTORS, "r")[:rows].astype(np.float32))
        ngrams = learned(vectors, [self._word(row) for row in range(rows)], LEARNED, progress)
        (self._folder / NGRAMS).write_bytes(npy_header(ngrams.shape, DTYPES[self._dtype]) + self._cast(ngrams).tobytes())
        return LEARNED

    def finish(self, subwords: Subwords | None, sif: float | None, source: Mapping[str, Any]) -> WordsConfig:
        """Write what words are looked up by, and config.json."""
        if not subwords:
            (self._folder / NGRAMS).unlink()
        hashes, rows = _lookup(np.concatenate(self._hashes), self._word)
        for name, values in ((STARTS, self._starts), (HASHES, hashes), (ROWS, rows)):
            (self._folder / name).write_bytes(npy_header(values.shape, values.dtype.str) + values.tobytes())
        files = {path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in sorted(self._folder.iterdir())}
        config = WordsConfig(
            format=FORMAT,
            kind=KIND,
            dim=self._dim,
            rows=self.rows,
            unique=len(rows),
            dtype=self._dtype,
            cased=self._cased,
            subwords=subwords,
            sif=sif,
            files=files,
            source=dict(source),
        )
        write_config(self._folder, config)
        return config

    def _word(self, row: int) -> str:
        return bytes(self._text[self._starts[row] : self._starts[row + 1] - 1]).decode()

    def _cast(self, rows: np.ndarray) -> np.ndarray:
        limit = np.finfo(self._dtype).max
        if len(rows) and (largest := np.abs(rows).max()) > limit:
            raise CheckpointError(f"a number of {largest:g} is beyond {self._dtype}'s {limit:g}; import the file in float32")
        return rows.astype(DTYPES[self._dtype])

    def _table(self, name: str, mode: str) -> np.ndarray:
        shape = self._counts[name], self._dim
        return np.memmap(self._folder / name, DTYPES[self._dtype], mode, HEADER_BYTES, shape)


def _lookup(hashes: np.ndarray, word: Callable[[int], str]) -> tuple[np.ndarray, np.ndarray]:
    """The hashes in order, and their rows, without those of words that came before: the first counts."""
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    kept = np.ones(len(order), bool)
    ends = np.flatnonzero(np.diff(hashes, append=~hashes[-1:]) != 0) + 1
    for start, stop in pairwise([0, *ends.tolist()]):
        if stop - start > 1:
            # Two words may have one hash.
            seen: set[str] = set()
            for place in range(start, stop):
                kept[place] = (this := word(int(order[place]))) not in seen
                seen.add(this)
    return hashes[kept], order[kept]
