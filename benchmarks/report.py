"""How a benchmark is asked for several values, and tells its figures: a table to read, JSON lines to keep."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vecsearch.bench.bench import processor
from vecsearch.progress import Progress

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("faiss-cpu", "fastai", "numpy", "spacy", "torch")


class Printed(Progress):
    """Prints what a long job notes."""

    def note(self, text: str) -> None:
        print(text, flush=True)


def listed(kind: Callable[[str], Any] = int) -> Callable[[str], list[Any]]:
    """The type of an option that takes several values, with commas between them."""
    return lambda text: [kind(part) for part in text.split(",")]


def machine() -> dict[str, Any]:
    """The processor, its cores and the versions a figure depends on."""
    return {"cpu": processor(), "cores": os.cpu_count(), "python": platform.python_version()} | {
        package: _version(package) for package in _PACKAGES
    }


def report(name: str, rows: list[dict[str, Any]]) -> None:
    """Print `rows` as a table and append each, with the date and the machine, to `results/<name>.jsonl`."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [columns, *([_cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    facts = {"benchmark": name, "date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine()}
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{name}.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(facts | row, ensure_ascii=False) + "\n" for row in rows)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if type(value) is int else str(value)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
