"""The best hits of a query ranked again by a model that reads more closely than the one of the index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vecsearch import checks
from vecsearch.encoders.reranking import Reranker
from vecsearch.errors import UsageError
from vecsearch.index.hits import Hit

CANDIDATES = 50
"""Hits of a query that are ranked again, unless told else."""


def rerank(reranker: Reranker, texts: Sequence[str], found: Sequence[Sequence[Hit]], k: int = 10) -> list[list[Hit]]:
    """The k best of each text's hits by what `reranker` makes of the text and of each hit's passage, or else its text.

    Hits have its scores then; of equal ones the one that was found first. Raises TypeError for other arguments, UsageError for
    another number of lists than of texts, or k < 1.
    """
    texts, k = checks.texts("texts", texts, call="rerank"), checks.count("k", k, least=1)
    if len(texts) != len(found):
        raise UsageError(f"{len(found)} lists of hits for {len(texts)} texts; give one for each")
    return [_ranked(reranker, text, hits)[:k] for text, hits in zip(texts, found, strict=True)]


def _ranked(reranker: Reranker, text: str, hits: Sequence[Hit]) -> list[Hit]:
    if not hits:
        return []
    scores = reranker.scores(text, [hit.text if hit.passage is None else hit.passage for hit in hits])
    return [replace(hits[i], score=float(scores[i])) for i in np.argsort(-scores, kind="stable").tolist()]
