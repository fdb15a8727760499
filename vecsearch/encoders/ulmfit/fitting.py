"""Fitting what an encoder does with its vectors to a corpus, and writing the encoder that does it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from vecsearch import checks
from vecsearch.corpus.readers import read_corpora
from vecsearch.encoders import find_ulmfit
from vecsearch.encoders.ulmfit.encoder import UlmfitEncoder
from vecsearch.encoders.ulmfit.folder import Config, EncoderFolder, read_encoder, write_config
from vecsearch.encoders.ulmfit.pooling import Pooling
from vecsearch.encoders.ulmfit.postprocess import FILE, Postprocess, sif_weights, turn
from vecsearch.errors import UsageError
from vecsearch.files import new_folder, refuse_existing, sha256

MOST_TEXTS = 50_000


def fit_postprocess(
    encoder: str | Path,
    corpus: Path,
    output: Path,
    *,
    sif: float | None,
    centre: bool,
    remove: int,
    dim: int | None,
    whiten: bool,
    pooling: Pooling | str | None = None,
    layers: Sequence[int] | None = None,
    note: Callable[[str], None] = lambda line: None,
) -> UlmfitEncoder:
    """Write the encoder, with a postprocess fitted on the first MOST_TEXTS texts of a corpus, to the folder `output`; what came
    of it, opened. `sif` weighs words, the next four are those of `turn`; `pooling` and `layers` become the encoder's own.

    Raises: UsageError: there is a postprocess already, a pooling that has no weights, or a layer that is not there; DataError:
    too few texts; errors of the corpus and of the encoder.
    """
    encoder, corpus, output = checks.path("encoder", encoder), checks.path("corpus", corpus), checks.path("output", output)
    sif, dim = None if sif is None else checks.number("sif", sif, 0), None if dim is None else checks.count("dim", dim, least=1)
    centre, whiten, remove = checks.flag("centre", centre), checks.flag("whiten", whiten), checks.count("remove", remove)
    pooling = None if pooling is None else Pooling(pooling)
    refuse_existing(output)
    source = find_ulmfit(encoder)
    pooled = UlmfitEncoder(source, pooling=pooling, layers=layers)
    read = read_encoder(source)
    config = replace(read.config, pooling=pooled.pooling.value, layers=pooled.layers)
    if FILE in config.files:
        raise UsageError(f"{source} has a postprocess already; give the encoder that it was made from")
    if sif and config.pooling not in ("mean", "raw"):
        raise UsageError(f"{source} pools by {config.pooling}, in which no word weighs more than another; leave out --sif")
    texts = [document.text for document in islice(read_corpora([corpus], note), MOST_TEXTS)]
    with new_folder(output) as folder:
        for name in config.files:
            shutil.copyfile(source / name, folder / name)
        made = Postprocess(weights=sif_weights(_frequencies(read, texts), sif)) if sif else Postprocess()
        if centre or remove or dim or whiten:
            _write(folder, config, made)
            vectors = UlmfitEncoder(folder, dtype="auto").encode(texts)
            vectors = vectors[vectors.any(axis=1)]
            mean, matrix = turn(vectors, centre=centre, remove=remove, dim=dim, whiten=whiten)
            made = replace(made, mean=mean, matrix=matrix)
        settings = {"sif": sif, "centre": centre, "remove": remove, "dim": dim, "whiten": whiten, "texts": len(texts)}
        chosen = {name: value for name, value in settings.items() if value}
        _write(folder, replace(config, source={**config.source, "postprocess": chosen}), made)
    opened = UlmfitEncoder(output)
    opened.tally.texts = len(texts)
    return opened


def _frequencies(encoder: EncoderFolder, texts: list[str]) -> np.ndarray:
    """How often each word of the vocabulary occurs in the texts, of all their tokens: (V,) float64."""
    counts = np.zeros(len(encoder.vocabulary))
    for ids in encoder.tokenizer.numbering(encoder.vocabulary)(texts):
        np.add.at(counts, ids, 1)
    return counts / max(1, counts.sum())


def _write(folder: Path, config: Config, made: Postprocess) -> None:
    made.save(folder)
    write_config(folder, replace(config, files={**config.files, FILE: sha256(folder / FILE)}))
