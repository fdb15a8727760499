"""vecsearch compact and rebuild: what makes an index's files anew from its vectors and documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from vecsearch.cli.options import FOLDER, WholeRange, language_option, output_options, recall_options
from vecsearch.cli.progress import bars
from vecsearch.cli.recall import report_index
from vecsearch.cli.workers import engine_of, workers_options


@click.command()
@click.argument("index", type=FOLDER)
@click.option(
    "--rows", type=WholeRange(1), metavar="N", help="Make segments of N rows, and keep those of N/4 to N. By default 4000000."
)
@language_option
@workers_options
@output_options
@click.pass_context
def compact(
    context: click.Context,
    index: str,
    rows: int | None,
    language: str | None,
    workers: int | None,
    ray: str | None,
    as_json: bool,
) -> None:
    """Merge the segments of INDEX, into one unless it is large.

    What was deleted is left out, the words of its texts are read again, and its recall is measured again.
    """
    from vecsearch.index.compact import compact

    with bars(resumed_by="the next compact continues after them") as progress, engine_of(workers, ray) as engine:
        if engine is None:
            compact(Path(index), rows=rows, language=language, progress=progress)
        else:
            from vecsearch.distributed.compacting import compact as compact_by

            compact_by(index, engine=engine, workers=workers, rows=rows, language=language, progress=progress)
    _report(context, index, as_json)


@click.command()
@click.argument("index", type=FOLDER)
@recall_options
@output_options
@click.pass_context
def rebuild(
    context: click.Context,
    index: str,
    recall: float | None,
    k: int | None,
    memory: int | None,
    queries: str | None,
    spec: str | None,
    as_json: bool,
) -> None:
    """Make the FAISS index of INDEX again from its vectors.

    It may be damaged, or is to have another recall or be of another kind. No document is encoded again.
    """
    from vecsearch.ann import EXACT, Goal
    from vecsearch.cli.sources import read_query_vectors
    from vecsearch.encoders import open_encoder
    from vecsearch.index.index import Index
    from vecsearch.store.snapshot import read_manifest

    asked: dict[str, Any] = {}
    if recall is not None or spec is not None:
        asked = {"spec": EXACT if recall == 1 else spec, "goal": Goal(None if recall == 1 else recall, k or 10, memory)}
    folder = Path(index)
    if queries is not None:
        encoder = read_manifest(folder).encoder
        asked["queries"] = read_query_vectors(queries, open_encoder(folder / encoder["folder"]) if encoder else None)
    with bars() as progress:
        Index.repair(folder, progress=progress, **asked)
    _report(context, index, as_json)


def _report(context: click.Context, index: str, as_json: bool) -> None:
    """Say what the index is now; exit code 1 where it does not reach its recall."""
    from vecsearch.index.indexing import goal_of
    from vecsearch.store.snapshot import read_manifest

    manifest = read_manifest(Path(index))
    report_index(context, index, manifest, *goal_of(manifest.goal), as_json=as_json)
