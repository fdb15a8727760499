"""ULMFiT's language model (Howard and Ruder 2018) on your texts, by fastai: new, or going on from an encoder that is there."""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastai.data.core import DataLoaders
from fastai.text.data import LMDataLoader, TensorText
from fastai.text.learner import LMLearner, language_model_learner
from fastai.text.models.awdlstm import AWD_LSTM, awd_lstm_lm_config

from vecsearch import checks
from vecsearch.corpus.readers import read_corpora
from vecsearch.encoders import find_ulmfit
from vecsearch.encoders.torch_settings import fast_dtype
from vecsearch.encoders.ulmfit.folder import Stack
from vecsearch.encoders.ulmfit.state_dict import lstm_tensors
from vecsearch.errors import DataError, UsageError
from vecsearch.files import refuse_existing
from vecsearch.progress import SILENT, Progress, check_progress
from vecsearch.training.checkpoint import Checkpoint
from vecsearch.training.keeper import Keeper, SeededLoader
from vecsearch.training.network import layer_sizes, random_stack
from vecsearch.training.new_words import NEW_WORDS, with_new_words
from vecsearch.training.sampled import SampledDecoder, SampledSoftmax
from vecsearch.training.start import Start, english_tokenizer, identity_of, start_from, vocabulary_of

HELD_OUT, SHARE = 200_000, 0.1
"""Tokens that perplexity is measured on, at most, and the share of all that they are at most."""
LEAST_TOKENS = 2_000
RATE, GENTLE_RATE = 5e-3, 5e-4
"""Highest learning rate, and that of a start which tells what is alike: at the first it would forget that."""


