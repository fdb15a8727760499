"""vecsearch calibrate"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from vecsearch.cli.encoders import NamedEncoder, encoder_option, open_named, parsed
from vecsearch.cli.labelled import labelled_options, read_labels, threshold_rule
from vecsearch.cli.options import FOLDER, output_options
from vecsearch.cli.output import emit, note

if TYPE_CHECKING:
    from vecsearch.matching.calibration import Calibration
    from vecsearch.matching.labelled import Labelled


@click.command()
@click.argument("pairs", type=FOLDER)
@click.option("-o", "--output", type=FOLDER, required=True, metavar="FILE", help="The calibration to write: JSON.")
@encoder_option("The encoder, by default english.")
@click.option("--metric", type=click.Choice(["cosine", "ip"]), default="cosine", show_default=True, help="The score.")
@click.option(
    "--method",
    type=click.Choice(["isotonic", "platt", "best"]),
    default="best",
    show_default=True,
    help="How a score becomes a probability: by steps, by a logistic curve, or by what does better on held-out pairs.",
)
@labelled_options
@click.option("--plot", type=FOLDER, metavar="FILE", help="Draw precision, recall and reliability: .png, .svg or .pdf.")
@output_options
def calibrate(
    pairs: str,
    output: str,
    encoder: NamedEncoder | None,
    metric: str,
    method: str,
    positive: float | None,
    precision: float | None,
    recall: float | None,
    columns: str | None,
    format: str | None,
    skip_bad: bool,
    plot: str | None,
    as_json: bool,
) -> None:
    """Learn from labelled PAIRS which score makes a match.

    How likely a match is at each score is learnt as well. PAIRS are two texts and a label, 1 for a match and 0 for none.
    Precision, recall and F1 are of pairs that were held out when the threshold was chosen, and so are the figures of the
    probabilities; low and high hold 95 % of samples.

    \b
    vecsearch calibrate pairs.jsonl -o calibration.json
    vecsearch calibrate sts.tsv --positive 4 --precision 0.95 --plot calibration.png -o calibration.json
    vecsearch similarity "a heist" "a robbery" --calibration calibration.json
    """
    from vecsearch.evaluation.picture import check_picture
    from vecsearch.matching.calibrate import FEW
    from vecsearch.matching.picture import plot_calibration

    rule = threshold_rule(precision, recall)
    if plot:
        check_picture(plot)
    labelled = read_labels(pairs, positive, columns, format, skip_bad)
    made = _calibrated(labelled, encoder, metric, rule=rule, method=method)
    made.save(output)
    _show(made, as_json)
    if len(labelled.matches) < FEW:
        note(f"note: {len(labelled.matches)} labels are few: below {FEW}, isotonic follows chance, and best takes platt")
    held = made.figures[rule.measure]
    if rule.least and held.value < rule.least:
        note(f"note: on held-out pairs the {rule.measure} is {held.value:.3f}, below the {rule.least:g} that you ask for")
    if plot:
        plot_calibration(plot, made)


def _calibrated(labelled: Labelled, named: NamedEncoder | None, metric: str, **choices: Any) -> Calibration:
    from vecsearch.cli.progress import bars
    from vecsearch.encoders import DEFAULT
    from vecsearch.evaluation.evaluate import encode_pairs
    from vecsearch.matching.calibrate import calibrate
    from vecsearch.matching.calibration import CalibratedEncoder
    from vecsearch.metric import Metric, pair_scores

    named = named or parsed(DEFAULT)
    encoder = open_named(named)
    with bars() as progress:
        a, b = encode_pairs(labelled.a, labelled.b, encoder, progress)
    if zero := int((~a.any(axis=1) | ~b.any(axis=1)).sum()):
        note(f"note: {zero:,} of {len(a):,} pairs have a text without a known word, and score 0")
    scorer = CalibratedEncoder(encoder.fingerprint, [named.path], [], named.options)
    return calibrate(labelled, pair_scores(a, b, Metric(metric)), Metric(metric), scorer, **choices)


def _show(made: Calibration, as_json: bool) -> None:
    emit([{"measure": name, **asdict(its)} for name, its in made.figures.items()], as_json=as_json)
    if not as_json:
        click.echo()
    ways = [{"probability": name, **asdict(its), "kept": name == made.way} for name, its in made.reliability.items()]
    emit(ways, as_json=as_json, columns=("probability", "log_loss", "brier", "ece", "kept"))
