"""vecsearch verify"""

from __future__ import annotations

import click

from vecsearch.cli.options import FOLDER
from vecsearch.cli.output import note


@click.command()
@click.argument("index", type=FOLDER)
@click.pass_context
def verify(context: click.Context, index: str) -> None:
    """Check every byte of INDEX against its hash.

    Its parts are checked against one another as well. The exit code is 1 if anything is wrong.
    """
    from vecsearch.index.index import Index

    found = Index.verify(index)
    for line in found.notes:
        note(f"note: {line}")
    for problem in found.problems:
        click.echo(problem)
    if found.problems:
        context.exit(1)
    click.echo(f"{index}: OK")
