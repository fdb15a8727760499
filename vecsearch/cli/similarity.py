"""vecsearch similarity"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from vecsearch.cli.options import (
    FOLDER,
    calibration_option,
    encoder_options,
    open_calibrated_encoder,
    output_options,
    require_words,
)
from vecsearch.cli.output import emit, note
from vecsearch.errors import UsageError

if TYPE_CHECKING:
    from vecsearch.matching.calibration import Calibration
    from vecsearch.quality.similarity import Similarity

SEED = 0
"""The random pairs are the same each time: a percentile does not change between two looks."""


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--index", type=FOLDER, help="Compare documents of this index by id, or texts by its encoder.")
@encoder_options
@calibration_option
@output_options
def similarity(
    a: str,
    b: str,
    index: str | None,
    encoders: tuple[str, ...],
    encoder_weights: tuple[float, ...],
    pooling: str | None,
    layers: tuple[int, ...],
    max_tokens: int | None,
    calibration: str | None,
    as_json: bool,
) -> None:
    """Cosine and inner product of the texts A and B, each with its percentile among random pairs.

    A raw score says little: 0.33 may be high for one model and low for another. The percentile is the share of random
    pairs, of words of the model or of documents of the index, that score lower. A [[marked]] word compares that word as
    its sentence uses it. --calibration adds how likely the two are a match, and whether they are taken for one.
    """
    import numpy as np

    from vecsearch.matching.calibration import Calibration
    from vecsearch.quality.similarity import index_similarity, model_similarity

    rng = np.random.default_rng(SEED)
    calibrated = Calibration.load(calibration) if calibration else None
    chosen = {"pooling": pooling, "layers": layers, "max_tokens": max_tokens}
    if index:
        if encoders or encoder_weights or any(value not in (None, ()) for value in chosen.values()):
            raise UsageError("an index has its own encoder: give --index or the encoder's options, not both")
        from vecsearch.index import Index

        with Index.open(index) as opened:
            if calibrated:
                calibrated.check_encoder(opened.encoder)
            found = index_similarity(opened, a, b, rng)
    else:
        require_words(encoders or (calibrated.encoder.names if calibrated else ()), "similarity without --index")
        encoder = open_calibrated_encoder(calibrated, encoders, encoder_weights, **chosen)
        found = model_similarity(encoder, a, b, rng)
    row, metrics = asdict(found), ["cosine", "ip"]
    if calibrated:
        row, metrics = row | _judged(calibrated, found), [calibrated.metric.value]
    columns = ["a", "b", *(name for metric in metrics for name in (metric, f"{metric}_percentile"))]
    emit([row], as_json=as_json, columns=columns + ["probability", "match"] * bool(calibrated))
    if found.note:
        note(f"note: {found.note}")
    if not index and any(len(text.split()) > 1 for text in (a, b)):
        note("note: the percentiles are among pairs of single words; --index compares with pairs of your own texts")


def _judged(calibrated: Calibration, found: Similarity) -> dict[str, Any]:
    import numpy as np

    score = getattr(found, calibrated.metric)
    return {"probability": float(calibrated.probability(np.array([score]))[0]), "match": score >= calibrated.threshold}
