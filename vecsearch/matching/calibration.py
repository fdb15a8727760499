"""What the scores of an encoder mean: a threshold that makes a match, and the probability of one. A small file of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from math import isfinite
from os import PathLike
from typing import Any

import numpy as np

from vecsearch import checks
from vecsearch.encoders import Encoder
from vecsearch.encoders.base import check_encoder
from vecsearch.errors import CheckpointError, UsageError
from vecsearch.files import write_whole
from vecsearch.matching.probability import METHODS, Isotonic, Method, Platt, Reliability
from vecsearch.matching.threshold import Rule
from vecsearch.metric import Metric

FORMAT = 1
POINTS = 100
"""Points of the kept curve at the most."""
FIGURES = ("threshold", "precision", "recall", "f1", "average_precision", "roc_auc")
CURVE = ("threshold", "precision", "recall")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Scorer:
    """The encoder behind the scores, as `--encoder` and its options name it; a fingerprint tells whether it is the same."""

    fingerprint: str
    names: list[str]
    weights: list[float]
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Calibration:
    """What `calibrate` found: `docs/matching.md` says what each part holds. It knows its encoder and refuses another."""

    metric: Metric
    encoder: Scorer
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
        """What a match scores at least."""
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
        if check_encoder(encoder, ("dim", "fingerprint")).fingerprint != self.encoder.fingerprint:
            raise UsageError(
                f"the calibration is for scores of the encoder {' and '.join(self.encoder.names)} "
                f"({self.encoder.fingerprint}), this one is {encoder.fingerprint}: its scores mean something else; "
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
            made = _made(cls, _parts(values))
            if problem := next(_problems(made), None):
                raise ValueError(problem)
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
        "encoder": _made(Scorer, values["encoder"]),
        "rule": _made(Rule, values["rule"]),
        "figures": {name: _made(Estimate, its) for name, its in values["figures"].items()},
        "method": _made(kind, {name: tuple(its) if isinstance(its, list) else its for name, its in method.items()}),
        "reliability": {name: _made(Reliability, its | {"bins": bins[name]}) for name, its in values["reliability"].items()},
    }


def _made(kind: Any, values: dict[str, Any]) -> Any:
    if values.keys() != {field.name for field in fields(kind)}:
        raise ValueError(f"{kind.__name__} of {', '.join(values) or 'nothing'}")
    return kind(**values)


def _problems(made: Calibration) -> Iterator[str]:
    """What is wrong with the values, lazily: a later check relies on the earlier ones having passed."""
    yield from _encoder_problems(made.encoder)
    if made.pairs.keys() != {"matches", "others", "groups"} or not all(_is_count(count) for count in made.pairs.values()):
        yield f"pairs {made.pairs!r}"
    rule = made.rule
    if not (rule == Rule() or (rule.measure in ("precision", "recall") and _is_share(rule.least) and rule.least > 0)):
        yield f"rule {rule!r}"
    if tuple(made.figures) != FIGURES:
        yield f"figures {', '.join(made.figures)}"
    for name, figure in made.figures.items():
        fits = _is_number if name == "threshold" else _is_share
        if not all(map(fits, (figure.value, figure.low, figure.high))) or figure.low > figure.high:
            yield f"{name} {figure!r}"
    yield from _method_problems(made.method)
    if set(made.reliability) - {"score"} != set(METHODS):
        yield f"reliability of {', '.join(made.reliability) or 'nothing'}"
    for name, its in made.reliability.items():
        if not _is_number(its.log_loss) or its.log_loss < 0 or not all(map(_is_share, (its.brier, its.ece))):
            yield f"reliability of {name}"
        if not its.bins or not all(len(of) == 3 and _is_count(of[0]) and all(map(_is_share, of[1:])) for of in its.bins):
            yield f"bins of {name}"
    if tuple(made.curve) != CURVE or len(set(map(len, made.curve.values()))) != 1:
        yield f"columns of the curve {', '.join(made.curve)}"
    if not 1 <= len(made.curve["threshold"]) <= POINTS or not all(map(_is_number, made.curve["threshold"])):
        yield "thresholds of the curve"
    if not all(map(_is_share, made.curve["precision"] + made.curve["recall"])):
        yield "precision and recall of the curve"


def _encoder_problems(encoder: Scorer) -> Iterator[str]:
    if not isinstance(encoder.fingerprint, str) or not all(isinstance(part, list) for part in (encoder.names, encoder.weights)):
        yield f"encoder {encoder!r}"
    if not encoder.names or not all(isinstance(name, str) for name in encoder.names):
        yield f"encoder's names {encoder.names!r}"
    if not all(map(_is_number, encoder.weights)):
        yield f"encoder's weights {encoder.weights!r}"
    known = {"pooling": str, "layers": list, "max_tokens": int}
    if not all(isinstance(its, known.get(name, ())) for name, its in encoder.options.items()):
        yield f"encoder's options {encoder.options!r}"


def _method_problems(method: Method) -> Iterator[str]:
    if isinstance(method, Platt):
        if not all(map(_is_number, asdict(method).values())) or method.slope < 0 or not 0 < method.least <= method.most < 1:
            yield f"method {method!r}"
    elif isinstance(method, Isotonic):
        points = method.scores, method.probabilities
        if not method.scores or len(points[0]) != len(points[1]) or not all(map(_is_number, points[0] + points[1])):
            yield "points of the method that are no two lists of numbers of one length"
        elif (np.diff(points[0]) <= 0).any() or (np.diff(points[1]) < 0).any() or not 0 < points[1][0] <= points[1][-1] < 1:
            yield "points of the method that fall, or have no probability"


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and isfinite(value)


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0
