"""A model that predicts from several encoders' scores how likely a pair is a match: its folder, and scoring with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch import checks
from vecsearch.encoders import Encoder
from vecsearch.encoders.base import check_encoder
from vecsearch.errors import CheckpointError, UsageError
from vecsearch.files import new_folder, sha256
from vecsearch.matching.classifiers import CLASSIFIERS, Classifier, model_file, read_model, write_model
from vecsearch.matching.features import PairFeatures
from vecsearch.metric import Metric
from vecsearch.schema import check, number, one_of

FORMAT = 1
CONFIG = "fusion.json"
EXPECTED = {"model": one_of(*CLASSIFIERS), "threshold": number(0, 1), "features": [str, ...], "encoders": {...: {...: str}}}


@dataclass(frozen=True, slots=True)
class FusedEncoder:
    """One of the encoders: as `--encoder` named it, and what tells whether it is the same."""

    named: str
    fingerprint: str


@dataclass(frozen=True)
class FusedModel:
    """What `fuse` learnt. It knows its encoders, and refuses others."""

    name: str
    """Which of CLASSIFIERS it is."""
    encoders: dict[str, FusedEncoder]
    features: list[str]
    threshold: float
    """The lowest probability of a match."""
    predict: Callable[[np.ndarray], np.ndarray]
    """Probabilities (n,) float64 of features (n, f) float64."""
    model: Classifier | None = None
    """The classifier as it was trained, to be saved; None for a model that was read."""
    fingerprint: str = ""
    """32 hex digits over the files that it was read from."""
    folder: Path | None = None
    """Where it was read from."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process reads it again. Raises TypeError for one that was not read from a folder."""
        if self.folder is None:
            raise TypeError("this fused model lies in no folder: save it, and send what FusedModel.load gives")
        return FusedModel.load, (self.folder,)

    def scorer(self, encoders: Mapping[str, Encoder]) -> FusedScorer:
        """Scores pairs by these encoders, by name. Raises UsageError for others than it was learnt from."""
        checks.instance("encoders", encoders, Mapping, give="a dict of encoders by name")
        if encoders.keys() != self.encoders.keys():
            raise UsageError(f"the fused model is of the encoders {', '.join(self.encoders)}, not of {', '.join(encoders)}")
        for name, its in self.encoders.items():
            if (found := check_encoder(encoders[name]).fingerprint) != its.fingerprint:
                raise UsageError(
                    f"the encoder {name} is not the one that the fused model learnt from ({its.fingerprint}; this one is "
                    f"{found}): use that one, or run `vecsearch fuse` again"
                )
        return FusedScorer(self, encoders)

    def save(self, folder: str | PathLike[str], facts: Mapping[str, Any]) -> None:
        """Write a new folder, with `facts` about it for people. Raises ResourceError: one is there, or the disk refuses."""
        with new_folder(checks.path("folder", folder)) as new:
            values = {
                "format": FORMAT,
                "model": self.name,
                "threshold": self.threshold,
                "encoders": {name: asdict(its) for name, its in self.encoders.items()},
                "features": self.features,
                **facts,
            }
            text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)
            (new / CONFIG).write_text(text + "\n", encoding="utf-8")
            write_model(new, self.model, self.name)

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> FusedModel:
        """The model in a folder. Raises CheckpointError for one that is damaged, of a newer format, or none; UsageError where
        skops, which reads trees, is missing."""
        path = checks.path("folder", folder) / CONFIG
        try:
            values = json.loads(path.read_bytes())
            if type(values["format"]) is not int or values["format"] < 1:
                raise ValueError(f"format {values['format']!r}")
            if values["format"] > FORMAT:
                raise CheckpointError(f"{path} has a newer format than {FORMAT}, which this vecsearch reads: upgrade vecsearch")
            check(values, EXPECTED)
            name, features, threshold = (values[key] for key in ("model", "features", "threshold"))
            encoders = {key: FusedEncoder(**its) for key, its in values["encoders"].items()}
            if not encoders:
                raise ValueError("names no encoders")
        except FileNotFoundError:
            raise CheckpointError(f"{folder} holds no {CONFIG}; a fused model is made by `vecsearch fuse`") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CheckpointError(f"{path} cannot be read ({error!r}); make it again with `vecsearch fuse`") from None
        predict = read_model(Path(folder), name, len(features))
        digests = [sha256(file) for file in (path, Path(folder) / model_file(name))]
        fingerprint = hashlib.sha256(json.dumps(digests).encode()).hexdigest()[:32]
        return cls(name, encoders, features, threshold, predict, fingerprint=fingerprint, folder=Path(folder).absolute())


class FusedScorer:
    """A `PairScorer`: each encoder's cosine, and what the model makes of all features."""

    def __init__(self, fusion: FusedModel, encoders: Mapping[str, Encoder]) -> None:
        self._fusion, self._features = fusion, PairFeatures(encoders)
        if self._features.names != fusion.features:
            raise UsageError(
                "the fused model was learnt from other features than this vecsearch has: run `vecsearch fuse` again"
            )

    @property
    def encoded(self) -> int:
        """How many texts have been encoded, by each encoder."""
        return self._features.encoded

    def columns(self, a: Sequence[str], b: Sequence[str]) -> dict[str, np.ndarray]:
        """Of n pairs, (n,) each: the cosines, "NAME cosine"; "probability" and "match"."""
        features = self._features.columns(a, b)
        probability = self._fusion.predict(np.column_stack(list(features.values())))
        cosines = {name: features[name] for name in (f"{encoder} {Metric.COSINE}" for encoder in self._fusion.encoders)}
        return cosines | {"probability": probability, "match": probability >= self._fusion.threshold}
