"""vecsearch similarity --pairs: a file of pairs of texts, scored as it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vecsearch.cli.labelled import named_columns
from vecsearch.cli.options import FOLDER, Number, apply_options, skip_bad_option
from vecsearch.cli.output import emit, note
from vecsearch.cli.progress import bars
from vecsearch.cli.rules import at_most_one, only_with
from vecsearch.errors import UsageError, VecsearchError

if TYPE_CHECKING:
    from vecsearch.corpus.pairs import Pair
    from vecsearch.corpus.source import CorpusTally
    from vecsearch.encoders import Encoder
    from vecsearch.matching.calibration import Calibration
    from vecsearch.matching.fused_model import FusedModel
    from vecsearch.matching.scorers import PairScorer
    from vecsearch.matching.scoring_run import Output, ScoringRun

pairs_options = apply_options(
    click.option("--pairs", type=FOLDER, metavar="FILE", help="Score the pairs of this file, any number, instead of A and B."),
    click.option("--columns", metavar="A,B", help="With --pairs: what the columns of the texts are called."),
    click.option("--format", metavar="NAME", help="jsonl, csv, tsv, parquet or h5 (.gz, .xz), where the suffix does not tell."),
    skip_bad_option,
    click.option("-o", "--output", type=FOLDER, metavar="FILE", help="Write the scored pairs: .jsonl, .csv or .tsv."),
    click.option("--threshold", type=Number(), metavar="T", help="What a pair scores at least to be kept."),
    click.option("--by", metavar="COLUMN", help="What --threshold is about: cosine by default, probability with --fusion."),
    click.option("--kept", type=FOLDER, metavar="FILE", help="Write the pairs that reach the threshold."),
    click.option("--dropped", type=FOLDER, metavar="FILE", help="Write the pairs that do not."),
    click.option("--resume", is_flag=True, help="Go on where the same command stopped."),
    click.option("--replace", is_flag=True, help="Take the place of files that are there already."),
    only_with("--columns", "--format", "--skip-bad", "-o", "--threshold", "--by", "--kept", "--dropped", needs="--pairs"),
    only_with("--resume", "--replace", needs="--pairs"),
    only_with("--resume", "--replace", needs=("-o", "--kept", "--dropped")),
    at_most_one("--resume", "--replace"),
    only_with("--kept", "--dropped", needs=("--threshold", "--calibration", "--fusion")),
    only_with("--by", needs=("--threshold", "--kept", "--dropped")),
)


@dataclass(frozen=True)
class Judge:
    """What pairs are scored with."""

    scorer: Callable[[list[str], list[str]], PairScorer]
    """Made from both sides of the first pairs."""
    columns: Sequence[str]
    """Those that a threshold may be about; the first is what it is about where `--by` is silent."""
    threshold: tuple[str, float] | None
    """The column and value that a match has at least, where that is known."""
    settings: dict[str, Any]
    """What has to be the same for a run to be gone on with."""


def by_encoder(encoder: Encoder, calibration: Calibration | None) -> Judge:
    """Cosine and inner product, and what a calibration makes of them."""
    from vecsearch.matching.scorers import EncoderScorer

    return Judge(
        partial(EncoderScorer, encoder, calibration=calibration),
        ["cosine", "cosine_percentile", "ip", "ip_percentile", *["probability"] * bool(calibration)],
        (calibration.metric.value, calibration.threshold) if calibration else None,
        {"encoder": encoder.fingerprint} | ({"calibration": calibration.to_bytes().decode()} if calibration else {}),
    )


def by_fusion(fusion: FusedModel, encoders: Mapping[str, Encoder]) -> Judge:
    """What a fused model makes of several encoders' scores."""
    scorer = fusion.scorer(encoders)
    return Judge(
        lambda a, b: scorer,
        ["probability", *(f"{name} cosine" for name in encoders)],
        ("probability", fusion.threshold),
        {"fused model": fusion.fingerprint},
    )


