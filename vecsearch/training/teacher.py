"""The teacher of a distillation: another encoder, or a file of its vectors, brought to the student's length."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from vecsearch.encoders import open_encoder
from vecsearch.encoders.base import Encoder
from vecsearch.errors import DataError, UsageError, writing
from vecsearch.files import sha256
from vecsearch.metric import normalise
from vecsearch.progress import SILENT, Progress
from vecsearch.vectors.read import VECTOR_SUFFIXES, open_vectors

BLOCK = 2048
"""Texts that a teacher encodes before they are stored."""


class Teacher:
    """An encoder's folder, or a file of vectors, a row for each text."""

    def __init__(self, path: Path) -> None:
        """Raises VectorsError, CheckpointError: the file or folder cannot be used."""
        self._path = path
        of_file = path.suffix in VECTOR_SUFFIXES
        self._file = open_vectors(path) if of_file else None
        self._encoder = None if of_file else open_encoder(path, dtype="auto")

    @cached_property
    def fingerprint(self) -> str:
        """Equal for two teachers exactly when they give the same vectors."""
        return self._encoder.fingerprint if self._encoder else sha256(self._path)

    @property
    def words(self) -> Sequence[str]:
        """The words that it knows, where it has a vocabulary."""
        return self._encoder.words if self._encoder else ()

    @property
    def pieces(self) -> Sequence[str]:
        """The pieces that it splits words into, where it does that as WordPiece."""
        return self._encoder.pieces if self._encoder else ()

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors (n, t) float32 of length 1 of any texts. Raises UsageError for a file, which has those of its rows alone."""
        if not self._encoder:
            raise UsageError(
                f"{self._path} has no vectors of words, which a new encoder begins with; "
                "give an encoder's folder as the teacher, or --from an encoder that is there"
            )
        return normalise(self._encoder.encode(texts))

    def vectors(self, texts: Sequence[str], kept: Path, *, progress: Progress = SILENT) -> np.ndarray:
        """Vectors (n, t) float32 of length 1 of the texts to learn from: a file's rows, or what the encoder makes of them.

        What is encoded is stored in the file `kept` block by block, where the next call goes on.

        Raises: DataError: a file of another number of rows, or vectors that are all zero; VectorsError: a row is not finite;
        ResourceError: the disk refuses.
        """
        if self._encoder:
            vectors = _encoded(self._encoder, texts, kept, progress)
        elif self._file.rows == len(texts):
            vectors = np.concatenate(list(self._file.blocks(BLOCK)))
        else:
            raise DataError(
                f"{self._path} has {self._file.rows:,} vectors for {len(texts):,} texts; it needs one for each, in their order"
            )
        if not vectors.any():
            raise DataError(f"the teacher {self._path} has no vectors but zero for these texts; give another")
        return normalise(vectors)


def _encoded(encoder: Encoder, texts: Sequence[str], kept: Path, progress: Progress) -> np.ndarray:
    row = 4 * encoder.dim
    with writing(kept):
        with kept.open("ab") as file:
            file.truncate(file.tell() // row * row)  # a block that was stored in part
            done = file.tell() // row
            # Texts of like length are together in a block, so that little is padding.
            order = np.argsort([len(text) for text in texts], kind="stable")
            for first in range(done, len(texts), BLOCK):
                block = encoder.encode([texts[i] for i in order[first : first + BLOCK]])
                file.write(block.astype("<f4").tobytes())
                file.flush()
                os.fsync(file.fileno())
                progress.step("texts by the teacher", first + len(block), len(texts))
        stored = np.fromfile(kept, "<f4").reshape(-1, encoder.dim)
    vectors = np.empty_like(stored)
    vectors[order] = stored
    return vectors


def reduced(vectors: np.ndarray, dim: int) -> np.ndarray:
    """Vectors (n, t) in the `dim` directions in which they are longest, without moving the origin: (n, min(t, dim)) float32."""
    if vectors.shape[1] <= dim:
        return vectors
    _, directions = np.linalg.eigh(vectors.T @ vectors)
    return vectors @ directions[:, ::-1][:, :dim]


def turned(targets: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Targets (n, t) as near to a student's vectors (m, d) of the first m of the same texts as a rotation brings them: (n, d)
    of length 1 (Schoenemann 1966, A generalized solution of the orthogonal Procrustes problem). Cosines stay what they are, but
    for the directions that are left out where t > d."""
    targets = normalise(reduced(targets, vectors.shape[1]))
    left, _, right = np.linalg.svd(targets[: len(vectors)].T @ normalise(vectors), full_matrices=False)
    return (targets @ (left @ right)).astype(np.float32)
