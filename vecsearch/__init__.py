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
    from vecsearch.corpus.corpus import Corpus
    from vecsearch.corpus.document import Document
    from vecsearch.corpus.folder.corpus import read_files
    from vecsearch.corpus.passages import Chunks
    from vecsearch.corpus.readers import read_corpus
    from vecsearch.encoders import Encoder, Tally, UlmfitEncoder, open_encoder
    from vecsearch.encoders.ulmfit.importing import from_learner
    from vecsearch.errors import VecsearchError
    from vecsearch.index.adopt import Adopted
    from vecsearch.index.build import Options
    from vecsearch.index.changes import Changes
    from vecsearch.index.facets import Facet, Facets
    from vecsearch.index.field_values import Field
    from vecsearch.index.hits import Candidates, Fusion, Hit, Neighbors
    from vecsearch.index.index import Index
    from vecsearch.index.sync import FileChanges
    from vecsearch.metric import Metric
    from vecsearch.progress import Progress
    from vecsearch.remote.pull import Pulled, pull
    from vecsearch.remote.push import Pushed, push
    from vecsearch.store.clusters import Clustering
    from vecsearch.store.manifest import Manifest

_HOMES = {
    "Adopted": "vecsearch.index.adopt",
    "Candidates": "vecsearch.index.hits",
    "Changes": "vecsearch.index.changes",
    "Chunks": "vecsearch.corpus.passages",
    "Clustering": "vecsearch.store.clusters",
    "Corpus": "vecsearch.corpus.corpus",
    "Document": "vecsearch.corpus.document",
    "Encoder": "vecsearch.encoders",
    "Facet": "vecsearch.index.facets",
    "Facets": "vecsearch.index.facets",
    "Field": "vecsearch.index.field_values",
    "FileChanges": "vecsearch.index.sync",
    "Fusion": "vecsearch.index.hits",
    "Goal": "vecsearch.ann",
    "Hit": "vecsearch.index.hits",
    "Index": "vecsearch.index.index",
    "Manifest": "vecsearch.store.manifest",
    "Metric": "vecsearch.metric",
    "Neighbors": "vecsearch.index.hits",
    "Options": "vecsearch.index.build",
    "Progress": "vecsearch.progress",
    "Pulled": "vecsearch.remote.pull",
    "Pushed": "vecsearch.remote.push",
    "Tally": "vecsearch.encoders",
    "UlmfitEncoder": "vecsearch.encoders",
    "VecsearchError": "vecsearch.errors",
    "from_learner": "vecsearch.encoders.ulmfit.importing",
    "open_encoder": "vecsearch.encoders",
    "pull": "vecsearch.remote.pull",
    "push": "vecsearch.remote.push",
    "read_corpus": "vecsearch.corpus.readers",
    "read_files": "vecsearch.corpus.folder.corpus",
}

__all__ = [
    "Adopted",
    "Candidates",
    "Changes",
    "Chunks",
    "Clustering",
    "Corpus",
    "Document",
    "Encoder",
    "Facet",
    "Facets",
    "Field",
    "FileChanges",
    "Fusion",
    "Goal",
    "Hit",
    "Index",
    "Manifest",
    "Metric",
    "Neighbors",
    "Options",
    "Progress",
    "Pulled",
    "Pushed",
    "Tally",
    "UlmfitEncoder",
    "VecsearchError",
    "from_learner",
    "open_encoder",
    "pull",
    "push",
    "read_corpus",
    "read_files",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
