"""vecsearch similar"""

from __future__ import annotations

import click

from vecsearch.cli.conditions import condition, where_option
from vecsearch.cli.hits import ShownFields, emit_hits, min_score_option, note_limits, show_option
from vecsearch.cli.opening import open_index
from vecsearch.cli.options import INDEX, WholeRange, exact_option, metric_option, output_options


@click.command()
@click.argument("index", type=INDEX)
@click.argument("ids", nargs=-1, required=True)
@click.option("-k", "k", type=WholeRange(1), default=10, show_default=True, help="Hits for each id.")
@metric_option
@exact_option
@where_option
@min_score_option
@show_option
@output_options
def similar(
    index: str,
    ids: tuple[str, ...],
    k: int,
    metric: str | None,
    exact: bool,
    where: str | None,
    min_score: float | None,
    show: tuple[str, ...],
    as_json: bool,
) -> None:
    """The K documents of INDEX most like its own documents IDS."""
    from vecsearch.metric import Metric

    with open_index(index) as opened:
        where = condition(opened, where)
        found = opened.similar(ids, k, metric=Metric(metric) if metric else None, exact=exact, where=where)
        shown = ShownFields(show)
        emit_hits(list(zip(ids, found, strict=True)), min_score, shown, as_json, nothing=lambda _: "there is no other document")
        shown.note_missing()
        note_limits(opened, k, left_out=1)
