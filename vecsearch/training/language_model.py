"""ULMFiT's language model (Howard and Ruder 2018) on your texts, by fastai: new, or going on from an encoder that is there."""

from __future__ import annotations

import hashlib
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import fastai.callback.schedule  # noqa: F401 -- it gives fastai's learners their fit_one_cycle
import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.text.data import LMDataLoader, TensorText
from fastai.text.learner import LMLearner, language_model_learner
from fastai.text.models.awdlstm import AWD_LSTM, awd_lstm_lm_config

from vecsearch.corpus.readers import read_corpus
from vecsearch.encoders import find_encoder
from vecsearch.encoders.checkpoints import new_folder, refuse_existing
from vecsearch.encoders.folder import Stack, write_encoder
from vecsearch.encoders.lstm import fast_dtype
from vecsearch.encoders.state_dict import lstm_tensors
from vecsearch.errors import DataError
from vecsearch.text.tokenizer import Tokenizer
from vecsearch.text.vocabulary import Vocabulary
from vecsearch.training.checkpoint import Checkpoint
from vecsearch.training.loop import SAVE_SECONDS
from vecsearch.training.network import random_stack
from vecsearch.training.start import english_tokenizer, start_from, vocabulary_of

HELD_OUT, SHARE = 200_000, 0.1
"""Tokens that perplexity is measured on, at most, and the share of all that they are at most."""
LEAST_TOKENS = 2_000
DISCRIMINATION = 2.6
"""Factor between the learning rates of one layer and the next (Howard and Ruder 2018, section 3.2)."""
Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LanguagePlan:
    """How to train: `length` tokens of each of `batch` streams in a step, `rate` the highest of the one cycle, `dropout` the
    share of fastai's own dropouts, `words` a new vocabulary's size, `dims` a new model's embedding and layers."""

    epochs: int = 4
    batch: int = 32
    length: int = 72
    rate: float = 5e-3
    dropout: float = 0.5
    words: int = 30_000
    dims: tuple[int, ...] = (256, 640, 256)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Model:
    """What is trained: a stack over a vocabulary, and whether it has been trained before."""

    stack: Stack
    vocabulary: Vocabulary
    tokenizer: Tokenizer
    is_new: bool


@dataclass(frozen=True, slots=True)
class Spoken:
    """What came of a training: perplexities on held-out text before and after, and whether the model was written."""

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
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
    note: Note = lambda line: None,
) -> Spoken:
    """Train a language model on corpora and write it as an encoder to the folder `output`, if its perplexity has fallen.

    From `start`, an encoder, its words that occur keep their embedding, others begin at the mean; the last layers are trained
    first, then all of them, the lower ones more slowly. Without it the model is new. A checkpoint lies beside `output` until
    the end; `resume` goes on with it, to the same weights.

    Raises: DataError: too little text; UsageError: the checkpoint is another training's; errors of the files and of the
    encoder; ResourceError: the disk refuses.
    """
    refuse_existing(output)
    texts = [document.text for path in files for document in read_corpus(path)]
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    checkpoint = Checkpoint(output, {"texts": digest, "from": str(start) if start else None, **asdict(plan)})
    checkpoint.begin(resume=resume)
    model, documents, tokens = _begun(texts, start, plan)
    held_out = _held_out(documents, tokens, plan.seed)
    learner = _learner(model, documents[held_out:], documents[:held_out], plan)
    keeper = _Keeper(learner, checkpoint, plan, progress, note)
    keeper.run(model)
    better = keeper.best < keeper.start
    if better:
        tensors = {
            f"forward.{name}": array.astype(np.float16 if half else np.float32)
            for name, array in lstm_tensors(keeper.best_weights, output).items()
        }
        facts = {"training": "language model", "tokens": tokens, "perplexity": round(math.exp(keeper.best), 1)}
        with new_folder(output) as folder:
            write_encoder(folder, tensors, model.vocabulary, model.tokenizer, source=facts)
    checkpoint.remove()
    return Spoken(output, tokens, len(model.vocabulary), math.exp(keeper.start), math.exp(keeper.best), better)


