"""The files fastai leaves: a .pth, a .tgz or folder with a .pth and its vocabulary, an export.pkl."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import tempfile
import zlib
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vecsearch.encoders.ulmfit.state_dict import PickledCodeError, lstm_tensors, read_state_dict
from vecsearch.encoders.ulmfit.unsafe_export import open_export, words_of
from vecsearch.errors import CheckpointError, writing
from vecsearch.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from fastai.learner import Learner

WEIGHTS_SUFFIXES = (".pth", ".h5")
_MEMBER_SUFFIXES = (*WEIGHTS_SUFFIXES, ".pkl", ".json", ".txt")
VOCABULARY_NAMES = ("vocab.pkl", "itos.pkl", "vocab.json", "vocab.txt", "*itos*.pkl", "*vocab*.pkl")
"""Where a vocabulary is looked for beside a checkpoint, in this order."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One direction as read: float32 tensors named as by `lstm_tensors`, and its vocabulary with the file it came from."""

    tensors: dict[str, np.ndarray]
    vocabulary: Vocabulary
    vocabulary_path: Path

    @property
    def dims(self) -> tuple[int, ...]:
        depth = sum(name.endswith(".bias") for name in self.tensors)
        layers = (self.tensors[f"lstm.{n}.weight_hh"].shape[1] for n in range(depth))
        return (self.tensors["embedding"].shape[1], *layers)


def read_checkpoint(path: Path, vocabulary: Path | None, *, unsafe: bool = False) -> Checkpoint:
    """The model in a .pth, a .tgz, a folder with one .pth in it or, with `unsafe`, an export.pkl.

    Raises CheckpointError when it cannot be used, or its vocabulary and its embedding are not of the same length.
    """
    with ExitStack() as stack:
        weights = path
        if path.is_dir():
            weights = _weights_in(path)
        elif _is_tar(path):
            weights = _weights_in(_extract(path, stack))
        try:
            state = read_state_dict(weights)
            beside = None if vocabulary else _vocabulary_beside(weights)
        except PickledCodeError:
            if not unsafe:
                raise
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{path.name}."))
            weights, beside = open_export(weights, Path(folder))
            state = read_state_dict(weights)
        tensors = lstm_tensors(state, path)
        words_path = vocabulary or beside
        if words_path is None:
            raise CheckpointError(
                f"{path}: no vocabulary beside it (looked for {', '.join(VOCABULARY_NAMES)}); name the file with --vocab. "
                "fastai keeps the words in learn.dls.vocab: json.dump(list(learn.dls.vocab), open('vocab.json', 'w'))"
            )
        words = Vocabulary.load(words_path)
    return Checkpoint(tensors, _of_length(words, words_path.name, tensors, path), words_path)


def read_learner(learn: Learner) -> tuple[dict[str, np.ndarray], Vocabulary]:
    """The tensors, as `lstm_tensors` names them, and the words of a learner in memory. Raises CheckpointError as
    `read_checkpoint` does."""
    import torch

    name = Path("the learner's model")
    state = learn.model.state_dict()
    tensors = lstm_tensors({key: its.detach().cpu().as_subclass(torch.Tensor) for key, its in state.items()}, name)
    words = Vocabulary(words_of(learn), where="learn.dls.vocab")
    return tensors, _of_length(words, "learn.dls.vocab", tensors, name)


def _of_length(words: Vocabulary, named: str, tensors: dict[str, np.ndarray], path: Path) -> Vocabulary:
    """The words, where there is one for each row of the embedding. Raises CheckpointError where not."""
    rows = len(tensors["embedding"])
    if len(words) != rows:
        raise CheckpointError(
            f"{named} has {len(words):,} words, the embedding of {path} {rows:,} rows: they do not belong together; "
            "give the vocabulary that the model was trained with (--vocab)"
        )
    return words


def _is_tar(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(2) == b"\x1f\x8b" or path.suffix in (".tgz", ".tar")
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from None


def _extract(path: Path, stack: ExitStack) -> Path:
    """A temporary folder with the weights and vocabularies of an archive under their bare names, and nothing else of it."""
    # Named after the archive, so that messages about a file in it name both.
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{path.name}.")))
    with writing(folder):
        try:
            with tarfile.open(path) as archive:
                for member in archive:
                    name = Path(member.name).name
                    # Files only: a link could point anywhere. Bare names: a path could lead anywhere.
                    if member.isfile() and not name.startswith(".") and name.endswith(_MEMBER_SUFFIXES):
                        with (folder / name).open("wb") as file:
                            shutil.copyfileobj(archive.extractfile(member), file)
                while archive.fileobj.read(2**20):
                    pass  # gzip's checksum stands behind the last member, and is compared when it is reached
        except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError) as error:
            raise CheckpointError(
                f"{path} is damaged or truncated ({error}); delete it, and copy or download it again"
            ) from None
    return folder


def _weights_in(folder: Path) -> Path:
    found = sorted(path for path in folder.iterdir() if path.suffix in WEIGHTS_SUFFIXES)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise CheckpointError(f"{folder} must hold one {' or '.join(WEIGHTS_SUFFIXES)} file, it holds {len(found)}: {names}")
    return found[0]


def _vocabulary_beside(weights: Path) -> Path | None:
    for pattern in VOCABULARY_NAMES:
        found = sorted(weights.parent.glob(pattern))
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise CheckpointError(f"{weights} has several vocabularies beside it: {names}; choose one with --vocab")
        if found:
            return found[0]
    return None
