"""vecsearch build"""

from __future__ import annotations

import time
from typing import Any

import click

from vecsearch.cli.encoders import NamedEncoder, encoder_option, open_named
from vecsearch.cli.files import OF_FILES, files_options, from_paths
from vecsearch.cli.options import (
    FOLDER,
    WholeRange,
    corpus_options,
    dtype_option,
    language_option,
    metric_option,
    output_options,
    ready_options,
    recall_options,
)
from vecsearch.cli.output import note
from vecsearch.cli.progress import RESUME, bars
from vecsearch.cli.recall import report_index
from vecsearch.cli.rules import at_least_one, not_with, only_with
from vecsearch.cli.workers import built, shard_options
from vecsearch.errors import UsageError


@click.command()
@click.argument("corpus", type=FOLDER, nargs=-1)
@click.option("-o", "--output", type=FOLDER, required=True, help="Folder of the index.")
@click.option("--vocabulary", is_flag=True, help="Index the encoder's own words, by their embeddings without a pooling.")
@click.option("--all-words", is_flag=True, help="With --vocabulary: also special tokens and words that were never trained.")
@ready_options
@corpus_options
@files_options
@encoder_option("The encoder, by default english.")
@dtype_option
@metric_option
@recall_options
@click.option("--chunk", type=WholeRange(1), metavar="N", help="Split texts into passages of N tokens; files are, of 200.")
@click.option("--overlap", type=WholeRange(0), metavar="N", help="With --chunk: tokens that passages share. By default 0.")
@language_option
@shard_options
@click.option("--keep", type=WholeRange(1), metavar="N", help="Generations to keep, for rollback. By default 3.")
@click.option("--dry-run", is_flag=True, help="Only show what --recall may choose among, and what each would take.")
@click.option("--replace", is_flag=True, help="Put the new index in the place of the one in the folder, once it is whole.")
@click.option("--resume", is_flag=True, help="Resume an interrupted build of the same corpus and options.")
@output_options
@at_least_one("CORPUS", "--vectors", "--vocabulary")
@not_with("--vocabulary", "CORPUS", "--vectors")
@only_with("--all-words", needs="--vocabulary")
@not_with("--vectors", "--dtype", unless="--encoder")
@only_with("--overlap", needs="--chunk")
@not_with("--chunk", "--vectors", "--vocabulary")
@only_with("--queries", needs=("--recall", "--spec"))
@only_with("--dry-run", needs="--recall")
@not_with("--dry-run", "--spec")
@click.pass_context
def build(
    context: click.Context,
    corpus: tuple[str, ...],
    output: str,
    vocabulary: bool,
    all_words: bool,
    vectors: str | None,
    ids: str | None,
    encoder: NamedEncoder | None,
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
    workers: int | None,
    ray: str | None,
    shard_rows: int | None,
    keep: int | None,
    dry_run: bool,
    replace: bool,
    resume: bool,
    as_json: bool,
    **reading: Any,
) -> None:
    """Make an index of CORPUS.

    CORPUS is files and folders of documents: Markdown, PDF, HTML, Word, mail, code …; or a corpus of records: .jsonl, .csv,
    .tsv, .txt, .parquet, .h5 or .arrow, also with .gz or .xz; sqlite:PATH?table=NAME; a BEIR folder; or - for stdin.

    \b
    vecsearch build notes/ report.pdf -o indexes/notes
    vecsearch build films.jsonl -o indexes/films
    vecsearch build news.jsonl -o indexes/news --recall 0.95 --memory 2GB
    vecsearch build 'parts/*.jsonl' -o indexes/all --workers 8
    vecsearch build --vocabulary -o indexes/words
    vecsearch build --vectors states.npy --ids names.txt -o indexes/states

    With --recall, kinds of index are tried, and the fastest that reaches the recall is built and proved on queries that it
    was neither made nor tuned with: documents held out and their titles, or parts of their texts; or those of --queries. Where
    --spec's does not reach it, the index is kept and the exit code is 1.

    With --workers or --ray, several processes encode, and each shard of documents becomes a segment; vectors and exact answers
    are those of one process. What --recall or --spec takes is chosen and trained once, filled shard by shard, and proved over
    all. A worker or a machine that is lost costs a shard at most; --resume encodes nothing twice.
    """
    from vecsearch.ann import Goal
    from vecsearch.cli import plan, sources
    from vecsearch.corpus.passages import Chunks
    from vecsearch.index.build import Options
    from vecsearch.metric import Metric
    from vecsearch.store.manifest import KEEP

    spec = _checked_spec(spec, recall, for_recall=bool(k or memory or queries is not None))
    model = None
    if encoder or vectors is None:
        model = open_named(encoder, dtype=dtype, **_of_words(encoder) if vocabulary else {})
    of_files = {name: reading.pop(name) for name in OF_FILES}
    if vocabulary:
        source = sources.from_vocabulary(model, all_words=all_words)
    elif vectors is not None:
        source = sources.from_vectors(vectors, ids, corpus, reading)
    else:
        source = from_paths(corpus, model, output, reading, chunk=chunk, overlap=overlap, **of_files)
    goal, compared = Goal(recall, k or 10, memory), Metric(metric or "cosine")
    if dry_run:
        if not plan.show(source, model, goal, compared, as_json=as_json):
            context.exit(1)
        return
    asked = sources.read_query_vectors(queries, model, corpus) if queries is not None else None
    chunks = Chunks(chunk, overlap or 0) if chunk and not source.corpus.files else None
    options = Options(compared, spec, goal, asked, chunks, language, keep or KEEP)
    by = {"workers": workers, "ray": ray, "shard_rows": shard_rows}
    again = {"replace": replace, "resume": resume}
    started = time.perf_counter()
    with bars(resumed_by=RESUME) as progress:
        index = built(output, source, model, options, progress=progress, **by, **again)
    seconds = time.perf_counter() - started
    with index:
        manifest = index.manifest
    note(f"{manifest.rows:,} documents in {seconds:.1f} s ({manifest.rows / seconds:,.0f}/s)")
    _note_counts(manifest.counts)
    sources.note_how_read(source.corpus.tally)
    report_index(context, output, manifest, spec, goal, as_json=as_json)


def _of_words(encoder: NamedEncoder | None) -> dict[str, str]:
    """How an encoder of words is opened where its own options are silent."""
    from vecsearch.encoders import DEFAULT, ULMFIT, find_encoder, kind_of

    return {"pooling": "raw"} if kind_of(find_encoder(encoder.path if encoder else DEFAULT)) is ULMFIT else {}


def _checked_spec(spec: str | None, recall: float | None, *, for_recall: bool) -> str | None:
    """The kind to build, None where the recall decides. Raises UsageError for values that do not go together; `for_recall` is
    whether there are options that say how a recall is measured or reached."""
    from vecsearch.metric import EXACT

    spec = EXACT if recall == 1 and spec is None else spec
    if recall == 1 and spec != EXACT:
        raise UsageError(f"--recall 1 is exact search, and {spec} is another kind: leave one of them out")
    if for_recall and spec == EXACT:
        raise UsageError("--memory, --queries and -k are for an index that is not exact: give --recall below 1, or a --spec")
    return spec


def _note_counts(counts: dict[str, int]) -> None:
    """Say what was left out, cut or unknown; silence means that there was none of it."""
    said = {
        "unknown": f"of {counts.get('words', 0):,} words are unknown to the model",
        "cut_texts": f"texts were cut to max_tokens; {counts.get('cut_tokens', 0):,} tokens were left out",
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
