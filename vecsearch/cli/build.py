"""vecsearch build"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from vecsearch.cli.info import recall_text
from vecsearch.cli.options import (
    FOLDER,
    WholeRange,
    corpus_options,
    dtype_option,
    encoder_options,
    language_option,
    metric_option,
    open_named_encoder,
    output_options,
    ready_options,
    recall_options,
    require_words,
)
from vecsearch.cli.output import emit, note
from vecsearch.cli.stages import stages
from vecsearch.errors import UsageError

if TYPE_CHECKING:
    from vecsearch.ann import Goal
    from vecsearch.store.manifest import Manifest

EXACT = "exact"
"""`vecsearch.ann.EXACT`, whose module is not imported before it is needed."""


@click.command()
@click.argument("corpus", type=FOLDER, required=False)
@click.option("-o", "--output", type=FOLDER, required=True, help="Folder of the index.")
@click.option("--vocabulary", is_flag=True, help="Index the encoder's own words, by their embeddings without --pooling.")
@click.option("--all-words", is_flag=True, help="With --vocabulary: also special tokens and words that were never trained.")
@ready_options
@corpus_options
@encoder_options
@dtype_option
@metric_option
@recall_options
@click.option("--chunk", type=WholeRange(1), metavar="N", help="Split texts into passages of N tokens; hits are documents.")
@click.option("--overlap", type=WholeRange(0), metavar="N", help="With --chunk: tokens that passages share. By default 0.")
@language_option
@click.option("--keep", type=WholeRange(1), metavar="N", help="Generations to keep, for rollback. By default 3.")
@click.option("--dry-run", is_flag=True, help="Only show what --recall may choose among, and what each would take.")
@click.option("--replace", is_flag=True, help="Put the new index in the place of the one in the folder, once it is whole.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted build of the same corpus and options.")
@output_options
@click.pass_context
def build(
    context: click.Context,
    corpus: str | None,
    output: str,
    vocabulary: bool,
    all_words: bool,
    vectors: str | None,
    ids: str | None,
    text_fields: tuple[str, ...],
    id_field: str | None,
    format: str | None,
    skip_bad: bool,
    encoders: tuple[str, ...],
    encoder_weights: tuple[float, ...],
    pooling: str | None,
    layers: tuple[int, ...],
    max_tokens: int | None,
    dtype: str,
    metric: str | None,
    recall: float | None,
    k: int | None,
    memory: int | None,
    queries: str | None,
    spec: str | None,
    chunk: int | None,
    overlap: int | None,
    language: str | None,
    keep: int | None,
    dry_run: bool,
    replace: bool,
    resume: bool,
    as_json: bool,
) -> None:
    """Make an index of CORPUS: .txt, .jsonl, .csv, .tsv, .parquet, .h5, a BEIR folder, or - for stdin; .gz and .xz as well.

    \b
    vecsearch build films.jsonl -o indexes/films
    vecsearch build news.jsonl -o indexes/news --recall 0.95 --memory 2GB
    vecsearch build --vocabulary -o indexes/words
    vecsearch build --vectors states.npy --ids names.txt -o indexes/states

    With --recall, kinds of index are tried, and the fastest that reaches the recall is built and proved on queries that it
    was neither made nor tuned with: rows held out, or those of --queries. Where --spec's does not reach it, the index is kept
    and the exit code is 1.
    """
    from vecsearch.ann import Goal
    from vecsearch.cli import plan, sources
    from vecsearch.corpus.passages import Chunks
    from vecsearch.index import Index
    from vecsearch.metric import Metric
    from vecsearch.store.manifest import KEEP

    spec = _checked_spec(spec, recall, k, memory, queries, dry_run)
    reading = {"text_fields": text_fields, "id_field": id_field, "format": format, "skip_bad": skip_bad}
    encoding = {"pooling": pooling, "layers": layers or None, "max_tokens": max_tokens, "dtype": dtype}
    if vocabulary == bool(corpus or vectors):
        raise UsageError("give one of: CORPUS, --vocabulary, --vectors (with or without CORPUS)")
    if (ids and (corpus or not vectors)) or (all_words and not vocabulary):
        raise UsageError("--ids belongs to --vectors without CORPUS, --all-words to --vocabulary")
    if any(reading.values()) and not corpus:
        raise UsageError("--text-field, --id-field, --format and --skip-bad say how CORPUS is read, and there is none")
    if overlap is not None and chunk is None:
        raise UsageError("--overlap belongs to --chunk")
    if chunk and (vectors or vocabulary):
        raise UsageError("--chunk splits the texts of CORPUS; ready vectors and words stay whole")
    model = None
    if encoders or not vectors:
        if vocabulary and require_words(encoders, "--vocabulary"):
            encoding["pooling"] = pooling or "raw"
        model = open_named_encoder(encoders, encoder_weights, **encoding)
    elif encoder_weights or any(value not in (None, "auto") for value in encoding.values()):
        raise UsageError(
            "ready vectors are not encoded: --encoder-weight, --pooling, --layer, --max-tokens and --dtype go with --encoder"
        )
    if vocabulary:
        source = sources.from_vocabulary(model, all_words=all_words)
    elif vectors:
        source = sources.from_vectors(vectors, ids, corpus, reading)
    else:
        source = sources.from_corpus(corpus, reading)
    goal = Goal(recall, k or 10, memory)
    chunks = Chunks(chunk, overlap or 0) if chunk else None
    if dry_run:
        if not plan.show(source, model, goal, Metric(metric or "cosine"), as_json=as_json):
            context.exit(1)
        return
    asked = sources.read_query_vectors(queries, model, corpus) if queries else None
    # Neither spec nor metric, nor recall: a build whose index failed resumes with others.
    provenance: dict[str, Any] = {"source": source.name, **source.options}
    started = time.perf_counter()
    with stages(source.fraction) as listening:
        index = Index.build(
            output,
            source.documents,
            model,
            vectors=source.vectors,
            dim=source.dim,
            metric=Metric(metric or "cosine"),
            spec=spec,
            goal=goal,
            queries=asked,
            chunks=chunks,
            language=language,
            keep=keep or KEEP,
            replace=replace,
            resume=resume,
            provenance=provenance,
            counts=source.counts,
            progress=listening.documents,
            indexing=listening.vectors,
            note=listening.note,
        )
    seconds = time.perf_counter() - started
    with index:
        manifest = index.manifest
    note(f"{manifest.rows:,} documents in {seconds:.1f} s ({manifest.rows / seconds:,.0f}/s)")
    _note_counts(manifest.counts)
    sources.note_how_read(source.remarks())
    reached = note_recall(manifest, spec, goal)
    row = {name: getattr(manifest, name) for name in ("rows", "dim", "metric", "spec", "generation")}
    emit([{"index": output, **row}], as_json=as_json)
    if not reached:
        context.exit(1)


def _checked_spec(
    spec: str | None, recall: float | None, k: int | None, memory: int | None, queries: str | None, dry_run: bool
) -> str | None:
    """The kind to build, None where the recall decides. Raises UsageError for options that do not go together."""
    spec = EXACT if recall == 1 and spec is None else spec
    if dry_run and (recall is None or spec not in (None, EXACT)):
        raise UsageError("--dry-run shows what --recall may choose among: give --recall, and no --spec")
    if recall == 1 and spec != EXACT:
        raise UsageError(f"--recall 1 is exact search, and {spec} is another kind: leave one of them out")
    if (memory or queries or k) and (spec == EXACT or (spec is None and recall is None)):
        raise UsageError("--memory, --queries and -k are for an index that is not exact: give --recall below 1, or a --spec")
    return spec


def note_recall(manifest: Manifest, spec: str | None, goal: Goal) -> bool:
    """Say what recall was measured, if any; whether it is the goal's."""
    if manifest.spec == EXACT:
        return True
    if manifest.recall is None:
        note("note: the recall is not known, for there are too few documents to hold any out; --queries measures it")
        return goal.recall is None
    note(f"recall{recall_text(manifest.recall)}")
    if goal.recall is None or manifest.recall["low"] >= goal.recall:
        return True
    ways = {
        "measure with more --queries": manifest.recall["mean"] >= goal.recall,
        "leave --spec out": spec,
        "give more --memory": goal.memory and not spec,
        "ask for less": True,
    }
    note(
        f"the recall of {goal.recall} is not reached; the index is kept as it is. "
        f"To come further: {' or '.join(way for way, helps in ways.items() if helps)}"
    )
    return False


def _note_counts(counts: dict[str, int]) -> None:
    """Say what was left out, cut or unknown; silence means that there was none of it."""
    said = {
        "unknown": f"of {counts.get('words', 0):,} words are unknown to the model",
        "cut_texts": f"texts were cut to --max-tokens; {counts.get('cut_tokens', 0):,} tokens were left out",
        "empty": "documents have no words and got the zero vector",
        "blank": "blank lines were passed over",
        "skipped": "bad records were skipped",
        "special_words": "special tokens were left out",
        "pieces": "pieces of words were left out",
        "untrained_words": "words without a vector of their own were left out",
        "repeated_words": "words that came before were left out",
    }
    for name, text in said.items():
        if counts.get(name):
            note(f"note: {counts[name]:,} {text}")
