"""Any fastai AWD-LSTM checkpoint as an encoder folder of ours, without running code from the file."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vecsearch import checks
from vecsearch.encoders.ulmfit.encoder import UlmfitEncoder, first_word_note
from vecsearch.encoders.ulmfit.fastai_files import Checkpoint, read_checkpoint, read_learner
from vecsearch.encoders.ulmfit.folder import write_encoder
from vecsearch.errors import CheckpointError
from vecsearch.files import new_folder, refuse_existing, sha256
from vecsearch.text.splitting import SplitRules
from vecsearch.text.tokenizer import SentencePieceTokenizer, Tokenizer, WordTokenizer

if TYPE_CHECKING:
    from fastai.learner import Learner


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What was imported: the folder, the vocabulary file that was used, and the sizes read from the tensors."""

    folder: Path
    checkpoint: Path
    backward: Path | None
    vocabulary: str
    words: int
    note: str
    """What is odd in the vocabulary, and may be wrong; else nothing."""
    dims: dict[str, tuple[int, ...]]
    """For each direction the size of the vectors at each depth: the embedding, then each LSTM layer."""
    dtype: str
    size_bytes: int


def import_checkpoint(
    checkpoint: Path,
    vocabulary: Path | None,
    output: Path,
    *,
    backward: Path | None = None,
    lang: str = "en",
    sentencepiece: Path | None = None,
    dtype: str = "float32",
    unsafe: bool = False,
    source: Mapping[str, Any] | None = None,
) -> ImportReport:
    """Write the encoder folder `output` from a fastai checkpoint; returns what was found. There is never half a folder.

    `checkpoint` and `backward` are a .pth of `learn.save` or `save_encoder`, a .tgz or folder with one .pth and its vocabulary,
    or, with `unsafe`, an export.pkl, whose code then runs. Without `vocabulary` it is looked for beside the checkpoint. `lang`
    is the spaCy language of the tokenizer, unless `sentencepiece` names a model. `dtype` is "float32" or "float16". `source` is
    kept as provenance.

    Raises CheckpointError for a file that cannot be used, UsageError when `output` is not empty, ResourceError for a full disk.
    """
    checkpoint, output = checks.path("checkpoint", checkpoint), checks.path("output", output)
    vocabulary = None if vocabulary is None else checks.path("vocabulary", vocabulary)
    backward = None if backward is None else checks.path("backward", backward)
    sentencepiece = None if sentencepiece is None else checks.path("sentencepiece", sentencepiece)
    source = {} if source is None else checks.kept("source", source)
    lang, unsafe = checks.text("lang", lang), checks.flag("unsafe", unsafe)
    dtype = checks.one_of("dtype", dtype, ("float32", "float16"))
    refuse_existing(output)
    paths = {"forward": checkpoint} | ({"backward": backward} if backward else {})
    read = {direction: read_checkpoint(path, vocabulary, unsafe=unsafe) for direction, path in paths.items()}
    forward = read["forward"]
    if backward:
        _same_words(checkpoint, forward, backward, read["backward"])
    tensors = {
        f"{direction}.{name}": _cast(array, dtype, paths[direction])
        for direction, part in read.items()
        for name, array in part.tensors.items()
    }
    tokenizer = _tokenizer(lang, sentencepiece)
    origin = {f"{direction}_file": path.name for direction, path in paths.items()}
    origin |= {f"{direction}_sha256": sha256(path) for direction, path in paths.items() if path.is_file()}
    origin |= {"vocabulary_file": forward.vocabulary_path.name, **(source or {})}
    with new_folder(output) as folder:
        write_encoder(folder, tensors, forward.vocabulary, tokenizer, source=origin)
    return ImportReport(
        folder=output,
        checkpoint=checkpoint,
        backward=backward,
        vocabulary=forward.vocabulary_path.name,
        words=len(forward.vocabulary),
        note=f"unknown words {first_word_note(forward.vocabulary)}" if forward.vocabulary.first_is_a_word else "",
        dims={direction: part.dims for direction, part in read.items()},
        dtype=dtype,
        size_bytes=sum(path.stat().st_size for path in output.iterdir()),
    )


def from_learner(learn: Learner, *, lang: str = "en", sentencepiece: Path | None = None) -> UlmfitEncoder:
    """An encoder of a fastai learner's AWD-LSTM, a language model's or a classifier's, as it is now: what `import_checkpoint`
    makes of its files, with the same `lang` and `sentencepiece`. It lies in a temporary folder until nothing refers to it; an
    index keeps a copy, and so does `save`.

    Raises CheckpointError for a model that cannot be used, TypeError for what is no learner.
    """
    from fastai.learner import Learner

    checks.instance("learn", learn, Learner, give="a learner of fastai's, as language_model_learner makes it")
    lang = checks.text("lang", lang)
    sentencepiece = None if sentencepiece is None else checks.path("sentencepiece", sentencepiece)
    tensors, vocabulary = read_learner(learn)
    tokenizer = _tokenizer(lang, sentencepiece)
    folder = Path(tempfile.mkdtemp(prefix="vecsearch."))
    try:
        named = {f"forward.{name}": array for name, array in tensors.items()}
        write_encoder(folder, named, vocabulary, tokenizer, source={"forward_file": "a learner in memory"})
        encoder = UlmfitEncoder(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(encoder, _remove, folder, os.getpid())
    return encoder


def _tokenizer(lang: str, sentencepiece: Path | None) -> Tokenizer:
    """A SentencePiece model's, or spaCy's of a language."""
    return SentencePieceTokenizer(sentencepiece) if sentencepiece else WordTokenizer(SplitRules.from_spacy(lang))


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked process has the same encoder, and may end first
        shutil.rmtree(folder, ignore_errors=True)


def _same_words(checkpoint: Path, forward: Checkpoint, backward: Path, other: Checkpoint) -> None:
    """Both directions read the same row numbers, so row i must be the same word in both."""
    ours, theirs = forward.vocabulary.words, other.vocabulary.words
    if len(ours) != len(theirs):
        raise CheckpointError(
            f"{checkpoint} has a vocabulary of {len(ours):,} words, {backward} of {len(theirs):,}; "
            "a forward and a backward model go together only when trained on the same vocabulary"
        )
    for row, (word, its) in enumerate(zip(ours, theirs, strict=True)):
        if word != its:
            raise CheckpointError(
                f"word {row} is {word!r} in {forward.vocabulary_path.name} of {checkpoint}, {its!r} in "
                f"{other.vocabulary_path.name} of {backward}; "
                "a forward and a backward model go together only when trained on the same vocabulary"
            )


def _cast(array: np.ndarray, dtype: str, path: Path) -> np.ndarray:
    limit = np.finfo(dtype).max
    if (largest := np.abs(array).max()) > limit:
        raise CheckpointError(f"{path}: a weight of {largest:g} is beyond {dtype}'s {limit:g}; import it in float32")
    return array.astype(dtype)
