"""vecsearch info"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from vecsearch.cli.options import FOLDER, output_options
from vecsearch.errors import DamagedIndexError


@click.command()
@click.argument("index", type=FOLDER)
@output_options
def info(index: str, as_json: bool) -> None:
    """What INDEX holds, how it was made, and what was counted while it was. Checks the sizes of its files, not their bytes."""
    from vecsearch.store.snapshot import file_problems, read_manifest

    manifest = read_manifest(Path(index))
    for problem in file_problems(Path(index), manifest, check=False).values():
        raise DamagedIndexError(problem)
    facts = {
        "index": index,
        "rows": manifest.rows,
        "dim": manifest.dim,
        "metric": manifest.metric,
        "spec": manifest.spec,
        "effort": manifest.effort,
        "recall": manifest.recall,
        "generation": manifest.generation,
        "created": manifest.created,
        "size_bytes": sum(entry["bytes"] for entry in manifest.files.values()),
        "encoder": manifest.encoder,
        "counts": manifest.counts,
        "provenance": manifest.provenance,
    }
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
        return
    for name, value in facts.items():
        for line in _lines(name, value):
            click.echo(f"{name:12} {line}")
            name = ""


def _lines(name: str, value: Any) -> Iterator[str]:
    """A fact for people, line by line."""
    if name == "recall":
        yield from [recall_text(value)] if value else []
    elif name == "effort":
        from vecsearch.quality.curves import effort_text

        yield from [effort_text(value)] if value else []
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from map(_trial, part) if key == "trials" else [f"{key}: {part}"]
    else:
        yield str(value)


def recall_text(recall: dict[str, Any]) -> str:
    """A manifest's recall for people: "@10 0.957 (0.954–0.960) over 4,000 queries, asked 0.95"."""
    from vecsearch.ann import Recall

    found = Recall(**{name: recall[name] for name in ("k", "queries", "mean", "low", "high")})
    return f"@{found.k} {found}" + (f", asked {recall['target']}" if recall["target"] else "")


def _trial(trial: dict[str, Any]) -> str:
    return (
        f"tried {trial['spec']} over {trial['rows']:,} vectors: recall {trial['recall']:.3f} in {trial['ms']:.3f} ms, "
        f"expected {trial['expected_ms']:.3f} ms over all"
    )
