"""vecsearch analogy"""

from __future__ import annotations

import click

from vecsearch.cli.conditions import cluster_option, condition, where_option
from vecsearch.cli.hits import ShownFields, emit_hits, min_score_option, note_limits, show_option
from vecsearch.cli.opening import open_index
from vecsearch.cli.options import INDEX, WholeRange, exact_option, generation_option, metric_option, output_options


@click.command()
@click.argument("index", type=INDEX)
@click.option("--plus", multiple=True, required=True, metavar="ID", help="Add this word's vector; repeat it for more.")
@click.option("--minus", multiple=True, metavar="ID", help="Subtract this word's vector; repeat it for more.")
@click.option("-k", "k", type=WholeRange(1), default=10, show_default=True, help="How many hits.")
@metric_option
@exact_option
@where_option
@cluster_option
@min_score_option
@generation_option
@show_option
@output_options
def analogy(
    index: str,
    plus: tuple[str, ...],
    minus: tuple[str, ...],
    k: int,
    metric: str | None,
    exact: bool,
    where: str | None,
    cluster: int | None,
    min_score: float | None,
    generation: int | None,
    show: tuple[str, ...],
    as_json: bool,
) -> None:
    """The K words of INDEX nearest to a sum: king − man + woman.

    Or its documents, by id. Those of the sum are left out.

    \b
    vecsearch analogy indexes/words --plus king --plus woman --minus man
    """
    from vecsearch.index import analogy as words
    from vecsearch.metric import Metric

    with open_index(index, generation=generation) as opened:
        where = condition(opened, where, cluster)
        found = words.analogy(opened, plus, minus, k, metric=Metric(metric) if metric else None, exact=exact, where=where)
        named = " ".join([*(f"+{word}" for word in plus), *(f"−{word}" for word in minus)])
        shown = ShownFields(show)
        emit_hits([(named, found)], min_score, shown, as_json, nothing=lambda _: "there is no other document")
        note_limits(opened, k, left_out=len({*plus, *minus}))
        shown.note_missing()
