"""A cache of vectors: in files of pairs the same texts recur, and each is encoded once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from vecsearch.encoders import Encoder
from vecsearch.encoders.base import check_encoder, encode_texts

REMEMBERED_BYTES = 256_000_000
"""What vectors of texts that may recur take in memory at the most."""
ENTRY_BYTES = 200
"""What a remembered text takes beside its vector: the hash that stands for it, and its place."""


class RememberingEncoder:
    """An encoder's vectors, of which the most recently used are cached, up to `limit` bytes."""

    def __init__(self, encoder: Encoder, limit: int = REMEMBERED_BYTES) -> None:
        self._encoder = check_encoder(encoder, kept=False)
        rows = max(1, limit // (4 * encoder.dim + ENTRY_BYTES))
        self._table = np.empty((rows, encoder.dim), np.float32)
        self._rows: OrderedDict[bytes, int] = OrderedDict()
        """Rows of the table by the hash of their text, those that were asked for last at the end."""
        self.encoded = 0
        """How many texts have been encoded."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of n texts: (n, dim) float32."""
        places: dict[bytes, list[int]] = {}
        for place, text in enumerate(texts):
            places.setdefault(blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest(), []).append(place)
        vectors = np.empty((len(texts), self._encoder.dim), np.float32)
        known = [key for key in places if key in self._rows]
        self._spread(vectors, [places[key] for key in known], self._table[[self._rows[key] for key in known]])
        for key in known:
            self._rows.move_to_end(key)
        new = [key for key in places if key not in self._rows]
        if new:
            encoded = encode_texts(self._encoder, [texts[places[key][0]] for key in new])
            self._spread(vectors, [places[key] for key in new], encoded)
            self._remember(new, encoded)
            self.encoded += len(new)
        return vectors

    @staticmethod
    def _spread(vectors: np.ndarray, places: list[list[int]], rows: np.ndarray) -> None:
        counts = [len(of_text) for of_text in places]
        vectors[[place for of_text in places for place in of_text]] = np.repeat(rows, counts, axis=0)

    def _remember(self, keys: list[bytes], vectors: np.ndarray) -> None:
        most = len(self._table)
        for key, vector in zip(keys[-most:], vectors[-most:], strict=True):
            row = len(self._rows) if len(self._rows) < most else self._rows.popitem(last=False)[1]
            self._rows[key] = row
            self._table[row] = vector
