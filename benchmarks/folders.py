"""What indexing folders of documents costs, and keeping up with them: files and passages a second, memory, a sync's time.

    python benchmarks/folders.py [FOLDER …] [--made 20000]

The folders are indexed together, by the model that ships, and synced twice: as they are, and with every hundredth file
touched. `--made` does the same with so many Markdown files of its own making. `peak_mb` is of the process that builds, without
those that read files.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from report import report

COMMAND = (sys.executable, "-m", "vecsearch.cli")


def main() -> None:
    parser = argparse.ArgumentParser(description="what indexing folders and keeping up with them costs")
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--made", type=int, default=0, help="files that are made")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        copies = Path(place) / "given"
        for number, folder in enumerate(options.folders):
            shutil.copytree(folder, copies / f"{number}-{folder.name}", symlinks=True)
        rows = [measured("given", copies, Path(place) / "given-index")] if options.folders else []
        if options.made:
            rows.append(measured("made", made(Path(place) / "made", options.made), Path(place) / "made-index"))
    report("folders", rows)


def made(folder: Path, number: int) -> Path:
    """So many notes of two passages, a hundred in a folder."""
    for i in range(number):
        path = folder / f"{i // 100:04}" / f"{i}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# Note {i}\n\nWhat happened on day {i}.\n\n## More\n\nAnd what came of it {i} days later.\n")
    return folder


def measured(name: str, folder: Path, index: Path) -> dict[str, Any]:
    seconds, facts = run("build", folder, "-o", index, "--json")
    info = json.loads(subprocess.run([*COMMAND, "info", str(index), "--json"], capture_output=True, check=True).stdout)
    files = info["counts"]["files"]
    row: dict[str, Any] = {"folder": name, "files": files, "passages": facts["rows"], "build_s": round(seconds, 1)}
    row |= {"files_per_s": round(files / seconds, 1), "passages_per_s": round(facts["rows"] / seconds)}
    row["peak_mb"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    row["sync_s"] = round(sorted(run("sync", index, "--json")[0] for _ in range(3))[1], 2)
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in found[::100]:
        os.utime(path)
    row["touched"] = len(found[::100])
    row["sync_touched_s"] = round(run("sync", index, "--json")[0], 2)
    return row


def run(*words: object) -> tuple[float, dict[str, Any]]:
    started = perf_counter()
    done = subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return perf_counter() - started, json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
