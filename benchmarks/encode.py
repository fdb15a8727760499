"""Tokens a second from text to stored vectors, ours beside the ways fastai offers and the matrix rate that torch reaches.

    python benchmarks/encode.py [--corpus FILE] [--tokens N] [--rounds N] [--threads N] [--busy N] [--only WAY ...]

A full-size AWD-LSTM (400-1152-1152-400, 40.5 MFLOP a token) of random weights encodes real texts, by default the documentation
of the Python standard library. "ours" reads, tokenises, encodes and commits a whole index, with nothing remembered
from the round before; "fastai" tokenises and pools with fastai's own code, without storing anything. All ways take turns within
each round; figures are medians. With --busy N, N other processes keep a core each busy meanwhile. "ours, shipped" is the model
that ships, in the precision that is fast here. The share is a way's arithmetic over the median rate of the fastest of three
matrix products, timed before each turn of the ways with that precision.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
import torch
from cost import busy, seconds
from fastai.text.core import SpacyTokenizer, TokenizeWithRules
from fastai.text.data import Numericalize, pad_input_chunk
from fastai.text.models.awdlstm import AWD_LSTM
from fastai.text.models.core import SentenceEncoder, masked_concat_pool
from report import report

from vecsearch.cli.pydocs import python_documentation
from vecsearch.corpus.document import Document
from vecsearch.corpus.readers import read_corpus
from vecsearch.encoders import UlmfitEncoder, open_encoder
from vecsearch.encoders.ulmfit.folder import write_encoder
from vecsearch.index.blocks import BLOCK_DOCUMENTS
from vecsearch.index.index import Index
from vecsearch.training.start import english_tokenizer

EMBEDDING, HIDDEN, LAYERS = 400, 1152, 3
SEQUENCE = 72
"""fastai's seq_len, which its SentenceEncoder steps by."""
ONE_BY_ONE = 20
"""One text at a time is timed on every so many-th text: it is the slow way."""


def full_size(folder: Path, shipped: UlmfitEncoder) -> tuple[int, AWD_LSTM]:
    """Write an encoder of fastai's default sizes and random weights; its operations a token, and the same in fastai."""
    torch.manual_seed(0)
    model = AWD_LSTM(len(shipped.vocabulary), EMBEDDING, HIDDEN, LAYERS).eval()
    tensors = {"forward.embedding": model.encoder.weight}
    operations = 0
    for n, wrapped in enumerate(model.rnns):
        lstm = wrapped.module
        tensors[f"forward.lstm.{n}.weight_ih"] = lstm.weight_ih_l0
        tensors[f"forward.lstm.{n}.weight_hh"] = wrapped.weight_hh_l0_raw
        tensors[f"forward.lstm.{n}.bias"] = lstm.bias_ih_l0 + lstm.bias_hh_l0
        operations += 2 * (lstm.weight_ih_l0.numel() + wrapped.weight_hh_l0_raw.numel())
    folder.mkdir()
    arrays = {name: tensor.detach().numpy() for name, tensor in tensors.items()}
    # Without pieces of words, which fastai's numericalisation does not know.
    write_encoder(folder, arrays, shipped.vocabulary, english_tokenizer(), source={"name": "random"})
    return operations, model


def matrix_rate(dtype: str) -> float:
    """Operations a second of the fastest of three products of matrices, each the median of five after one not counted."""
    best = 0.0
    for m, k, n in ((4096, HIDDEN, 4 * HIDDEN), (256, HIDDEN, 4 * HIDDEN), (2048, 2048, 2048)):
        rows, weights = (torch.randn(size, k, dtype=getattr(torch, dtype)) for size in (m, n))
        times = [seconds(lambda r=rows, w=weights: torch.nn.functional.linear(r, w)) for _ in range(6)]
        best = max(best, 2 * m * k * n / median(times[1:]))
    return best


class Fastai:
    """fastai's text to vectors: its tokenizer, its numericalisation, its model."""

    def __init__(self, model: AWD_LSTM, words: list[str]) -> None:
        self.tokenizer = TokenizeWithRules(SpacyTokenizer("en"))
        self.numericalise = Numericalize(vocab=words)
        self.model = model

    def ids(self, texts: list[str]) -> list[torch.Tensor]:
        return [self.numericalise(tokens) for tokens in self.tokenizer(texts)]

    @torch.no_grad()
    def one_by_one(self, texts: list[str]) -> np.ndarray:
        vectors = []
        for ids in self.ids(texts):
            self.model.reset()
            vectors.append(self.model(ids[None]).mean(dim=1))
        return torch.cat(vectors).numpy()

    @torch.no_grad()
    def batches(self, texts: list[str], *, size: int, by_length: bool) -> np.ndarray:
        ids = self.ids(texts)
        if by_length:
            ids = sorted(ids, key=len, reverse=True)
        encoder = SentenceEncoder(SEQUENCE, self.model, pad_idx=1)
        vectors = []
        for first in range(0, len(ids), size):
            batch = sorted(ids[first : first + size], key=len, reverse=True)  # what SentenceEncoder asks for
            padded = torch.stack([row[0] for row in pad_input_chunk([(row,) for row in batch], pad_idx=1, seq_len=SEQUENCE)])
            vectors.append(masked_concat_pool(*encoder(padded), SEQUENCE))
        return torch.cat(vectors).numpy()


