"""Search by meaning with the ULMFiT language model you trained.

    from vecsearch import Index, open_encoder, read_corpus

    with Index.build("indexes/films", read_corpus("films.jsonl"), open_encoder()) as index:
        for hit in index.query(["a heist that goes wrong in Las Vegas"], k=5)[0]:
            print(hit.score, hit.id, hit.text)

Names are imported when they are first used, so that `import vecsearch` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vecsearch.ann import Goal
    from vecsearch.corpus.document import Document
    from vecsearch.corpus.readers import read_corpus
    from vecsearch.encoders import Encoder, UlmfitEncoder, open_encoder
    from vecsearch.errors import VecsearchError
    from vecsearch.hits import Hit, Neighbors
    from vecsearch.index import Index
    from vecsearch.metric import Metric

_HOMES = {
    "Document": "vecsearch.corpus.document",
    "Encoder": "vecsearch.encoders",
    "Goal": "vecsearch.ann",
    "Hit": "vecsearch.hits",
    "Index": "vecsearch.index",
    "Metric": "vecsearch.metric",
    "Neighbors": "vecsearch.hits",
    "UlmfitEncoder": "vecsearch.encoders",
    "VecsearchError": "vecsearch.errors",
    "open_encoder": "vecsearch.encoders",
    "read_corpus": "vecsearch.corpus.readers",
}

__all__ = [
    "Document",
    "Encoder",
    "Goal",
    "Hit",
    "Index",
    "Metric",
    "Neighbors",
    "UlmfitEncoder",
    "VecsearchError",
    "open_encoder",
    "read_corpus",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
