"""vecsearch similarity --pairs of many files: into folders, by this process or by workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vecsearch.cli.output import emit, note
from vecsearch.cli.progress import bars
from vecsearch.cli.workers import engine_of
from vecsearch.errors import UsageError

if TYPE_CHECKING:
    from vecsearch.encoders import Tally
    from vecsearch.matching.judges import Judge
    from vecsearch.matching.scoring_files import FilesScored


def score_many(
    judge: Judge,
    pairs: Sequence[str],
    folders: Mapping[str, Path],
    columns: Sequence[str],
    rule: tuple[str, float] | None,
    *,
    workers: int | None,
    ray: str | None,
    format: str | None,
    skip_bad: bool,
    resume: bool,
    replace: bool,
    as_json: bool,
) -> Mapping[str, Tally]:
    """Score files of pairs into folders; what each encoder has counted."""
    from vecsearch.matching.scoring_files import score_files
    from vecsearch.matching.scoring_plan import Scoring

    if not folders:
        raise UsageError("many files of pairs, or any by workers, are scored into folders: give -o, or --kept and --dropped")
    scoring = Scoring(**folders, threshold=rule, columns=columns, format=format, skip_bad=skip_bad)
    again = {"resume": resume, "replace": replace}
    with bars() as progress, engine_of(workers, ray) as engine:
        if engine is None:
            total = score_files(pairs, judge, scoring, progress=progress, **again)
        else:
            from vecsearch.distributed.scoring import score_files as score_by

            total = score_by(pairs, judge, scoring, engine=engine, workers=workers, progress=progress, **again)
    _report(total, folders, as_json)
    return total.tallies


def _report(total: FilesScored, folders: Mapping[str, Path], as_json: bool) -> None:
    """On stderr what was done and met, on stdout what is in the folders."""
    from vecsearch.cli.sources import note_reading

    if total.before:
        note(f"{total.before:,} files with {total.pairs_before:,} pairs were scored before")
    new = total.pairs - total.pairs_before
    note(f"{new:,} pairs of {total.files - total.before:,} files scored, {total.encoded:,} texts encoded")
    note_respaced(total.respaced)
    note_reading(total.tally, f"{total.files:,} files")
    emit(
        [{"folder": str(path), "files": total.files, "pairs": total.rows[name]} for name, path in folders.items()],
        as_json=as_json,
    )


def note_respaced(cells: int) -> None:
    """Say on stderr in how many cells of .tsv files tabs and line ends have become spaces."""
    if cells:
        note(f"note: tabs and line ends in {cells:,} cells of .tsv files became spaces; .csv and .jsonl keep them")
