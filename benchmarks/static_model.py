"""model2vec's static model of a sentence transformer, by its defaults, for benchmarks/similarity.py to compare with.

python benchmarks/static_model.py TEACHER -o static
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vecsearch.encoders import Encoder
from vecsearch.encoders.sentence.transformer import without_torchvision


class StaticModel(Encoder):
    """A folder that model2vec saved, as an encoder."""

    def __init__(self, folder: Path) -> None:
        import model2vec

        self._model = model2vec.StaticModel.from_pretrained(folder)
        self.dim = int(self._model.dim)
        self.words: Sequence[str] = self._model.tokens

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return self._model.encode(list(texts)).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description="model2vec's static model of a sentence transformer")
    parser.add_argument("teacher", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    with without_torchvision():
        from model2vec.distill import distill

        model = distill(str(options.teacher))
    # A teacher's tokenizer may pad texts, and padding would count in the mean; what PCA gives lies in memory by columns,
    # which safetensors would store as if by rows.
    model.tokenizer.no_padding()
    model.embedding = np.ascontiguousarray(model.embedding)
    model.save_pretrained(options.output)


if __name__ == "__main__":
    main()
