"""vecsearch delete"""

from __future__ import annotations

import click

from vecsearch.cli.conditions import condition, where_option
from vecsearch.cli.options import FOLDER, output_options
from vecsearch.cli.output import emit
from vecsearch.cli.rules import at_least_one


@click.command()
@click.argument("index", type=FOLDER)
@click.argument("ids", nargs=-1)
@where_option
@output_options
@at_least_one("IDS", "--where")
def delete(index: str, ids: tuple[str, ...], where: str | None, as_json: bool) -> None:
    """Delete the documents IDS of INDEX, or those of --where. They can be brought back by rollback."""
    from vecsearch.index.index import Index

    with Index.open(index, check=False) as opened:
        deleted = opened.delete(ids, where=condition(opened, where))
        row = {"index": index, "deleted": deleted, "documents": len(opened), "generation": opened.manifest.generation}
    emit([row], as_json=as_json)