def score_pairs(
    judge: Judge,
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
    """Score the pairs of a file: to files, or to stdout."""
    from vecsearch.cli.sources import note_reading
    from vecsearch.corpus.pairs import read_pairs
    from vecsearch.corpus.source import CorpusTally
    from vecsearch.matching.scoring_run import BLOCK, ScoringRun

    names = named_columns(columns, "A,B", "two, those of the texts")
    rule = _rule(judge, threshold, by, splits=kept is not None or dropped is not None)
    outputs = _outputs(output, kept, dropped, rule)
    settings = _of_file(pairs) | {"columns": columns, "rule": rule} | judge.settings
    run = ScoringRun(outputs, settings, resume=resume, replace=replace) if outputs else None
    tally = CorpusTally()
    read = read_pairs(pairs, columns=names, scored=False, format=format, skip_bad=skip_bad, tally=tally)
    first = list(islice(read, BLOCK))
    scorer = judge.scorer([pair.a for pair in first], [pair.b for pair in first])
    read = chain(first, read)
    if run:
        _to_files(run, read, scorer, tally, as_json)
    else:
        _to_stdout(read, scorer, rule, as_json)
    note_reading(tally, pairs)


def _rule(judge: Judge, threshold: float | None, by: str | None, *, splits: bool) -> list[Any] | None:
    """Which column has to be how high for a pair to be kept; None where all are."""
    if by is not None and by not in judge.columns:
        more = "" if "probability" in judge.columns else "; probability comes with --calibration or --fusion"
        raise UsageError(f"--by {by}: the pairs get no such number, but {', '.join(judge.columns)}{more}")
    if threshold is not None:
        return [by or judge.columns[0], threshold]
    if not splits:
        return None
    column, known = judge.threshold
    if by not in (None, column):
        raise UsageError(f"the threshold that is known is for {column}, not for {by}: give --threshold as well")
    return [column, known]


def _outputs(output: str | None, kept: str | None, dropped: str | None, rule: list[Any] | None) -> list[Output]:
    import numpy as np

    from vecsearch.matching.scoring_run import Output

    by, threshold = rule or ("", 0.0)
    takes = {
        output: lambda columns: np.ones(len(next(iter(columns.values()))), bool),
        kept: lambda columns: columns[by] >= threshold,
        dropped: lambda columns: ~(columns[by] >= threshold),  # what is no number too
    }
    named = [Path(name).absolute() for name in (output, kept, dropped) if name is not None]
    if len(set(named)) < len(named):
        raise UsageError("-o, --kept and --dropped are to be different files")
    return [Output(Path(name), its) for name, its in takes.items() if name is not None]


def _of_file(pairs: str) -> dict[str, Any]:
    """What tells whether a file is the same as before."""
    stat = Path(pairs).stat() if Path(pairs).is_file() else None
    size = {"bytes of the pairs": stat.st_size, "time of the pairs": stat.st_mtime_ns} if stat else {}
    return {"pairs": pairs} | size


def _to_files(run: ScoringRun, pairs: Iterator[Pair], scorer: PairScorer, tally: CorpusTally, as_json: bool) -> None:
    begun = run.done.pairs
    if begun:
        note(f"{begun:,} pairs were scored before")
    try:
        with bars() as progress:
            done = run.run(pairs, scorer, lambda: tally.fraction(), progress)
    except (VecsearchError, KeyboardInterrupt):
        if run.done.pairs:
            note(f"note: {run.done.pairs:,} pairs are scored: the same command with --resume continues after them")
        raise
    note(f"{done.pairs - begun:,} pairs scored, {scorer.encoded:,} texts encoded")
    if done.respaced:
        note(f"note: tabs and line ends in {done.respaced:,} cells of .tsv files became spaces; .csv and .jsonl keep them")
    emit([{"file": name, "pairs": rows} for name, rows in done.rows.items()], as_json=as_json)


def _to_stdout(pairs: Iterator[Pair], scorer: PairScorer, rule: list[Any] | None, as_json: bool) -> None:
    from vecsearch.matching.scoring_run import blocks, scored_rows

    for block in blocks(pairs):
        columns = scorer.columns([pair.a for pair in block], [pair.b for pair in block])
        rows = scored_rows(block, columns)
        if rule:
            rows = [row for row, its in zip(rows, (columns[rule[0]] >= rule[1]).tolist(), strict=True) if its]
        emit(rows, as_json=as_json)
