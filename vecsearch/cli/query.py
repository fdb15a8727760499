"""vecsearch query"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from vecsearch.cli.asking import Asking, How
from vecsearch.cli.conditions import cluster_option, where_option
from vecsearch.cli.encoders import NamedEncoder, encoder_option, open_named
from vecsearch.cli.file_hits import launch, open_option
from vecsearch.cli.hits import ShownFields, emit_hits, min_score_option, note_limits, show_option
from vecsearch.cli.marks import marked_option
from vecsearch.cli.opening import open_index
from vecsearch.cli.options import (
    INDEX,
    NumberRange,
    WholeRange,
    exact_option,
    generation_option,
    metric_option,
    output_options,
)
from vecsearch.cli.output import note
from vecsearch.cli.rules import at_most_one, exactly_one, not_with, only_with
from vecsearch.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

BATCH = 1024
"""Queries of a file that are encoded and searched together."""


class Batch(NamedTuple):
    """Queries that are asked together."""

    names: list[str]
    """The texts, or what the vectors are called."""
    places: list[str]
    """Where each text was read."""
    ids: list[str | None]
    """Those that a file of texts has."""
    vectors: np.ndarray | None = None
    """(n, dim) float32, where vectors ask."""


@click.command()
@click.argument("index", type=INDEX)
@click.argument("texts", nargs=-1)
@click.option("-k", "k", type=WholeRange(1), default=10, show_default=True, help="Hits for each query.")
@metric_option
@exact_option
@where_option
@cluster_option
@click.option("--meaning", is_flag=True, help="By meaning alone, with the metric's own scores.")
@click.option("--keywords", is_flag=True, help='By the words in the documents (BM25); a "phrase" has to be there.')
@click.option("--hybrid", is_flag=True, help="By meaning and by words together: both scores, added.")
@click.option(
    "--weights",
    nargs=2,
    type=NumberRange(0),
    metavar="M W",
    help="With --hybrid: weights of meaning and words. By default those of evaluate --tune, or equal ones.",
)
@click.option(
    "--fusion",
    type=click.Choice(["scores", "ranks"]),
    help="With --hybrid: add what documents score (the default), or reciprocal ranks.",
)
@click.option("--rerank", metavar="FOLDER", help="Rank the best hits again by a cross-encoder, or by a stronger encoder.")
@click.option("--candidates", type=WholeRange(1), metavar="N", help="With --rerank: how many of the best. By default 50.")
@marked_option
@click.option("--explain", is_flag=True, help="Show what each word of a hit contributes to its score: the score is their sum.")
@generation_option
@min_score_option
@click.option(
    "--queries", type=click.Path(), metavar="FILE", help="Queries from a file: one a line, or .jsonl, .csv …; - is stdin."
)
@click.option("--format", "format", metavar="NAME", help="Format of --queries, where the suffix does not tell: jsonl, csv …")
@click.option("--vectors", type=click.Path(), metavar="FILE", help="Query vectors from a .npy or .h5 file.")
@encoder_option("Encoder for an index that carries none; it must be the index's own.")
@show_option
@open_option
@output_options
@exactly_one("TEXTS", "--queries", "--vectors")
@at_most_one("--meaning", "--keywords", "--hybrid")
@not_with("--keywords", "--vectors", "--metric", "--exact", "--explain", "--marked")
@not_with("--hybrid", "--vectors", "--metric", "--explain", "--marked")
@not_with("--rerank", "--vectors", "--explain", "--marked")
@not_with("--vectors", "--explain", "--marked")
@only_with("--candidates", needs="--rerank")
@not_with("--open", "--queries", "--vectors")
def query(
    index: str,
    texts: tuple[str, ...],
    queries: str | None,
    format: str | None,
    vectors: str | None,
    generation: int | None,
    encoder: NamedEncoder | None,
    show: tuple[str, ...],
    launched: int | None,
    as_json: bool,
    **how: Any,
) -> None:
    """The K documents of INDEX that answer each of TEXTS best.

    A - in their place reads them from stdin, one a line. Texts are found by --hybrid: by meaning and by words together. A
    vocabulary is asked by --meaning, as is everything with --metric, --min-score, --explain, --marked or --vectors, whose
    scores are the metric's own.

    With --marked a [[marked]] word asks as this sentence uses it: "he sat on the [[bank]] of the river".
    Names, codes and words that the model does not know are found by --keywords, and by --hybrid.
    """

    if texts == ("-",):
        texts, queries = (), "-"
    if launched and len(texts) != 1:
        raise UsageError("--open needs a single text")
    if format is not None and queries is None:
        raise UsageError("--format needs --queries")
    asked, shown = How(**how), ShownFields(show)
    own = open_named(encoder) if encoder else None
    with open_index(index, generation=generation, encoder=own) as opened:
        asking = Asking(opened, asked, texts=vectors is None)
        batches = _text_batches(texts, queries, format) if vectors is None else _vector_batches(vectors, opened.dim)
        for batch in batches:
            if batch.vectors is None:
                found, words_of = asking.by_texts(batch.names, batch.places)
            else:
                found, words_of = asking.by_vectors(batch.vectors), None
            answers = list(zip(batch.names, found, strict=True))
            snippet_of = asking.snippet if batch.vectors is None else None
            emit_hits(answers, asked.min_score, shown, as_json, asking.why_nothing, words_of, batch.ids, snippet_of)
            if launched:
                launch(opened, found[0], launched)
        note_limits(opened, asked.k)
        asking.note_time()
        shown.note_missing()


def _text_batches(texts: tuple[str, ...], path: str | None, format: str | None) -> Iterator[Batch]:
    if path is None:
        yield Batch(list(texts), [repr(text) for text in texts], [None] * len(texts))
        return
    from vecsearch.cli.sources import note_reading
    from vecsearch.corpus.queries import read_queries
    from vecsearch.corpus.source import CorpusTally

    tally = CorpusTally()
    # Whoever asks many questions wants the answers to all others.
    queries = read_queries(path, format=format, tally=tally, skip_bad=True)
    while batch := list(islice(queries, BATCH)):
        yield Batch([query.text for query in batch], [query.where for query in batch], [query.id for query in batch])
    if tally.blank:
        note(f"note: {tally.blank:,} blank lines of {path} are ignored")
    note_reading(tally, path)


def _vector_batches(path: str, dim: int) -> Iterator[Batch]:
    from vecsearch.vectors.read import open_vectors

    file = open_vectors(path)
    if file.dim != dim:
        raise UsageError(f"{path} holds vectors of length {file.dim}, the index of length {dim}: they cannot be compared")
    first = 0
    for block in file.blocks(BATCH):
        numbers = range(first, first + len(block))
        names = [file.ids[i] if file.ids is not None else f"vector {i}" for i in numbers]
        yield Batch(names, [], [None] * len(names), block)
        first += len(block)
