"""vecsearch fuse"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vecsearch.cli.encoders import NamedEncoder, encoder_option, open_all
from vecsearch.cli.hits import note_unknown
from vecsearch.cli.labelled import labelled_options, read_labels, threshold_rule
from vecsearch.cli.options import FOLDER, output_options
from vecsearch.cli.output import emit, note

if TYPE_CHECKING:
    import numpy as np

    from vecsearch.evaluation.intervals import Drawn
    from vecsearch.matching.fuse import FusionReport, Judged
    from vecsearch.matching.labelled import Labelled

BLOCK = 1024
"""Pairs whose features are taken at a time."""


@click.command()
@click.argument("pairs", type=FOLDER)
@click.option("-o", "--output", type=FOLDER, required=True, metavar="FOLDER", help="The fused model to make: a folder.")
@encoder_option("One of the encoders, by default english. Repeat it for more.", several=True)
@click.option(
    "--model",
    type=click.Choice(["logistic", "forest", "boosting", "best"]),
    default="best",
    show_default=True,
    help="What is learnt: logistic regression, a random forest, gradient boosting; or what does best on held-out pairs.",
)
@labelled_options
@click.option("--plot", type=FOLDER, metavar="FILE", help="Draw the comparison and the importances: .png, .svg or .pdf.")
@output_options
def fuse(
    pairs: str,
    output: str,
    encoders: list[NamedEncoder],
    model: str,
    positive: float | None,
    precision: float | None,
    recall: float | None,
    columns: str | None,
    format: str | None,
    skip_bad: bool,
    plot: str | None,
    as_json: bool,
) -> None:
    """Learn to tell matches by the scores of several encoders.

    It is learnt from labelled PAIRS. Beside cosine and inner product of each encoder a model sees how long the texts are, how
    many of their words an encoder does not know, and what words and letters they have in common. It is compared with each
    encoder alone on pairs that were held out; then it says what each feature is worth: how far average precision falls when
    its values are shuffled.

    \b
    vecsearch fuse pairs.jsonl --encoder english --encoder raw=english,pooling=raw -o fused
    vecsearch similarity --pairs results.csv --fusion fused --kept good.csv --dropped bad.csv
    """
    from vecsearch.cli.progress import bars
    from vecsearch.evaluation.picture import check_picture
    from vecsearch.files import refuse_existing
    from vecsearch.matching.classifiers import require_skops
    from vecsearch.matching.fuse import fuse as learn
    from vecsearch.matching.fused_model import FusedEncoder
    from vecsearch.matching.picture import plot_fused

    refuse_existing(Path(output))
    if plot:
        check_picture(plot)
    rule = threshold_rule(precision, recall)
    if model != "logistic":
        require_skops()
    labelled = read_labels(pairs, positive, columns, format, skip_bad)
    opened = open_all(encoders)
    texts = {its.name: its.text for its in encoders}
    known = {name: FusedEncoder(texts.get(name, name), encoder.fingerprint) for name, encoder in opened.items()}
    features = _features(labelled, opened)
    note_unknown(*opened.values(), names=list(opened))
    with bars() as progress:
        made = learn(labelled, features, known, rule=rule, model=model, progress=progress)
    made.fusion.save(output, _facts(made, labelled))
    _show(made, as_json)
    if plot:
        plot_fused(plot, made)


def _features(labelled: Labelled, encoders: Mapping[str, Any]) -> dict[str, np.ndarray]:
    import numpy as np

    from vecsearch.cli.progress import bars
    from vecsearch.matching.features import PairFeatures

    features = PairFeatures(encoders)
    parts = []
    with bars() as progress:
        for first in range(0, len(labelled.a), BLOCK):
            parts.append(features.columns(labelled.a[first : first + BLOCK], labelled.b[first : first + BLOCK]))
            progress.step("pairs", min(first + BLOCK, len(labelled.a)), len(labelled.a))
    return {name: np.concatenate([part[name] for part in parts]) for name in features.names}


def _row(name: str, its: Judged) -> dict[str, Any]:
    ap, f1 = its.figures["average_precision"], its.figures["f1"]
    low, high = ap.interval
    return {
        "scores": name,
        "average_precision": ap.value,
        "low": low,
        "high": high,
        "roc_auc": its.figures["roc_auc"].value,
        "precision": its.figures["precision"].value,
        "recall": its.figures["recall"].value,
        "f1": f1.value,
        "f1_low": f1.interval[0],
        "f1_high": f1.interval[1],
        "ece": its.reliability.ece if its.reliability else None,
    }


def _compared(made: FusionReport) -> list[dict[str, Any]]:
    return [_row(name, its) for name, its in (made.single | made.models).items()]


def _gain(measure: str, drawn: Drawn) -> dict[str, Any]:
    low, high = drawn.interval
    return {"measure": measure, "difference": drawn.value, "low": low, "high": high, "p": drawn.p}


def _facts(made: FusionReport, labelled: Labelled) -> dict[str, Any]:
    """What the folder says of the model beside what it takes to apply it."""
    return {
        "pairs": {"matches": int(labelled.matches.sum()), "others": int((~labelled.matches).sum())},
        "compared": _compared(made),
        "importances": [asdict(its) for its in made.importances],
    }


def _show(made: FusionReport, as_json: bool) -> None:
    emit(_compared(made), as_json=as_json)
    gains = [_gain(measure, made.gain(measure)) for measure in ("average_precision", "f1")]
    what = {"model": made.fusion.name, "than": made.best_single}
    for rows in ([what | row for row in gains], [asdict(its) for its in made.importances]):
        if not as_json:
            click.echo()
        emit(rows, as_json=as_json)
    if gains[0]["low"] <= 0:
        note(f"note: on held-out pairs the model is not shown to be better than {made.best_single} alone, which is faster")
