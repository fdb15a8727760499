"""vecsearch similarity --pairs: a file of pairs of texts, scored as it is read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vecsearch.cli.options import FOLDER, apply_options
from vecsearch.cli.output import emit, note
from vecsearch.cli.progress import progress_bar
from vecsearch.errors import UsageError, VecsearchError

if TYPE_CHECKING:
    from vecsearch.corpus.pairs import Pair
    from vecsearch.corpus.source import CorpusTally
    from vecsearch.encoders import Encoder
    from vecsearch.matching.calibration import Calibration
    from vecsearch.matching.scoring import EncoderScorer
    from vecsearch.matching.stream import Output, Stream

COLUMNS = ("cosine", "cosine_percentile", "ip", "ip_percentile", "probability")

pairs_options = apply_options(
    click.option("--pairs", type=FOLDER, metavar="FILE", help="Score the pairs of this file, any number, instead of A and B."),
    click.option("--columns", metavar="A,B", help="With --pairs: what the columns of the texts are called."),
    click.option("--format", metavar="NAME", help="jsonl, csv, tsv, parquet or h5 (.gz, .xz), where the suffix does not tell."),
    click.option("--skip-bad", is_flag=True, help="Skip records that cannot be used, and count them, instead of stopping."),
    click.option("-o", "--output", type=FOLDER, metavar="FILE", help="Write the scored pairs: .jsonl, .csv or .tsv."),
    click.option("--threshold", type=float, metavar="T", help="What a pair scores at least to be kept."),
    click.option("--by", type=click.Choice(COLUMNS), help="The column that --threshold is about. By default cosine."),
    click.option("--kept", type=FOLDER, metavar="FILE", help="Write the pairs that reach the threshold."),
    click.option("--dropped", type=FOLDER, metavar="FILE", help="Write the pairs that do not."),
    click.option("--resume", is_flag=True, help="Go on where the same command stopped."),
    click.option("--replace", is_flag=True, help="Take the place of files that are there already."),
)


def score_pairs(
    encoder: Encoder,
    calibration: Calibration | None,
    *,
    pairs: str,
    columns: str | None,
    format: str | None,
    skip_bad: bool,
    output: str | None,
    threshold: float | None,
    by: str | None,
    kept: str | None,
    dropped: str | None,
    resume: bool,
    replace: bool,
    as_json: bool,
) -> None:
    """Score the pairs of a file with an encoder: to files, or to stdout."""
    from vecsearch.corpus.pairs import read_pairs
    from vecsearch.corpus.source import CorpusTally
    from vecsearch.matching.scoring import EncoderScorer
    from vecsearch.matching.stream import BLOCK, Stream

    names = columns.split(",") if columns else ()
    if columns and len(names) != 2:
        raise UsageError(f"--columns {columns}: name two, those of the texts: --columns A,B")
    rule = _rule(threshold, by, calibration, splits=bool(kept or dropped))
    outputs = _outputs(output, kept, dropped, rule)
    if not outputs and (resume or replace):
        raise UsageError("--resume and --replace are about files: name one with -o, --kept or --dropped")
    if resume and replace:
        raise UsageError("--resume goes on with what is there, --replace begins anew: give one of them")
    settings = _settings(encoder, calibration, pairs=pairs, columns=columns, rule=rule)
    stream = Stream(outputs, settings, resume=resume, replace=replace) if outputs else None
    tally = CorpusTally()
    read = read_pairs(pairs, columns=names, scored=False, format=format, skip_bad=skip_bad, tally=tally)
    first = list(islice(read, BLOCK))
    scorer = EncoderScorer(encoder, [pair.a for pair in first], [pair.b for pair in first], calibration=calibration)
    read = chain(first, read)
    if stream:
        _to_files(stream, read, scorer, tally, as_json)
    else:
        _to_stdout(read, scorer, rule, as_json)
    if tally.skipped:
        note(f"skipped {tally.skipped:,} bad records of {pairs}; the first: {tally.first_problem}")


def _rule(
    threshold: float | None, by: str | None, calibration: Calibration | None, *, splits: bool
) -> tuple[str, float] | None:
    """Which column has to be how high for a pair to be kept; None where all are."""
    if threshold is None and splits and calibration:
        threshold, by = calibration.threshold, by or calibration.metric.value
        if by != calibration.metric:
            raise UsageError(
                f"the calibration has a threshold for {calibration.metric}, not for {by}: give --threshold as well"
            )
    if threshold is None:
        if splits or by:
            raise UsageError("--kept, --dropped and --by need --threshold, or a --calibration, which has one")
        return None
    if by == "probability" and not calibration:
        raise UsageError("--by probability needs a --calibration: `vecsearch calibrate` makes one")
    return by or "cosine", threshold


def _outputs(output: str | None, kept: str | None, dropped: str | None, rule: tuple[str, float] | None) -> list[Output]:
    import numpy as np

    from vecsearch.matching.stream import Output

    by, threshold = rule or ("cosine", 0.0)
    takes = {
        output: lambda columns: np.ones(len(columns[by]), bool),
        kept: lambda columns: columns[by] >= threshold,
        dropped: lambda columns: ~(columns[by] >= threshold),  # what is no number too
    }
    named = [Path(name).absolute() for name in (output, kept, dropped) if name]
    if len(set(named)) < len(named):
        raise UsageError("-o, --kept and --dropped are to be different files")
    return [Output(Path(name), its) for name, its in takes.items() if name]


def _settings(encoder: Encoder, calibration: Calibration | None, *, pairs: str, **given: Any) -> dict[str, Any]:
    """What has to be the same for a stream to be gone on with."""
    stat = Path(pairs).stat() if Path(pairs).is_file() else None
    size = {"bytes of the pairs": stat.st_size, "time of the pairs": stat.st_mtime_ns} if stat else {}
    known = {"pairs": pairs, **size, **given, "encoder": encoder.fingerprint}
    return known | ({"calibration": calibration.to_bytes().decode()} if calibration else {})


def _to_files(stream: Stream, pairs: Iterator[Pair], scorer: EncoderScorer, tally: CorpusTally, as_json: bool) -> None:
    begun = stream.done.pairs
    if begun:
        note(f"{begun:,} pairs were scored before")
    try:
        with progress_bar("pairs", lambda: tally.fraction()) as progress:
            done = stream.run(pairs, scorer, progress)
    except (VecsearchError, KeyboardInterrupt):
        if stream.done.pairs:
            note(f"note: {stream.done.pairs:,} pairs are scored: the same command with --resume goes on after them")
        raise
    note(f"{done.pairs - begun:,} pairs scored, {scorer.encoded:,} texts encoded")
    emit([{"file": name, "pairs": rows} for name, rows in done.rows.items()], as_json=as_json)


def _to_stdout(pairs: Iterator[Pair], scorer: EncoderScorer, rule: tuple[str, float] | None, as_json: bool) -> None:
    from vecsearch.matching.stream import blocks, scored_rows

    for block in blocks(pairs):
        columns = scorer.columns([pair.a for pair in block], [pair.b for pair in block])
        rows = scored_rows(block, columns)
        if rule:
            rows = [row for row, its in zip(rows, (columns[rule[0]] >= rule[1]).tolist(), strict=True) if its]
        emit(rows, as_json=as_json)
