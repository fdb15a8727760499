"""Names of clusters: the words and pairs of words that are more common in one than in the others, as people write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vecsearch.clustering.terms import Terms, number_of_words, terms_of
from vecsearch.corpus.document import Document

if TYPE_CHECKING:
    from scipy.sparse import csr_array

WORDS = 10
"""Words of a cluster."""
IN_NAME = 3
"""Words in a cluster's name."""
SHORTEST = 2
"""Words that a text has on average; shorter ones, those of a vocabulary, are what they are, and have no words in common."""
LEAST = 0.04
"""Share of a cluster's texts that one of its words is in at the least."""
APART = 1.5
"""Exponent of how much more common a word is in a cluster than elsewhere: above 1, zombie goes before follows."""
CANDIDATES = 40
"""The most distinctive terms of a cluster, of which its words are chosen."""
VARIETY = 0.3
"""How much it counts that a word is in other texts than those chosen before; the rest is how distinctive it is."""
ABSORBED = 0.5
"""The share of a word's texts that have it in one pair of words: York is then left to New York."""


def distinctive_words(texts: Sequence[str], labels: np.ndarray, count: int, *, language: str | None = None) -> list[list[str]]:
    """`words_of` the texts, none where these are single words; `language` is the code of that which they are in."""
    words = sum(map(number_of_words, texts))
    terms = terms_of(texts, language) if words >= SHORTEST * len(texts) else None
    return [[] for _ in range(count)] if terms is None else words_of(terms, labels, count)


def words_of(terms: Terms, labels: np.ndarray, count: int, *, groups: np.ndarray | None = None) -> list[list[str]]:
    """For each cluster 0 … count−1 its WORDS most distinctive words and pairs of words, best first; `labels` (t,) are those
    of the texts that have the terms, below 0 for none. With `groups` (count,), numbers from 0, a cluster's words are those
    that set it apart from the others of its group, otherwise from all others.

    Class-based TF-IDF: a cluster is one long text, and a term counts by the share of its texts that have it, times log(n / d),
    where d of all n texts do (Grootendorst 2022, BERTopic), times a power of the logarithm of how many times as common it is as
    in all texts of the group: where clusters are few, or much alike, TF-IDF alone leaves what is common everywhere. Of the most
    distinctive ones each next is that which says something new: maximal marginal relevance (Carbonell and Goldstein 1998),
    where two terms are alike as far as the same texts of the cluster have them, beyond chance.
    """
    from scipy.sparse import csr_array

    labels = np.asarray(labels)
    groups = np.zeros(count, np.int64) if groups is None else np.asarray(groups)
    inside = np.flatnonzero(labels >= 0)
    sizes = np.bincount(labels[inside], minlength=count)
    members = csr_array((np.ones(len(inside), np.float32), (labels[inside], inside)), shape=(count, len(labels)))
    of_clusters = csr_array(members @ terms.has)
    overall = np.bincount(terms.has.indices, minlength=terms.has.shape[1]) / len(labels)
    joined = csr_array((np.ones(count), (groups, np.arange(count))), shape=(groups.max(initial=0) + 1, count))
    of_groups, group_sizes = csr_array(joined @ of_clusters), joined @ sizes
    found = []
    for cluster in range(count):
        row, group = of_clusters[[cluster]].tocoo(), groups[cluster]
        numbers, shares = row.coords[1], row.data / max(sizes[cluster], 1)
        beside = of_groups[[group]][:, numbers].toarray()[0] / group_sizes[group]
        more = np.maximum(np.log(shares / beside), 0)
        scores = shares * -np.log(overall[numbers]) * more**APART
        best = np.lexsort((numbers, -scores))[:CANDIDATES]
        best = best[(scores[best] > 0) & (shares[best] >= LEAST)]
        has = csr_array(terms.has[np.flatnonzero(labels == cluster)][:, numbers[best]])
        chosen = _chosen(scores[best], has, [terms.stems[number] for number in numbers[best]])
        found.append([terms.written[numbers[best[i]]] for i in chosen])
    return found


def _chosen(scores: np.ndarray, has: csr_array, stems: Sequence[tuple[str, ...]]) -> list[int]:
    """The places of the terms to show, by the scores (m,) of all and by which texts have which, (t, m)."""
    together = (has.T @ has).toarray()
    alike = _correlations(together, has.shape[0])
    free = np.array([not _absorbed(i, together, stems) for i in range(len(stems))], bool)
    gains = (1 - VARIETY) * scores / scores.max(initial=1e-9)
    chosen: list[int] = []
    while free.any() and len(chosen) < WORDS:
        most_alike = alike[:, chosen].max(axis=1, initial=0)
        best = int(np.where(free, gains - VARIETY * most_alike, -np.inf).argmax())
        chosen.append(best)
        # Comedy beside romantic comedy says nothing.
        free &= [not set(own) & set(stems[best]) for own in stems]
    return chosen


def _correlations(together: np.ndarray, texts: int) -> np.ndarray:
    """How far terms are in the same ones of t texts, beyond chance, by how many have both: (m, m), 0 to 1."""
    shares = np.diag(together) / max(texts, 1)
    spread = np.sqrt(np.maximum(shares * (1 - shares), 1e-9))
    return np.maximum((together / max(texts, 1) - np.outer(shares, shares)) / np.outer(spread, spread), 0)


def _absorbed(i: int, together: np.ndarray, stems: Sequence[tuple[str, ...]]) -> bool:
    """Whether a single word is mostly in one of the pairs."""
    pairs = [j for j, own in enumerate(stems) if len(own) > len(stems[i]) and stems[i][0] in own]
    return any(together[i, j] >= ABSORBED * together[i, i] for j in pairs)


def name_of(words: Sequence[str], typical: Sequence[Document], number: int) -> str:
    """A cluster's name: its first words, else its most typical documents: texts of one word, and otherwise ids."""
    shown = (document.text if len(document.text.split()) == 1 else document.id for document in typical)
    return ", ".join((words or list(dict.fromkeys(shown)))[:IN_NAME]) or f"cluster {number}"
