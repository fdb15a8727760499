"""vecsearch pull"""

from __future__ import annotations

import click

from vecsearch.cli.options import FOLDER, INDEX, output_options
from vecsearch.cli.output import emit
from vecsearch.cli.progress import bars


@click.command()
@click.argument("url", type=INDEX)
@click.argument("folder", type=FOLDER)
@output_options
def pull(url: str, folder: str, as_json: bool) -> None:
    """Bring the newest generation of the index at URL into FOLDER.

    FOLDER is a new one, or one that is at an earlier generation of the same index. Only files come that are not there, each is
    hashed as it comes, and an interrupted pull goes on the next time. Credentials are those of the environment.
    """
    from vecsearch.remote.pull import pull

    with bars() as progress:
        pulled = pull(url, folder, progress=progress)
    row = {
        "index": folder,
        "url": url,
        "generation": pulled.manifest.generation,
        "rows": pulled.manifest.rows,
        "files": len(pulled.manifest.files),
        "downloaded_files": pulled.files,
        "downloaded_bytes": pulled.bytes,
    }
    shown = row if as_json else row | {"downloaded_mb": pulled.bytes / 1e6}
    emit([shown], as_json=as_json, columns=["index", "generation", "rows", "files", "downloaded_files", "downloaded_mb"])
