"""What `build` and `encode` read: documents, ready vectors, and what is known of them, from the command line's options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vecsearch.cli.output import note
from vecsearch.corpus.corpus import Corpus
from vecsearch.corpus.document import Document
from vecsearch.corpus.queries import read_queries
from vecsearch.corpus.readers import read_corpora
from vecsearch.corpus.source import CorpusTally
from vecsearch.encoders.base import Encoder
from vecsearch.errors import UsageError, VectorsError
from vecsearch.vectors.read import VECTOR_SUFFIXES, VectorFile, open_vectors, read_ids

BLOCK_ROWS = 4096


class IndexInput(NamedTuple):
    """Documents to index, and the vectors (rows, dim) of these where they are ready."""

    corpus: Corpus
    vectors: Iterable[np.ndarray] | None = None
    dim: int | None = None


def from_records(paths: Sequence[str], reading: dict[str, Any]) -> IndexInput:
    """Corpora of records; `reading` are the options of `read_corpus`."""
    return IndexInput(read_corpora(paths, **reading))


def from_vectors(path: str, ids: str | None, corpus: Sequence[str], reading: dict[str, Any]) -> IndexInput:
    """Ready vectors, with the documents of a corpus, or with ids for documents."""
    file = open_vectors(path)
    tally, stat = CorpusTally(), Path(path).stat()
    documents = read_corpora(corpus, tally=tally, **reading) if corpus else _named(file, ids)
    # A build resumes only with the very vectors that it began with.
    options = {"vectors_bytes": stat.st_size, "vectors_modified": stat.st_mtime_ns}
    options |= {"corpus": ", ".join(corpus)} if corpus else {}
    named = Corpus(documents, str(Path(path).absolute()), options, tally, file.rows)
    return IndexInput(named, file.blocks(BLOCK_ROWS), file.dim)


def _named(file: VectorFile, ids: str | None) -> Iterator[Document]:
    names = read_ids(ids) if ids is not None else file.ids
    if names is not None and len(names) != file.rows:
        raise VectorsError(f"{ids or file.path} has {len(names):,} ids for {file.rows:,} vectors; give one id for each vector")
    for row in range(file.rows):
        name = str(row) if names is None else names[row]
        where = f"{ids or file.path}, {'line' if ids else 'row'} {row + bool(ids)}"
        yield Document(name, name, where=where, numbered=names is None, bare=True)


def from_vocabulary(encoder: Encoder, *, all_words: bool) -> IndexInput:
    """An encoder's own words; without `all_words` only those with a vector of their own."""
    chosen, counts = encoder.word_ids(all_words=all_words)
    words = encoder.words
    blocks = (encoder.encode_words(chosen[first : first + BLOCK_ROWS]) for first in range(0, len(chosen), BLOCK_ROWS))
    documents = (Document(_unique(words[i], i), words[i], where=f"word {i} of the vocabulary") for i in chosen)
    tally = CorpusTally(extra=counts)
    corpus = Corpus(documents, "the encoder's vocabulary", {"all_words": all_words}, tally, len(chosen))
    return IndexInput(corpus, blocks, encoder.dim)


def note_reading(tally: CorpusTally, name: str) -> None:
    """Say on stderr what was left out of a file of this name, and how it was read, where that is not as usual."""
    if tally.skipped:
        note(f"skipped {tally.skipped:,} bad records of {name}; the first: {tally.first_problem}")
    note_how_read(tally)


def note_how_read(tally: CorpusTally) -> None:
    """Say on stderr how a file was read, where that is not as usual."""
    for remark in tally.remarks():
        note(f"note: {remark}")


def read_query_vectors(path: str, encoder: Encoder | None, corpus: Sequence[str] = ()) -> np.ndarray:
    """The queries in a file, (q, d) float32: vectors, or texts as `read_queries` has them, by `encoder`."""
    if Path(path).suffix in VECTOR_SUFFIXES:
        return np.concatenate(list(open_vectors(path).blocks(BLOCK_ROWS)))
    if encoder is None:
        raise UsageError(
            f"{path}: queries for ready vectors are vectors (.npy, .h5); give those, or the --encoder of the vectors"
        )
    if path == "-" in corpus:
        raise UsageError("CORPUS and --queries cannot both be read from stdin")
    tally = CorpusTally()
    texts = [query.text for query in read_queries(path, tally=tally)]
    note_reading(tally, path)
    vectors = encoder.encode(texts)
    known = vectors.any(axis=1)  # a query without a known word gets no answer
    if not known.any():
        raise UsageError(f"{path}: none of the {len(texts):,} queries has a word that the model knows; give others")
    if not known.all():
        note(f"note: {np.count_nonzero(~known):,} of the {len(texts):,} queries of {path} have no word that the model knows")
    return vectors[known]


def _unique(word: str, i: int) -> str:
    # fastai pads vocabularies with "xxfake" to a multiple of 8: the only word that occurs twice.
    return f"xxfake {i}" if word == "xxfake" else word