def _begun(texts: list[str], start: str | Path | None, plan: LanguagePlan) -> tuple[Model, list[torch.Tensor], int]:
    """The model before training, the documents as token ids, and how many tokens they have."""
    known = start_from(find_encoder(start)) if start else None
    tokenizer = known.tokenizer if known else english_tokenizer()
    tokenised = [tokenizer.tokens(text) for text in texts]
    counts = Counter(token for tokens in tokenised for token in tokens)
    if counts.total() < LEAST_TOKENS:
        raise DataError(f"{counts.total():,} tokens are too few for a language model: give at least {LEAST_TOKENS:,}")
    vocabulary = vocabulary_of(counts, plan.words)
    if known:
        old = next(iter(known.stacks.values()))
        stack = replace(old, embedding=_matched(old.embedding.astype(np.float32), known.vocabulary, vocabulary))
    else:
        rng = np.random.default_rng(plan.seed)
        embedding = rng.uniform(-0.1, 0.1, (len(vocabulary), plan.dims[0])).astype(np.float32)
        stack = random_stack(embedding, plan.dims[1:], rng, shut=False)
    documents = [torch.tensor(vocabulary.numericalise(tokens), dtype=torch.int64) for tokens in tokenised]
    return Model(stack, vocabulary, tokenizer, known is None), documents, counts.total()


def _matched(rows: np.ndarray, old: Vocabulary, new: Vocabulary) -> np.ndarray:
    """The embedding of the words of `new`: their rows, or the mean of all rows for a word that is not in `old`."""
    places = np.array([old.index.get(word, -1) for word in new.words])
    return np.where(places[:, None] >= 0, rows[places], rows.mean(axis=0)).astype(np.float32)


def _held_out(documents: list[torch.Tensor], tokens: int, seed: int) -> int:
    """Put the documents into a random order; how many of the first are held out."""
    random.Random(seed).shuffle(documents)
    wanted, count = min(HELD_OUT, SHARE * tokens), 0
    for place, document in enumerate(documents):
        if count >= wanted and place:
            return place
        count += len(document)
    raise DataError("a single document is no corpus: give several, one of which is held out")


class _Stream(LMDataLoader):
    """fastai's stream of documents one behind the other, in an order that follows from the seed and the epoch."""

    seed = epoch = skipped = 0

    def shuffle_fn(self, idxs: list[int]) -> list[int]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.items.idxs))
        self.items.reindex([int(place) for place in order])
        self.lens.reindex([int(place) for place in order])
        self.make_chunks()
        return idxs

    def get_idxs(self) -> list[int]:
        return super().get_idxs()[self.skipped * self.bs :]


