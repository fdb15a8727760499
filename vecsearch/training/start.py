"""Where a training starts: an encoder that is there, or a new one whose words are those of the texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vecsearch.encoders import open_encoder
from vecsearch.encoders.folder import Stack, read_encoder
from vecsearch.errors import DataError
from vecsearch.metric import normalise
from vecsearch.text.rules import SPECIAL_TOKENS
from vecsearch.text.splitting import SplitRules
from vecsearch.text.tokenizer import Tokenizer, WordTokenizer
from vecsearch.text.vocabulary import Vocabulary
from vecsearch.training.network import random_stack
from vecsearch.training.teacher import reduced

LEAST_COUNT = 2
"""Times that a word occurs, at least, to be one of a new vocabulary's."""
SIF = 1e-3
"""Weight a / (a + p) of a word of frequency p (Arora, Liang and Ma 2017, A simple but tough-to-beat baseline): this a."""
LENGTH = 3.0
"""Length of a rare word's embedding: that of inputs which an LSTM's gates respond to."""


@dataclass(frozen=True, slots=True)
class Start:
    """An encoder before training: its stacks, its words, what splits texts into them, and the layers that are added up."""

    stacks: dict[str, Stack]
    vocabulary: Vocabulary
    tokenizer: Tokenizer
    layers: tuple[int, ...]

    @property
    def depths(self) -> tuple[int, ...]:
        """The layers as numbers from 0, the embedding."""
        count = len(next(iter(self.stacks.values())).dims)
        return tuple(sorted({layer % count for layer in self.layers}))

    def ids(self, text: str, most: int) -> np.ndarray:
        """A text as at most so many token ids, (t,) int64; none where it has no known word."""
        ids = np.array(self.vocabulary.numericalise(self.tokenizer.tokens(text)[:most]), np.int64)
        return ids if np.isin(ids, self.vocabulary.special_ids, invert=True).any() else ids[:0]


def start_from(folder: Path) -> Start:
    """The encoder in a folder. Raises CheckpointError for one that cannot be used, DataError where it does not pool by mean."""
    opened = read_encoder(folder)
    if opened.config.pooling != "mean":
        raise DataError(f"{folder} pools by {opened.config.pooling}; similarity is trained on the mean of states")
    return Start(opened.stacks, opened.vocabulary, opened.tokenizer, opened.config.layers)


def new_start(texts: Iterable[str], teacher: Path, *, words: int, dims: Sequence[int], seed: int, lang: str = "en") -> Start:
    """A new encoder: at most `words` words of the texts; an embedding that is the teacher's vectors of these words, the
    commoner the shorter (SIF), in `dims[0]` dimensions; and untrained layers of `dims[1:]` states. Its vector is the mean of
    embedding and last layer.

    Raises: DataError: there are no words; CheckpointError: the teacher cannot be used.
    """
    tokenizer = WordTokenizer(SplitRules.from_spacy(lang))
    counts = Counter(token for text in texts for token in tokenizer.tokens(text))
    total = counts.total()
    for mark in SPECIAL_TOKENS:
        counts.pop(mark, None)
    chosen = [word for word, count in counts.most_common(words - len(SPECIAL_TOKENS)) if count >= LEAST_COUNT]
    if not chosen:
        raise DataError(f"no word occurs {LEAST_COUNT} times in these texts; give more")
    vocabulary = Vocabulary([*SPECIAL_TOKENS, *chosen])
    vectors = reduced(normalise(open_encoder(teacher, dtype="auto").encode(chosen)), dims[0])
    vectors = np.pad(normalise(vectors), ((len(SPECIAL_TOKENS), 0), (0, dims[0] - vectors.shape[1])))
    share = np.array([counts[word] for word in vocabulary.words]) / total
    embedding = (LENGTH * vectors * (SIF / (SIF + share))[:, None]).astype(np.float32)
    stack = random_stack(embedding, dims[1:], np.random.default_rng(seed))
    return Start({"forward": stack}, vocabulary, tokenizer, (0, -1))