def take(documents: Iterable[Document], encoder: UlmfitEncoder, tokens: int) -> list[Document]:
    """Documents, spread over the corpus, that hold about so many tokens."""
    everything = list(documents)
    sample = everything[:: max(1, len(everything) // 500)]
    average = count(encoder, [document.text for document in sample]) / len(sample)
    step = max(1, int(len(everything) * average / tokens))
    return list(islice(everything, 0, None, step))


def main() -> None:
    parser = argparse.ArgumentParser(description="tokens a second from text to stored vectors")
    parser.add_argument("--corpus", help="any corpus that vecsearch reads; default: the documentation of the standard library")
    parser.add_argument("--tokens", type=int, default=100_000, help="encode about so many (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds to take the median of (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="default: all cores")
    parser.add_argument("--busy", type=int, default=0, help="other processes that never rest (default: %(default)s)")
    parser.add_argument("--only", nargs="+", metavar="WAY", help="ways that are measured (default: all)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    everything = list(read_corpus(options.corpus) if options.corpus else python_documentation())
    with tempfile.TemporaryDirectory() as place, busy(options.busy):
        table = measure(Path(place), everything, options)
    facts = {
        "corpus": Path(options.corpus).name if options.corpus else "python documentation",
        "threads": options.threads,
        "busy": options.busy,
        "rounds": options.rounds,
    }
    report("encode", [row | facts for row in table])


@dataclass(frozen=True)
class Way:
    """One way to get vectors: `prepare()` is not timed, the work that it gives is."""

    name: str
    tokens: int
    dtype: str | None
    prepare: Callable[[], Callable[[], object]]


def measure(place: Path, everything: list[Document], options: argparse.Namespace) -> list[dict]:
    shipped = open_encoder()
    operations, model = full_size(place / "full", shipped)
    documents = take(everything, shipped, options.tokens)
    texts = [document.text for document in documents]
    all_texts = [document.text for document in everything]
    few = texts[::ONE_BY_ONE]
    tokens, few_tokens, all_tokens = (count(shipped, chosen) for chosen in (texts, few, all_texts))
    fastai = Fastai(model, list(shipped.vocabulary.words))
    check_equal(fastai, UlmfitEncoder(place / "full"), few[:20])

    def index(corpus: list[Document], **kind: str) -> Callable[[], object]:
        encoder = UlmfitEncoder(place / "full", **kind)
        return lambda: Index.build(place / "index", corpus, encoder, replace=(place / "index").exists()).close()

    def shipped_index() -> Callable[[], object]:
        encoder = open_encoder(dtype="auto")
        return lambda: Index.build(place / "index", everything, encoder, replace=(place / "index").exists()).close()

    def raw_vectors() -> Callable[[], object]:
        encoder = UlmfitEncoder(place / "full", pooling="raw")
        blocks = [all_texts[first : first + BLOCK_DOCUMENTS] for first in range(0, len(all_texts), BLOCK_DOCUMENTS)]
        return lambda: sum(map(len, encoder.encode_blocks(blocks)))

    ways = [
        Way("ours, float32", tokens, "float32", lambda: index(documents, dtype="float32")),
        Way("ours, bfloat16", tokens, "bfloat16", lambda: index(documents, dtype="bfloat16")),
        Way("fastai, one text at a time", few_tokens, "float32", lambda: lambda: fastai.one_by_one(few)),
        Way("fastai, 64 as they come", tokens, "float32", lambda: lambda: fastai.batches(texts, size=64, by_length=False)),
        Way("fastai, 64 by length", tokens, "float32", lambda: lambda: fastai.batches(texts, size=64, by_length=True)),
        Way("ours, shipped", all_tokens, None, shipped_index),
        Way("ours, raw, text to vectors", all_tokens, None, raw_vectors),
        Way("ours, raw, whole index", all_tokens, None, lambda: index(everything, pooling="raw")),
    ]
    ways = [way for way in ways if not options.only or way.name in options.only]
    rates: dict[str, list[float]] = {way.name: [] for way in ways}
    peaks: dict[str, list[float]] = {"float32": [], "bfloat16": []}
    for _ in range(options.rounds):
        for way in ways:
            work = way.prepare()
            if way.dtype:
                peaks[way.dtype].append(matrix_rate(way.dtype))
            rates[way.name].append(way.tokens / seconds(work))
    slow = median(rates.get("fastai, one text at a time", [0]))
    shares = {
        way.name: median(rates[way.name]) * operations / median(peaks[way.dtype]) for way in ways if way.dtype is not None
    }
    return [
        {
            "way": way.name,
            "tokens": way.tokens,
            "tokens_per_s": round(median(rates[way.name])),
            "times_one_by_one": round(median(rates[way.name]) / slow, 1) if slow else None,
            "share_of_matrix_rate": round(shares[way.name], 3) if way.dtype else None,
            "matrix_gflop_per_s": round(median(peaks[way.dtype]) / 1e9) if way.dtype else None,
        }
        for way in ways
    ]


def count(encoder: UlmfitEncoder, texts: list[str]) -> int:
    """Tokens of texts."""
    return sum(len(encoder.tokens(text)) for text in texts)


def check_equal(fastai: Fastai, encoder: UlmfitEncoder, texts: list[str]) -> None:
    """Both sides compute the same vectors, or there is nothing to compare."""
    if not np.allclose(fastai.one_by_one(texts), encoder.encode(texts), atol=1e-5):
        raise SystemExit("the vectors differ from fastai's")


if __name__ == "__main__":
    main()
