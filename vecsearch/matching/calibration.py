"""What the scores of an encoder mean: a threshold that makes a match, and the probability of one. A small file of JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any

import numpy as np

from vecsearch import checks
from vecsearch.encoders import Encoder
from vecsearch.encoders.base import check_encoder
from vecsearch.errors import CheckpointError, UsageError
from vecsearch.files import write_whole
from vecsearch.matching.cross_validation import FIGURES
from vecsearch.matching.probability import METHODS, Isotonic, Method, Platt, Reliability
from vecsearch.matching.threshold import Rule
from vecsearch.metric import Metric
from vecsearch.schema import check, number, one_of, whole

FORMAT = 1
POINTS = 100
"""Points of the kept curve at the most."""
CURVE = ("threshold", "precision", "recall")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CalibratedEncoder:
    """The encoder behind the scores, as `--encoder` and its options name it; a fingerprint tells whether it is the same."""

    fingerprint: str
    names: list[str]
    weights: list[float]
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Calibration:
    """What `calibrate` found; `docs/matching.md` explains each part. It is valid for one encoder, and refuses others."""

    metric: Metric
    encoder: CalibratedEncoder
    pairs: dict[str, int]
    """How many are "matches", "others", and "groups" that share no text with one another."""
    rule: Rule
    figures: dict[str, Estimate]
    """By the names of FIGURES; precision, recall and F1 on pairs from which the threshold was not chosen."""
    method: Method
    reliability: dict[str, Reliability]
    """On held-out pairs, of each way to a probability, and by cosine of the "score" itself, taken as one."""
    curve: dict[str, list[float]]
    """Over all pairs: columns by the names of CURVE, at most POINTS long."""

    @property
    def threshold(self) -> float:
        """The lowest score of a match."""
        return self.figures["threshold"].value

    @property
    def way(self) -> str:
        """What the method is called in METHODS."""
        return next(name for name, kind in METHODS.items() if isinstance(self.method, kind))

    def probability(self, scores: np.ndarray) -> np.ndarray:
        """How likely pairs of these scores are matches: (n,) -> (n,) float64, never falling as the score rises."""
        return self.method(checks.array("scores", scores, np.float64))

    def check_encoder(self, encoder: Encoder) -> None:
        """Raise UsageError unless it is the encoder whose scores these are."""
        if check_encoder(encoder).fingerprint != self.encoder.fingerprint:
            raise UsageError(
                f"the calibration is for scores of the encoder {' and '.join(self.encoder.names)} "
                f"({self.encoder.fingerprint}), this one is {encoder.fingerprint}: its scores are not comparable; "
                "use that encoder, or run `vecsearch calibrate` with this one"
            )

    def to_bytes(self) -> bytes:
        """JSON, one space of indent, UTF-8, a newline at the end. The same calibration gives the same bytes."""
        values = {"format": FORMAT, **asdict(self)} | {"method": {"name": self.way, **asdict(self.method)}}
        return json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"

    def save(self, path: str | PathLike[str]) -> None:
        """Write the file whole, or not at all. Raises ResourceError where the disk refuses."""
        write_whole(checks.file("path", path), self.to_bytes())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Calibration:
        """The calibration in a file. Raises CheckpointError for one that is damaged, of a newer format, or none."""
        path = checks.path("path", path)
        try:
            values = json.loads(path.read_bytes())
            if type(values["format"]) is not int or values["format"] < 1:
                raise ValueError(f"format {values['format']!r}")
            if values.pop("format") > FORMAT:
                raise CheckpointError(f"{path} has a newer format than {FORMAT}, which this vecsearch reads: upgrade vecsearch")
            check(values, _EXPECTED)
            check(values["method"], _METHODS[values["method"]["name"]], "method")
            made = cls(**_parts(values))
            _check_together(made)
            return made
        except FileNotFoundError:
            raise CheckpointError(f"{path} does not exist; make a calibration with `vecsearch calibrate`") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, UsageError) as error:
            raise CheckpointError(
                f"{path} cannot be read as a calibration ({error!r}); make it again with `vecsearch calibrate`"
            ) from None


def _parts(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a file as those of a Calibration."""
    method = dict(values["method"])
    kind = METHODS[method.pop("name")]
    bins = {name: tuple(map(tuple, its["bins"])) for name, its in values["reliability"].items()}
    return values | {
        "metric": Metric(values["metric"]),
        "encoder": CalibratedEncoder(**values["encoder"]),
        "rule": Rule(**values["rule"]),
        "figures": {name: Estimate(**its) for name, its in values["figures"].items()},
        "method": kind(**{name: tuple(its) if isinstance(its, list) else its for name, its in method.items()}),
        "reliability": {name: Reliability(**its | {"bins": bins[name]}) for name, its in values["reliability"].items()},
    }


def _are_options(value: Any) -> bool:
    known = {"pooling": str, "layers": list, "max_tokens": int}
    return isinstance(value, dict) and all(isinstance(its, known.get(name, ())) for name, its in value.items())


def _is_bin(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and whole(1)(value[0]) and all(map(_SHARE, value[1:]))


def _figure(expected: Any) -> dict[str, Any]:
    return dict.fromkeys(("value", "low", "high"), expected)


_SHARE = number(0, 1)
_EXPECTED = {
    "metric": one_of(*Metric),
    "encoder": {"fingerprint": str, "names": [str, ...], "weights": [number()], "options": _are_options},
    "pairs": dict.fromkeys(("matches", "others", "groups"), whole(1)),
    "rule": {"measure": str, "least": (None, _SHARE)},
    "figures": {"threshold": _figure(number()), ...: _figure(_SHARE)},
    "method": {"name": one_of(*METHODS)},
    "reliability": {...: {"log_loss": number(0), "brier": _SHARE, "ece": _SHARE, "bins": [_is_bin, ...]}},
    "curve": {"threshold": [number(), ...], "precision": [_SHARE, ...], "recall": [_SHARE, ...]},
}
_METHODS = {
    "platt": {"slope": number(0), "intercept": number(), "least": _SHARE, "most": _SHARE},
    "isotonic": {"scores": [number(), ...], "probabilities": [_SHARE, ...]},
}


def _check_together(made: Calibration) -> None:
    """Raise ValueError for values that do not go together, each of which can be."""
    if made.rule.least == 0:
        raise ValueError(f"rule {made.rule!r}")
    if tuple(made.figures) != FIGURES:
        raise ValueError(f"figures {', '.join(made.figures)}")
    for name, figure in made.figures.items():
        if figure.low > figure.high:
            raise ValueError(f"{name} {figure!r}")
    if isinstance(made.method, Platt):
        if not 0 < made.method.least <= made.method.most < 1:
            raise ValueError(f"method {made.method!r}")
    elif not _is_rising(made.method):
        raise ValueError("points of the method that fall, or have no probability")
    if set(made.reliability) - {"score"} != set(METHODS):
        raise ValueError(f"reliability of {', '.join(made.reliability) or 'nothing'}")
    lengths = [len(its) for its in made.curve.values()]
    if tuple(made.curve) != CURVE or len(set(lengths)) != 1 or lengths[0] > POINTS:
        raise ValueError(f"{lengths} points of the curve {', '.join(made.curve)}")


def _is_rising(method: Isotonic) -> bool:
    scores, found = method.scores, method.probabilities
    if len(scores) != len(found) or not 0 < found[0] <= found[-1] < 1:
        return False
    return bool((np.diff(scores) > 0).all() and (np.diff(found) >= 0).all())
