"""What another encoder makes of the same texts, as vectors that a student can have."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from vecsearch.corpus.vectors import VECTOR_SUFFIXES, open_vectors
from vecsearch.encoders import open_encoder
from vecsearch.encoders.base import Encoder
from vecsearch.errors import DataError, writing
from vecsearch.metric import normalise

BLOCK = 2048
"""Texts that a teacher encodes before they are stored."""


def teacher_vectors(
    teacher: Path, texts: Sequence[str], kept: Path, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> np.ndarray:
    """Vectors (n, t) float32 of length 1 of texts: a file's rows, or what the encoder in a folder makes of the texts.

    What is encoded is stored in the file `kept` block by block, where the next call goes on.

    Raises: VectorsError, CheckpointError: the file or folder cannot be used; DataError: a file of another number of rows, or
    vectors that are all zero.
    """
    if teacher.suffix in VECTOR_SUFFIXES:
        file = open_vectors(teacher)
        if file.rows != len(texts):
            raise DataError(
                f"{teacher} has {file.rows:,} vectors for {len(texts):,} texts; it needs one for each, in their order"
            )
        vectors = np.concatenate(list(file.blocks(BLOCK)))
    else:
        vectors = _encoded(open_encoder(teacher, dtype="auto"), texts, kept, progress)
    if not vectors.any():
        raise DataError(f"the teacher {teacher} has no vectors but zero for these texts; give another")
    return normalise(vectors)


def _encoded(encoder: Encoder, texts: Sequence[str], kept: Path, progress: Callable[[int, int], None]) -> np.ndarray:
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
                progress(first + len(block), len(texts))
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
