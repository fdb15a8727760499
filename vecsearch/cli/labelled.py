"""What `calibrate` and `fuse` have in common: labelled pairs, and the rule of a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from vecsearch.cli.options import Number, Share, apply_options, skip_bad_option
from vecsearch.cli.output import note
from vecsearch.cli.rules import at_most_one
from vecsearch.errors import UsageError

if TYPE_CHECKING:
    from vecsearch.matching.labelled import Labelled
    from vecsearch.matching.threshold import Rule

labelled_options = apply_options(
    click.option("--positive", type=Number(), metavar="T", help="PAIRS have graded scores: a match has at least this one."),
    click.option(
        "--precision", type=Share(), metavar="P", help="The lowest threshold of this precision, not that of the best F1."
    ),
    click.option("--recall", type=Share(), metavar="R", help="The highest threshold of this recall, not that of the best F1."),
    click.option("--columns", metavar="A,B,LABEL", help="What the columns of PAIRS are called."),
    click.option("--format", metavar="NAME", help="jsonl, csv, tsv, parquet or h5 (.gz, .xz), where the suffix does not tell."),
    skip_bad_option,
    at_most_one("--precision", "--recall"),
)


def named_columns(columns: str | None, form: str, what: str) -> Sequence[str]:
    """The names in `--columns`, as many as `form` has. Raises UsageError for another number."""
    names = () if columns is None else columns.split(",")
    if names and len(names) != len(form.split(",")):
        raise UsageError(f"--columns {columns}: name {what}: --columns {form}")
    return names


def threshold_rule(precision: float | None, recall: float | None) -> Rule:
    """What the threshold is to reach."""
    from vecsearch.matching.threshold import Rule

    return Rule("precision", precision) if precision else Rule("recall", recall) if recall else Rule()


def read_labels(pairs: str, positive: float | None, columns: str | None, format: str | None, skip_bad: bool) -> Labelled:
    """The labelled pairs of a file; stderr says what was skipped, and what they are."""
    import numpy as np

    from vecsearch.cli.sources import note_reading
    from vecsearch.corpus.source import CorpusTally
    from vecsearch.matching.labelled import read_labelled

    names = named_columns(columns, "A,B,LABEL", "three, the two texts and the label")
    tally = CorpusTally()
    labelled = read_labelled(pairs, positive=positive, columns=names, format=format, skip_bad=skip_bad, tally=tally)
    note_reading(tally, pairs)
    matches, groups = int(labelled.matches.sum()), len(np.unique(labelled.groups))
    others = len(labelled.matches) - matches
    note(f"{matches:,} matches, {others:,} others, in {groups:,} groups that share no text")
    return labelled
