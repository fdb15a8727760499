"""vecsearch similarity"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from vecsearch.cli.encoders import NamedEncoder, encoder_option, only_one, open_all, open_calibrated, parsed
from vecsearch.cli.hits import note_tallies, note_unknown
from vecsearch.cli.marks import encode_marked, marked_option
from vecsearch.cli.opening import open_index
from vecsearch.cli.options import FOLDER, calibration_option, output_options
from vecsearch.cli.output import emit, note
from vecsearch.cli.pairs import pairs_options, score_pairs
from vecsearch.cli.rules import not_with
from vecsearch.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from vecsearch.encoders import Encoder
    from vecsearch.index.percentiles import Similarity
    from vecsearch.matching.calibration import Calibration
    from vecsearch.matching.judges import Judge

SEED = 0
"""The random pairs are the same each time: a percentile does not change between two looks."""


@click.command()
@click.argument("texts", nargs=-1, metavar="[A B]")
@click.option("--index", type=FOLDER, help="Compare documents of this index by id, or texts by its encoder.")
@marked_option
@encoder_option("The encoder, by default english. With --fusion: where its encoders are now, by name.", several=True)
@calibration_option
@click.option("--fusion", type=FOLDER, metavar="FOLDER", help="Judge by several encoders: what `vecsearch fuse` made.")
@pairs_options
@output_options
@not_with("--index", "--pairs", "--fusion", "--encoder")
@not_with("--fusion", "--calibration")
@not_with("--marked", "--pairs", "--fusion")
def similarity(
    texts: tuple[str, ...],
    index: str | None,
    marked: bool,
    encoders: list[NamedEncoder],
    calibration: str | None,
    fusion: str | None,
    as_json: bool,
    **streamed: Any,
) -> None:
    """How alike two texts are, or the pairs of a file.

    That is their cosine and inner product, with their percentiles among random pairs. A raw score says little: 0.33 may be
    high for one model and low for another. The percentile is the share of random pairs, of words of the model, of documents of
    the index or of texts of the file, that score lower. With --marked a [[marked]] word is compared as its sentence uses it.
    --calibration adds how likely the two are a match, and whether they are taken for one; --fusion the same by several
    encoders.

    --pairs scores a file of any length as it is read: to stdout, or to -o; --threshold splits it into --kept and --dropped.
    Of several files, of a folder of them or of a 'pattern', these are folders, which get a file of each name; --workers or
    --ray have several processes score, and --resume passes over the files that are done.

    \b
    vecsearch similarity king queen
    vecsearch similarity --pairs pairs.jsonl -o scored.jsonl
    vecsearch similarity --pairs results.csv --columns query,title --threshold 0.6 --kept good.csv --dropped bad.csv
    vecsearch similarity --pairs 'results/*.jsonl' --workers 8 --threshold 0.6 --kept good --dropped bad
    """
    from vecsearch.matching.calibration import Calibration

    of_file = bool(streamed["pairs"])
    if len(texts) != (0 if of_file else 2):
        raise UsageError(f"similarity takes two texts, or --pairs FILE and none; {len(texts)} were given: put each into quotes")
    calibrated = Calibration.load(calibration) if calibration is not None else None
    if of_file:
        note_tallies(score_pairs(_judge(fusion, encoders, calibrated), as_json=as_json, **streamed))
    elif fusion is not None:
        a, b = texts
        judge = _judge(fusion, encoders, None)
        columns = judge.scorer([a], [b]).columns([a], [b])
        note_unknown(*judge.encoders.values(), names=list(judge.encoders))
        emit([{"a": a, "b": b} | {name: its[0].item() for name, its in columns.items()}], as_json=as_json)
    else:
        _of_two(*texts, index, only_one(encoders), calibrated, marked=marked, as_json=as_json)


def _judge(folder: str | None, encoders: list[NamedEncoder], calibrated: Calibration | None) -> Judge:
    """What judges pairs: a fused model or one encoder."""
    from vecsearch.matching.fused_model import FusedModel
    from vecsearch.matching.judges import EncoderJudge, FusedJudge

    if folder is None:
        return EncoderJudge(open_calibrated(only_one(encoders), calibrated), calibrated)
    fusion = FusedModel.load(folder)
    return FusedJudge(fusion, open_all(encoders or [parsed(its.named) for its in fusion.encoders.values()]))


def _of_two(
    a: str,
    b: str,
    index: str | None,
    encoder: NamedEncoder | None,
    calibrated: Calibration | None,
    *,
    marked: bool,
    as_json: bool,
) -> None:
    import numpy as np

    from vecsearch.index.percentiles import index_similarity, model_similarity

    rng = np.random.default_rng(SEED)
    if index is not None:
        with open_index(index) as opened:
            if calibrated:
                calibrated.check_encoder(opened.encoder)
            found = index_similarity(opened, a, b, rng, partial(_marked, opened.encoder) if marked else None)
    else:
        model = open_calibrated(encoder, calibrated)
        found = model_similarity(model, a, b, rng, partial(_marked, model) if marked else None)
    row, metrics = asdict(found), ["cosine", "ip"]
    if calibrated:
        row, metrics = row | _judged(calibrated, found), [calibrated.metric.value]
    columns = ["a", "b", *(name for metric in metrics for name in (metric, f"{metric}_percentile"))]
    emit([row], as_json=as_json, columns=columns + ["probability", "match"] * bool(calibrated))
    if found.note:
        note(f"note: {found.note}")
    if index is None and any(len(text.split()) > 1 for text in (a, b)):
        note("note: the percentiles are among pairs of single words; --pairs and --index compare with pairs of your own texts")


def _marked(encoder: Encoder, texts: Sequence[str]) -> np.ndarray:
    return encode_marked(encoder, texts, [repr(text) for text in texts])


def _judged(calibrated: Calibration, found: Similarity) -> dict[str, Any]:
    import numpy as np

    score = getattr(found, calibrated.metric)
    return {"probability": float(calibrated.probability(np.array([score]))[0]), "match": score >= calibrated.threshold}