@dataclass(frozen=True, slots=True)
class LanguagePlan:
    """How to train: `length` tokens of each of `batch` streams in a step, `rate` the highest of the one cycle (by default RATE
    or GENTLE_RATE), `dropout` the share of fastai's own dropouts, `words` and `dims` a new model's vocabulary, embedding and
    layers, `new_words` those that a start learns as well, at most, `sampled` the words that a batch's own compete with in the
    softmax (0: all)."""

    epochs: int = 4
    batch: int = 32
    length: int = 72
    rate: float | None = None
    dropout: float = 0.5
    words: int = 30_000
    dims: tuple[int, ...] = (256, 640, 256)
    new_words: int = NEW_WORDS
    sampled: int = 4000
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises: TypeError: no numbers. UsageError: numbers by which nothing can be trained."""
        least = {"epochs": 1, "batch": 1, "length": 2, "words": 1, "new_words": 0, "sampled": 0, "seed": 0}
        for name, its in least.items():
            object.__setattr__(self, name, checks.count(name, getattr(self, name), least=its, most=checks.MANY))
        object.__setattr__(self, "dims", layer_sizes(self.dims))
        if self.rate is not None:
            object.__setattr__(self, "rate", checks.number("rate", self.rate, 0))
            if not self.rate:
                raise UsageError("the rate is 0; give a number above 0")
        object.__setattr__(self, "dropout", checks.number("dropout", self.dropout, 0, 1))


@dataclass(frozen=True, slots=True)
class Spoken:
    """The result of a training: perplexities on held-out text before and after, and whether the model was written."""

    output: Path
    tokens: int
    words: int
    start: float
    perplexity: float
    written: bool


def train_language_model(
    files: Sequence[Path],
    output: Path,
    *,
    start: str | Path | None,
    plan: LanguagePlan,
    half: bool = True,
    resume: bool = False,
    progress: Progress = SILENT,
) -> Spoken:
    """Train a language model on corpora and write it as an encoder to the folder `output`, if its perplexity has fallen.

    From `start`, an encoder, its words keep their embedding, and new ones begin where their contexts say; the words are trained
    first, then all layers, the lower ones more slowly. Without it the model is new. Of a start that reads in both directions
    the forward one is trained. A checkpoint lies beside `output` until the end; `resume` continues from it to
    the same weights.

    Raises: DataError: too little text; UsageError: the checkpoint is another training's; errors of the files and of the
    encoder; ResourceError: the disk refuses.
    """
    files, output = checks.paths("files", files), checks.path("output", output)
    checks.instance("plan", plan, LanguagePlan, give="LanguagePlan()")
    half, resume = checks.flag("half", half), checks.flag("resume", resume)
    check_progress(progress)
    start = None if start is None else checks.path("start", start)
    refuse_existing(output)
    texts = [document.text for document in read_corpora(files, progress.note)]
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    checkpoint = Checkpoint(output, {"texts": digest, "from": start and identity_of(start), **asdict(plan)})
    with checkpoint.preparing(resume=resume):
        model, documents, tokens = _begun(texts, start, plan, progress.note)
        held_out = _held_out(documents, tokens, plan.seed)
        learner = new_learner(model, documents[held_out:], documents[:held_out], plan)
    rate = plan.rate or (GENTLE_RATE if model.tells_alike else RATE)
    keeper = Keeper(learner, checkpoint, epochs=plan.epochs, rate=rate, seed=plan.seed, progress=progress)
    keeper.run(is_new=start is None)
    better = keeper.best < keeper.start
    if better:
        tensors = {f"forward.{name}": array for name, array in lstm_tensors(keeper.best_weights, output).items()}
        facts = {"training": "language model", "tokens": tokens, "perplexity": round(math.exp(keeper.best), 1)}
        model.write(output, tensors, facts, half=half)
    checkpoint.remove()
    return Spoken(output, tokens, len(model.vocabulary), math.exp(keeper.start), math.exp(keeper.best), better)


def _begun(
    texts: list[str], start: str | Path | None, plan: LanguagePlan, note: Callable[[str], None]
) -> tuple[Start, list[torch.Tensor], int]:
    """The model before training, the documents as token ids, and how many tokens they have."""
    model = start_from(find_ulmfit(start)) if start else None
    tokenizer = model.tokenizer if model else english_tokenizer()
    counts = Counter(chain.from_iterable(tokenizer.tokens(texts)))
    if counts.total() < LEAST_TOKENS:
        raise DataError(f"{counts.total():,} tokens are too few for a language model: give at least {LEAST_TOKENS:,}")
    if model:
        model = with_new_words(model, texts, plan.new_words, note)
        if model.tells_alike:
            note(f"{start} was trained for similarity and forgets some of it here: train what comes out for similarity again")
    else:
        model = _new_model(counts, plan)
    documents = list(map(torch.tensor, tokenizer.numbering(model.vocabulary)(texts)))
    return model, documents, sum(map(len, documents))


def _new_model(counts: Counter[str], plan: LanguagePlan) -> Start:
    vocabulary = vocabulary_of(counts, plan.words)
    rng = np.random.default_rng(plan.seed)
    embedding = rng.uniform(-0.1, 0.1, (len(vocabulary), plan.dims[0])).astype(np.float32)
    stack = random_stack(embedding, plan.dims[1:], rng, shut=False)
    return Start({"forward": stack}, vocabulary, english_tokenizer(), (-1,))


def _held_out(documents: list[torch.Tensor], tokens: int, seed: int) -> int:
    """Put the documents into a random order; how many of the first are held out."""
    random.Random(seed).shuffle(documents)
    wanted, count = min(HELD_OUT, SHARE * tokens), 0
    for place, document in enumerate(documents):
        if count >= wanted and place:
            return place
        count += len(document)
    raise DataError("one document is not enough: give several, one of which is held out")


def new_learner(model: Start, training: list[torch.Tensor], held_out: list[torch.Tensor], plan: LanguagePlan) -> LMLearner:
    size = {"bs": plan.batch, "seq_len": plan.length}
    lengths = [len(document) for document in training]
    batch = min(plan.batch, max(1, sum(lengths) // (2 * plan.length)))
    stream = SeededLoader([TensorText(document) for document in training], lens=lengths, shuffle=True, **size | {"bs": batch})
    stream.seed = plan.seed
    aside = LMDataLoader([TensorText(document) for document in held_out], shuffle=False, **size | {"bs": min(batch, 8)})
    dls = DataLoaders(stream, aside)
    dls.vocab = list(model.vocabulary.words)
    stack = next(iter(model.stacks.values()))
    dims = stack.dims
    layers = {"emb_sz": dims[0], "n_hid": dims[1] if len(dims) > 2 else dims[0], "n_layers": len(dims) - 1}
    if dims[-1] != dims[0] or set(dims[1:-1]) - {layers["n_hid"]}:
        raise DataError(
            f"fastai's AWD-LSTM has layers of one size and a last one of the embedding's, not {', '.join(map(str, dims))}"
        )
    learner = language_model_learner(
        dls, AWD_LSTM, config={**awd_lstm_lm_config, **layers}, drop_mult=plan.dropout, pretrained=False
    )
    counts = torch.bincount(torch.cat(training), minlength=len(model.vocabulary)).double() + 0.5
    learner.model.load_state_dict(_weights(stack, counts))
    if 0 < plan.sampled < len(model.vocabulary):
        learner.model[1] = SampledDecoder(learner.model[1])
        learner.add_cb(SampledSoftmax(counts, plan.sampled))
    if fast_dtype() == "bfloat16":
        _quicken(learner.model)
    return learner


def _weights(stack: Stack, counts: torch.Tensor) -> dict[str, torch.Tensor]:
    """A state for fastai's model: tied weights, and the decoder's bias at the words' log frequencies, where it need not find
    them first."""
    embedding = torch.from_numpy(stack.embedding.whole())
    state = {"0.encoder.weight": embedding, "0.encoder_dp.emb.weight": embedding, "1.decoder.weight": embedding}
    state["1.decoder.bias"] = (counts / counts.sum()).log().float()
    for n, layer in enumerate(stack.layers):
        inner = f"0.rnns.{n}.module"
        hidden = torch.from_numpy(layer.weight_hh)
        state |= {f"0.rnns.{n}.weight_hh_l0_raw": hidden, f"{inner}.weight_ih_l0": torch.from_numpy(layer.weight_ih)}
        state |= {f"{inner}.bias_ih_l0": torch.from_numpy(layer.bias), f"{inner}.bias_hh_l0": torch.zeros(4 * layer.dim)}
    return state


def _quicken(model: torch.nn.Module) -> None:
    """Have the model compute in bfloat16; its loss stays in float32."""
    forward = model.forward

    def quick(*arguments: Any) -> tuple[Any, ...]:
        with torch.autocast("cpu", torch.bfloat16):
            decoded, *rest = forward(*arguments)
        return decoded.float(), *rest

    model.forward = quick
