"""What pairs of texts are judged by, file after file: one encoder, with or without a calibration, or several fused."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from vecsearch import checks
from vecsearch.encoders import Encoder
from vecsearch.encoders.base import check_encoder
from vecsearch.matching.calibration import Calibration
from vecsearch.matching.fused_model import FusedModel
from vecsearch.matching.scorers import EncoderScorer, PairScorer


class Judge(ABC):
    """What pairs are scored with. Other processes get it as a pickle, which is made again there, of encoders that they open."""

    encoders: Mapping[str, Encoder]
    """By name; one that is alone has none, ""."""
    columns: Sequence[str]
    """Those that a threshold may be about; the first is what it is about where nobody says."""
    threshold: tuple[str, float] | None
    """The column and the value that a match has at least, where that is known."""
    settings: dict[str, Any]
    """What has to be the same for a run to be gone on with."""

    @abstractmethod
    def scorer(self, a: Sequence[str], b: Sequence[str]) -> PairScorer:
        """What scores the pairs of a file, made from both sides of its first ones, (n,) each."""


class EncoderJudge(Judge):
    """Cosine and inner product by one encoder, and what a calibration of it makes of them."""

    def __init__(self, encoder: Encoder, calibration: Calibration | None = None) -> None:
        """Raises UsageError for a calibration of another encoder."""
        self._encoder, self._calibration = check_encoder(encoder), calibration
        self.encoders = {"": encoder}
        self.columns = ["cosine", "cosine_percentile", "ip", "ip_percentile"]
        self.threshold, self.settings = None, {"encoder": encoder.fingerprint}
        if calibration is not None:
            checks.instance("calibration", calibration, Calibration, give="Calibration.load(path)")
            calibration.check_encoder(encoder)
            self.columns.append("probability")
            self.threshold = (calibration.metric.value, calibration.threshold)
            self.settings["calibration"] = calibration.to_bytes().decode()

    def __reduce__(self) -> tuple[Any, ...]:
        return EncoderJudge, (self._encoder, self._calibration)

    def scorer(self, a: Sequence[str], b: Sequence[str]) -> PairScorer:
        return EncoderScorer(self._encoder, a, b, calibration=self._calibration)


class FusedJudge(Judge):
    """What a fused model makes of its encoders' scores."""

    def __init__(self, fusion: FusedModel, encoders: Mapping[str, Encoder]) -> None:
        """Raises UsageError for others than it was learnt from."""
        checks.instance("fusion", fusion, FusedModel, give="FusedModel.load(folder)")
        fusion.scorer(encoders)
        self._fusion, self.encoders = fusion, dict(encoders)
        self.columns = ["probability", *(f"{name} cosine" for name in encoders)]
        self.threshold = ("probability", fusion.threshold)
        self.settings = {"fused model": fusion.fingerprint}

    def __reduce__(self) -> tuple[Any, ...]:
        return FusedJudge, (self._fusion, self.encoders)

    def scorer(self, a: Sequence[str], b: Sequence[str]) -> PairScorer:
        return self._fusion.scorer(self.encoders)
