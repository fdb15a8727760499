"""Tokens a second from text to stored vectors, ours beside the ways fastai offers and the matrix rate that torch reaches.

    python benchmarks/encode.py [--corpus FILE] [--tokens N] [--rounds N] [--threads N]

A full-size AWD-LSTM (400-1152-1152-400, 40.5 MFLOP a token) of random weights encodes real texts, by default the documentation of
the Python standard library. "ours" reads, tokenises, encodes and commits a whole index; "fastai" tokenises with fastai's Tokenizer
and pools with its own code, without storing anything. All ways take turns within each round; figures are medians. The share is the
arithmetic of the ways' tokens over the rate of one large matrix product (4096×1152×4608) in the same round.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch
from fastai.text.core import SpacyTokenizer, TokenizeWithRules
from fastai.text.data import Numericalize, pad_input_chunk
from fastai.text.models.awdlstm import AWD_LSTM
from fastai.text.models.core import SentenceEncoder, masked_concat_pool
from report import report

from vecsearch.corpus.document import Document
from vecsearch.corpus.pydocs import python_documentation
from vecsearch.corpus.readers import read_corpus
from vecsearch.corpus.source import CorpusTally
from vecsearch.encoders import UlmfitEncoder, open_encoder
from vecsearch.encoders.folder import write_encoder
from vecsearch.index import Index

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
    write_encoder(folder, arrays, shipped.vocabulary, shipped._opened.tokenizer, source={"name": "random"})
    return operations, model


def matrix_rate(dtype: str) -> float:
    """Operations a second of one large matrix product."""
    rows, weights = (torch.randn(n, HIDDEN, dtype=getattr(torch, dtype)) for n in (4096, 4 * HIDDEN))
    times = []
    for _ in range(5):
        start = perf_counter()
        torch.nn.functional.linear(rows, weights)
        times.append(perf_counter() - start)
    return 2 * 4096 * HIDDEN * 4 * HIDDEN / median(times)


def seconds(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


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
    parser.add_argument("--corpus", help="any corpus that vecsearch reads; default: the Python standard library's documentation")
    parser.add_argument("--tokens", type=int, default=100_000, help="encode about so many (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds to take the median of (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="default: all cores")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shipped = open_encoder()
    everything = read_corpus(options.corpus, tally=CorpusTally()) if options.corpus else python_documentation()
    with tempfile.TemporaryDirectory() as place:
        table = measure(Path(place), list(everything), shipped, options)
    facts = {
        "corpus": Path(options.corpus).name if options.corpus else "python documentation",
        "threads": options.threads,
        "rounds": options.rounds,
    }
    report("encode", [row | facts for row in table])


def measure(place: Path, everything: list[Document], shipped: UlmfitEncoder, options: argparse.Namespace) -> list[dict]:
    operations, model = full_size(place / "full", shipped)
    documents = take(everything, shipped, options.tokens)
    texts = [document.text for document in documents]
    few = texts[::ONE_BY_ONE]
    all_tokens, few_tokens = count(shipped, texts), count(shipped, few)
    whole = count(shipped, [document.text for document in everything])
    fastai = Fastai(model, list(shipped.vocabulary.words))
    check_equal(fastai, UlmfitEncoder(place / "full"), few[:20])

    def ours(dtype: str, **kind: str) -> Callable[[], object]:
        encoder = UlmfitEncoder(place / "full", dtype=dtype, **kind)
        corpus = everything if kind else documents
        return lambda: Index.build(place / "index", corpus, encoder, replace=(place / "index").exists()).close()

    ways: dict[str, tuple[Callable[[], object], int, str]] = {
        "ours, float32": (ours("float32"), all_tokens, "float32"),
        "ours, bfloat16": (ours("bfloat16"), all_tokens, "bfloat16"),
        "fastai, one text at a time": (lambda: fastai.one_by_one(few), few_tokens, "float32"),
        "fastai, 64 a batch, as they come": (lambda: fastai.batches(texts, size=64, by_length=False), all_tokens, "float32"),
        "fastai, 64 a batch, by length": (lambda: fastai.batches(texts, size=64, by_length=True), all_tokens, "float32"),
        "ours, raw pooling": (ours("float32", pooling="raw"), whole, ""),
    }
    rates: dict[str, list[float]] = {way: [] for way in ways}
    shares: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, (work, tokens, dtype) in ways.items():
            peak = matrix_rate(dtype) if dtype else None
            rates[way].append(tokens / seconds(work))
            if peak:
                shares[way].append(rates[way][-1] * operations / max(peak, matrix_rate(dtype)))
    slow = median(rates["fastai, one text at a time"])
    return [
        {
            "way": way,
            "tokens": tokens,
            "tokens_per_s": round(median(rates[way])),
            "times_one_by_one": round(median(rates[way]) / slow, 1),
            "share_of_matrix_rate": round(median(shares[way]), 3) if shares[way] else None,
        }
        for way, (_, tokens, _) in ways.items()
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
