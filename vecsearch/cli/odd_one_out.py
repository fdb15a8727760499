"""vecsearch odd-one-out"""

from __future__ import annotations

import click

from vecsearch.cli.opening import open_index
from vecsearch.cli.options import INDEX, generation_option, output_options
from vecsearch.cli.output import emit


@click.command("odd-one-out")
@click.argument("index", type=INDEX)
@click.argument("words", metavar="WORD WORD WORD...", nargs=-1, required=True)
@generation_option
@output_options
def odd_one_out(index: str, words: tuple[str, ...], generation: int | None, as_json: bool) -> None:
    """Which of three or more words of INDEX does not fit.

    Or of its documents, by id. The first has the lowest cosine with the mean of all.

    \b
    vecsearch odd-one-out indexes/words king queen prince tomato
    """
    from vecsearch.index import analogy

    with open_index(index, generation=generation) as opened:
        emit([{"id": hit.id, "fit": hit.score} for hit in analogy.odd_one_out(opened, words)], as_json=as_json)
