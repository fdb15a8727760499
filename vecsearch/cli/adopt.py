"""vecsearch adopt"""

from __future__ import annotations

import time
from pathlib import Path

import click

from vecsearch.cli.encoders import NamedEncoder, encoder_option, open_named
from vecsearch.cli.options import FOLDER, output_options
from vecsearch.cli.output import emit, note
from vecsearch.cli.progress import bars
from vecsearch.errors import UsageError


@click.command()
@click.argument("index", type=FOLDER)
@click.argument("segment", type=FOLDER, nargs=-1, required=True)
@click.option("--replace", is_flag=True, help="Have a document with an id that INDEX has take the place of the one there.")
@encoder_option("For a new INDEX: the encoder of segments that come without it.")
@output_options
def adopt(index: str, segment: tuple[str, ...], replace: bool, encoder: NamedEncoder | None, as_json: bool) -> None:
    """Have INDEX take in segments that were made elsewhere.

    A SEGMENT is a folder with a segment.json, or a whole index. Where there is no INDEX, it is made of them. Files are linked,
    or copied where that cannot be, and all hashes are compared; nothing of SEGMENT is changed.
    """
    from vecsearch.index.adopt import adopt, from_segments
    from vecsearch.store.layout import CURRENT
    from vecsearch.store.snapshot import read_manifest

    folder, started = Path(index), time.perf_counter()
    with bars() as progress:
        if (folder / CURRENT).exists():
            if encoder:
                raise UsageError(f"{index} is an index and has its encoder; --encoder is for one that is not there yet")
            made = adopt(folder, segment, replace=replace, progress=progress)
        else:
            if replace:
                raise UsageError(f"there is no index at {index}: nothing in it can be replaced")
            made = from_segments(folder, segment, open_named(encoder) if encoder else None, progress=progress)
    note(
        f"{made.linked_bytes / 1e6:,.1f} MB linked, {made.copied_bytes / 1e6:,.1f} MB copied "
        f"in {time.perf_counter() - started:.1f} s"
    )
    manifest = read_manifest(folder)
    figures = {"segments": made.segments, "documents": made.documents, "replaced": made.replaced, "rows": manifest.rows}
    emit([{"index": index, **figures, "generation": manifest.generation}], as_json=as_json)
