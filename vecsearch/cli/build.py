"""vecsearch build"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from vecsearch.cli.options import (
    FOLDER,
    corpus_options,
    dtype_option,
    encoder_options,
    metric_option,
    open_named_encoder,
    output_options,
)
from vecsearch.cli.output import emit, note
from vecsearch.cli.progress import progress_bar
from vecsearch.errors import UsageError, VecsearchError


@click.command()
@click.argument("corpus", type=FOLDER, required=False)
@click.option("-o", "--output", type=FOLDER, required=True, help="Folder of the index.")
@click.option("--vocabulary", is_flag=True, help="Index the encoder's own words, by their embeddings without --pooling.")
@click.option("--all-words", is_flag=True, help="With --vocabulary: also special tokens and words that were never trained.")
@click.option("--vectors", type=FOLDER, metavar="FILE", help="Ready vectors (.npy, .h5), a row for each document.")
@click.option("--ids", type=FOLDER, metavar="FILE", help="With --vectors and no CORPUS: their ids, one a line.")
@corpus_options
@encoder_options
@dtype_option
@metric_option
@click.option("--spec", default="exact", show_default=True, help="exact, or any FAISS factory string, such as HNSW32,SQ8.")
@click.option("--replace", is_flag=True, help="Put the new index in the place of the one in the folder, once it is whole.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted build of the same corpus and options.")
@output_options
def build(
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
    encoder: str | None,
    pooling: str | None,
    layer: int | None,
    max_tokens: int | None,
    dtype: str,
    metric: str | None,
    spec: str,
    replace: bool,
    resume: bool,
    as_json: bool,
) -> None:
    """Make an index of CORPUS: .txt, .jsonl, .csv, .tsv, .parquet, .h5, a BEIR folder, or - for stdin; .gz and .xz as well.

    \b
    vecsearch build films.jsonl -o indexes/films
    vecsearch build --vocabulary -o indexes/words
    vecsearch build --vectors states.npy --ids names.txt -o indexes/states
    """
    from vecsearch.cli import sources
    from vecsearch.index import Index
    from vecsearch.metric import Metric

    reading = {"text_fields": text_fields, "id_field": id_field, "format": format, "skip_bad": skip_bad}
    encoding = {"pooling": pooling, "layer": layer, "max_tokens": max_tokens, "dtype": dtype}
    if vocabulary == bool(corpus or vectors):
        raise UsageError("give one of: CORPUS, --vocabulary, --vectors (with or without CORPUS)")
    if (ids and (corpus or not vectors)) or (all_words and not vocabulary):
        raise UsageError("--ids belongs to --vectors without CORPUS, --all-words to --vocabulary")
    if any(reading.values()) and not corpus:
        raise UsageError("--text-field, --id-field, --format and --skip-bad say how CORPUS is read, and there is none")
    model = None
    if encoder or not vectors:
        encoding["pooling"] = pooling or ("raw" if vocabulary else None)
        model = open_named_encoder(encoder, **encoding)
    elif any(value not in (None, "auto") for value in encoding.values()):
        raise UsageError("ready vectors are not encoded: --pooling, --layer, --max-tokens and --dtype go with --encoder")
    if vocabulary:
        source = sources.from_vocabulary(model, all_words=all_words)
    elif vectors:
        source = sources.from_vectors(vectors, ids, corpus, reading)
    else:
        source = sources.from_corpus(corpus, reading)
    # Neither spec nor metric: a build whose spec failed resumes with another.
    provenance: dict[str, Any] = {"source": source.name, **source.options}
    started = time.perf_counter()
    with progress_bar("documents", source.fraction) as bar, _hinting(bar) as progress:
        index = Index.build(
            output,
            source.documents,
            model,
            vectors=source.vectors,
            dim=source.dim,
            metric=Metric(metric or "cosine"),
            spec=spec,
            replace=replace,
            resume=resume,
            provenance=provenance,
            counts=source.counts,
            progress=progress,
        )
    seconds = time.perf_counter() - started
    with index:
        manifest = index.manifest
        note(f"{manifest.rows:,} documents in {seconds:.1f} s ({manifest.rows / seconds:,.0f}/s)")
        _note_counts(manifest.counts)
        if "recall_at_10" in manifest.provenance:
            note(f"recall@10 of {spec} against exact search: {manifest.provenance['recall_at_10']:.3f}")
        row = {name: getattr(manifest, name) for name in ("rows", "dim", "metric", "spec", "generation")}
        emit([{"index": output, **row}], as_json=as_json)


@contextmanager
def _hinting(bar: Callable[[int], None]) -> Iterator[Callable[[int], None]]:
    """Gives `bar`, listened to: when the build is stopped, stderr tells what of it is stored and how it goes on."""
    stored = 0

    def progress(rows: int) -> None:
        nonlocal stored
        stored = rows
        bar(rows)

    try:
        yield progress
    except (VecsearchError, KeyboardInterrupt):
        if stored:
            note(f"note: {stored:,} documents are stored: the same command with --resume goes on after them")
        raise


def _note_counts(counts: dict[str, int]) -> None:
    """Say what was left out, cut or unknown; silence means that there was none of it."""
    said = {
        "unknown": f"of {counts.get('words', 0):,} words are unknown to the model",
        "cut_texts": f"texts were cut to --max-tokens; {counts.get('cut_tokens', 0):,} tokens were left out",
        "empty": "documents have no words and got the zero vector",
        "blank": "blank lines were passed over",
        "skipped": "bad records were skipped",
        "special_words": "special tokens were left out",
        "untrained_words": "words without a vector of their own were left out",
    }
    for name, text in said.items():
        if counts.get(name):
            note(f"note: {counts[name]:,} {text}")
