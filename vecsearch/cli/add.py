"""vecsearch add"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from vecsearch.cli.files import are_files
from vecsearch.cli.hits import note_unknown
from vecsearch.cli.options import FOLDER, corpus_options, output_options, ready_options
from vecsearch.cli.output import emit, note
from vecsearch.cli.progress import RESUME, bars
from vecsearch.cli.rules import at_least_one
from vecsearch.errors import UsageError

MANY_SEGMENTS = 10
"""From so many segments on a query takes noticeably longer: each is searched by itself."""


@click.command()
@click.argument("index", type=FOLDER)
@click.argument("corpus", type=FOLDER, nargs=-1)
@ready_options
@corpus_options
@click.option("--resume", is_flag=True, help="Resume an interrupted add of the same corpus.")
@output_options
@at_least_one("CORPUS", "--vectors")
def add(
    index: str,
    corpus: tuple[str, ...],
    vectors: str | None,
    ids: str | None,
    resume: bool,
    as_json: bool,
    **reading: Any,
) -> None:
    """Add the documents of CORPUS to INDEX.

    One whose id the index has takes the old one's place, or is passed over, without being encoded, where nothing has changed.
    Where CORPUS has no ids, its documents are new, and numbered from the index's largest number on.
    """
    from vecsearch.cli import sources
    from vecsearch.index.index import Index
    from vecsearch.store.snapshot import read_manifest

    ready = vectors is not None
    if not ready and are_files(corpus, format=reading["format"]):
        what = f"{corpus[0]} is a document or a folder of them"
        if read_manifest(Path(index)).sources is None:
            raise UsageError(f"{what}, and {index} holds records: build an index of each")
        raise UsageError(f"{what}: add it by vecsearch sync {index} {corpus[0]}")
    source = sources.from_vectors(vectors, ids, corpus, reading) if ready else sources.from_records(corpus, reading)
    started = time.perf_counter()
    with Index.open(index, check=False) as opened:
        if source.dim not in (None, opened.dim):
            raise UsageError(f"{source.corpus.name} holds vectors of length {source.dim}, the index of length {opened.dim}")
        with bars(resumed_by=RESUME) as progress:
            changes = opened.add(source.corpus, vectors=source.vectors, resume=resume, progress=progress)
        manifest, documents, used = opened.manifest, len(opened), () if ready else (opened.encoder,)
    note(
        f"{changes.added:,} documents added, {changes.replaced:,} replaced, {changes.unchanged:,} unchanged "
        f"in {time.perf_counter() - started:.1f} s"
    )
    note_unknown(*used)
    tally = source.corpus.tally
    if tally.skipped:
        note(f"note: {tally.skipped:,} bad records were skipped")
    sources.note_how_read(tally)
    if changes.numbered_from is not None:
        note(f"note: the documents come without ids, and are numbered from {changes.numbered_from} on")
    if len(manifest.segments) >= MANY_SEGMENTS:
        note(f"note: the index is in {len(manifest.segments)} segments, each searched by itself: vecsearch compact merges them")
    figures = {"added": changes.added, "replaced": changes.replaced, "unchanged": changes.unchanged}
    emit([{"index": index, **figures, "documents": documents, "generation": manifest.generation}], as_json=as_json)
