"""vecsearch encode"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vecsearch.cli.encoders import NamedEncoder, encoder_option, open_named
from vecsearch.cli.hits import note_unknown
from vecsearch.cli.marks import encode_marked_blocks, marked_option
from vecsearch.cli.options import FOLDER, corpus_options, dtype_option
from vecsearch.cli.output import emit, note
from vecsearch.cli.progress import bars
from vecsearch.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from vecsearch.corpus.corpus import Corpus
    from vecsearch.index.blocks import Block
    from vecsearch.progress import Progress


@click.command()
@click.argument("corpus", type=FOLDER)
@click.option("-o", "--output", type=FOLDER, help="A .npy file, or .h5 with the ids; by default JSON lines on stdout.")
@marked_option
@corpus_options
@encoder_option("The encoder, by default english.")
@dtype_option
def encode(
    corpus: str,
    output: str | None,
    marked: bool,
    encoder: NamedEncoder | None,
    dtype: str,
    **reading: Any,
) -> None:
    """Vectors of the texts of CORPUS, without an index. Row i is the corpus's i-th document."""
    from vecsearch.cli.sources import note_how_read
    from vecsearch.corpus.readers import read_corpus
    from vecsearch.encoders import encode_blocks
    from vecsearch.index.blocks import encoded
    from vecsearch.vectors.write import write_vectors

    if output and not Path(output).parent.is_dir():
        raise UsageError(f"there is no folder {Path(output).parent} for {output}; make it first")
    read = read_corpus(corpus, **reading)
    model = open_named(encoder, dtype=dtype)
    turn = partial(encode_marked_blocks if marked else encode_blocks, model)
    started = time.perf_counter()
    with bars() as progress:
        blocks = _watched(encoded(read, turn), read, progress)
        if output:
            ids: list[str] = []
            rows = write_vectors(output, _noting_ids(blocks, ids), dim=model.dim, ids=ids)
        else:
            rows = sum(map(_print, blocks))
    seconds = time.perf_counter() - started
    note(f"{rows:,} vectors of length {model.dim} in {seconds:.1f} s ({model.tally.tokens / seconds:,.0f} tokens/s)")
    if read.tally.skipped:
        note(f"note: {read.tally.skipped:,} bad records were skipped")
    note_how_read(read.tally)
    note_unknown(model)


def _watched(blocks: Iterator[Block], corpus: Corpus, progress: Progress) -> Iterator[Block]:
    done = 0
    for documents, vectors, spans in blocks:
        yield documents, vectors, spans
        done += len(documents)
        progress.step("texts", done, corpus.expected(done))


def _noting_ids(blocks: Iterator[Block], ids: list[str]) -> Iterator[np.ndarray]:
    for documents, vectors, _ in blocks:
        ids.extend(document.id for document in documents)
        yield vectors


def _print(block: Block) -> int:
    documents, vectors, _ = block
    rows = ({"id": d.id, "text": d.text, "vector": v.tolist()} for d, v in zip(documents, vectors, strict=True))
    emit(rows, as_json=True)
    return len(documents)
