"""model2vec's static model of a sentence transformer, by its defaults, for benchmarks/similarity.py to compare with.

python benchmarks/static_model.py TEACHER -o static
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from vecsearch.encoders.transformer import without_torchvision


class StaticModel:
    """A folder that model2vec saved, as an encoder."""

    def __init__(self, folder: Path) -> None:
        import model2vec

        self._model = model2vec.StaticModel.from_pretrained(folder)
        self.dim = int(self._model.dim)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return self._model.encode(list(texts)).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description="model2vec's static model of a sentence transformer")
    parser.add_argument("teacher", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    with TemporaryDirectory() as name, without_torchvision():
        from model2vec.distill import distill

        teacher = shutil.copytree(options.teacher, Path(name) / "teacher")
        # A tokenizer may pad every text to one length; model2vec would take the padding for a part of words and texts.
        tokenizer = json.loads((teacher / "tokenizer.json").read_bytes())
        (teacher / "tokenizer.json").write_text(json.dumps({**tokenizer, "padding": None, "truncation": None}))
        distill(str(teacher)).save_pretrained(options.output)


if __name__ == "__main__":
    main()
