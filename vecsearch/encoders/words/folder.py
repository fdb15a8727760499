"""Word vectors as a folder that is mapped into memory: nothing of it is read before it is needed.

config.json     what the files hold, with the size and sha256 of each
vectors.npy     (n, dim) float32 or float16: a row for each word
words.txt       the words in UTF-8, one a line, in the order of the file they came from: as a rule the commonest first
starts.npy      (n + 1,) int64: where in words.txt each line begins
hashes.npy      (m,) uint64: BLAKE2b of 8 bytes of each different word, sorted
rows.npy        (m,) int64: the row of each of these hashes
ngrams.npy      (bucket, dim): rows of character n-grams, where there are any
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch.encoders.base import CONFIG
from vecsearch.encoders.words.block import MOST_CHARACTERS, MOST_DIM, Subwords
from vecsearch.errors import CheckpointError
from vecsearch.files import HEADER_BYTES, npy_header, sha256
from vecsearch.forks import made_once
from vecsearch.schema import check, one_of, whole

KIND, FORMAT = "words", 1
VECTORS, WORDS, STARTS, HASHES, ROWS, NGRAMS = (
    "vectors.npy",
    "words.txt",
    "starts.npy",
    "hashes.npy",
    "rows.npy",
    "ngrams.npy",
)
DTYPES = {"float32": "<f4", "float16": "<f2"}


@dataclass(frozen=True, slots=True)
class WordsConfig:
    """config.json: `rows` words, `unique` of them different, with capitals where `cased`; "bytes" and "sha256" of each file.

    With `sif` a word of rank r counts sif / (sif + p) in a text's mean, where p is its frequency by Zipf's law.
    """

    format: int
    kind: str
    dim: int
    rows: int
    unique: int
    dtype: str
    cased: bool
    subwords: Subwords | None
    sif: float | None
    files: dict[str, dict[str, Any]]
    source: dict[str, Any] = field(default_factory=dict)

    @property
    def arrays(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """The shape and the dtype of every .npy file."""
        arrays: dict[str, tuple[tuple[int, ...], str]] = {
            VECTORS: ((self.rows, self.dim), DTYPES[self.dtype]),
            STARTS: ((self.rows + 1,), "<i8"),
            HASHES: ((self.unique,), "<u8"),
            ROWS: ((self.unique,), "<i8"),
        }
        if self.subwords:
            arrays[NGRAMS] = ((self.subwords.bucket, self.dim), DTYPES[self.dtype])
        return arrays


def write_config(folder: Path, config: WordsConfig) -> None:
    """Write config.json."""
    (folder / CONFIG).write_text(json.dumps(asdict(config), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def word_hashes(words: Sequence[str]) -> np.ndarray:
    """By what the words are looked up, (n,) uint64."""
    coded = (hashlib.blake2b(word.encode(errors="replace"), digest_size=8).digest() for word in words)
    return np.frombuffer(b"".join(coded), "<u8")


class WordsFolder:
    """A folder of word vectors, mapped into memory. Sizes are compared when it is opened, hashes by `verify`.

    Raises CheckpointError for a folder that cannot be used, naming the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = _read_config(path)
        for name, entry in self.config.files.items():
            file = path / name
            if not file.is_file():
                raise CheckpointError(f"{file} is missing: the folder is incomplete; {_REMEDY}")
            if (size := file.stat().st_size) != entry["bytes"]:
                raise CheckpointError(f"{file} has {size:,} bytes, config.json says {entry['bytes']:,}; {_REMEDY}")
        self.vectors = self._array(VECTORS)
        self.ngrams = self._array(NGRAMS) if self.config.subwords else None
        self._starts, self._hashes, self._rows = map(self._array, (STARTS, HASHES, ROWS))

    def verify(self) -> None:
        """Compare every file with its sha256. Raises CheckpointError for one that is not what was written."""
        for name, entry in self.config.files.items():
            if (found := sha256(self.path / name)) != entry["sha256"]:
                raise CheckpointError(
                    f"{self.path / name} is damaged: its sha256 is {found[:16]}…, config.json says {entry['sha256'][:16]}…; "
                    f"{_REMEDY}"
                )

    @made_once
    def words(self) -> Words:
        """The word of each row."""
        return Words(self)

    def find(self, words: Sequence[str]) -> np.ndarray:
        """The row of each of the words, (n,) int64; -1 for one that is not there."""
        found = np.full(len(words), -1, np.int64)
        hashes = word_hashes(words)
        places = np.searchsorted(self._hashes, hashes)
        for i in np.flatnonzero(self._hashes[np.minimum(places, len(self._hashes) - 1)] == hashes):
            # Two words may have one hash.
            for place in range(places[i], len(self._hashes)):
                if self._hashes[place] != hashes[i]:
                    break
                row = int(self._rows[place])
                if not 0 <= row < self.config.rows:
                    raise CheckpointError(
                        f"{self.path / ROWS} is damaged: it names row {row:,} of {self.config.rows:,}; {_REMEDY}"
                    )
                if self.words[row] == words[i]:
                    found[i] = row
                    break
        return found

    def unique_rows(self) -> np.ndarray:
        """The rows of all different words, in order, (m,) int64."""
        return np.sort(self._rows)

    def word_bytes(self, row: int) -> bytes:
        """The word of a row in UTF-8."""
        start, stop = self._starts[row : row + 2].tolist()
        return self._text[start : stop - 1]

    @made_once
    def _text(self) -> mmap.mmap:
        with (self.path / WORDS).open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def _array(self, name: str) -> np.ndarray:
        shape, dtype = self.config.arrays[name]
        path = self.path / name
        with path.open("rb") as file:
            if file.read(HEADER_BYTES) != npy_header(shape, dtype):
                raise CheckpointError(f"{path} does not begin as an array {shape} of {dtype}; {_REMEDY}")
            return np.memmap(file, dtype, "r", HEADER_BYTES, shape).view(np.ndarray)


