"""vecsearch info"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vecsearch.cli.options import INDEX, output_options
from vecsearch.cli.recall import recall_text
from vecsearch.errors import DamagedIndexError
from vecsearch.urls import is_store_url

if TYPE_CHECKING:
    from vecsearch.store.manifest import Manifest


@click.command()
@click.argument("index", type=INDEX)
@output_options
def info(index: str, as_json: bool) -> None:
    """What INDEX holds, how it was made, and what was counted.

    In a folder, the sizes of its files are checked, not their bytes. Of an index in an object store only the manifest is read,
    which does not say how many of its documents are not deleted.
    """
    if is_store_url(index):
        from vecsearch.remote.commits import Place

        place = Place(index)
        manifest, kept = place.wanted().manifest, [commit.manifest.generation for commit in place.newest_first()]
        documents = None if manifest.deleted else sum(segment["documents"] for segment in manifest.segments)
        clusters = manifest.clusters and {"count": manifest.clusters["count"]}
    else:
        from vecsearch.store.snapshot import file_problems, read_manifest

        folder = Path(index)
        manifest = read_manifest(folder)
        for problem in file_problems(folder, manifest, check=False).values():
            raise DamagedIndexError(problem)
        documents, clusters, kept = _documents(manifest, folder), _clusters(manifest, folder), _kept(manifest, folder)
    _show({"index": index, "documents": documents} | _facts(manifest, clusters, kept), as_json=as_json)


def _facts(manifest: Manifest, clusters: dict[str, Any] | None, kept: list[int]) -> dict[str, Any]:
    """What a manifest says, beside its clusters and the generations that are kept."""
    return {
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
        "clusters": clusters,
        "map": manifest.map and {name: manifest.map[name] for name in ("way", "rows")},
        "segments": len(manifest.segments),
        "generation": manifest.generation,
        "kept_generations": kept,
        "created": manifest.created,
        "size_bytes": sum(entry["bytes"] for entry in manifest.files.values()),
        "encoder": manifest.encoder,
        "counts": manifest.counts,
        "provenance": manifest.provenance,
    }


def _show(facts: dict[str, Any], *, as_json: bool) -> None:
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
