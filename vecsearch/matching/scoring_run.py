"""A file of pairs of any length, scored block by block; the outputs appear when they are complete, and a run can be resumed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch.corpus.pairs import Pair
from vecsearch.errors import CorpusError, UsageError, writing
from vecsearch.files import put_in_place, trim_memory, write_whole
from vecsearch.matching.rows import SUFFIXES, RowsFile, scored_rows
from vecsearch.matching.scorers import PairScorer
from vecsearch.progress import Progress, expected
from vecsearch.resume import refuse_difference

BLOCK = 8192
"""Pairs that are scored at a time."""
BLOCK_CHARACTERS = 16_000_000
"""Characters of their texts at which a block ends earlier."""


@dataclass(slots=True)
class Scored:
    """How many pairs were scored, and how many rows each output has, by its name."""

    pairs: int
    rows: dict[str, int]
    respaced: int = 0
    """Cells of .tsv files in which tabs and line ends became spaces: the format has no place for them."""


@dataclass(frozen=True, slots=True)
class Output:
    """A file, by its suffix JSON lines, CSV or TSV, for the rows that `takes` selects: columns (n,) -> (n,) bool."""

    path: Path
    takes: Callable[[Mapping[str, np.ndarray]], np.ndarray]


def split_by(rule: tuple[str, float] | None) -> dict[str, Callable[[Mapping[str, np.ndarray]], np.ndarray]]:
    """What `Output.takes` is for all pairs, "output", for those that are "kept" by a rule, a column and the value that it has
    at least, and for those that are "dropped"."""
    by, least = rule or ("", 0.0)
    return {
        "output": lambda columns: np.ones(len(next(iter(columns.values()))), bool),
        "kept": lambda columns: columns[by] >= least,
        "dropped": lambda columns: ~(columns[by] >= least),  # what is no number too
    }


def blocks(pairs: Iterable[Pair], size: int = BLOCK, characters: int = BLOCK_CHARACTERS) -> Iterator[list[Pair]]:
    """The pairs, `size` at a time; a block ends earlier when its texts reach so many `characters`."""
    block: list[Pair] = []
    length = 0
    for pair in pairs:
        block.append(pair)
        length += len(pair.a) + len(pair.b)
        if len(block) == size or length >= characters:
            yield block
            block, length = [], 0
    if block:
        yield block


def write_block(
    block: Sequence[Pair], scorer: PairScorer, outputs: Mapping[str, Output], writers: Mapping[str, RowsFile], done: Scored
) -> None:
    """Score a block, write each output's rows of it, and count them in `done`. Raises CorpusError, ResourceError."""
    columns = scorer.columns([pair.a for pair in block], [pair.b for pair in block])
    rows = scored_rows(block, columns)
    for name, output in outputs.items():
        chosen = [row for row, its in zip(rows, output.takes(columns).tolist(), strict=True) if its]
        writers[name].write(chosen, list(rows[0]))
        done.rows[name] += len(chosen)
    done.respaced += sum(writer.taken_respaced() for writer in writers.values())
    done.pairs += len(block)


class ScoringRun:
    """Scores pairs into `outputs`; with `resume` continues an unfinished run of the same `settings`.

    Until all pairs are scored, rows are in .NAME.part beside each output, and .NAME.progress beside the first says how many are
    done; at the end the parts are renamed.
    """

    def __init__(self, outputs: Sequence[Output], settings: Mapping[str, Any], *, resume: bool, replace: bool = False) -> None:
        """Raises UsageError for an output that cannot be written; for one that exists, unless `replace`; for an unfinished one,
        unless `resume` or `replace`; and for resuming a run of other settings."""
        for output in outputs:
            _check(output.path, replace=replace or resume)
        self._first = first = outputs[0].path
        self._progress = first.with_name(f".{first.name}.progress")
        self._outputs = {str(output.path): output for output in outputs}
        self._settings = {**settings, "outputs": list(self._outputs)}
        if resume:
            self.done, self._sizes = self._unfinished()
        elif self._progress.exists() and not replace:
            raise UsageError(f"{first} is unfinished: continue with --resume, or start again with --replace")
        else:
            self._forget()
            self.done, self._sizes = Scored(0, dict.fromkeys(self._outputs, 0)), dict.fromkeys(self._outputs, 0)

    def run(
        self,
        pairs: Iterator[Pair],
        scorer: PairScorer,
        share: Callable[[], float],
        progress: Progress,
        *,
        block_pairs: int = BLOCK,
    ) -> Scored:
        """Score `pairs`, `block_pairs` at a time, after skipping those that a resumed run has scored. `share` returns the share
        of the file that has been read, 0 to 1; `progress` is called with the number of pairs done.

        Raises: CorpusError; ResourceError where the disk refuses. What is scored is kept for `resume`.
        """
        if (there := sum(1 for _ in islice(pairs, self.done.pairs))) < self.done.pairs:
            raise CorpusError(f"{there:,} pairs are there, but {self.done.pairs:,} were scored before; give the same file")
        with ExitStack() as files:
            parts = {name: Path(output.path.with_name(f".{output.path.name}.part")) for name, output in self._outputs.items()}
            for name, part in parts.items():
                if self._sizes[name] and not part.exists() and Path(name).exists():
                    os.replace(name, part)  # the run was stopped after this part had been renamed
            writers = {
                name: files.enter_context(RowsFile(part, self._outputs[name].path.suffix, self._sizes[name]))
                for name, part in parts.items()
            }
            for block in blocks(pairs, block_pairs):
                write_block(block, scorer, self._outputs, writers, self.done)
                self._keep({name: writer.flush() for name, writer in writers.items()})
                trim_memory()
                progress.step("pairs", self.done.pairs, expected(self.done.pairs, share()))
        for name, part in parts.items():
            put_in_place(part, Path(name))
        self._forget()
        return self.done

    def _forget(self) -> None:
        with writing(self._progress):
            self._progress.unlink(missing_ok=True)

    def _keep(self, sizes: Mapping[str, int]) -> None:
        state = {"settings": self._settings, "done": asdict(self.done), "bytes": sizes}
        write_whole(self._progress, json.dumps(state, indent=1, ensure_ascii=False).encode() + b"\n")

    def _unfinished(self) -> tuple[Scored, dict[str, int]]:
        try:
            state = json.loads(self._progress.read_bytes())
            settings, done, sizes = dict(state["settings"]), Scored(**state["done"]), dict(state["bytes"])
        except FileNotFoundError:
            raise UsageError(f"nothing to resume: {self._progress} is not there; run the command without --resume") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{self._progress} is damaged ({error!r}); start again with --replace") from None
        refuse_difference(self._first, settings, self._settings, anew="with --replace instead of --resume")
        return done, sizes


def _check(path: Path, *, replace: bool) -> None:
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: scored pairs are written to {', '.join(SUFFIXES)} files; choose one of these suffixes")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent} for {path}; make it first")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name another file")
    if os.path.lexists(path) and not replace:
        raise UsageError(f"{path} is there already; name another file, or pass --replace to write in its place")
