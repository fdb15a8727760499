"""vecsearch info"""

from __future__ import annotations

import json
from pathlib import Path

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
        if not isinstance(value, dict):
            click.echo(f"{name:12} {value}")
        for key, part in value.items() if isinstance(value, dict) else ():
            click.echo(f"{name:12} {key}: {part}")
            name = ""
