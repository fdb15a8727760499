"""The encoder that a training starts from, an existing one or a new one with the texts' words, and its folder after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch.encoders import DEFAULT, find_encoder, find_ulmfit
from vecsearch.encoders.ulmfit.embedding import in_eight_bits
from vecsearch.encoders.ulmfit.folder import CONFIG, Stack, read_encoder, write_encoder
from vecsearch.encoders.ulmfit.postprocess import FILE, sif_weights
from vecsearch.errors import DataError
from vecsearch.files import new_folder, sha256
from vecsearch.metric import normalise
from vecsearch.text.pieces import CONTINUES
from vecsearch.text.rules import SPECIAL_TOKENS
from vecsearch.text.tokenizer import Tokenizer, WordTokenizer
from vecsearch.text.vocabulary import Vocabulary
from vecsearch.training.network import random_stack
from vecsearch.training.teacher import Teacher, reduced

LEAST_COUNT = 2
"""Times that a word occurs, at least, to be one of a new vocabulary's."""
PIECES = 0.25
"""Share of a vocabulary that may be pieces of words, at most."""
LENT = 0.05
"""Share of a vocabulary for words that the teacher knows and that are not common in the texts."""
SIF = 1e-3
"""The a of the words' SIF weights."""
LENGTH = 3.0
"""Length of a rare word's embedding: that of inputs which an LSTM's gates respond to."""


@dataclass(frozen=True, slots=True)
class Start:
    """An encoder before training: its stacks, its words, what splits texts into them, the layers that are added up, and where
    it comes from; of a new one also what the teacher makes of each word, (t,) float32. `in_eight_bits` says how its embedding
    is stored where full precision is not asked for."""

    stacks: dict[str, Stack]
    vocabulary: Vocabulary
    tokenizer: Tokenizer
    layers: tuple[int, ...]
    source: dict[str, Any] = field(default_factory=dict)
    taught: dict[str, np.ndarray] = field(default_factory=dict)
    in_eight_bits: bool = False

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
        ids = self.vocabulary.numericalise(next(self.tokenizer.tokens_for(self.vocabulary, [text]))[:most])
        return np.array([] if set(ids) <= set(self.vocabulary.special_ids) else ids, np.int64)

    def write(self, output: Path, tensors: Mapping[str, np.ndarray], source: Mapping[str, Any], *, half: bool) -> None:
        """Write what became of it, with these weights, to the new folder `output`. `half` stores float16, and an embedding that
        is `in_eight_bits` so. Its licence stays."""
        stored = {name: array.astype(np.float16 if half else np.float32) for name, array in tensors.items()}
        for direction in self.stacks if half and self.in_eight_bits else ():
            embedding = in_eight_bits(tensors[f"{direction}.embedding"])
            stored |= {f"{direction}.embedding": embedding.table, f"{direction}.scales": embedding.scales}
        kept = {name: value for name, value in self.source.items() if name == "licence"}
        with new_folder(output) as folder:
            write_encoder(folder, stored, self.vocabulary, self.tokenizer, source={**kept, **source}, layers=self.layers)


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
    in_eight_bits = any(stack.embedding.scales is not None for stack in opened.stacks.values())
    return Start(
        opened.stacks,
        opened.vocabulary,
        opened.tokenizer,
        opened.config.layers,
        opened.config.source,
        in_eight_bits=in_eight_bits,
    )


def english_tokenizer(*, pieces: bool = False) -> Tokenizer:
    """fastai's tokenizer for English, as the encoder that ships has it: spaCy need not be imported for it."""
    return WordTokenizer(read_encoder(find_encoder(DEFAULT)).tokenizer.rules, pieces=pieces)


def vocabulary_of(counts: Counter[str], words: int, lent: Sequence[str] = (), pieces: Sequence[str] = ()) -> Vocabulary:
    """fastai's marks, the commonest of the counted tokens, and pieces of words, `words` of all these at most.

    Of `lent` words those that are missing fill it up, and have a LENT share of it in any case; of the pieces the first are
    taken, as many as a PIECES share holds. Raises DataError when no word is common enough.
    """
    pieces = pieces[: round(PIECES * words)]
    room = words - len(SPECIAL_TOKENS) - len(pieces)
    common = [word for word, count in counts.most_common() if count >= LEAST_COUNT and word not in SPECIAL_TOKENS]
    if not common:
        raise DataError(f"no word occurs {LEAST_COUNT} times in these texts; give more")
    chosen = dict.fromkeys(common[:room])
    missing = [word for word in lent if word not in chosen and word not in SPECIAL_TOKENS]
    missing = missing[: max(room - len(chosen), round(LENT * room))]
    return Vocabulary([*SPECIAL_TOKENS, *common[: room - len(missing)], *missing, *pieces])


def new_start(texts: Iterable[str], teacher: Teacher, *, words: int, dims: Sequence[int], seed: int) -> Start:
    """A new encoder: at most `words` words, of the texts and some of the teacher's own, and the teacher's pieces of words; an
    embedding that is the teacher's vectors of these, the commoner the shorter (SIF), in `dims[0]` dimensions; and untrained
    layers of `dims[1:]` states. Its vector is the mean of embedding and last layer.

    Raises: DataError: there are no words; UsageError: the teacher is a file of vectors.
    """
    tokenizer = english_tokenizer(pieces=bool(teacher.pieces))
    counts = Counter(chain.from_iterable(tokenizer.tokens(texts)))
    vocabulary = vocabulary_of(counts, words, teacher.words, teacher.pieces)
    chosen = vocabulary.words[len(SPECIAL_TOKENS) :]
    taught = teacher.encode([word.removeprefix(CONTINUES) for word in chosen])
    vectors = normalise(reduced(taught, dims[0]))
    vectors = np.pad(vectors, ((len(SPECIAL_TOKENS), 0), (0, dims[0] - vectors.shape[1])))
    read = Counter()
    for word, count in counts.items():
        for piece in vocabulary.pieces([word]) if tokenizer.pieces else [word]:
            read[piece] += count
    share = np.array([read[word] for word in vocabulary.words]) / counts.total()
    embedding = (LENGTH * vectors * sif_weights(share, SIF)[:, None]).astype(np.float32)
    stack = random_stack(embedding, dims[1:], np.random.default_rng(seed), shut=True)
    taught = dict(zip(chosen, taught, strict=True))
    return Start({"forward": stack}, vocabulary, tokenizer, (0, -1), taught=taught, in_eight_bits=True)
