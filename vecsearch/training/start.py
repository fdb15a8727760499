"""Where a training starts, and what it comes to: an encoder that is there, or a new one whose words are those of the texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch.encoders import DEFAULT, find_encoder, find_ulmfit
from vecsearch.encoders.checkpoints import new_folder
from vecsearch.encoders.folder import CONFIG, Stack, read_encoder, write_encoder
from vecsearch.encoders.postprocess import FILE, sif_weights
from vecsearch.errors import DataError
from vecsearch.files import sha256
from vecsearch.metric import normalise
from vecsearch.text.rules import SPECIAL_TOKENS
from vecsearch.text.tokenizer import Tokenizer
from vecsearch.text.vocabulary import Vocabulary
from vecsearch.training.network import random_stack
from vecsearch.training.teacher import Teacher, reduced

LEAST_COUNT = 2
"""Times that a word occurs, at least, to be one of a new vocabulary's."""
LENT = 0.05
"""Share of a vocabulary for words that the teacher knows and that are not common in the texts."""
SIF = 1e-3
"""The a of the words' SIF weights."""
LENGTH = 3.0
"""Length of a rare word's embedding: that of inputs which an LSTM's gates respond to."""


@dataclass(frozen=True, slots=True)
class Start:
    """An encoder before training: its stacks, its words, what splits texts into them, the layers that are added up, and where
    it comes from; of a new one also what the teacher makes of each word, (t,) float32."""

    stacks: dict[str, Stack]
    vocabulary: Vocabulary
    tokenizer: Tokenizer
    layers: tuple[int, ...]
    source: dict[str, Any] = field(default_factory=dict)
    taught: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def depths(self) -> tuple[int, ...]:
        """The layers as numbers from 0, the embedding."""
        count = len(next(iter(self.stacks.values())).dims)
        return tuple(sorted({layer % count for layer in self.layers}))

    @property
    def tells_alike(self) -> bool:
        """Whether it was trained for similarity, and not to predict words."""
        return "score" in self.source

    def ids(self, text: str, most: int) -> np.ndarray:
        """A text as at most so many token ids, (t,) int64; none where it has no known word."""
        ids = self.vocabulary.numericalise(self.tokenizer.tokens_for(self.vocabulary, text)[:most])
        return np.array([] if set(ids) <= set(self.vocabulary.special_ids) else ids, np.int64)

    def write(self, output: Path, tensors: Mapping[str, np.ndarray], source: Mapping[str, Any], *, half: bool) -> None:
        """Write what became of it, with these weights, to the new folder `output`; `half` stores float16. Its licence stays."""
        tensors = {name: array.astype(np.float16 if half else np.float32) for name, array in tensors.items()}
        kept = {name: value for name, value in self.source.items() if name == "licence"}
        with new_folder(output) as folder:
            write_encoder(folder, tensors, self.vocabulary, self.tokenizer, source={**kept, **source}, layers=self.layers)


def identity_of(name: str | Path) -> str:
    """An encoder's name, and what is in it: config.json has the hash of every other file. Raises as `find_ulmfit`."""
    return f"{name} ({sha256(find_ulmfit(name) / CONFIG)[:16]})"


def start_from(folder: Path) -> Start:
    """The encoder in a folder.

    Raises: CheckpointError: it cannot be used; DataError: its vectors are not the mean of its states.
    """
    opened = read_encoder(folder)
    if opened.config.pooling != "mean":
        raise DataError(f"{folder} pools by {opened.config.pooling}; what is trained is the mean of states")
    if FILE in opened.config.files:
        raise DataError(f"{folder} has a postprocess: train the encoder that it was made from, and fit it again")
    return Start(opened.stacks, opened.vocabulary, opened.tokenizer, opened.config.layers, opened.config.source)


def english_tokenizer() -> Tokenizer:
    """fastai's tokenizer for English, as the encoder that ships has it: spaCy need not be imported for it."""
    return read_encoder(find_encoder(DEFAULT)).tokenizer


def vocabulary_of(counts: Counter[str], words: int, lent: Sequence[str] = ()) -> Vocabulary:
    """fastai's marks and the commonest of the counted tokens, `words` of them at most; of `lent` words those that are missing
    fill it up, and have a LENT share of it in any case. Raises DataError when no word is common enough."""
    room = words - len(SPECIAL_TOKENS)
    common = [word for word, count in counts.most_common() if count >= LEAST_COUNT and word not in SPECIAL_TOKENS]
    if not common:
        raise DataError(f"no word occurs {LEAST_COUNT} times in these texts; give more")
    chosen = dict.fromkeys(common[:room])
    missing = [word for word in lent if word not in chosen and word not in SPECIAL_TOKENS]
    missing = missing[: max(room - len(chosen), round(LENT * room))]
    return Vocabulary([*SPECIAL_TOKENS, *common[: room - len(missing)], *missing])


def new_start(texts: Iterable[str], teacher: Teacher, *, words: int, dims: Sequence[int], seed: int) -> Start:
    """A new encoder: at most `words` words, of the texts and some of the teacher's own; an embedding that is the teacher's
    vectors of these words, the commoner the shorter (SIF), in `dims[0]` dimensions; and untrained layers of `dims[1:]` states.
    Its vector is the mean of embedding and last layer.

    Raises: DataError: there are no words; UsageError: the teacher is a file of vectors.
    """
    tokenizer = english_tokenizer()
    counts = Counter(token for text in texts for token in tokenizer.tokens(text))
    vocabulary = vocabulary_of(counts, words, teacher.words)
    chosen = vocabulary.words[len(SPECIAL_TOKENS) :]
    taught = teacher.encode(chosen)
    vectors = normalise(reduced(taught, dims[0]))
    vectors = np.pad(vectors, ((len(SPECIAL_TOKENS), 0), (0, dims[0] - vectors.shape[1])))
    share = np.array([counts[word] for word in vocabulary.words]) / counts.total()
    embedding = (LENGTH * vectors * sif_weights(share, SIF)[:, None]).astype(np.float32)
    stack = random_stack(embedding, dims[1:], np.random.default_rng(seed), shut=True)
    return Start({"forward": stack}, vocabulary, tokenizer, (0, -1), taught=dict(zip(chosen, taught, strict=True)))
