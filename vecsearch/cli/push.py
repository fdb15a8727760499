"""vecsearch push"""

from __future__ import annotations

import click

from vecsearch.cli.options import FOLDER, INDEX, output_options
from vecsearch.cli.output import emit
from vecsearch.cli.progress import bars


@click.command()
@click.argument("index", type=FOLDER)
@click.argument("url", type=INDEX)
@click.option("--replace", is_flag=True, help="Put it in the place of what is there, whether it follows from that or not.")
@output_options
def push(index: str, url: str, replace: bool, as_json: bool) -> None:
    """Make INDEX the newest generation at URL, in an object store.

    \b
    vecsearch push indexes/films s3://bucket/films
    vecsearch push indexes/films file:///mnt/shared/films     a shared folder

    Only files go up that are not there; an interrupted push goes on the next time. INDEX has to follow from what is there: of
    several that push at the same time one succeeds, and the others are told. Credentials are those of the environment.
    """
    from vecsearch.remote.push import push

    with bars() as progress:
        pushed = push(index, url, replace=replace, progress=progress)
    row = {
        "index": index,
        "url": url,
        "generation": pushed.generation,
        "commit": pushed.commit,
        "files": pushed.files,
        "uploaded_files": pushed.uploaded_files,
        "uploaded_bytes": pushed.uploaded_bytes,
    }
    shown = row if as_json else row | {"uploaded_mb": pushed.uploaded_bytes / 1e6}
    emit([shown], as_json=as_json, columns=["url", "generation", "files", "uploaded_files", "uploaded_mb"])
