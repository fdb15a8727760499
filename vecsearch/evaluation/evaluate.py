"""Encoders on a test set: their figures with intervals, and which of two encoders is better."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from vecsearch import checks
from vecsearch.ann import merge, nearest
from vecsearch.corpus.readers import read_corpus
from vecsearch.corpus.source import CorpusTally
from vecsearch.encoders import Encoder
from vecsearch.encoders.base import check_encoder, encode_texts
from vecsearch.errors import CorpusError, UsageError
from vecsearch.evaluation.intervals import Drawn, draw_mean, draw_pearson, draw_spearman
from vecsearch.evaluation.measures import of_ranking, ranking
from vecsearch.evaluation.sets import Analogies, Pairs, Retrieval, TestSet
from vecsearch.metric import Metric, normalise, norms, pair_scores
from vecsearch.progress import SILENT, Progress, check_progress, expected

BLOCK = 1024
"""Texts that are encoded, and questions that are asked, at a time."""
CANDIDATES = 30_000
"""Words among which an analogy's answer is looked for: the encoder's first, which as a rule are its commonest."""


@dataclass(slots=True)
class Judged:
    """An encoder's figures on a set, by part of the set ("" for all of it), metric and measure, each with its samples."""

    drawn: dict[tuple[str, Metric, str], Drawn] = field(default_factory=dict)
    n: dict[str, int] = field(default_factory=dict)
    """Pairs, questions or queries, of the set ("") and of its parts."""
    notes: list[str] = field(default_factory=list)
    """What does not count as it should: unknown words, missing documents."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The difference of `encoder` and `than`, with its interval, and the p-value of there being none."""

    part: str
    metric: Metric
    measure: str
    encoder: str
    than: str
    difference: float
    low: float
    high: float
    p: float

    @property
    def better(self) -> str:
        """The better of the two, or "inconclusive" where the interval holds 0."""
        return "inconclusive" if self.low <= 0 <= self.high else self.encoder if self.difference > 0 else self.than


def evaluate(
    test: TestSet,
    encoder: Encoder,
    *,
    metrics: Sequence[Metric | str] = tuple(Metric),
    ks: Sequence[int] = (10,),
    progress: Progress = SILENT,
) -> Judged:
    """An encoder's figures on a set by each metric: Pearson's and Spearman's correlation, accuracy, or the measures of a
    ranking cut at each of `ks`.

    Raises: errors of the corpus of a BEIR folder.
    """
    check_encoder(encoder, kept=False)
    check_progress(progress)
    metrics = [Metric(metric) for metric in _several("metrics", metrics)]
    ks = [checks.count("ks", k, least=1) for k in _several("ks", ks)]
    if isinstance(test, Pairs):
        return _on_pairs(test, encoder, metrics, progress)
    if isinstance(test, Analogies):
        return _on_analogies(test, encoder, metrics, progress)
    checks.instance("test", test, Retrieval, give="what read_set returned")
    return _on_retrieval(test, encoder, metrics, ks, progress)


def _several(name: str, values: Any) -> list[Any]:
    """The values, of which there is at least one. Raises TypeError for a single one, UsageError for none."""
    if isinstance(values, str):
        raise TypeError(f"{name} is {checks.described(values)}; give a list, even of a single one: [{values!r}]")
    if not (found := list(checks.iterable(name, values, name))):
        raise UsageError(f"{name} is empty; give at least one")
    return found


def compare(judged: dict[str, Judged]) -> Iterator[Comparison]:
    """The first encoder beside each other one, on each measure of the whole set: the same pairs, questions or queries are drawn
    for both."""
    checks.instance("judged", judged, dict, give="what evaluate returned, by the encoders' names")
    for name, found in judged.items():
        checks.instance(f"judged[{name!r}]", found, Judged, give="what evaluate returned")
    if not judged:
        raise UsageError("judged is empty; evaluate at least two encoders")
    return _compared(judged)


def _compared(judged: dict[str, Judged]) -> Iterator[Comparison]:
    (first, its), *others = judged.items()
    for name, other in others:
        for (part, metric, measure), drawn in its.drawn.items():
            if not part:
                apart = drawn - other.drawn[part, metric, measure]
                yield Comparison(part, metric, measure, first, name, apart.value, *apart.interval, apart.p)


