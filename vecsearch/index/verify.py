"""Checking an index in a process of its own: a file that makes a library crash is then a report like any other.

As a program, `python -m vecsearch.index.verify FOLDER` prints a line of JSON before each part that it reads, and the result.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from vecsearch import ann, checks
from vecsearch.errors import DamagedIndexError, ResourceError, UnsupportedIndexError, VecsearchError
from vecsearch.metric import Metric
from vecsearch.store.snapshot import Snapshot, open_snapshot
from vecsearch.store.verify import Verification, verify


def verify_apart(folder: Path) -> Verification:
    """Every problem of the index in `folder`, and every file beside it that is not part of it, found by a child process.

    Raises UnsupportedIndexError: no such folder, not an index, or a newer format. ResourceError: it must not be read.
    """
    folder = checks.path("folder", folder)
    child = subprocess.run([sys.executable, "-m", __name__, str(folder)], capture_output=True, text=True, check=False)
    said = [json.loads(line) for line in child.stdout.splitlines() if line.startswith("{")]
    last = said[-1] if said else {}
    if "unsupported" in last:
        raise UnsupportedIndexError(last["unsupported"])
    if "refused" in last:
        raise ResourceError(last["refused"])
    if "problems" in last:
        return Verification(**last)
    code = child.returncode
    how = f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}: {child.stderr.strip()[-200:]}"
    reading = last.get("reading", folder)
    return Verification([f"{reading}: reading it ended the process that did so, with {how}"])


def main(folder: Path) -> None:
    """Check the index in `folder`, and print what is found."""

    def reading(path: str) -> None:
        print(json.dumps({"reading": path}), flush=True)

    try:
        found = verify(folder, reading)
        if not found.problems:
            found.problems.extend(_faiss_problems(folder, reading))
        print(json.dumps(asdict(found)))
    except UnsupportedIndexError as error:
        print(json.dumps({"unsupported": str(error)}))
    except ResourceError as error:
        print(json.dumps({"refused": str(error)}))


def _faiss_problems(folder: Path, reading: Callable[[str], None]) -> list[str]:
    """What is wrong with the FAISS indexes of the newest generation."""
    problems = []
    try:
        with open_snapshot(folder, check=False) as snapshot:
            for number, segment in enumerate(snapshot.segments):
                if segment.index_path:
                    reading(str(segment.index_path))
                    problems += _of_segment(snapshot, number)
    except VecsearchError as error:
        problems.append(str(error))
    return problems


def _of_segment(snapshot: Snapshot, number: int) -> list[str]:
    segment, entry = snapshot.segments[number], snapshot.manifest.segments[number]
    source = ann.Rows(segment.vectors, segment.norms, Metric(snapshot.manifest.metric))
    try:
        searcher = ann.open_searcher(segment.index_path, entry["spec"], source, entry["effort"])
    except DamagedIndexError as error:
        # It was there a moment ago: a writer has removed it, with the generation that needed it.
        return [str(error)] if segment.index_path.exists() else []
    return [f"{segment.index_path}: {problem}" for problem in searcher.problems()]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
