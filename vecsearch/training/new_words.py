"""Embeddings for words that an encoder does not know, from the contexts that they have in texts.

Khodak and others 2018, A La Carte Embedding: Cheap but Effective Induction of Semantic Feature Vectors: the mean of the
embeddings around a word, turned by the linear map that brings such means nearest to words' own embeddings where these are
known. It takes seconds, and two occurrences are enough.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array

from vecsearch import checks
from vecsearch.corpus.readers import read_corpora
from vecsearch.encoders import find_ulmfit
from vecsearch.encoders.ulmfit.embedding import Embedding
from vecsearch.errors import DataError
from vecsearch.files import refuse_existing
from vecsearch.text.vocabulary import Vocabulary
from vecsearch.training.network import Network
from vecsearch.training.start import LEAST_COUNT, Start, start_from

NEW_WORDS = 10_000
"""New words that an encoder learns from texts by default, at most."""
WINDOW = 5
"""Words on each side that are a word's context."""
LEAST_CONTEXTS = 20
"""Words of context that a known word must have for the map to be fitted to it."""
RIDGE = 1e-3
"""How strongly the map is held to one that only stretches, as a share of the contexts' mean square."""
NOTHING = -1
BLOCK = 1_000_000
"""Tokens whose contexts are counted at a time."""


def add_words(
    encoder: str | Path,
    files: Sequence[Path],
    output: Path,
    *,
    most: int = NEW_WORDS,
    half: bool = True,
    note: Callable[[str], None] = lambda line: None,
) -> tuple[str, ...]:
    """Write the encoder with the new words of the corpora, `most` of them at most, to the folder `output`; returns these words.

    Raises: DataError: no word is new; errors of the files and of the encoder; ResourceError: the disk refuses.
    """
    encoder, files, output = checks.path("encoder", encoder), checks.paths("files", files), checks.path("output", output)
    most, half = checks.count("most", most, least=1), checks.flag("half", half)
    refuse_existing(output)
    start = start_from(find_ulmfit(encoder))
    grown = with_new_words(start, (document.text for document in read_corpora(files, note)), most)
    if grown is start:
        raise DataError(f"{encoder} knows every word that occurs {LEAST_COUNT} times in these texts; nothing was written")
    new = grown.vocabulary.words[len(start.vocabulary) :]
    source = {**start.source, "new_words": len(new) + start.source.get("new_words", 0)}
    grown.write(output, Network(grown.stacks, grown.depths, dropout=0).tensors(), source, half=half)
    return new


def with_new_words(start: Start, texts: Iterable[str], most: int, note: Callable[[str], None] = lambda line: None) -> Start:
    """An encoder that knows the commonest new words of the texts as well, `most` of them at most, behind its own.

    New is a word of letters or digits that occurs LEAST_COUNT times and is not in the vocabulary. Its embedding has the others'
    mean length; where no known word stands near it, it is their mean. `note` is called with how many there are.
    """
    known = len(start.vocabulary)
    tokens, fresh = _rows(start, texts)
    counts = np.bincount(tokens[tokens >= known] - known, minlength=len(fresh))
    counts[[not any(map(str.isalnum, word)) for word in fresh]] = 0
    chosen = np.argsort(-counts, kind="stable")[:most]
    chosen = chosen[counts[chosen] >= LEAST_COUNT]
    if not len(chosen):
        return start
    rows = np.append(np.arange(known), np.full(len(fresh) + 1, start.vocabulary.unknown))
    rows[known + chosen], rows[-1] = known + np.arange(len(chosen)), NOTHING
    tokens = rows[tokens]
    words = [fresh[place] for place in chosen]
    note(f"{len(words):,} new words begin where the words around them say")
    stacks = {
        direction: replace(stack, embedding=Embedding(_grown(stack.embedding.whole(), tokens, start.vocabulary, len(words))))
        for direction, stack in start.stacks.items()
    }
    return replace(start, stacks=stacks, vocabulary=Vocabulary([*start.vocabulary.words, *words]))


def _rows(start: Start, texts: Iterable[str]) -> tuple[np.ndarray, list[str]]:
    """The texts one behind the other as rows (t,) int32, NOTHING between two; and the words of rows beyond the vocabulary."""
    known, index = len(start.vocabulary), start.vocabulary.index
    fresh: dict[str, int] = {}
    rows = array("i")
    for tokens in start.tokenizer.words_for(start.vocabulary, texts):
        for token in tokens:
            row = index.get(token)
            rows.append(fresh.setdefault(token, known + len(fresh)) if row is None else row)
        rows.extend([NOTHING] * WINDOW)
    return np.frombuffer(rows, np.int32), list(fresh)


def _grown(embedding: np.ndarray, tokens: np.ndarray, vocabulary: Vocabulary, count: int) -> np.ndarray:
    """The embedding (V, e) with `count` rows more, from the contexts that these have in `tokens`."""
    known = len(embedding)
    sums, near = contexts(embedding, tokens, known + count)
    means = sums / np.maximum(near, 1)[:, None]
    plain = np.delete(np.arange(known), vocabulary.special_ids)
    common = plain[near[plain] >= LEAST_CONTEXTS]
    new = means[known:] @ context_map(means[common], embedding[common], np.log(near[common]))
    lengths = np.linalg.norm(new, axis=1, keepdims=True)
    new = np.where(lengths > 0, new / np.maximum(lengths, 1e-12), 0) * np.linalg.norm(embedding[plain], axis=1).mean()
    new[near[known:] == 0] = embedding[plain].mean(axis=0)
    return np.concatenate([embedding, new.astype(np.float32)])


def contexts(
    embedding: np.ndarray, tokens: np.ndarray, words: int, *, block_tokens: int = BLOCK
) -> tuple[np.ndarray, np.ndarray]:
    """The sum (words, e) of the embeddings of known words around each of so many words, and how many they were (words,)."""
    known = len(embedding)
    sums, near = np.zeros((words, embedding.shape[1])), np.zeros(words)
    for first in range(0, len(tokens), block_tokens):
        block = tokens[max(0, first - WINDOW) : first + block_tokens]
        for away in range(1, WINDOW + 1):
            fresh = max(0, min(first, WINDOW) - away)  # pairs that the block before has had
            left, right = block[fresh:-away], block[fresh + away :]
            for word, other in ((left, right), (right, left)):
                there = (word >= 0) & (other >= 0) & (other < known)
                pairs = coo_array((np.ones(there.sum()), (word[there], other[there])), (words, known)).tocsr()
                sums += pairs @ embedding
                near += pairs.sum(axis=1)
    return sums, near


def context_map(means: np.ndarray, own: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The matrix (e, e) that brings mean contexts (n, e) nearest to words' own embeddings (n, e): ridge regression with weights
    (n,) of the words, held to the multiple of the identity that does it best."""
    dim = means.shape[1]
    weighted = means * weights[:, None]
    square = weighted.T @ means
    scale = np.trace(square)
    if not scale:
        return np.eye(dim)
    stretch = (weighted * own).sum() / scale
    ridge = RIDGE * scale / dim
    return np.linalg.solve(square + ridge * np.eye(dim), weighted.T @ own + ridge * stretch * np.eye(dim))
