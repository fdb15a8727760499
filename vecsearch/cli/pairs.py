"""vecsearch similarity --pairs: a file of pairs of texts, scored as it is read, or many files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vecsearch.cli.labelled import named_columns
from vecsearch.cli.many_pairs import note_respaced, score_many
from vecsearch.cli.options import FOLDER, Number, apply_options, skip_bad_option
from vecsearch.cli.output import emit, note
from vecsearch.cli.progress import bars
from vecsearch.cli.rules import at_most_one, only_with
from vecsearch.cli.workers import workers_options
from vecsearch.errors import UsageError, VecsearchError

if TYPE_CHECKING:
    from vecsearch.corpus.pairs import Pair
    from vecsearch.corpus.source import CorpusTally
    from vecsearch.encoders import Tally
    from vecsearch.matching.judges import Judge
    from vecsearch.matching.scorers import PairScorer
    from vecsearch.matching.scoring_run import ScoringRun

pairs_options = apply_options(
    click.option(
        "--pairs",
        type=FOLDER,
        multiple=True,
        metavar="FILE",
        help="Score the pairs of this file, folder of files or quoted 'pattern', instead of A and B; may be repeated.",
    ),
    click.option("--columns", metavar="A,B", help="With --pairs: what the columns of the texts are called."),
    click.option("--format", metavar="NAME", help="jsonl, csv, tsv, parquet or h5 (.gz, .xz), where the suffix does not tell."),
    skip_bad_option,
    click.option(
        "-o",
        "--output",
        type=FOLDER,
        metavar="PATH",
        help="Write the scored pairs: .jsonl, .csv or .tsv; of many files, or with workers, into this folder.",
    ),
    click.option("--threshold", type=Number(), metavar="T", help="What a pair scores at least to be kept."),
    click.option("--by", metavar="COLUMN", help="What --threshold is about: cosine by default, probability with --fusion."),
    click.option("--kept", type=FOLDER, metavar="PATH", help="Write the pairs that reach the threshold: a file, or a folder."),
    click.option("--dropped", type=FOLDER, metavar="PATH", help="Write the pairs that do not."),
    workers_options,
    click.option("--resume", is_flag=True, help="Go on where the same command stopped."),
    click.option("--replace", is_flag=True, help="Take the place of files that are there already."),
    only_with("--columns", "--format", "--skip-bad", "-o", "--threshold", "--by", "--kept", "--dropped", needs="--pairs"),
    only_with("--workers", "--ray", "--resume", "--replace", needs="--pairs"),
    only_with("--resume", "--replace", needs=("-o", "--kept", "--dropped")),
    at_most_one("--resume", "--replace"),
    only_with("--kept", "--dropped", needs=("--threshold", "--calibration", "--fusion")),
    only_with("--by", needs=("--threshold", "--kept", "--dropped")),
)


def score_pairs(
    judge: Judge,
    *,
    pairs: tuple[str, ...],
    columns: str | None,
    threshold: float | None,
    by: str | None,
    output: str | None,
    kept: str | None,
    dropped: str | None,
    workers: int | None,
    ray: str | None,
    **options: Any,
) -> Mapping[str, Tally]:
    """Score the pairs of a file, to files or to stdout, or those of many files into folders; what each encoder has counted."""
    from vecsearch.corpus.readers import stands_for_files

    names = named_columns(columns, "A,B", "two, those of the texts")
    rule = _rule(judge, threshold, by, splits=kept is not None or dropped is not None)
    places = {"output": output, "kept": kept, "dropped": dropped}
    given = {name: Path(its) for name, its in places.items() if its is not None}
    if len({path.absolute() for path in given.values()}) < len(given):
        raise UsageError("-o, --kept and --dropped are to be different files or folders")
    if workers is not None or ray is not None or len(pairs) > 1 or stands_for_files(pairs[0]):
        return score_many(judge, pairs, given, names, rule, workers=workers, ray=ray, **options)
    settings = _of_file(pairs[0]) | {"columns": columns, "rule": rule} | judge.settings
    return _score_one(judge, pairs[0], given, names, rule, settings, **options)


def _score_one(
    judge: Judge,
    pairs: str,
    places: Mapping[str, Path],
    columns: Sequence[str],
    rule: tuple[str, float] | None,
    settings: Mapping[str, Any],
    *,
    format: str | None,
    skip_bad: bool,
    resume: bool,
    replace: bool,
    as_json: bool,
) -> Mapping[str, Tally]:
    from vecsearch.cli.sources import note_reading
    from vecsearch.corpus.pairs import read_pairs
    from vecsearch.corpus.source import CorpusTally
    from vecsearch.matching.scoring_run import BLOCK, Output, ScoringRun, split_by

    takes = split_by(rule)
    outputs = [Output(path, takes[name]) for name, path in places.items()]
    run = ScoringRun(outputs, settings, resume=resume, replace=replace) if outputs else None
    tally = CorpusTally()
    read = read_pairs(pairs, columns=columns, scored=False, format=format, skip_bad=skip_bad, tally=tally)
    first = list(islice(read, BLOCK))
    scorer = judge.scorer([pair.a for pair in first], [pair.b for pair in first])
    read = chain(first, read)
    if run:
        _to_files(run, read, scorer, tally, as_json)
    else:
        _to_stdout(read, scorer, rule, as_json)
    note_reading(tally, pairs)
    return {name: its.tally for name, its in judge.encoders.items() if its.tally}


def _rule(judge: Judge, threshold: float | None, by: str | None, *, splits: bool) -> tuple[str, float] | None:
    """Which column has to be how high for a pair to be kept; None where all are."""
    if by is not None and by not in judge.columns:
        more = "" if "probability" in judge.columns else "; probability comes with --calibration or --fusion"
        raise UsageError(f"--by {by}: the pairs get no such number, but {', '.join(judge.columns)}{more}")
    if threshold is not None:
        return by or judge.columns[0], threshold
    if not splits:
        return None
    assert judge.threshold is not None  # where it is not known, --threshold is needed
    if by not in (None, judge.threshold[0]):
        raise UsageError(f"the threshold that is known is for {judge.threshold[0]}, not for {by}: give --threshold as well")
    return judge.threshold


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
    note_respaced(done.respaced)
    emit([{"file": name, "pairs": rows} for name, rows in done.rows.items()], as_json=as_json)


def _to_stdout(pairs: Iterator[Pair], scorer: PairScorer, rule: tuple[str, float] | None, as_json: bool) -> None:
    from vecsearch.matching.scoring_run import blocks, scored_rows

    for block in blocks(pairs):
        columns = scorer.columns([pair.a for pair in block], [pair.b for pair in block])
        rows = scored_rows(block, columns)
        if rule:
            rows = [row for row, its in zip(rows, (columns[rule[0]] >= rule[1]).tolist(), strict=True) if its]
        emit(rows, as_json=as_json)
