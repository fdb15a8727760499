"""Training a language model by fastai so that it can be resumed: the stream of text, the stages, and their checkpoint."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import fastai.callback.schedule  # noqa: F401 -- it gives fastai's learners their fit_one_cycle
import numpy as np
import torch
from fastai.callback.core import Callback, CancelFitException
from fastai.text.data import LMDataLoader
from fastai.text.learner import LMLearner

from vecsearch.errors import ResourceError
from vecsearch.files import trim_memory
from vecsearch.progress import Progress
from vecsearch.training.checkpoint import Checkpoint, below, copied
from vecsearch.training.loop import TRIMMED_EVERY

DISCRIMINATION = 2.6
"""Factor between the learning rates of one layer and the next (Howard and Ruder 2018, section 3.2)."""


class SeededLoader(LMDataLoader):
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


class Keeper(Callback):
    """Runs the stages of a training, keeps the best weights, and saves a checkpoint from time to time."""

    order = 90  # after fastai's own have counted, scheduled and recorded

    def __init__(
        self,
        learner: LMLearner,
        checkpoint: Checkpoint,
        *,
        epochs: int,
        rate: float,
        seed: int,
        progress: Progress,
    ) -> None:
        self._learner, self._checkpoint = learner, checkpoint
        self._epochs, self.rate, self._seed = epochs, rate, seed
        self._tell, self._say = progress.step, progress.note
        self.start = self.best = math.inf
        self.best_weights: dict[str, torch.Tensor] = {}
        self._stage = self._first_epoch = self._first_batch = 0
        self._hidden: list[Any] | None = None
        self._refused: ResourceError | None = None

    def run(self, *, is_new: bool) -> None:
        """Train a new model in one stage, or one that exists in two: its words alone, then all layers."""
        learner = self._learner
        kept = self._checkpoint.load()
        groups = len(learner.splitter(learner.model))
        stages = [("all layers", 0, self._epochs)]
        if not is_new:
            stages.insert(0, ("the words", groups - 1, 1))
        with learner.no_bar(), learner.no_logging():
            if kept:
                self._note_restored(*kept)
            else:
                self.start = self.best = learner.validate()[0]
                self.best_weights = copied(learner.model)
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
                rate = self.rate if is_new else slice(self.rate / DISCRIMINATION ** (groups - 1), self.rate)
                learner.fit_one_cycle(epochs, rate, cbs=self, start_epoch=self._first_epoch)
                if self._refused:
                    raise self._refused
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
            torch.manual_seed(self._seed + 1_000_000 * (self._stage + 1) + self._step)

    def after_batch(self) -> None:
        if not self.training:
            return
        if self._step % TRIMMED_EVERY == 0:
            trim_memory()
        self._tell(f"batches, {self._name}", self._step + 1, self.n_iter * self.n_epoch)
        if self._checkpoint.is_due:
            self._save(self.epoch, self._batch + 1)

    def after_epoch(self) -> None:
        if self.epoch < self._first_epoch:
            return  # it was done before the interruption
        loss = float(self.learn.final_record[-1])  # the last is the held-out one; a resumed epoch may have no other
        self._say(f"{self._name}, epoch {self.epoch + 1} of {self.n_epoch}: perplexity {math.exp(loss):,.1f}")
        if loss < self.best:
            self.best, self.best_weights = loss, copied(self.model)

    @property
    def _batch(self) -> int:
        return self.iter + self.dls.train.skipped

    @property
    def _step(self) -> int:
        return self.epoch * self.n_iter + self._batch

    def _save(self, epoch: int, batch: int) -> None:
        tensors = {f"model.{name}": tensor for name, tensor in copied(self.model).items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best_weights.items()}
        for n, pair in enumerate(self.model[0].hidden):
            tensors |= {f"hidden.{n}.{part}": tensor.clone() for part, tensor in enumerate(pair)}
        scalars: dict[str, dict[str, Any]] = {}
        for n, state in self._states():
            tensors |= {f"opt.{n}.{name}": value for name, value in state.items() if isinstance(value, torch.Tensor)}
            scalars[str(n)] = {name: value for name, value in state.items() if not isinstance(value, torch.Tensor)}
        place = {"stage": self._stage, "epoch": epoch, "batch": batch, "start": self.start, "best": self.best}
        try:
            self._checkpoint.save(tensors, place | {"scalars": scalars})
        except ResourceError as refused:
            self._refused = refused  # fastai would put a message of its own into an error that passes through it
            raise CancelFitException from None

    def _states(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for n, (_, _, state, _) in enumerate(self._learner.opt.all_params()):
            yield n, state

    def _note_restored(self, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
        self.start, self.best = facts["start"], facts["best"]
        self.best_weights = below("best.", tensors)
        self._stage, self._first_epoch, self._first_batch = facts["stage"], facts["epoch"], facts["batch"]
        self._say(f"resuming with epoch {self._first_epoch + 1} after batch {self._first_batch:,}")

    def _restore(self, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
        self._learner.model.load_state_dict(below("model.", tensors))
        hidden = below("hidden.", tensors)
        self._hidden = [(hidden[f"{n}.0"], hidden[f"{n}.1"]) for n in range(len(hidden) // 2)]
        for n, state in self._states():
            state |= below(f"opt.{n}.", tensors) | facts["scalars"].get(str(n), {})
