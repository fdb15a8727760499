"""What the search thread is given, and how a batch of it is answered: all texts are encoded together, then each group of
searches with equal options is made in one call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from vecsearch.encoders import Encoder
from vecsearch.index.hits import Hit
from vecsearch.index.index import Index
from vecsearch.index.parts import Missing
from vecsearch.index.reader import Reader
from vecsearch.serving.hits import Shape
from vecsearch.serving.problems import Problem

BYTES_PER_TOKEN = 4
"""About; of scripts whose letters are words it is three."""


class Way(NamedTuple):
    """How searches are made: those that have all of it in common are made in one call."""

    name: str
    """hybrid, meaning, keywords, vector, like, browse or encode."""
    k: int = 0
    where: str | None = None
    metric: str | None = None
    exact: bool = False
    weights: tuple[float, float] | None = None


class Found(NamedTuple):
    """The hits of each query of a job, and the queries' vectors (n, dim) float32 where there are any."""

    hits: list[list[Hit]]
    vectors: np.ndarray | None

    @classmethod
    def joined(cls, parts: Sequence[Found]) -> Found:
        """What parts of a job have found, as one."""
        vectors = [part.vectors for part in parts if part.vectors is not None]
        return cls([hits for part in parts for hits in part.hits], np.concatenate(vectors) if vectors else None)


@dataclass(eq=False)
class Job:
    """Queries to answer from one generation of an index: texts, ids or vectors (n, dim) float32.

    With a `shape` the answer is the JSON of each query's hits; without one it is a `Found`, and of the way "encode" an array.
    """

    index: Index
    way: Way
    texts: Sequence[str] = ()
    given: np.ndarray | None = None
    shape: Shape | None = None
    vectors: np.ndarray | None = field(default=None, init=False)
    missing: list[Missing] = field(default_factory=list, init=False)
    """Documents that the answer lacks."""

    @property
    def reads_texts(self) -> bool:
        """Whether its texts have to be encoded."""
        return self.way.name in ("hybrid", "meaning", "encode")

    def __len__(self) -> int:
        return len(self.texts) if self.given is None else len(self.given)

    def answer(self, hits: list[list[Hit]]) -> Found | list[bytes]:
        """What is made of the hits of its queries."""
        return [self.shape.rows(found) for found in hits] if self.shape else Found(hits, self.vectors)


def tokens(text: str) -> int:
    """About how many tokens a text has, at the cost of looking at its length."""
    return 1 + max(len(text.encode(errors="replace")) // BYTES_PER_TOKEN, text.count(" "))


def parts(texts: Sequence[str], most: int, most_tokens: int) -> list[tuple[slice, int]]:
    """Texts as slices that each fit in a batch, with about how many tokens each has: a long request lets others in between."""
    found, first, total = [], 0, 0
    for place, text in enumerate(texts):
        own = tokens(text)
        if place > first and (place - first >= most or total + own > most_tokens):
            found.append((slice(first, place), total))
            first, total = place, 0
        total += own
    return [*found, (slice(first, len(texts)), total)]


def answered(jobs: Sequence[Job]) -> list[Any]:
    """The answer to each job, in order; a Problem in the place of one that asks for what there is not."""
    _encode([job for job in jobs if job.reads_texts])
    groups: dict[Hashable, list[Job]] = defaultdict(list)
    for job in jobs:
        groups[id(job.index), job.way].append(job)
    answers: dict[Job, Any] = {}
    for (_, way), members in groups.items():
        answers |= _group(members[0].index, way, members)
    return [answers[job] for job in jobs]


def _encode(jobs: Sequence[Job]) -> None:
    """Have the texts of all jobs encoded, equal ones once; several generations may share an encoder."""
    by_encoder: dict[int, tuple[Encoder, Index, list[Job]]] = {}
    for job in jobs:
        encoder = job.index.encoder
        by_encoder.setdefault(id(encoder), (encoder, job.index, []))[2].append(job)
    for _, index, members in by_encoder.values():
        places: dict[str, int] = {}
        for job in members:
            for text in job.texts:
                places.setdefault(text, len(places))
        vectors = index.encode(list(places))
        for job in members:
            job.vectors = vectors[[places[text] for text in job.texts]]


def _group(index: Index, way: Way, jobs: Sequence[Job]) -> dict[Job, Any]:
    if way.name == "encode":
        return {job: job.vectors for job in jobs}
    reader, refused = index.reader(), dict[Job, Any]()
    if way.name == "like":
        known = reader.known([id for job in jobs for id in job.texts])
        refused = {job: unknown_document(job.texts[0]) for job in jobs if not known.issuperset(job.texts)}
        jobs = [job for job in jobs if job not in refused]
    hits = iter(_hits(reader, way, jobs) if jobs else ())
    for job in jobs:
        job.missing = reader.missing
    return refused | {job: job.answer([next(hits) for _ in range(len(job))]) for job in jobs}


def _hits(index: Reader, way: Way, jobs: Sequence[Job]) -> list[list[Hit]]:
    """The hits of all queries of the jobs, one after another."""
    texts = [text for job in jobs for text in job.texts]
    nearest = {"metric": way.metric, "exact": way.exact, "where": way.where}
    if way.name == "keywords":
        return index.keywords(texts, way.k, where=way.where)
    if way.name == "like":
        return index.similar(texts, way.k, **nearest)
    if way.name == "vector":
        for job in jobs:
            job.vectors = job.given
    vectors = np.concatenate([job.vectors for job in jobs])
    if way.name == "hybrid":
        return index.hybrid(texts, way.k, weights=way.weights, exact=way.exact, where=way.where, vectors=vectors)
    found = index.nearest(vectors, way.k, **nearest)
    if way.name == "vector":
        return found
    # A zero vector is as near to everything: its text has no word that the model knows.
    return [hits if known else [] for hits, known in zip(found, vectors.any(axis=1).tolist(), strict=True)]


def unknown_document(id: str) -> Problem:
    """There is none with this id."""
    return Problem(404, "unknown_document", f"the index has no document with the id {id[:200]!r}")
