"""vecsearch evaluate"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vecsearch.cli.encoders import NamedEncoder, encoder_option, open_all
from vecsearch.cli.options import FOLDER, WholeRange, dtype_option, output_options
from vecsearch.cli.output import emit, note
from vecsearch.cli.rules import not_with
from vecsearch.errors import UsageError

if TYPE_CHECKING:
    from vecsearch.evaluation.evaluate import Judged
    from vecsearch.evaluation.sets import TestSet

_COLUMNS = ("set", "encoder", "metric", "measure", "value", "low", "high", "n")
_COMPARED = ("set", "metric", "measure", "encoder", "than", "difference", "low", "high", "p", "better")


@click.command()
@click.argument("sets", metavar="SET...", nargs=-1, required=True, type=FOLDER)
@encoder_option("The encoder to judge, by default english. Repeat it: the first is compared with each other one.", several=True)
@click.option(
    "--metric", "metrics", multiple=True, type=click.Choice(["cosine", "ip"]), help="Cosine or inner product; by default both."
)
@click.option("-k", "ks", multiple=True, type=WholeRange(1), help="Where a ranking is cut; repeat it for more. By default 10.")
@click.option("--split", default="test", show_default=True, help="Of a BEIR folder: which qrels.")
@click.option("--columns", metavar="A,B,SCORE", help="Of a file of pairs: what its columns are called.")
@click.option("--plot", type=FOLDER, metavar="FILE", help="Draw the values with their intervals: .png, .svg or .pdf.")
@click.option("--tune", type=FOLDER, metavar="INDEX", help="Of one BEIR folder: find and keep the weights of query --hybrid.")
@dtype_option
@output_options
@not_with("--tune", "--encoder", "--metric", "-k", "--columns", "--plot", "--dtype")
def evaluate(
    sets: tuple[str, ...],
    encoders: list[NamedEncoder],
    metrics: tuple[str, ...],
    ks: tuple[int, ...],
    split: str,
    columns: str | None,
    plot: str | None,
    tune: str | None,
    dtype: str,
    as_json: bool,
) -> None:
    """How well encoders agree with people on each SET.

    Values have 95 % intervals, and where there are several encoders, it is said which is better.
    A SET is a file of scored pairs of texts or words (.tsv, .csv, .jsonl: Pearson's and Spearman's correlation), a .txt of
    analogies (accuracy), or a BEIR folder (nDCG, MAP, MRR, recall and precision at k).

    \b
    vecsearch evaluate sts-dev.tsv
    vecsearch evaluate sts-dev.tsv words.tsv --encoder english --encoder english,pooling=raw --metric cosine
    vecsearch evaluate retrieval/medline --encoder my=my-model --encoder ships=english -k 10 -k 100 --plot medline.png
    vecsearch evaluate retrieval/medline --tune indexes/medline
    """
    from vecsearch.evaluation.evaluate import compare
    from vecsearch.evaluation.picture import check_picture, plot_measures
    from vecsearch.evaluation.sets import read_set
    from vecsearch.metric import Metric

    if tune is not None:
        if len(sets) > 1:
            raise UsageError(f"--tune asks an index about one SET, and {len(sets)} are given: choose one")
        return _tune(tune, sets[0], split, as_json=as_json)
    if plot:
        check_picture(plot)
    names = columns.split(",") if columns else ()
    if columns and len(names) != 3:
        raise UsageError(f"--columns {columns}: name three, the two texts and the score: --columns A,B,SCORE")
    tests = [read_set(path, columns=names, split=split) for path in sets]
    opened = open_all(encoders, dtype=dtype)
    chosen = [Metric(metric) for metric in dict.fromkeys(metrics)] or list(Metric)
    rows, compared = [], []
    for test in tests:
        judged = {name: _judged(test, encoder, name, chosen, sorted(set(ks)) or [10]) for name, encoder in opened.items()}
        for name, its in judged.items():
            rows += [_row(test.name, name, key, drawn, its) for key, drawn in its.drawn.items()]
        for of_two in compare(judged):
            facts = {column: getattr(of_two, column) for column in _COMPARED if column != "set"}
            compared.append({"set": test.name, **facts})
    emit(rows, as_json=as_json, columns=_COLUMNS)
    if compared:
        if not as_json:
            click.echo()
        emit(compared, as_json=as_json, columns=_COMPARED)
    if plot:
        whole = {test.name for test in tests}
        plot_measures(plot, [row for row in rows if row["set"] in whole])


def _judged(test: TestSet, encoder: Any, name: str, metrics: list[Any], ks: list[int]) -> Judged:
    from vecsearch.cli.progress import bars
    from vecsearch.evaluation.evaluate import evaluate

    with bars() as progress:
        judged = evaluate(test, encoder, metrics=metrics, ks=ks, progress=progress)
    for line in judged.notes:
        note(f"note: {test.name} by {name}: {line}")
    return judged


def _row(test: str, encoder: str, key: tuple[str, Any, str], drawn: Any, judged: Judged) -> dict[str, Any]:
    part, metric, measure = key
    low, high = drawn.interval
    values = {"value": drawn.value, "low": low, "high": high, "n": judged.n[part]}
    return {"set": f"{test}: {part}" if part else test, "encoder": encoder, "metric": metric, "measure": measure, **values}


def _tune(folder: str, path: str, split: str, *, as_json: bool) -> None:
    from vecsearch.cli.progress import bars
    from vecsearch.evaluation.sets import Retrieval, read_set
    from vecsearch.evaluation.tuning import K, tune
    from vecsearch.index.index import Index

    test = read_set(path, split=split)
    if not isinstance(test, Retrieval):
        raise UsageError(f"{path}: weights are found from queries with relevant documents; give a BEIR folder")
    with Index.open(folder) as index:
        with bars() as progress:
            tuned = tune(index, test, progress)
        index.keep_weights(tuned.weights)
        generation = index.manifest.generation
    for line in test.notes:
        note(f"note: {test.name}: {line}")
    if tuned.missing:
        note(f"note: {tuned.missing:,} relevant documents are not in the index, and count as not found")
    meaning, words = tuned.weights
    ways = {
        "meaning": (1.0, 0.0, tuned.meaning),
        "words": (0.0, 1.0, tuned.words),
        "both": (0.5, 0.5, tuned.equal),
        "both, tuned": (None, None, tuned.tuned),
    }
    rows = []
    for way, (of_meaning, of_words, drawn) in ways.items():
        low, high = drawn.interval
        facts = {"set": test.name, "way": way, "meaning": of_meaning, "words": of_words}
        rows.append(facts | {"measure": f"ndcg@{K}", "value": drawn.value, "low": low, "high": high, "n": tuned.n})
    emit(rows, as_json=as_json)
    note(f"the weights {meaning:g} and {words:g} are kept in generation {generation} of {folder}: query --hybrid uses them")
