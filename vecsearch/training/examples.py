"""Training examples and their losses: a teacher's vectors, texts of the same meaning, or pairs with a score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vecsearch.evaluation.measures import spearman
from vecsearch.metric import normalise
from vecsearch.training.network import Network

TEMPERATURE = 0.05
"""What cosines are divided by before they compete: SimCSE's (Gao, Yao and Chen 2021)."""
SCALE = 20.0
"""What differences of cosines are multiplied by in the loss of scored pairs: CoSENT's (Su 2022)."""
PAIRED = 0.1
"""What finding the right text for a title counts beside a teacher's vectors of both."""
CHUNK = 50
"""Batches whose texts are sorted by length together: random enough, and little padding."""
NEAR = 10
"""Nearest held-out texts, and as many random ones, that each is compared with when a student is scored."""

Ids = np.ndarray
"""A text as token ids (t,)."""


def by_length(lengths: np.ndarray, batch: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Positions of all examples in batches of like lengths (n,), in a random order."""
    order = rng.permutation(len(lengths))
    batches = []
    for first in range(0, len(order), CHUNK * batch):
        part = order[first : first + CHUNK * batch]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += [part[start : start + batch] for start in range(0, len(part), batch)]
    if len(batches) > 1 and len(batches[-1]) < 2:
        batches.pop()  # one text has nothing to be compared with
    return [batches[i] for i in rng.permutation(len(batches))]


def vectors_of(network: Network, texts: Sequence[Ids], batch: int = 512) -> np.ndarray:
    """Vectors (n, d) float32 of length 1, in the order of the texts."""
    order = np.argsort([len(text) for text in texts], kind="stable")
    parts = []
    with torch.inference_mode():
        for first in range(0, len(order), batch):
            parts.append(encoded(network, [texts[i] for i in order[first : first + batch]]).numpy())
    vectors = np.empty((len(texts), parts[0].shape[1]), np.float32)
    vectors[order] = np.concatenate(parts)
    return normalise(vectors)


def encoded(network: Network, texts: Sequence[Ids]) -> Tensor:
    """Vectors (b, d) float32, computed in bfloat16 where the processor is fast at it."""
    from vecsearch.encoders.torch_settings import fast_dtype

    with torch.autocast("cpu", torch.bfloat16, enabled=fast_dtype() == "bfloat16"):
        return network(texts).float()


class Distilled:
    """Texts with a teacher's vectors (n, d) of length 1, which a student's vectors should be (Reimers and Gurevych 2020, Making
    monolingual sentence embeddings multilingual using knowledge distillation).

    `pairs` (p, 2) are places of titles and of the texts that go with them, behind the first `held_out` texts. A title's own
    text is also to be told apart from those of other titles, which counts PAIRED times what the teacher says."""

    def __init__(
        self, texts: Sequence[Ids], targets: np.ndarray, held_out: int, batch: int, pairs: np.ndarray | None = None
    ) -> None:
        self._texts, self._targets = texts, targets
        self._aside, self._truth = texts[:held_out], targets[:held_out] @ targets[:held_out].T
        self._lengths = np.array([len(text) for text in self._texts])
        self._batch = batch
        self._pairs = np.empty((0, 2), np.int64) if pairs is None else pairs
        alone = np.ones(len(texts), bool)
        alone[:held_out] = alone[self._pairs] = False
        self._alone = np.flatnonzero(alone)
        np.fill_diagonal(self._truth, -np.inf)
        near = np.argsort(-self._truth, axis=1)[:, :NEAR]
        others = np.random.default_rng(0).integers(0, held_out, near.shape)
        self._compared = np.repeat(np.arange(held_out), 2 * near.shape[1]), np.concatenate([near, others], axis=1).ravel()

    def batches(self, rng: np.random.Generator) -> list[Any]:
        """Places (b,) of texts, and pairs of places (b, 2)."""
        found = [self._alone[batch] for batch in by_length(self._lengths[self._alone], self._batch, rng)]
        if len(self._pairs):
            lengths = self._lengths[self._pairs].sum(axis=1)
            found += [self._pairs[batch] for batch in by_length(lengths, max(2, self._batch // 2), rng)]
        return [found[i] for i in rng.permutation(len(found))]

    def loss(self, network: Network, batch: np.ndarray, rng: np.random.Generator) -> Tensor:
        sides = [batch] if batch.ndim == 1 else list(batch.T)
        vectors = [functional.normalize(encoded(network, [self._texts[i] for i in side])) for side in sides]  # (b, d) each
        targets = [torch.from_numpy(self._targets[side]) for side in sides]
        loss = 1 - (torch.cat(vectors) * torch.cat(targets)).sum(dim=1).mean()
        if len(sides) == 1:
            return loss
        pairs = [tuple(self._texts[i] for i in pair) for pair in batch]
        return loss + PAIRED * _told_apart(*vectors, pairs)

    def score(self, network: Network) -> float:
        """Spearman's correlation of the student's cosines with the teacher's, over held-out texts near each other and not."""
        vectors = vectors_of(network, self._aside)
        a, b = (where[self._compared[0] != self._compared[1]] for where in self._compared)
        return spearman(np.einsum("pd,pd->p", vectors[a], vectors[b]), self._truth[a, b])


class Alike:
    """Groups of texts that say the same, among which those of other groups are to be told apart (InfoNCE: van den Oord, Li and
    Vinyals 2018). A group of one text is compared with itself under another dropout (SimCSE: Gao, Yao and Chen 2021). Partners
    of a text that recurs, as a question with several answers does, are not told apart from one another."""

    def __init__(self, groups: Sequence[Sequence[Ids]], held_out: int, batch: int) -> None:
        self._groups, self._aside = groups[held_out:], groups[:held_out]
        self._lengths = np.array([len(group[0]) + len(group[-1]) for group in self._groups])
        self._batch = batch

    def batches(self, rng: np.random.Generator) -> list[Any]:
        return by_length(self._lengths, self._batch, rng)

    def loss(self, network: Network, batch: np.ndarray, rng: np.random.Generator) -> Tensor:
        pairs = [_two(self._groups[i], rng) for i in batch]
        texts = [text for side in zip(*pairs, strict=True) for text in side]
        return _told_apart(*functional.normalize(encoded(network, texts)).chunk(2), pairs)

    def score(self, network: Network) -> float:
        """Mean reciprocal rank of a held-out text's own partner among all held-out partners.

        Where a group is one text, its partner is its second half, asked with the first.
        """
        pairs = [(group[0], group[-1]) if len(group) > 1 else _halves(group[0]) for group in self._aside]
        a, b = (vectors_of(network, side) for side in zip(*pairs, strict=True))
        likeness = a @ b.T
        ranks = ((likeness > np.diag(likeness)[:, None]) & ~_share_a_text(pairs)).sum(axis=1) + 1
        return float((1 / ranks).mean())


class Scored:
    """Pairs with scores: of two pairs the one with the higher score should be nearer (CoSENT: Su 2022)."""

    def __init__(self, pairs: Sequence[tuple[Ids, Ids]], scores: np.ndarray, held_out: int, batch: int) -> None:
        self._pairs, self._scores = pairs[held_out:], scores[held_out:].astype(np.float32)
        self._aside, self._truth = pairs[:held_out], scores[:held_out]
        self._lengths = np.array([len(a) + len(b) for a, b in self._pairs])
        self._batch = batch

    def batches(self, rng: np.random.Generator) -> list[Any]:
        return by_length(self._lengths, self._batch, rng)

    def loss(self, network: Network, batch: np.ndarray, rng: np.random.Generator) -> Tensor:
        texts = [text for side in zip(*(self._pairs[i] for i in batch), strict=True) for text in side]
        a, b = functional.normalize(encoded(network, texts)).chunk(2)
        cosines, scores = SCALE * (a * b).sum(dim=1), torch.from_numpy(self._scores[batch])  # (b,) each
        wrong = cosines[None, :] - cosines[:, None]  # by how much the second pair is nearer than the first
        wrong = wrong[scores[:, None] > scores[None, :]]
        return functional.pad(wrong, (1, 0)).logsumexp(0)

    def score(self, network: Network) -> float:
        """Spearman's correlation of cosines with the held-out scores."""
        a, b = (vectors_of(network, side) for side in zip(*self._aside, strict=True))
        return spearman(np.einsum("pd,pd->p", a, b), self._truth)


def _told_apart(a: Tensor, b: Tensor, pairs: Sequence[tuple[Ids, Ids]]) -> Tensor:
    """How far vectors a (n, d) are from finding their own partners among b (n, d), and the other way round (InfoNCE)."""
    likeness = (a @ b.T / TEMPERATURE).masked_fill(torch.from_numpy(_share_a_text(pairs)), -torch.inf)
    own = torch.arange(len(pairs))
    return (functional.cross_entropy(likeness, own) + functional.cross_entropy(likeness.T, own)) / 2


def _share_a_text(pairs: Sequence[tuple[Ids, Ids]]) -> np.ndarray:
    """Which pairs have a text in common with which others: (n, n) bool. What is in the one may well go with the other."""
    numbers: dict[bytes, int] = {}
    a, b = (np.array([numbers.setdefault(text.tobytes(), len(numbers)) for text in side]) for side in zip(*pairs, strict=True))
    one_way = (a[:, None] == a) | (b[:, None] == b) | (a[:, None] == b)
    return (one_way | one_way.T) & ~np.eye(len(pairs), dtype=bool)


def _two(group: Sequence[Ids], rng: np.random.Generator) -> tuple[Ids, Ids]:
    if len(group) == 1:
        return group[0], group[0]
    first, second = rng.choice(len(group), 2, replace=False)
    return group[first], group[second]


def _halves(text: Ids) -> tuple[Ids, Ids]:
    middle = max(1, len(text) // 2)
    return text[:middle], text[middle:] if len(text) > 1 else text
