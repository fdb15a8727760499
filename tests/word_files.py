"""Files of word vectors, written byte by byte as their formats say, and fastText's subwords, one character at a time."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

FASTTEXT = Path(__file__).parent / "words"
"""Small models made by fastText 0.9.2 itself, and the vectors that it gives."""


def word2vec_text(words: Sequence[str], vectors: np.ndarray) -> bytes:
    lines = [f"{len(words)} {len(vectors[0])}", *glove_text(words, vectors).decode().splitlines()]
    return ("\n".join(lines) + "\n").encode()


def fasttext_vec(words: Sequence[str], vectors: np.ndarray) -> bytes:
    """As fastText writes .vec: each line ends with a space."""
    return word2vec_text(words, vectors).replace(b"\n", b" \n").replace(b" \n", b"\n", 1)


def glove_text(words: Sequence[str], vectors: np.ndarray) -> bytes:
    rows = zip(words, vectors.tolist(), strict=True)
    return "".join(f"{word} {' '.join(map('{:.9g}'.format, row))}\n" for word, row in rows).encode()


def word2vec_binary(words: Sequence[str], vectors: np.ndarray, end: bytes = b"\n") -> bytes:
    rows = zip(words, vectors.tolist(), strict=True)
    body = (word.encode() + b" " + struct.pack(f"<{len(row)}f", *row) + end for word, row in rows)
    return f"{len(words)} {vectors.shape[1]}\n".encode() + b"".join(body)


def fasttext_binary(
    words: Sequence[str],
    matrix: np.ndarray,
    *,
    minn: int = 3,
    maxn: int = 6,
    labels: Sequence[str] = (),
    version: int = 12,
    pruned: int = -1,
    quantised: int = 0,
    model: int = 2,
) -> bytes:
    """`matrix` has a row for each word, then for each bucket of n-grams."""
    rows, dim = matrix.shape
    bucket = rows - len(words)
    arguments = struct.pack("<12i", dim, 5, 5, 1, 5, 1, 2, model, bucket, minn, maxn, 100) + struct.pack("<d", 1e-4)
    head = struct.pack("<2i", 793712314, version) + arguments
    sizes = struct.pack("<3i2q", len(words) + len(labels), len(words), len(labels), 1000, pruned)
    entries = [(word, 0) for word in words] + [(label, 1) for label in labels]
    dictionary = b"".join(word.encode() + b"\0" + struct.pack("<qb", 7, kind) for word, kind in entries)
    given = struct.pack("<bqq", quantised, rows, dim) + matrix.astype("<f4").tobytes()
    output = struct.pack("<bqq", 0, len(words), dim) + np.zeros((len(words), dim), "<f4").tobytes()
    return head + sizes + dictionary + given + output


def fnv1a(data: bytes) -> int:
    """FNV-1a of 32 bits, as fastText has it: a byte above 127 is a negative number, whose sign fills the upper 24 bits."""
    value = 2166136261
    for byte in data:
        value = ((value ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * 16777619) & 0xFFFFFFFF
    return value


def ngrams(word: str, minn: int, maxn: int) -> list[str]:
    """The character n-grams of a word, its ends marked."""
    whole = f"<{word}>"
    spans = [(i, i + n) for i in range(len(whole)) for n in range(max(1, minn), maxn + 1) if i + n <= len(whole)]
    ends = [(0, 1), (len(whole) - 1, len(whole))]
    return [whole[start:stop] for start, stop in spans if (start, stop) not in ends] if word != "</s>" else []


def subword_vector(word: str, words: Sequence[str], matrix: np.ndarray, minn: int, maxn: int) -> np.ndarray:
    """The vector that fastText gives a word."""
    bucket = len(matrix) - len(words)
    rows = [len(words) + fnv1a(part.encode()) % bucket for part in ngrams(word, minn, maxn)]
    rows += [list(words).index(word)] if word in words else []
    return matrix[rows].mean(axis=0) if rows else np.zeros(matrix.shape[1])
