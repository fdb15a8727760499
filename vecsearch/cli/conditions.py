"""`--where` and `--cluster`: which documents may answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vecsearch.cli.options import WholeRange
from vecsearch.cli.output import note
from vecsearch.errors import UsageError

if TYPE_CHECKING:
    from vecsearch.index.index import Index

where_option = click.option(
    "--where", metavar="CONDITION", help="Only documents whose fields meet it: \"year > 1990 and genre = 'noir'\"."
)

cluster_option = click.option("--cluster", type=WholeRange(0), metavar="N", help="Only documents of this cluster.")


def condition(index: Index, where: str | None, cluster: int | None = None) -> str | None:
    """The condition that both options make, None without either; stderr says what should be known of its answer.

    Raises UsageError for a condition that cannot be asked, and for a cluster that the index does not have.
    """
    for remark in index.remarks(where) if where is not None else ():
        note(f"note: {remark}")
    if cluster is None:
        return where
    if index.clustering is None:
        raise UsageError("the index has no clusters: vecsearch cluster makes them")
    if cluster >= (count := len(index.clustering.clusters)):
        raise UsageError(f"there is no cluster {cluster}; the index has {count:,}, counted from 0: vecsearch clusters")
    return f"document.cluster = {cluster}" + (f" AND (\n{where}\n)" if where is not None else "")
