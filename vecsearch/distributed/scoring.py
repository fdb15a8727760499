"""Files of pairs scored by several processes, on this machine or on many: a file is a task."""

from __future__ import annotations

import pickle
import platform
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from vecsearch import checks
from vecsearch.distributed.crew import Crew
from vecsearch.engine import Engine
from vecsearch.errors import CorpusError, UsageError, VecsearchError
from vecsearch.matching import scoring_files
from vecsearch.matching.judges import Judge
from vecsearch.matching.scoring_files import FilesScored, Told, score_file
from vecsearch.matching.scoring_plan import Done, PairsFile, Scoring, pairs_file
from vecsearch.progress import SILENT, Progress


def score_files(
    paths: Iterable[str],
    judge: Judge,
    scoring: Scoring,
    *,
    engine: Engine,
    workers: int | None = None,
    resume: bool = False,
    replace: bool = False,
    progress: Progress = SILENT,
) -> FilesScored:
    """Score files of pairs as `matching.scoring_files.score_files` does, to the same bytes on a machine of the same kind, by
    the `workers` of an engine, by default as many as it has room for. All machines see the files, the folders and the encoders
    under the same paths.

    A worker that ends costs the file that it was at, which another scores again. Raises as that function, and ResourceError
    where workers end again and again; UsageError where a machine does not see what it needs.
    """
    checks.instance("engine", engine, Engine, give="Pool()")
    size = sum(engine.nodes().values()) if workers is None else checks.count("workers", workers, least=1)

    def doing(files: Sequence[PairsFile], told: Told) -> Iterator[tuple[PairsFile, Done]]:
        with Crew(engine, max(1, size), Held, packed(judge), judge.settings, scoring, progress=progress) as crew:
            yield from crew.results(_score, files)

    return scoring_files.score_files(paths, judge, scoring, resume=resume, replace=replace, progress=progress, doing=doing)


def packed(judge: Judge) -> bytes:
    """The judge as it is sent to workers. Raises TypeError for one of an encoder that cannot be."""
    try:
        return pickle.dumps(judge)
    except Exception as error:  # whatever an encoder's members raise
        kinds = " or ".join(sorted({type(encoder).__name__ for encoder in judge.encoders.values()}))
        raise TypeError(f"the encoder {kinds} cannot be sent to workers ({error}): give it a __reduce__") from error


class Held:
    """What a worker holds: the judge, whose encoders are opened once."""

    def __init__(self, sent: bytes, settings: dict[str, Any], scoring: Scoring) -> None:
        """Raises UsageError where this machine does not see the folders, or an encoder, or sees another."""
        for folder in (*scoring.folders.values(), scoring.records):
            if not folder.is_dir():
                raise UsageError(
                    f"the machine {platform.node()} does not see {folder}: all machines have to share the output folders, "
                    "under the same path"
                )
        try:
            self.judge: Judge = pickle.loads(sent)
        except VecsearchError as error:
            raise UsageError(
                f"the machine {platform.node()} cannot open what pairs are judged by ({error}): all machines have to see it, "
                "under the same path"
            ) from error
        if self.judge.settings != settings:
            raise UsageError(
                f"the machine {platform.node()} has another encoder, {self.judge.settings}, where {settings} is wanted"
            )
        self.scoring = scoring

    def score(self, file: PairsFile) -> Done:
        """Score a file. Raises as `score_file`, and UsageError where this machine does not see the same file."""
        try:
            same = pairs_file(file.path, self.scoring.format).bytes == file.bytes
        except CorpusError:
            same = False
        if not same:
            raise UsageError(
                f"the machine {platform.node()} does not see {file.path} of {file.bytes:,} bytes: all machines have to share "
                "the files, under the same path"
            )
        return score_file(file, self.scoring, self.judge)


def _score(held: Held, file: PairsFile) -> Done:
    """`held.score(file)`, as an engine asks for it."""
    return held.score(file)
