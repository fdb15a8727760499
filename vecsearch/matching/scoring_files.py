"""Many files of pairs, each scored into files of its name that appear only whole; what is done is not done again."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain, islice

from vecsearch import checks
from vecsearch.corpus.pairs import read_pairs
from vecsearch.corpus.readers import record_files
from vecsearch.corpus.source import CorpusTally
from vecsearch.corpus.sqlite_records import PREFIX
from vecsearch.encoders import Tally
from vecsearch.errors import CorpusError, UsageError, writing
from vecsearch.files import new_file, trim_memory
from vecsearch.matching.judges import Judge
from vecsearch.matching.rows import RowsFile
from vecsearch.matching.scoring_plan import Done, PairsFile, Scoring, pairs_file, places_of
from vecsearch.matching.scoring_records import (
    begin_again,
    clean,
    done_before,
    forget_begun,
    prepared,
    read_record,
    write_record,
)
from vecsearch.matching.scoring_run import BLOCK, Output, Scored, blocks, split_by, write_block
from vecsearch.progress import SILENT, Progress, check_progress, expected

Told = Callable[[int, float], None]
"""Is told how many pairs of a file are scored, and how many of its bytes, about."""


@dataclass(slots=True)
class FilesScored:
    """What is in the output folders of some files: counts over all of them, those included that were scored before."""

    files: int = 0
    pairs: int = 0
    before: int = 0
    """Files that were scored before."""
    pairs_before: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    """Of each folder, by the names of `Scoring`."""
    encoded: int = 0
    """Texts, not counting those of files that were scored before."""
    respaced: int = 0
    tally: CorpusTally = field(default_factory=CorpusTally)
    tallies: dict[str, Tally] = field(default_factory=dict)
    """What each encoder counted, by its name in the `Judge`."""

    def add(self, done: Done) -> None:
        """Count a file in."""
        self.files += 1
        self.pairs += done.scored.pairs
        self.rows.update(done.scored.rows)
        self.encoded += done.encoded
        self.respaced += done.scored.respaced
        self.tally.blank += done.blank
        self.tally.skipped += done.skipped
        self.tally.several_lines += done.several_lines
        self.tally.first_problem = self.tally.first_problem or done.first_problem
        self.tally.notes += done.notes
        for name, counts in done.tallies.items():
            self.tallies[name] = self.tallies.get(name, Tally()) + Tally(**counts)


Doing = Callable[[Sequence[PairsFile], Told], Iterator[tuple[PairsFile, Done]]]
"""Scores files, and gives each with what came of it when it is done; tells meanwhile how many pairs and bytes of one are."""


def score_file(file: PairsFile, scoring: Scoring, judge: Judge, told: Told = lambda pairs, read: None) -> Done:
    """Score a file into the folders of `scoring`, which are there; its outputs take the place of others of their names when all
    are whole. What comes of it depends on nothing that was scored before: its percentiles are among its own pairs.

    Raises: CorpusError, which names the file; ResourceError where the disk refuses.
    """
    write_record(scoring, judge, file, None)
    tally, before = CorpusTally(), _tallies(judge)
    try:
        scored, encoded, sizes = _outputs_of(file, scoring, judge, tally, told)
    except CorpusError as error:
        if str(file.path) in str(error):
            raise
        raise CorpusError(f"{file.path}: {error}", skippable=error.skippable) from error
    counted = {name: dict(counts - before[name]) for name, counts in _tallies(judge).items()}
    counts = {name: getattr(tally, name) for name in ("blank", "skipped", "first_problem", "several_lines", "notes")}
    done = Done(scored, sizes, encoded, **counts, tallies=counted)
    write_record(scoring, judge, file, done)
    return done


def _outputs_of(
    file: PairsFile, scoring: Scoring, judge: Judge, tally: CorpusTally, told: Told
) -> tuple[Scored, int, dict[str, int]]:
    """Write a file's outputs; what they are, how many texts were encoded, and their sizes."""
    options = {"columns": scoring.columns, "format": scoring.format, "skip_bad": scoring.skip_bad}
    read = read_pairs(file.path, scored=False, tally=tally, **options)
    first = list(islice(read, BLOCK))
    scorer = judge.scorer([pair.a for pair in first], [pair.b for pair in first])
    takes, places = split_by(scoring.threshold), places_of(file, scoring)
    outputs = {name: Output(path, takes[name]) for name, path in places.items()}
    done, sizes = Scored(0, dict.fromkeys(places, 0)), {}
    with ExitStack() as unfinished:
        # Under names of their own, for whoever was scoring the file before may only seem to have ended.
        parts = {name: unfinished.enter_context(new_file(path)) for name, path in places.items()}
        with ExitStack() as files:
            writers = {name: files.enter_context(RowsFile(part, places[name].suffix)) for name, part in parts.items()}
            for block in blocks(chain(first, read)):
                write_block(block, scorer, outputs, writers, done)
                trim_memory()
                told(done.pairs, tally.fraction() * file.bytes)
        with writing(file.path):
            sizes = {name: part.stat().st_size for name, part in parts.items()}
    return done, scorer.encoded, sizes


def _tallies(judge: Judge) -> dict[str, Counter[str]]:
    return {name: Counter(its.tally.as_dict() if its.tally else {}) for name, its in judge.encoders.items()}


