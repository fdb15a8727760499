"""vecsearch info"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vecsearch.cli.options import FOLDER, output_options
from vecsearch.cli.recall import recall_text
from vecsearch.errors import DamagedIndexError

if TYPE_CHECKING:
    from vecsearch.store.manifest import Manifest


@click.command()
@click.argument("index", type=FOLDER)
@output_options
def info(index: str, as_json: bool) -> None:
    """What INDEX holds, how it was made, and what was counted. Checks the sizes of its files, not their bytes."""
    from vecsearch.store.snapshot import file_problems, read_manifest

    manifest = read_manifest(Path(index))
    for problem in file_problems(Path(index), manifest, check=False).values():
        raise DamagedIndexError(problem)
    facts = {
        "index": index,
        "documents": _documents(manifest, Path(index)),
        "rows": manifest.rows,
        "deleted_rows": manifest.deleted,
        "dim": manifest.dim,
        "metric": manifest.metric,
        "language": manifest.language,
        "weights": manifest.weights,
        "spec": manifest.spec,
        "search_parameters": manifest.search_parameters,
        "recall": manifest.recall,
        "drift": drift_text(manifest),
        "clusters": _clusters(manifest, Path(index)),
        "map": manifest.map and {name: manifest.map[name] for name in ("way", "rows")},
        "segments": len(manifest.segments),
        "generation": manifest.generation,
        "kept_generations": _kept(manifest, Path(index)),
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
            click.echo(f"{name:17} {line}")
            name = ""


def _documents(manifest: Manifest, folder: Path) -> int:
    """How many documents are not deleted."""
    if not manifest.deleted:
        return sum(segment["documents"] for segment in manifest.segments)
    from vecsearch.store.alive import documents_alive
    from vecsearch.store.snapshot import open_manifest

    with open_manifest(folder, manifest, check=False) as snapshot:
        return documents_alive(snapshot)


def _clusters(manifest: Manifest, folder: Path) -> dict[str, Any] | None:
    """How its clusters were made, and how well they fit; None where it has none."""
    from vecsearch.store.clusters import read_clusters

    made = read_clusters(folder, manifest)
    return made and {"way": made.way, "count": len(made.clusters), **made.settings, **made.quality}


def _kept(manifest: Manifest, folder: Path) -> list[int]:
    from vecsearch.store.snapshot import generations

    try:
        return [kept.generation for kept in generations(folder, manifest)]
    except DamagedIndexError:
        return [manifest.generation]  # verify tells what is wrong with the others


def drift_text(manifest: Manifest) -> str | None:
    """How far an index has come from the one whose recall was measured; None where that is still it, or nothing was."""
    measured = manifest.largest
    added = manifest.rows - measured.get("rows", 0)
    if manifest.recall is None or not (added or manifest.deleted):
        return None
    share = (added + manifest.deleted) / measured["rows"]
    return (
        f"the recall was measured over {measured['rows']:,} rows; since then {added:,} were added and {manifest.deleted:,} "
        f"deleted ({share:.0%}): vecsearch compact measures it again"
    )


def _lines(name: str, value: Any) -> Iterator[str]:
    """A fact for people, line by line."""
    if name == "recall":
        yield from [recall_text(value)] if value else []
    elif name == "search_parameters":
        from vecsearch.ann.spec import parameters_text

        yield from [parameters_text(value)] if value else []
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from map(_trial, part) if key == "trials" else [f"{key}: {part}"]
    elif value is not None:
        yield ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _trial(trial: dict[str, Any]) -> str:
    return (
        f"tried {trial['spec']} over {trial['rows']:,} vectors: recall {trial['recall']:.3f} in {trial['ms']:.3f} ms, "
        f"expected {trial['expected_ms']:.3f} ms over all"
    )
