"""What can be made better about an encoder's vectors without training: weights of its words, and a turn of its space."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vecsearch.errors import CheckpointError, DataError, UsageError

FILE = "postprocess.safetensors"
AGAIN = "make it again with `vecsearch model postprocess`"
LEAST = 1e-6
"""Share of the largest variance below which a direction is none that whitening could stretch."""


@dataclass(frozen=True, slots=True)
class Postprocess:
    """Weights of the words (V,) in the mean over a text, and what a pooled vector becomes: (vector - mean) @ matrix, with mean
    (d,) and matrix (d, d'). Each may be None, which leaves things as they are; all float32. A zero vector stays zero."""

    weights: np.ndarray | None = None
    mean: np.ndarray | None = None
    matrix: np.ndarray | None = None

    def dim(self, pooled: int) -> int:
        """Length of what a pooled vector of that length becomes."""
        return pooled if self.matrix is None else self.matrix.shape[1]

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Pooled vectors (n, d) float32 as they are given out: (n, d') float32."""
        if self.matrix is None:
            return vectors
        moved = (vectors - self.mean) @ self.matrix
        moved[~vectors.any(axis=1)] = 0
        return moved

    def save(self, folder: Path) -> None:
        """Write it into an encoder's folder."""
        from safetensors.numpy import save

        (folder / FILE).write_bytes(save(self._tensors()))

    def _tensors(self) -> dict[str, np.ndarray]:
        found = {name: getattr(self, name) for name in self.__slots__}
        return {name: np.ascontiguousarray(array) for name, array in found.items() if array is not None}


def read_postprocess(folder: Path, words: int) -> Postprocess:
    """What the encoder in a folder does with its vectors; nothing where it has no such file.

    Raises CheckpointError for a file that cannot be read, or does not fit an encoder of so many words.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = folder / FILE
    if not path.is_file():
        return Postprocess()
    try:
        found = Postprocess(**load(path.read_bytes()))
    except (SafetensorError, OSError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}; {AGAIN}") from None
    if found.weights is not None and found.weights.shape != (words,):
        raise CheckpointError(f"{path} weighs words of shape {found.weights.shape}, the encoder has {words:,}; {AGAIN}")
    shapes = [None if array is None else array.shape for array in (found.mean, found.matrix)]
    if shapes != [None, None] and (None in shapes or len(shapes[1]) != 2 or shapes[0] != shapes[1][:1]):
        raise CheckpointError(f"{path} has a mean of shape {shapes[0]} and a matrix of shape {shapes[1]}; {AGAIN}")
    return found


def sif_weights(frequencies: np.ndarray, a: float) -> np.ndarray:
    """Weights a / (a + p) of words that occur with the frequencies (V,): float32 (Arora, Liang and Ma 2017, A simple but
    tough-to-beat baseline for sentence embeddings)."""
    return (a / (a + frequencies)).astype(np.float32)


def turn(vectors: np.ndarray, *, centre: bool, remove: int, dim: int | None, whiten: bool) -> tuple[np.ndarray, np.ndarray]:
    """The mean (d,) and matrix (d, d') float32 fitted on vectors (n, d).

    With `centre` the mean becomes the origin; the `remove` directions of the largest variance are left out (Mu and Viswanath
    2018, All-but-the-top), of the others the next `dim` are kept, and with `whiten` stretched to one variance (Su et al. 2021,
    Whitening sentence representations).

    Raises: UsageError: more directions than there are; DataError: fewer vectors than directions, or too little variance.
    """
    n, d = vectors.shape
    kept = d - remove if dim is None else dim
    if kept < 1 or remove + kept > d:
        raise UsageError(f"vectors of length {d} have no {remove} directions to leave out and {kept} to keep")
    if n <= d:
        raise DataError(f"{n:,} texts are too few for vectors of length {d}: give at least {d + 1:,}")
    mean = vectors.mean(axis=0, dtype=np.float64) if centre else np.zeros(d)
    moved = vectors - mean
    variances, directions = np.linalg.eigh(moved.T @ moved / n)
    chosen = slice(remove, remove + kept)
    variances, directions = variances[::-1][chosen], directions[:, ::-1][:, chosen]
    if whiten:
        if variances.min() <= LEAST * variances.max():
            raise DataError(f"these texts' vectors do not vary in {kept} directions; keep fewer")
        directions = directions / np.sqrt(variances)
    return mean.astype(np.float32), directions.astype(np.float32)
