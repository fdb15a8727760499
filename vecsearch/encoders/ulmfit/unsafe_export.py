"""Opens a fastai export.pkl, which runs whatever code is in it; so this module runs in a process of its own.

`python -m vecsearch.encoders.ulmfit.unsafe_export EXPORT FOLDER` writes the model's tensors and words to FOLDER, without code.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vecsearch.errors import CheckpointError

if TYPE_CHECKING:
    from fastai.learner import Learner

WEIGHTS, VOCABULARY = "weights.pth", "vocab.json"


def open_export(path: Path, folder: Path) -> tuple[Path, Path]:
    """Paths of the state dict (.pth) and the vocabulary (.json) of the export at `path`, written to the existing `folder`.

    Raises CheckpointError with the child process's last words when it fails.
    """
    command = [sys.executable, "-m", "vecsearch.encoders.ulmfit.unsafe_export", str(path), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
    if done.returncode:
        words = done.stderr.strip().splitlines()[-1:] or [f"the process ended with status {done.returncode}"]
        raise CheckpointError(
            f"{path}: fastai cannot load this export: {words[0]}. Functions it was made with must be importable here; "
            "or save the model with `learn.save_encoder(name)` where it was trained"
        )
    return folder / WEIGHTS, folder / VOCABULARY


def words_of(learn: Learner) -> list[str]:
    """The words of a fastai learner of texts. A classifier has two vocabularies: the words, and the categories."""
    vocabulary = learn.dls.vocab
    return list(vocabulary if isinstance(vocabulary[0], str) else vocabulary[0])


def main(path: str, folder: str) -> None:
    import torch
    from fastai.learner import load_learner

    learn = load_learner(path, cpu=True)
    torch.save(learn.model.state_dict(), Path(folder) / WEIGHTS)
    (Path(folder) / VOCABULARY).write_text(json.dumps(words_of(learn)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
