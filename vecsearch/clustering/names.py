"""Names of clusters: the words that are more common in one than in the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vecsearch.corpus.document import Document

WORDS = 10
"""Words of a cluster."""
IN_NAME = 3
"""Words in a cluster's name."""
SHORTEST = 2
"""Words that a text has on average; shorter ones, those of a vocabulary, are what they are, and have no words in common."""
FEWEST = 2
"""Texts that a word has to be in."""


def distinctive_words(texts: Sequence[str], labels: np.ndarray, count: int) -> list[list[str]]:
    """For each cluster 0 … count−1 its WORDS most distinctive words, best first; `labels` (t,) are those of the texts.

    Class-based TF-IDF: a cluster is one long text, and a word counts by its share of that, times log(n / d), where d of all n
    texts have it (Grootendorst 2022, BERTopic), times the logarithm of how many times as common it is as in all clusters
    together: where clusters are few, or much alike, TF-IDF alone leaves "but" and "his".
    """
    from scipy.sparse import csr_array
    from sklearn.feature_extraction.text import CountVectorizer

    labels = np.asarray(labels)
    if sum(len(text.split()) for text in texts) < SHORTEST * len(texts):
        return [[] for _ in range(count)]
    vectorizer = CountVectorizer(min_df=FEWEST, dtype=np.float64)
    try:
        counts = csr_array(vectorizer.fit_transform(texts))
    except ValueError:  # no word is in FEWEST texts
        return [[] for _ in range(count)]
    members = csr_array((np.ones(len(labels)), (labels, np.arange(len(labels)))), shape=(count, len(labels)))
    of_clusters = csr_array(members @ counts)
    lengths = np.maximum(of_clusters.sum(axis=1), 1)
    frequencies = of_clusters.sum(axis=0)
    weights = np.log(len(labels) / np.bincount(counts.indices, minlength=counts.shape[1]))
    overall = frequencies / frequencies.sum()
    vocabulary = vectorizer.get_feature_names_out()
    found = []
    for cluster in range(count):
        row = of_clusters[[cluster]].tocoo()
        words, shares = row.coords[1], row.data / lengths[cluster]
        scores = shares * weights[words] * np.log(shares / overall[words])
        best = np.lexsort((words, -scores))[:WORDS]
        found.append([str(vocabulary[words[i]]) for i in best if scores[i] > 0])
    return found


def name_of(words: Sequence[str], typical: Sequence[Document], number: int) -> str:
    """A cluster's name: its first words, else its most typical documents: texts of one word, and otherwise ids."""
    shown = (document.text if len(document.text.split()) == 1 else document.id for document in typical)
    return ", ".join((words or list(dict.fromkeys(shown)))[:IN_NAME]) or f"cluster {number}"