def _learner(model: Model, training: list[torch.Tensor], held_out: list[torch.Tensor], plan: LanguagePlan) -> LMLearner:
    size = {"bs": plan.batch, "seq_len": plan.length}
    lengths = [len(document) for document in training]
    batch = min(plan.batch, max(1, sum(lengths) // (2 * plan.length)))
    stream = _Stream([TensorText(document) for document in training], lens=lengths, shuffle=True, **size | {"bs": batch})
    stream.seed = plan.seed
    aside = LMDataLoader([TensorText(document) for document in held_out], shuffle=False, **size | {"bs": min(batch, 8)})
    dls = DataLoaders(stream, aside)
    dls.vocab = list(model.vocabulary.words)
    dims = model.stack.dims
    layers = {"emb_sz": dims[0], "n_hid": dims[1] if len(dims) > 2 else dims[0], "n_layers": len(dims) - 1}
    if dims[-1] != dims[0] or set(dims[1:-1]) - {layers["n_hid"]}:
        raise DataError(
            f"fastai's AWD-LSTM has layers of one size and a last one of the embedding's, not {', '.join(map(str, dims))}"
        )
    learner = language_model_learner(
        dls, AWD_LSTM, config={**awd_lstm_lm_config, **layers}, drop_mult=plan.dropout, pretrained=False
    )
    learner.model.load_state_dict(_weights(model, training))
    if fast_dtype() == "bfloat16":
        _quicken(learner.model)
    return learner


def _weights(model: Model, documents: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state for fastai's model: tied weights, and the decoder's bias at the words' log frequencies, where it need not find
    them first."""
    embedding = torch.from_numpy(model.stack.embedding)
    counts = torch.bincount(torch.cat(documents), minlength=len(embedding)).double() + 0.5
    state = {"0.encoder.weight": embedding, "0.encoder_dp.emb.weight": embedding, "1.decoder.weight": embedding}
    state["1.decoder.bias"] = (counts / counts.sum()).log().float()
    for n, layer in enumerate(model.stack.layers):
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


class _Keeper(Callback):
    """Runs the stages of a training, keeps the best weights and, now and then, everything that it takes to go on."""

    order = 90  # after fastai's own have counted, scheduled and recorded

    def __init__(
        self,
        learner: LMLearner,
        checkpoint: Checkpoint,
        plan: LanguagePlan,
        progress: Callable[[str, int, int], None],
        note: Note,
    ) -> None:
        self._learner, self._checkpoint, self._plan, self._tell, self._say = learner, checkpoint, plan, progress, note
        self.start = self.best = math.inf
        self.best_weights: dict[str, torch.Tensor] = {}
        self._stage = self._first_epoch = self._first_batch = 0
        self._hidden: list[Any] | None = None
        self._saved = time.monotonic()

    def run(self, model: Model) -> None:
        learner, plan = self._learner, self._plan
        kept = self._checkpoint.load()
        groups = len(learner.splitter(learner.model))
        stages = [("all layers", 0, plan.epochs)]
        if not model.is_new:
            stages.insert(0, ("the words", groups - 1, 1))
        with learner.no_bar(), learner.no_logging():
            if kept:
                self._note_restored(*kept)
            else:
                self.start = self.best = learner.validate()[0]
                self.best_weights = _copied(learner.model)
                self._say(f"before training: perplexity {math.exp(self.start):,.1f}")
            for number, (name, frozen, epochs) in enumerate(stages):
                if number < self._stage:
                    continue
                self._stage, self._name = number, name
                learner.opt = None
                learner.create_opt()
                learner.freeze_to(frozen)
                if kept:
                    self._restore(*kept)
                    kept = None
                rate = plan.rate if model.is_new else slice(plan.rate / DISCRIMINATION ** (groups - 1), plan.rate)
                learner.fit_one_cycle(epochs, rate, cbs=self, start_epoch=self._first_epoch)
                self._first_epoch = self._first_batch = 0

    def before_epoch(self) -> None:
        stream = self.dls.train
        # Each stage has an order of its own.
        stream.epoch = 1000 * self._stage + self.epoch
        stream.skipped = self._first_batch if self.epoch == self._first_epoch else 0

    def before_train(self) -> None:
        if skipped := self.dls.train.skipped:
            self.learn.pct_train += skipped / (len(self.dls.train) * self.n_epoch)
            self.model[0].hidden, self.model[0].bs = self._hidden, self._hidden[0][0].shape[1]

    def before_batch(self) -> None:
        if self.training:
            torch.manual_seed(self._plan.seed + 1_000_000 * (self._stage + 1) + self._step)

    def after_batch(self) -> None:
        if not self.training:
            return
        self._tell(f"batches, {self._name}", self._step + 1, self.n_iter * self.n_epoch)
        if time.monotonic() - self._saved > SAVE_SECONDS:
            self._save(self.epoch, self._batch + 1)

    def after_epoch(self) -> None:
        if self.epoch < self._first_epoch:
            return  # it was done before the interruption
        loss = float(self.learn.final_record[-1])  # the last is the held-out one; a resumed epoch may have no other
        self._say(f"{self._name}, epoch {self.epoch + 1} of {self.n_epoch}: perplexity {math.exp(loss):,.1f}")
        if loss < self.best:
            self.best, self.best_weights = loss, _copied(self.model)

    @property
    def _batch(self) -> int:
        return self.iter + self.dls.train.skipped

    @property
    def _step(self) -> int:
        return self.epoch * self.n_iter + self._batch

    def _save(self, epoch: int, batch: int) -> None:
        tensors = {f"model.{name}": tensor for name, tensor in _copied(self.model).items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best_weights.items()}
        for n, pair in enumerate(self.model[0].hidden):
            tensors |= {f"hidden.{n}.{part}": tensor.clone() for part, tensor in enumerate(pair)}
        scalars: dict[str, dict[str, Any]] = {}
        for n, state in self._states():
            tensors |= {f"opt.{n}.{name}": value for name, value in state.items() if isinstance(value, torch.Tensor)}
            scalars[str(n)] = {name: value for name, value in state.items() if not isinstance(value, torch.Tensor)}
        place = {"stage": self._stage, "epoch": epoch, "batch": batch, "start": self.start, "best": self.best}
        self._checkpoint.save(tensors, place | {"scalars": scalars})
        self._saved = time.monotonic()

    def _states(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for n, (_, _, state, _) in enumerate(self._learner.opt.all_params()):
            yield n, state

    def _note_restored(self, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
        self.start, self.best = facts["start"], facts["best"]
        self.best_weights = _below("best.", tensors)
        self._stage, self._first_epoch, self._first_batch = facts["stage"], facts["epoch"], facts["batch"]
        self._say(f"going on with epoch {self._first_epoch + 1} after batch {self._first_batch:,}")

    def _restore(self, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
        self._learner.model.load_state_dict(_below("model.", tensors))
        hidden = _below("hidden.", tensors)
        self._hidden = [(hidden[f"{n}.0"], hidden[f"{n}.1"]) for n in range(len(hidden) // 2)]
        for n, state in self._states():
            state |= _below(f"opt.{n}.", tensors) | facts["scalars"].get(str(n), {})


def _below(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _copied(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
