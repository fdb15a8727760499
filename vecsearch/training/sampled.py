"""A softmax over some of the words: the full one takes most of a language model's time where the vocabulary is large."""

from __future__ import annotations

import torch
from fastai.callback.core import Callback
from torch import Tensor, nn
from torch.nn import functional

POWER = 0.75
"""Words are drawn by this power of their frequency (Mikolov et al. 2013, Distributed representations of words and phrases)."""


class SampledDecoder(nn.Module):
    """fastai's decoder over all words or, where `classes` are set, over these; `shift` is taken from their logits."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder, self.output_dp = decoder.decoder, decoder.output_dp
        self.classes: Tensor | None = None
        self.shift: Tensor | None = None

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        dropped = self.output_dp(states)
        if self.classes is None:
            return self.decoder(dropped), states, dropped
        weight, bias = self.decoder.weight[self.classes], self.decoder.bias[self.classes]
        return functional.linear(dropped, weight, bias - self.shift), states, dropped


class SampledSoftmax(Callback):
    """In training the words of a batch compete with each other and with `sampled` others alone, drawn anew for each.

    A word's logit is corrected by how likely it was to be among them (Jean et al. 2015, On using very large target vocabulary
    for neural machine translation). `counts` (V,) are the words' in the text that is trained on.
    """

    order = 95  # after the seed of the step is set

    def __init__(self, counts: Tensor, sampled: int) -> None:
        self._share = counts.double() / counts.sum()
        self._drawn_by = self._share**POWER / (self._share**POWER).sum()
        self._sampled = sampled

    def before_batch(self) -> None:
        decoder = self.model[1]
        decoder.classes = None
        if not self.training:
            return
        (targets,) = self.yb
        drawn = torch.multinomial(self._drawn_by, self._sampled)
        decoder.classes, places = torch.unique(torch.cat([targets.flatten(), drawn]), return_inverse=True)
        # A batch's own words are drawn by their share, the others without replacement, which is nearly as if with it.
        expected = targets.numel() * self._share + self._sampled * self._drawn_by
        decoder.shift = (-torch.expm1(-expected))[decoder.classes].log().float()
        self.learn.yb = (places[: targets.numel()].view_as(targets),)

    def after_batch(self) -> None:
        self.model[1].classes = None