class Words(Sequence[str]):
    """The words of a folder, each read when it is asked for."""

    def __init__(self, folder: WordsFolder) -> None:
        self._folder = folder

    def __len__(self) -> int:
        return self._folder.config.rows

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        return self._folder.word_bytes(int(row) % len(self)).decode(errors="replace")


_REMEDY = "copy the folder again, or import the file again"


def _read_config(folder: Path) -> WordsConfig:
    path = folder / CONFIG
    try:
        values = json.loads(path.read_bytes())
        if values["format"] != FORMAT or values["kind"] != KIND:
            raise CheckpointError(
                f"{path}: format {values['format']!r} of kind {values['kind']!r}; this vecsearch reads format {FORMAT} "
                f"of kind {KIND!r}: upgrade vecsearch"
            )
        check({"source": {}} | values, _EXPECTED)
        subwords = values["subwords"] and Subwords(**values["subwords"])
        config = WordsConfig(**values | {"subwords": subwords})
        _check_files(config)
        return config
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as the configuration of word vectors ({error}); {_REMEDY}") from None


_NUMBER = whole(1, (1 << 40) - 1)
_EXPECTED = {
    "dim": whole(1, MOST_DIM),
    "rows": _NUMBER,
    "unique": _NUMBER,
    "dtype": one_of(*DTYPES),
    "cased": bool,
    "subwords": (None, {"minn": _NUMBER, "maxn": whole(1, MOST_CHARACTERS), "bucket": whole(1, (1 << 31) - 1)}),
    "sif": (None, lambda value: type(value) is float and 0 < value < math.inf),
    "files": {...: {"bytes": whole(1), "sha256": str}},
    "source": dict,
}


def _check_files(config: WordsConfig) -> None:
    """Raise ValueError for files that are not those of a config's words."""
    if config.unique > config.rows:
        raise ValueError(f"holds {config.unique} as unique, of {config.rows} rows")
    if set(config.files) != {WORDS, *config.arrays}:
        raise ValueError(f"names the files {', '.join(config.files)!r:.200}")
    for name, (shape, dtype) in config.arrays.items():
        if config.files[name]["bytes"] != HEADER_BYTES + int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize:
            raise ValueError(f"{config.files[name]['bytes']:,} bytes of {name}, which is an array {shape} of {dtype}")
