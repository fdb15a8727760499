"""vecsearch cache"""

from __future__ import annotations

import click

from vecsearch.cli.options import output_options
from vecsearch.cli.output import emit


@click.command()
@click.option("--empty", is_flag=True, help="Remove all of it. Programs that have an index open go on.")
@output_options
def cache(empty: bool, as_json: bool) -> None:
    """What is kept on this machine of indexes in object stores.

    Beyond the limit, which VECSEARCH_CACHE_GB sets, what was used least recently is removed whenever an index is opened.
    """
    from vecsearch.remote import cache as files

    before = files.empty() if empty else files.held()
    row = {"folder": str(before.folder), "files": before.files, "bytes": before.bytes, "limit_bytes": before.limit_bytes}
    emit([row | {"removed": empty}], as_json=as_json)
