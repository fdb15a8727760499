"""vecsearch delete"""

from __future__ import annotations

import click

from vecsearch.cli.hits import note_remarks
from vecsearch.cli.options import FOLDER, output_options, where_option
from vecsearch.cli.output import emit
from vecsearch.errors import UsageError


@click.command()
@click.argument("index", type=FOLDER)
@click.argument("ids", nargs=-1)
@where_option
@output_options
def delete(index: str, ids: tuple[str, ...], where: str | None, as_json: bool) -> None:
    """Delete the documents IDS of INDEX, or those that meet the condition of --where. They can be brought back by rollback."""
    from vecsearch.index import Index

    if not ids and where is None:
        raise UsageError("give the ids of the documents to delete, or --where")
    with Index.open(index, check=False) as opened:
        if where is not None:
            note_remarks(opened, where)
        deleted = opened.delete(ids, where=where)
        row = {"index": index, "deleted": deleted, "documents": len(opened), "generation": opened.manifest.generation}
    emit([row], as_json=as_json)
