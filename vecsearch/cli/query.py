"""vecsearch query"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from vecsearch.cli.hits import ShownFields, emit_hits, note_limits, note_remarks, why_no_words, why_nothing
from vecsearch.cli.marks import encode_marked, marked_option
from vecsearch.cli.options import (
    FOLDER,
    Number,
    NumberRange,
    WholeRange,
    encoder_choice,
    metric_option,
    open_named_encoder,
    output_options,
    where_option,
)
from vecsearch.cli.output import emit, note
from vecsearch.cli.reranking import Reranking
from vecsearch.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from vecsearch.hits import Hit
    from vecsearch.index import Index
    from vecsearch.quality.explain import Word

BATCH = 1024
"""Queries of a file that are encoded and searched together."""


@click.command()
@click.argument("index", type=FOLDER)
@click.argument("texts", nargs=-1)
@click.option("-k", "k", type=WholeRange(1), default=10, show_default=True, help="Hits for each query.")
@metric_option
@click.option("--exact", is_flag=True, help="Look at every vector, whatever the index's kind.")
@where_option
@click.option("--cluster", "cluster", type=WholeRange(0), metavar="N", help="Only documents of this cluster.")
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
@click.option("--generation", type=WholeRange(1), metavar="N", help="Ask an older generation that the index keeps.")
@click.option("--min-score", type=Number(), metavar="X", help="Leave out hits below this score.")
@click.option(
    "--queries", type=click.Path(), metavar="FILE", help="Queries from a file: one a line, or .jsonl, .csv …; - is stdin."
)
@click.option("--format", "format", metavar="NAME", help="Format of --queries, where the suffix does not tell: jsonl, csv …")
@click.option("--vectors", type=click.Path(), metavar="FILE", help="Query vectors from a .npy or .h5 file.")
@encoder_choice("Encoder for an index that carries none; it must be the index's own.")
@click.option(
    "--plus", multiple=True, metavar="ID", help="Add this word's vector; repeat it, with --minus: king − man + woman."
)
@click.option("--minus", multiple=True, metavar="ID", help="Subtract this word's vector.")
@click.option("--odd-one-out", multiple=True, metavar="ID", help="Which of these words does not fit? Repeat it for each word.")
@click.option("--show", multiple=True, metavar="FIELD", help="Fields for the table's columns; by default title or name.")
@output_options
def query(
    index: str,
    texts: tuple[str, ...],
    k: int,
    metric: str | None,
    exact: bool,
    where: str | None,
    cluster: int | None,
    meaning: bool,
    keywords: bool,
    hybrid: bool,
    weights: tuple[float, float] | None,
    fusion: str | None,
    rerank: str | None,
    candidates: int | None,
    marked: bool,
    explain: bool,
    generation: int | None,
    min_score: float | None,
    queries: str | None,
    format: str | None,
    vectors: str | None,
    encoders: tuple[str, ...],
    encoder_weights: tuple[float, ...],
    plus: tuple[str, ...],
    minus: tuple[str, ...],
    odd_one_out: tuple[str, ...],
    show: tuple[str, ...],
    as_json: bool,
) -> None:
    """The K documents of INDEX that answer each of TEXTS best; - in their place reads them from stdin, one a line.

    Texts are found by --hybrid: by meaning and by words together. A vocabulary is asked by --meaning, as is everything with
    --metric, --min-score, --explain, --marked or --vectors, whose scores are the metric's own.

    With --marked a [[marked]] word asks as this sentence uses it: "he sat on the [[bank]] of the river".
    Names, codes and words that the model does not know are found by --keywords, and by --hybrid.
    """
    from vecsearch.index import Index
    from vecsearch.metric import Metric
    from vecsearch.quality import words

    if texts == ("-",) and not queries:
        texts, queries = (), "-"
    if sum(map(bool, (texts, queries, vectors, plus or minus, odd_one_out))) != 1:
        raise UsageError("give one of: TEXTS, --queries, --vectors, --plus/--minus, --odd-one-out")
    if (metric or exact or where or cluster is not None) and odd_one_out:
        raise UsageError(
            "--odd-one-out compares by cosine, exactly: --metric, --exact, --where and --cluster do not belong to it"
        )
    if meaning + keywords + hybrid > 1:
        raise UsageError("give one of: --meaning, --keywords, --hybrid")
    if (keywords or hybrid) and (metric or vectors or plus or minus or odd_one_out or (exact and keywords)):
        raise UsageError(
            "--keywords and --hybrid are for texts: --metric, --vectors, --plus and --odd-one-out do not belong to them"
        )
    if explain and (keywords or hybrid or vectors or plus or minus or odd_one_out):
        raise UsageError(
            "--explain is for texts asked by meaning: "
            "--keywords, --hybrid, --vectors, --plus and --odd-one-out do not belong to it"
        )
    if format is not None and not queries:
        raise UsageError("--format says how --queries is read, and there is none")
    if marked and (keywords or hybrid or vectors or plus or minus or odd_one_out):
        raise UsageError(
            "--marked is for texts asked by meaning: "
            "--keywords, --hybrid, --vectors, --plus and --odd-one-out do not belong to it"
        )
    own_scores = metric or explain or marked or vectors or min_score is not None or plus or minus or odd_one_out
    if (weights or fusion) and (meaning or keywords or (own_scores and not hybrid)):
        raise UsageError("--weights and --fusion belong to --hybrid")
    if rerank and (explain or marked or vectors or plus or minus or odd_one_out):
        raise UsageError("--rerank is for texts: --explain, --marked, --vectors, --plus and --odd-one-out do not belong to it")
    if candidates is not None and not rerank:
        raise UsageError("--candidates is how many hits --rerank ranks again: give --rerank as well")
    encoder = open_named_encoder(encoders, encoder_weights) if encoders or encoder_weights else None
    with Index.open(index, generation=generation, encoder=encoder) as opened:
        asked = meaning or keywords or hybrid
        if not asked and _holds_texts(opened):
            hybrid = not own_scores
            if min_score is not None and texts:
                note("note: by meaning alone, whose scores --min-score bounds; --hybrid bounds those of meaning and words")
        if where is not None:
            note_remarks(opened, where)
        if cluster is not None:
            where = _within_cluster(opened, cluster, where)
        options: dict[str, Any] = {"metric": Metric(metric) if metric else None, "exact": exact, "where": where}
        ask = partial(opened.query, **options)
        if keywords:
            ask = partial(opened.keywords, where=where)
        elif hybrid:
            ask = partial(opened.hybrid, weights=weights, fusion=fusion or "scores", exact=exact, where=where)
        again = Reranking(rerank, k, candidates) if rerank else None
        if again:
            ask = again.after(ask)
        shown = ShownFields(show)
        nothing = _why_nothing(opened, keywords=keywords, hybrid=hybrid, where=where is not None)
        if odd_one_out:
            rows = [{"id": hit.id, "fit": hit.score} for hit in words.odd_one_out(opened, odd_one_out)]
            emit(rows, as_json=as_json)
        elif plus or minus:
            named = " ".join([*(f"+{word}" for word in plus), *(f"−{word}" for word in minus)])
            emit_hits(
                [(named, words.analogy(opened, plus, minus, k, **options))],
                min_score,
                shown,
                as_json,
                nothing=lambda _: "there is no other document",
            )
            note_limits(opened, k, left_out=len({*plus, *minus}))
        else:
            batches = _vector_batches(vectors, opened.dim) if vectors else _text_batches(texts, queries, format)
            for names, given, ids in batches:
                words_of = None
                if explain or marked:
                    turned = encode_marked(opened.encoder, names, given) if marked else opened.encode(names)
                    found = _nearest(opened, turned, k, options)
                    words_of = _explaining(opened, names, turned, options) if explain else None
                else:
                    found = opened.nearest(given, k, **options) if vectors else ask(names, k)
                emit_hits(list(zip(names, found, strict=True)), min_score, shown, as_json, nothing, words_of, ids)
            note_limits(opened, k)
            if again:
                again.note_time()
        shown.note_missing()


def _holds_texts(index: Index) -> bool:
    """Whether its documents are texts that its encoder read, and no vocabulary's words."""
    return index.manifest.encoder is not None and "all_words" not in index.manifest.provenance


