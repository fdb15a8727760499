"""The training loop: it gives the same weights whether it was interrupted or not, and keeps the best."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from vecsearch import checks
from vecsearch.errors import UsageError
from vecsearch.files import trim_memory
from vecsearch.progress import SILENT, Progress
from vecsearch.training.checkpoint import Checkpoint, below, copied
from vecsearch.training.network import Network

CLIP = 1.0
"""Length that a gradient is cut to."""
TRIMMED_EVERY = 10
"""Steps after which freed memory goes back to the system."""

Optimisers = list[torch.optim.Optimizer]


class Examples(Protocol):
    """What a network is trained on, and how well it does on what was held out."""

    def batches(self, rng: np.random.Generator) -> list[Any]:
        """One epoch's batches, in a random order."""

    def loss(self, network: Network, batch: Any, rng: np.random.Generator) -> Tensor:
        """The loss of a batch, ()."""

    def score(self, network: Network) -> float:
        """How good the network is on held-out examples: higher is better."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how fast to train; `rate` is the highest learning rate of AdamW's one cycle."""

    epochs: int = 3
    batch: int = 256
    rate: float = 1e-3
    warmup: float = 0.1
    decay: float = 0.01
    dropout: float = 0.1
    evaluations: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises: TypeError: no numbers. UsageError: numbers by which nothing can be trained."""
        for name, least in (("epochs", 1), ("batch", 1), ("evaluations", 1), ("seed", 0)):
            object.__setattr__(self, name, checks.count(name, getattr(self, name), least=least, most=checks.MANY))
        for name, most in (("warmup", 1), ("dropout", 1), ("decay", 1), ("rate", math.inf)):
            object.__setattr__(self, name, checks.number(name, getattr(self, name), 0, most))
        if not self.rate or self.dropout == 1:
            raise UsageError(f"the rate is {self.rate} and the dropout {self.dropout}; give a rate above 0, a dropout below 1")

    def rate_at(self, step: int, steps: int) -> float:
        """The learning rate of a step: up in a straight line, down along a cosine (Smith 2018, A disciplined approach to neural
        network hyper-parameters)."""
        up = max(1, round(self.warmup * steps))
        if step < up:
            return self.rate * (step + 1) / up
        return self.rate * 0.5 * (1 + math.cos(math.pi * (step - up) / max(1, steps - up)))


@dataclass(frozen=True, slots=True)
class Fitted:
    """The best weights by the names of an encoder's folder, their score, that of the start, and all on the way."""

    tensors: dict[str, np.ndarray]
    score: float
    start: float
    scores: list[float]


@dataclass(slots=True)
class _State:
    step: int = 0
    start: float = -math.inf
    best: float = -math.inf
    scores: list[float] | None = None


def fit(
    network: Network,
    examples: Examples,
    plan: Plan,
    checkpoint: Checkpoint,
    *,
    words_first: int = 0,
    progress: Progress = SILENT,
) -> Fitted:
    """Train `network` by `plan` from its start, or from where `checkpoint` was left; the best weights by held-out score.

    In `words_first` epochs, before those of the plan and with a cycle of their own, only the embedding learns.

    Every random number follows from the seed and the number of the step, so that a resumed training has the same result.
    `progress` is called with the steps done, and notes the scores.

    Raises: ResourceError: a checkpoint cannot be written; the one before is kept.
    """
    optimisers = _optimisers(network, plan)
    per_epoch = len(examples.batches(np.random.default_rng([plan.seed, 0])))
    alone = words_first * per_epoch
    steps = alone + plan.epochs * per_epoch
    every = max(1, steps // plan.evaluations)
    state, best = _State(scores=[]), copied(network)
    if kept := checkpoint.load():
        state, best = _restored(network, optimisers, *kept)
        progress.note(f"resuming after step {state.step:,} of {steps:,}")
    else:
        state.start = state.best = examples.score(network)
        progress.note(f"before training: {state.start:.4f}")
    batches: list[Any] = []
    while state.step < steps:
        epoch, within = divmod(state.step, per_epoch)
        if not within or not batches:
            batches = examples.batches(np.random.default_rng([plan.seed, epoch]))
        network.words_only = state.step < alone
        stage = (state.step, alone) if network.words_only else (state.step - alone, steps - alone)
        _take(network, examples, batches[within], optimisers, plan, state.step, plan.rate_at(*stage))
        state.step += 1
        network.words_only = False
        if state.step % TRIMMED_EVERY == 0:
            trim_memory()
        progress.step("steps", state.step, steps)
        if state.step % every == 0 or state.step in (alone, steps):
            score = examples.score(network)
            state.scores.append(score)
            progress.note(f"step {state.step:,} of {steps:,}: {score:.4f}")
            if score > state.best:
                state.best, best = score, copied(network)
        if checkpoint.is_due:
            _save(checkpoint, network, optimisers, state, best)
    network.load_state_dict(best)
    return Fitted(network.tensors(), state.best, state.start, state.scores)


def _optimisers(network: Network, plan: Plan) -> Optimisers:
    """AdamW, and for embeddings of sparse gradients an Adam that passes over the words which were not read."""
    embeddings = [module.weight for module in network.embeddings if module.sparse]
    known = set(embeddings)
    others = [parameter for parameter in network.parameters() if parameter not in known]
    found: Optimisers = []
    if others:
        found.append(torch.optim.AdamW(others, lr=plan.rate, weight_decay=plan.decay, fused=True))
    if embeddings:
        found.append(torch.optim.SparseAdam(embeddings, lr=plan.rate))
    return found


def _take(network: Network, examples: Examples, batch: Any, optimisers: Optimisers, plan: Plan, step: int, rate: float) -> None:
    torch.manual_seed(plan.seed + step)
    network.train()
    loss = examples.loss(network, batch, np.random.default_rng([plan.seed, 1, step]))
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.zero_grad()
    loss.backward()
    if dense := [p for p in network.parameters() if p.grad is not None and not p.grad.is_sparse]:
        torch.nn.utils.clip_grad_norm_(dense, CLIP)
    for optimiser in optimisers:
        optimiser.step()
    network.eval()


def _save(checkpoint: Checkpoint, network: Network, optimisers: Optimisers, state: _State, best: dict[str, Tensor]) -> None:
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
    for name, own in _states(network, optimisers):
        tensors |= {f"adam.{name}.{key}": torch.as_tensor(value) for key, value in own.items()}
    checkpoint.save(tensors, asdict(state))


def _restored(
    network: Network, optimisers: Optimisers, tensors: dict[str, Tensor], facts: dict[str, Any]
) -> tuple[_State, dict[str, Tensor]]:
    network.load_state_dict(below("network.", tensors))
    for name, own in _states(network, optimisers):
        # Adam for sparse gradients counts its steps in a whole number, the other in a tensor.
        found = below(f"adam.{name}.", tensors)
        own |= {key: value if value.is_floating_point() else value.item() for key, value in found.items()}
    return _State(**facts), below("best.", tensors)


def _states(network: Network, optimisers: Optimisers) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the optimisers keep of each parameter, by its name."""
    names = {parameter: name for name, parameter in network.named_parameters()}
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            for parameter in group["params"]:
                yield names[parameter], optimiser.state[parameter]