def encode_pairs(
    a: Sequence[str], b: Sequence[str], encoder: Encoder, progress: Progress = SILENT
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of both sides of n pairs of texts, each text encoded once: two (n, dim) float32."""
    check_encoder(encoder, kept=False)
    check_progress(progress)
    a, b = both_sides(a, b)
    texts, at = np.unique(np.array([*a, *b], object), return_inverse=True)
    vectors = _encoded(encoder, texts.tolist(), progress)
    return vectors[at[: len(a)]], vectors[at[len(a) :]]


def both_sides(a: Sequence[str], b: Sequence[str]) -> tuple[list[str], list[str]]:
    """Both sides of pairs. Raises TypeError for what are no texts, UsageError for more of them on one side."""
    a, b = checks.texts("a", a), checks.texts("b", b)
    if len(a) != len(b):
        raise UsageError(f"there are {len(a):,} texts on one side and {len(b):,} on the other; a pair has one of each")
    return a, b


def _encoded(encoder: Encoder, texts: Sequence[str], progress: Progress) -> np.ndarray:
    """Vectors of the texts, (n, dim) float32, encoded block by block."""
    vectors = np.empty((len(texts), encoder.dim), np.float32)
    for first in range(0, len(texts), BLOCK):
        block = texts[first : first + BLOCK]
        vectors[first : first + len(block)] = encode_texts(encoder, block)
        progress.step("texts", first + len(block), len(texts))
    return vectors


def _on_pairs(test: Pairs, encoder: Encoder, metrics: Sequence[Metric], progress: Progress) -> Judged:
    a, b = encode_pairs(test.a, test.b, encoder, progress)
    judged = Judged(n={"": len(test.scores)}, notes=list(test.notes))
    for metric in metrics:
        scores = pair_scores(a, b, metric).astype(np.float64)
        judged.drawn["", metric, "pearson"] = draw_pearson(scores, test.scores)
        judged.drawn["", metric, "spearman"] = draw_spearman(scores, test.scores)
    if zero := int((~a.any(axis=1) | ~b.any(axis=1)).sum()):
        judged.notes.append(f"{zero:,} of {len(a):,} pairs have a text without a known word, and score 0")
    return judged


def _on_analogies(test: Analogies, encoder: Encoder, metrics: Sequence[Metric], progress: Progress) -> Judged:
    """By 3CosAdd (Mikolov, Yih and Zweig 2013), the words of the question left out of the answer."""
    asked = {word for question in test.questions for word in question}
    candidates = list(dict.fromkeys([*islice(_words(encoder), CANDIDATES), *sorted(asked)]))
    vectors = _encoded(encoder, candidates, progress)
    row = {word: i for i, word in enumerate(candidates)}
    questions = np.array([[row[word] for word in question] for question in test.questions])  # (n, 4)
    known = vectors.any(axis=1)[questions].all(axis=1)
    sections = np.array(test.sections)
    judged = Judged(
        n={"": len(questions)} | {name: int((sections == name).sum()) for name in dict.fromkeys(test.sections) if name}
    )
    for metric in metrics:
        rows = normalise(vectors) if metric is Metric.COSINE else vectors
        right = np.concatenate([_answered(rows, block) for block in np.split(questions, range(BLOCK, len(questions), BLOCK))])
        right = (right & known).astype(np.float64)
        for part in judged.n:
            judged.drawn[part, metric, "accuracy"] = draw_mean(right[sections == part] if part else right)
    if unknown := int((~known).sum()):
        judged.notes.append(f"{unknown:,} of {len(known):,} questions have a word that is not known, and count as wrong")
    return judged


def _answered(vectors: np.ndarray, questions: np.ndarray) -> np.ndarray:
    """Whether the vector nearest to b - a + c is that of d, for questions (n, 4) of rows a, b, c, d: (n,) bool."""
    a, b, c, d = questions.T
    scores = (vectors[b] - vectors[a] + vectors[c]) @ vectors.T
    np.put_along_axis(scores, questions[:, :3], -np.inf, axis=1)
    return scores.argmax(axis=1) == d


def _words(encoder: Encoder) -> Iterable[str]:
    """The encoder's own words of letters alone, lower-case; none where it has no vocabulary."""
    return (word for word in encoder.words if word.isalpha() and word == word.lower())


def _on_retrieval(
    test: Retrieval, encoder: Encoder, metrics: Sequence[Metric], ks: Sequence[int], progress: Progress
) -> Judged:
    tally = CorpusTally()
    queries = _encoded(encoder, list(test.queries.values()), progress)
    ids: list[str] = []
    best = {metric: (np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)) for metric in metrics}
    documents = read_corpus(test.folder, tally=tally)
    while block := list(islice(documents, BLOCK)):
        vectors = encode_texts(encoder, [document.text for document in block])
        for metric, found in best.items():
            scores, rows = nearest([(vectors, norms(vectors))], queries, max(ks), metric)
            best[metric] = merge((found[0], scores), (found[1], rows + len(ids)), max(ks))
        ids += [document.id for document in block]
        progress.step("documents", len(ids), expected(len(ids), tally.fraction()))
    judged = Judged(n={"": len(queries)}, notes=list(test.notes))
    for metric, (scores, rows) in best.items():
        ranked = [ranking([ids[row] for row in of_query], its) for its, of_query in zip(scores.tolist(), rows, strict=True)]
        for k in ks:
            values = [of_ranking(its, test.grades[id], k) for id, its in zip(test.queries, ranked, strict=True)]
            for measure in values[0]:
                judged.drawn["", metric, measure] = draw_mean(np.array([value[measure] for value in values]))
    if unknown := int((~queries.any(axis=1)).sum()):
        judged.notes.append(f"{unknown:,} of {len(queries):,} queries have no known word, and find what comes first")
    there = set(ids)
    if len(there) < len(ids):
        twice = next(id for id, count in Counter(ids).items() if count > 1)
        raise CorpusError(f"{test.folder}: two documents of the corpus have the id {twice!r}; keep one of them")
    judged.notes += tally.remarks()
    if missing := len({id for grades in test.grades.values() for id in grades} - there):
        judged.notes.append(f"{missing:,} judged documents are not in the corpus; those that are relevant count as not found")
    return judged
