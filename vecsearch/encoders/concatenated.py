"""Several encoders as one: their vectors side by side, so that a cosine is the weighted mean of theirs."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vecsearch import checks
from vecsearch.encoders.base import CONFIG, Encoder, Tally, check_encoder, encode_texts
from vecsearch.errors import CheckpointError, UsageError
from vecsearch.forks import made_once
from vecsearch.metric import normalise
from vecsearch.progress import Progress

KIND, FORMAT = "joined", 1
"""As they are in config.json."""
MOST_PARTS = 100


class ConcatenatedEncoder(Encoder):
    """The vectors of `parts`, each scaled to length 1, times the square root of its share of the `weights`, side by side.

    So the inner product of two texts is the weighted mean of the parts' cosines, and where every part has a vector for both
    texts, so is the cosine. A part that has none, a zero vector, counts as a cosine of 0 in the inner product; the cosine
    leaves it out where both texts have none, and lies between where one has.

    Raises UsageError for weights that are not one number above 0 for each part. By default all count the same.
    """

    kind = "a concatenated encoder"

    def __init__(self, parts: Sequence[Encoder], weights: Sequence[float] | None = None) -> None:
        self.parts = tuple(
            check_encoder(part, kept=False, name="one of the parts") for part in checks.iterable("parts", parts, "encoders")
        )
        each = [1.0] * len(self.parts) if weights is None else checks.iterable("weights", weights, "numbers")
        given = tuple(checks.number("weights", weight) for weight in each)
        if len(given) != len(self.parts):
            raise UsageError(
                f"there are {len(self.parts)} encoders and {len(given)} weights; give one weight for each, in order"
            )
        if not given or not all(weight > 0 and math.isfinite(weight) for weight in given):
            raise UsageError(f"the weights are {', '.join(map(str, given))}; give a number above 0 for each encoder")
        self.weights = given
        self._shares = np.array(given) / sum(given)
        self.dim: int = sum(part.dim for part in self.parts)
        self._own = Tally()

    @property
    def dtype(self) -> str:
        """The precisions that the parts compute in."""
        return "+".join(sorted({part.dtype for part in self.parts}))

    @property
    def tally(self) -> Tally:
        """What has been encoded: texts once, tokens as often as a part has read them; of cut texts the part that cut most."""
        tallies = [part.tally for part in self.parts if part.tally]
        cut = max((tally.cut_texts for tally in tallies), default=0)
        return replace(sum(tallies, Tally()), texts=self._own.texts, empty=self._own.empty, cut_texts=cut)

    @made_once
    def fingerprint(self) -> str:
        """32 hex digits over the parts' fingerprints and weights."""
        own = [check_encoder(part, name="one of the parts").fingerprint for part in self.parts]
        identity = [own, self._shares.tolist()]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of `texts` in input order: (n, dim) float32. A text that no part has a vector for gives the zero vector."""
        scales = np.sqrt(self._shares)
        texts = checks.texts("texts", texts, call="encoder.encode")
        found = [scale * normalise(encode_texts(part, texts)) for scale, part in zip(scales, self.parts, strict=True)]
        vectors = np.concatenate(found, axis=1, dtype=np.float32, casting="same_kind")
        self._own += Tally(texts=len(texts), empty=int((~vectors.any(axis=1)).sum()))
        return vectors

    def prepare(self, progress: Progress) -> None:
        """Prepare each part."""
        for part in self.parts:
            part.prepare(progress)

    def save(self, folder: Path) -> None:
        """Write a folder for each part, and config.json with the weights, into the existing, empty `folder`."""
        for number, part in enumerate(self.parts):
            place = Path(folder) / str(number)
            place.mkdir()
            part.save(place)
        config = {"format": FORMAT, "kind": KIND, "weights": self.weights}
        (Path(folder) / CONFIG).write_text(json.dumps(config), encoding="utf-8")

    def describe(self) -> dict[str, object]:
        """Facts for people, by name."""
        shares = zip(self._shares, self.parts, strict=True)
        lines = {f"part {i}": f"{share:.1%}: {part.kind}, length {part.dim}" for i, (share, part) in enumerate(shares)}
        return {"length": self.dim, **lines}


def parts_in(folder: Path) -> tuple[list[Path], list[float]]:
    """The folders and weights of a concatenated encoder's parts. Raises CheckpointError for a folder that is damaged."""
    path = folder / CONFIG
    try:
        config = json.loads(path.read_bytes())
        weights = [float(weight) for weight in config["weights"]]
        if config["format"] != FORMAT:
            raise CheckpointError(f"{path} has format {config['format']!r}, this vecsearch reads {FORMAT}: upgrade vecsearch")
        if not 1 <= len(weights) <= MOST_PARTS or not all(0 < weight < math.inf for weight in weights):
            raise ValueError(f"weights {config['weights']!r}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise CheckpointError(
            f"{path} cannot be read as a concatenated encoder's ({error!r}); vecsearch model join makes it"
        ) from None
    return [folder / str(number) for number in range(len(weights))], weights
