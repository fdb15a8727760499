"""vecsearch sync"""

from __future__ import annotations

import time

import click

from vecsearch.cli.files import reading_options, tell
from vecsearch.cli.hits import note_unknown
from vecsearch.cli.options import FOLDER, output_options
from vecsearch.cli.output import emit, note
from vecsearch.cli.progress import bars


@click.command()
@click.argument("index", type=FOLDER)
@click.argument("paths", type=FOLDER, nargs=-1)
@click.option("--dry-run", is_flag=True, help="Only list what has changed.")
@click.option("--allow-empty", is_flag=True, help="Delete the passages of a folder that holds none of its files any more.")
@reading_options
@output_options
def sync(
    index: str, paths: tuple[str, ...], dry_run: bool, allow_empty: bool, strict: bool, verbose: bool, as_json: bool
) -> None:
    """Bring INDEX to the state of its files.

    New files are added, changed ones replaced, and the passages of those that are gone deleted, in one commit. What has not
    changed is not encoded again, nor is a file that was renamed. PATHS are files and folders to follow from now on as well.
    """
    from vecsearch.index.index import Index

    started = time.perf_counter()
    with Index.open(index, check=False) as opened, bars(resumed_by="the next sync continues after them") as progress:
        changes = opened.sync(
            paths, strict=strict, dry_run=dry_run, allow_empty=allow_empty, tell=tell(verbose), progress=progress
        )
        generation, passages = opened.manifest.generation, len(opened)
        used = [opened.encoder] if changes.encoded else []
    seconds = time.perf_counter() - started
    rows = [{"file": name, "was": "", "is": what} for what in ("new", "changed", "gone") for name in getattr(changes, what)]
    rows += [{"file": new, "was": old, "is": "renamed"} for old, new in changes.renamed.items()]
    rows.sort(key=lambda row: row["file"])
    if dry_run:
        emit(rows, as_json=as_json)
        note("nothing was changed: --dry-run")
    elif verbose:
        for row in rows:
            note(f"{row['file']}: {row['is']}{', was ' + row['was'] if row['was'] else ''}")
    counted = {
        "new": len(changes.new),
        "changed": len(changes.changed),
        "renamed": len(changes.renamed),
        "gone": len(changes.gone),
    }
    note(f"files: {', '.join(f'{count:,} {name}' for name, count in counted.items())}, {changes.unchanged:,} unchanged")
    for remark in changes.remarks:
        note(f"note: {remark}")
    note_unknown(*used)
    if not dry_run:
        note(f"passages: {changes.passages:,} written, of which {changes.encoded:,} encoded, in {seconds:.1f} s")
        emit([{"index": index, **counted, "passages": passages, "generation": generation}], as_json=as_json)