def _why_nothing(index: Index, *, keywords: bool, hybrid: bool, where: bool) -> Callable[[str], str]:
    """What says of a query why it may find nothing in the way it is asked."""
    if keywords:
        return partial(why_no_words, earlier=index.earlier_words, where=where)
    unmet = "no document meets the condition, or " if where else ""
    also = partial(why_no_words, earlier=index.earlier_words, where=False)
    return lambda query: f"{unmet}{why_nothing(query)}{f', and {also(query)}' if hybrid else ''}"


def _within_cluster(index: Index, number: int, where: str | None) -> str:
    """The condition that a document is in this cluster, and meets another one."""
    if index.clustering is None:
        raise UsageError("the index has no clusters: vecsearch cluster makes them")
    if number >= (count := len(index.clustering.clusters)):
        raise UsageError(f"there is no cluster {number}; the index has {count:,}, counted from 0: vecsearch clusters")
    return f"document.cluster = {number}" + (f" AND (\n{where}\n)" if where is not None else "")


def _nearest(index: Index, vectors: np.ndarray, k: int, options: dict[str, Any]) -> list[list[Hit]]:
    """The hits of texts by their vectors, none for a zero vector."""
    return [hits if vector.any() else [] for hits, vector in zip(index.nearest(vectors, k, **options), vectors, strict=True)]


def _explaining(
    index: Index, texts: list[str], vectors: np.ndarray, options: dict[str, Any]
) -> Callable[[str, Hit], list[Word]]:
    """What gives the words of a hit of one of the texts, of which these are the vectors."""
    from vecsearch.quality.explain import explain

    asked = dict(zip(texts, vectors, strict=True))
    return lambda text, hit: explain(index, asked[text], hit, metric=options["metric"])


def _text_batches(
    texts: tuple[str, ...], path: str | None, format: str | None
) -> Iterator[tuple[list[str], list[str], list[str | None]]]:
    """Texts that ask, where each was read, and their ids, None where there are none."""
    if not path:
        yield list(texts), [repr(text) for text in texts], [None] * len(texts)
        return
    from vecsearch.cli.sources import note_reading
    from vecsearch.corpus.queries import read_queries
    from vecsearch.corpus.source import CorpusTally

    tally = CorpusTally()
    # Whoever asks many questions wants the answers to all others.
    queries = read_queries(path, format=format, tally=tally, skip_bad=True)
    while batch := list(islice(queries, BATCH)):
        yield [query.text for query in batch], [query.where for query in batch], [query.id for query in batch]
    if tally.blank:
        note(f"note: {tally.blank:,} blank lines of {path} ask nothing")
    note_reading(tally, path)


def _vector_batches(path: str, dim: int) -> Iterator[tuple[list[str], Any, list[None]]]:
    from vecsearch.corpus.vectors import open_vectors

    file = open_vectors(path)
    if file.dim != dim:
        raise UsageError(f"{path} holds vectors of length {file.dim}, the index of length {dim}: they cannot be compared")
    first = 0
    for block in file.blocks(BATCH):
        numbers = range(first, first + len(block))
        names = [file.ids[i] if file.ids is not None else f"vector {i}" for i in numbers]
        yield names, block, [None] * len(names)
        first += len(block)
