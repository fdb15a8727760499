"""Word vectors as an encoder: a text's vector is the mean of its words'."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from vecsearch import checks
from vecsearch.encoders.base import CONFIG, FromPath, Tally
from vecsearch.encoders.words.folder import WordsFolder
from vecsearch.encoders.words.importing import cached_words, open_word_file
from vecsearch.encoders.words.subwords import composed
from vecsearch.encoders.words.sums import sums
from vecsearch.encoders.words.tokens import Word, WordSplitter
from vecsearch.errors import CheckpointError
from vecsearch.files import sha256
from vecsearch.forks import made_once
from vecsearch.metric import normalise
from vecsearch.progress import SILENT, Progress

MOST_WORDS = 65_536
"""Words whose vectors are in memory at once."""


class WordsEncoder(FromPath):
    """A folder of word vectors, or a file, whose beginning is checked at once; the rest is read, and put into the user's cache
    as a folder, when it is first needed. `tally` counts what it has encoded since.

    A text's vector is the mean of its words' vectors, each scaled to length 1 before, as fastText does for sentences, and
    weighed where the folder says so. Raises CheckpointError for what cannot be used.

    Source of the weights: Arora, Liang and Ma 2017, "A simple but tough-to-beat baseline for sentence embeddings" (SIF).
    """

    kind = "word vectors"

    def __init__(self, path: Path) -> None:
        self._path = checks.path("path", path)
        self._made_from(self._path)
        self._progress = SILENT
        self._file = None if self._path.is_dir() else open_word_file(self._path)
        self.dim: int = self._file.dim if self._file else self._folder.config.dim
        self.tally = Tally()

    def prepare(self, progress: Progress) -> None:
        """Read the whole file now, unless that was done."""
        self._progress = progress
        self._folder  # noqa: B018 - it is made when it is first asked for

    @made_once
    def fingerprint(self) -> str:
        """32 hex digits over words, vectors, n-grams and weights."""
        config = self._folder.config
        identity = [{name: entry["sha256"] for name, entry in config.files.items()}, config.sif]
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]

    @property
    def words(self) -> Sequence[str]:
        """The model's words, in the order of the file: as a rule the commonest first."""
        return self._folder.words

    def word_ids(self, *, all_words: bool = False) -> tuple[np.ndarray, dict[str, int]]:
        """As `Encoder` has it: words that came before are left out, whatever `all_words` says."""
        ids = self._folder.unique_rows()
        return ids, {"repeated_words": len(self.words) - len(ids)}

    def encode_words(self, ids: np.ndarray) -> np.ndarray:
        """The vectors of some of the `words` as the model has them: (n,) int -> (n, dim) float32."""
        return self._folder.vectors[checks.rows("ids", ids, len(self.words))].astype(np.float32)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of `texts` in input order: (n, dim) float32. Without a word that has a vector it is zero."""
        texts = checks.texts("texts", texts, call="encoder.encode")
        words = self._splitter.of(texts)
        vectors = np.zeros((len(texts), self.dim), np.float32)
        weights = np.zeros(len(texts))
        for places, groups in _grouped(words):
            some, counted = self._sums(groups)
            vectors[places] += some  # no text is twice in one group
            weights[places] += counted
        self._count(words, weights)
        return vectors / np.where(weights, weights, 1)[:, None].astype(np.float32)

    def shares(self, text: str) -> tuple[list[str], np.ndarray]:
        """Words of a text, and the share of each in its vector, (words, dim) float32: they add up to it."""
        (words,) = self._splitter.of([checks.text("text", text)])
        vectors, weights = self._weighted(words)
        return [word for word, _ in words], vectors / np.float32(weights.sum() or 1)

    def save(self, folder: Path) -> None:
        """Copy the words and vectors into the existing, empty `folder`.

        Raises CheckpointError when a file is not what it was when it was made.
        """
        source = self._folder
        for name, entry in source.config.files.items():
            shutil.copyfile(source.path / name, Path(folder) / name)
            if sha256(Path(folder) / name) != entry["sha256"]:
                raise CheckpointError(f"{source.path / name} has changed since it was made; import the file again")
        shutil.copyfile(source.path / CONFIG, Path(folder) / CONFIG)

    def describe(self) -> dict[str, object]:
        """Facts for people, by name. Every file of a folder is compared with its hash."""
        if self._file:
            rows = self._file.rows
            words = "not counted before the file is read" if rows is None else f"{rows:,} words"
            return {"length": self.dim, "vocabulary": words, "file format": self._file.format}
        self._folder.verify()
        config = self._folder.config
        unknown = "left out, and counted"
        if config.subwords:
            unknown = f"by n-grams of {config.subwords.minn} to {config.subwords.maxn} characters"
        return {
            "length": self.dim,
            "vocabulary": f"{config.unique:,} words, {'with' if config.cased else 'without'} capitals",
            "repeated words": f"{config.rows - config.unique:,}, of which the first counts",
            "unknown words": unknown,
            "weights": f"SIF {config.sif:g}, by rank" if config.sif else "all alike",
            "stored": f"{config.dtype}, {sum(entry['bytes'] for entry in config.files.values()) / 1e6:,.1f} MB",
            **config.source,
        }

    @made_once
    def _folder(self) -> WordsFolder:
        if not self._file:
            return WordsFolder(self._path)
        folder = cached_words(self._path, self._progress)
        if folder.config.dim != self.dim:
            raise CheckpointError(f"{self._path} has changed since it was opened; open it again")
        return folder

    @made_once
    def _splitter(self) -> WordSplitter:
        return WordSplitter(self._folder.find, cased=self._folder.config.cased)

    def _sums(self, groups: Sequence[Sequence[Word]]) -> tuple[np.ndarray, np.ndarray]:
        """The sum of the weighted vectors of each group of words (g, dim) float32, and of their weights (g,) float64."""
        numbers: dict[Word, int] = {}
        ids = np.array([numbers.setdefault(word, len(numbers)) for word in chain.from_iterable(groups)], np.int64)
        lengths = np.array([len(group) for group in groups], np.int64)
        vectors, weights = self._weighted(list(numbers))
        return sums(vectors, ids, lengths), np.bincount(np.repeat(np.arange(len(groups)), lengths), weights[ids], len(groups))

    def _weighted(self, words: Sequence[Word]) -> tuple[np.ndarray, np.ndarray]:
        """Vectors of words (n, dim) float32, each of the length that it counts in a mean, and these lengths (n,) float64.

        Unknown words have vectors by their n-grams; without any, they count nothing.
        """
        config, rows = self._folder.config, np.array([row for _, row in words], np.int64)
        known = rows >= 0
        vectors = np.zeros((len(words), self.dim), np.float32)
        vectors[known] = self._folder.vectors[rows[known]]
        if config.subwords and self._folder.ngrams is not None and not known.all():
            vectors[~known] = composed(self._folder.ngrams, [word for word, row in words if row < 0], config.subwords)
        weights = vectors.any(axis=1).astype(np.float64)
        if config.sif:
            # By Zipf's law the n-th word is there 1/n times as often as the first.
            frequencies = 1 / ((rows[known] + 1) * (math.log(config.rows) + np.euler_gamma))
            weights[known] *= config.sif / (config.sif + frequencies)
        return normalise(vectors) * weights[:, None].astype(np.float32), weights

    def _count(self, words: Sequence[Sequence[Word]], weights: np.ndarray) -> None:
        tokens = sum(map(len, words))
        self.tally += Tally(
            texts=len(words),
            empty=int(np.count_nonzero(weights == 0)),
            tokens=tokens,
            words=tokens,
            unknown=sum(row < 0 for _, row in chain.from_iterable(words)),
        )


def _grouped(texts: Sequence[Sequence[Word]]) -> Iterator[tuple[list[int], list[Sequence[Word]]]]:
    """Texts, or parts of long ones, that together have at most MOST_WORDS words, each with its text's place."""
    places: list[int] = []
    parts: list[Sequence[Word]] = []
    size = 0
    for place, words in enumerate(texts):
        for first in range(0, len(words), MOST_WORDS):
            part = words[first : first + MOST_WORDS]
            if size + len(part) > MOST_WORDS:
                yield places, parts
                places, parts, size = [], [], 0
            places.append(place)
            parts.append(part)
            size += len(part)
    if parts:
        yield places, parts
