"""vecsearch export"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import click

from vecsearch.cli.options import FOLDER, WholeRange, output_options
from vecsearch.cli.output import emit, note
from vecsearch.cli.progress import bars
from vecsearch.errors import UsageError

READ_ROWS = 256
"""Rows that are read at a time with their documents, each of which may be a long one."""


@click.command()
@click.argument("index", type=FOLDER)
@click.option("-o", "--output", type=FOLDER, required=True, help="File to write; its suffix is the format.")
@click.option("--vectors", "with_vectors", is_flag=True, help="With .jsonl: the vectors as well.")
@click.option("--clusters", is_flag=True, help="Each document's cluster too, as the field cluster, or cluster_.")
@click.option("--generation", type=WholeRange(1), metavar="N", help="Export an older generation that the index keeps.")
@click.option("--replace", is_flag=True, help="Take the place of files that are there already.")
@output_options
def export(
    index: str, output: str, with_vectors: bool, clusters: bool, generation: int | None, replace: bool, as_json: bool
) -> None:
    """Write the documents or the vectors of INDEX to files. Other programs read these; nothing is encoded.

    \b
    .jsonl        a document a line, with its fields; vecsearch build reads it
    .npy          vectors, and their ids in FILE.ids.txt; so do build --vectors and --ids
    .h5           vectors and ids; so does build --vectors
    .vec, .txt    word2vec text; white space in ids becomes _
    .tsv          for TensorFlow's embedding projector, with FILE.metadata.tsv

    Where texts were split, the vectors are those of passages, whose ids are their document's and #0, #1 … behind it.
    """
    from vecsearch.store.alive import alive_blocks, free_cluster_field
    from vecsearch.store.filters import CLUSTER
    from vecsearch.store.snapshot import open_snapshot
    from vecsearch.vectors.export import Content
    from vecsearch.vectors.export import export as write

    _check_output(output, with_vectors=with_vectors, replace=replace)
    with open_snapshot(Path(index), generation=generation) as snapshot:
        manifest = snapshot.manifest
        if clusters and not snapshot.clustering:
            raise UsageError(f"{index} has no clusters: vecsearch cluster makes them")
        cluster_field = free_cluster_field(snapshot) if clusters else None
        if cluster_field not in (None, CLUSTER):
            note(f'note: documents have a field "{CLUSTER}": the clusters of the index are written as "{cluster_field}"')
        rows = manifest.rows - manifest.deleted
        with bars() as progress:
            content = Content(
                partial(alive_blocks, snapshot, READ_ROWS, cluster_field=cluster_field),
                rows=rows,
                dim=manifest.dim,
                with_vectors=with_vectors,
                progress=progress,
            )
            files = write(output, content)
    row = {"index": index, "files": list(map(str, files)), "rows": rows, "dim": manifest.dim}
    emit([{**row, "generation": manifest.generation}], as_json=as_json)


def _check_output(output: str, *, with_vectors: bool, replace: bool) -> None:
    """Raises UsageError for files that are not to be written, before anything is read."""
    from vecsearch.vectors.export import export_files

    files = export_files(output)
    if with_vectors and files[0].suffix != ".jsonl":
        raise UsageError(f"--vectors belongs to .jsonl; in {files[0].suffix} the vectors are there anyway")
    if not files[0].parent.is_dir():
        raise UsageError(f"there is no folder {files[0].parent} for {output}; make it first")
    for file in files:
        if file.is_dir():
            raise UsageError(f"{file} is a folder; name another file")
        if os.path.lexists(file) and not replace:
            raise UsageError(f"{file} is there already; name another file, or pass --replace to write in its place")