def score_files(
    paths: Iterable[str],
    judge: Judge,
    scoring: Scoring,
    *,
    resume: bool = False,
    replace: bool = False,
    progress: Progress = SILENT,
    doing: Doing | None = None,
) -> FilesScored:
    """Score files of pairs, folders of such files, and those that meet patterns, one after another; each has an output of its
    name in each folder of `scoring`, which appears only whole. `doing` has them scored elsewhere.

    `resume` goes on with an interrupted run of the same judge and scoring: a file that is done, and as it was, is passed over.
    Without it, or `replace`, nothing that is there is touched. Raises UsageError for outputs that would have one name, are
    among the files, or were made otherwise; CorpusError for a file that cannot be used; LockedError where another process
    scores into the folders; ResourceError where the disk refuses. What is done by then is kept.
    """
    checks.instance("judge", judge, Judge, give="EncoderJudge(encoder)")
    checks.instance("scoring", scoring, Scoring, give='Scoring(output="scored")')
    check_progress(progress)
    resume, replace = checks.flag("resume", resume), checks.flag("replace", replace)
    if resume and replace:
        raise UsageError("resume and replace exclude each other: the one keeps what is done, the other does it again")
    if scoring.threshold is not None and scoring.threshold[0] not in judge.columns:
        raise UsageError(f"pairs get no {scoring.threshold[0]!r} for a threshold, but {', '.join(judge.columns)}")
    given = [str(path) for path in checks.paths("paths", paths)]
    _refuse_places(given, scoring)
    found = record_files(given, progress.note, format=scoring.format)
    files = list(dict.fromkeys(pairs_file(path, scoring.format) for path in found))
    _refuse_collisions(files, scoring)
    if resume and not scoring.records.is_dir():
        raise UsageError(f"nothing to resume: {scoring.records} is not there; run the command without --resume")
    run = _Run(files, judge, scoring, progress)
    with prepared(scoring):
        return run.by(doing or run.one_after_another, resume=resume, replace=replace)


def _refuse_places(paths: Sequence[str], scoring: Scoring) -> None:
    """Raise UsageError for what is no file that any process could read again, and for a folder that is read and written."""
    if alone := [path for path in paths if path == "-" or path.startswith(PREFIX)]:
        raise UsageError(f"{alone[0]} is no file: give it alone, without workers, or save it as one")
    written = {os.path.realpath(folder): folder for folder in scoring.folders.values()}
    if both := [path for path in paths if os.path.realpath(path) in written]:
        raise UsageError(f"{both[0]} is read, and would be written: choose another folder for what is scored")


def _refuse_collisions(files: Sequence[PairsFile], scoring: Scoring) -> None:
    """Raise UsageError where two outputs would have one name, or an output that of a file that is read."""
    by_name: dict[str, PairsFile] = {}
    for file in files:
        if (other := by_name.setdefault(file.name.casefold(), file)) is not file:
            raise UsageError(f"{other.path} and {file.path} would both be written to {file.name}: rename one of them")
    read = {os.path.realpath(file.path) for file in files}
    for file in files:
        for path in places_of(file, scoring).values():
            if os.path.realpath(path) in read:
                raise UsageError(f"{path} is read, and would be written: choose another folder")


class _Run:
    """A run under way."""

    def __init__(self, files: Sequence[PairsFile], judge: Judge, scoring: Scoring, progress: Progress) -> None:
        self._files, self._judge, self._scoring, self._progress = files, judge, scoring, progress
        self._total = FilesScored()
        self._bytes = self._done_bytes = self._last = 0
        """Of the files that are to be scored, and of those that are; pairs that were last told."""

    def by(self, doing: Doing, *, resume: bool, replace: bool) -> FilesScored:
        """Have scored what is not done."""
        todo = self._files if replace else self._undone(resume)
        clean(self._scoring, {file.name for file in todo})
        total = self._total
        total.before, total.pairs_before, total.encoded = total.files, total.pairs, 0
        self._bytes = sum(file.bytes for file in todo)
        left = {file.name: file for file in todo}
        if replace:
            begin_again(self._scoring, self._judge, todo)
        try:
            for file, done in doing(todo, self._told):
                del left[file.name]
                total.add(done)
                self._done_bytes += file.bytes
                self._told(0, 0.0)
        except BaseException:
            if total.files:
                of = f"{total.files:,} of {len(self._files):,} files"
                self._progress.note(f"{of} are scored: the same command with --resume continues after them")
            raise
        finally:
            clean(self._scoring, {file.name for file in todo})  # a lost worker's too
            forget_begun(self._scoring, left.values())
        return total

    def _undone(self, resume: bool) -> list[PairsFile]:
        """The files that are to be scored; the others are counted."""
        todo = []
        for file in self._files:
            if not resume and read_record(self._scoring, file) is not None:
                raise UsageError(
                    f"{self._scoring.records.parent} has what an earlier run made of {file.path.name}: continue with --resume, "
                    "or start again with --replace"
                )
            if (done := done_before(file, self._scoring, self._judge, self._progress.note)) is None:
                todo.append(file)
            else:
                self._total.add(done)
        return todo

    def one_after_another(self, files: Sequence[PairsFile], told: Told) -> Iterator[tuple[PairsFile, Done]]:
        """Score them in this process."""
        for file in files:
            yield file, score_file(file, self._scoring, self._judge, told)

    def _told(self, pairs: int, of_file: float) -> None:
        """Tell how many pairs are scored: those of whole files, and these, of so many bytes of another."""
        done = self._total.pairs - self._total.pairs_before + pairs
        if done > self._last:
            self._last = done
            self._progress.step("pairs", done, expected(done, (self._done_bytes + of_file) / self._bytes))
