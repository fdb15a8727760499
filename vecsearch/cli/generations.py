"""vecsearch rollback and gc: the generations that an index keeps."""

from __future__ import annotations

from pathlib import Path

import click

from vecsearch.cli.options import FOLDER, INDEX, WholeRange, output_options
from vecsearch.cli.output import emit
from vecsearch.urls import is_store_url


@click.command()
@click.argument("index", type=FOLDER)
@click.argument("generation", type=WholeRange(1))
@output_options
def rollback(index: str, generation: int, as_json: bool) -> None:
    """Bring GENERATION of INDEX back, as its newest. `vecsearch info` lists those that are kept."""
    from vecsearch.index import update as updating

    made = updating.rollback(Path(index), generation)
    emit([{"index": index, "restored": generation, "generation": made.generation}], as_json=as_json)


@click.command()
@click.argument("index", type=INDEX)
@click.option("--keep", type=WholeRange(1), default=1, show_default=True, help="Generations to keep, the newest included.")
@output_options
def gc(index: str, keep: int, as_json: bool) -> None:
    """Remove older generations of INDEX.

    What interrupted work has left is removed as well. Programs that read an older generation go on. In an object store, what is
    younger than three days stays: a push that is under way may need it.
    """
    if is_store_url(index):
        from vecsearch.remote.collect import collect

        removed, freed = collect(index, keep)
        emit([{"index": index, "removed_files": len(removed), "freed_bytes": freed}], as_json=as_json)
        return
    from vecsearch.index import update as updating

    folder = Path(index)
    before = _size(folder)
    removed = updating.collect(folder, keep)
    emit([{"index": index, "removed_files": len(removed), "freed_bytes": before - _size(folder)}], as_json=as_json)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
