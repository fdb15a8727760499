"""`--encoder`, which means the same in every command, and what opens the encoders that it names."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from vecsearch.cli.progress import bars
from vecsearch.errors import UsageError

if TYPE_CHECKING:
    from vecsearch.encoders import Encoder
    from vecsearch.matching.calibration import Calibration

_GRAMMAR = (
    "ENCODER is a name that ships (english), a folder or a file. Its options are pooling=raw (or mean, max, last, concat), "
    "layers=0+1 and max_tokens=100."
)


class NamedEncoder(NamedTuple):
    """An encoder as it is named on the command line, and what that says."""

    text: str
    name: str
    path: str
    options: dict[str, Any]


def encoder_option(what: str, *, several: bool = False) -> Callable[[Any], Any]:
    """The option that names an encoder, as `encoder`, or `several`, as `encoders`; `what` says in its help what it is for."""
    return click.option(
        "--encoder",
        "encoders" if several else "encoder",
        multiple=True,
        callback=_parsed if several else lambda *given: only_one(_parsed(*given)),
        metavar="[NAME=]ENCODER[,OPTION=VALUE]",
        help=f"{what} {_GRAMMAR}",
    )


def _parsed(context: click.Context, option: click.Parameter, values: Sequence[str]) -> list[NamedEncoder]:
    return list(map(parsed, values))


def only_one(encoders: Sequence[NamedEncoder]) -> NamedEncoder | None:
    """The one that is given, if any. Raises UsageError for several."""
    if len(encoders) > 1:
        raise UsageError(
            f"{click.get_current_context().command_path} takes one --encoder, and {len(encoders)} are given; "
            "vecsearch model join makes one encoder of several"
        )
    return encoders[0] if encoders else None


def parsed(text: str) -> NamedEncoder:
    """What [NAME=]ENCODER[,OPTION=VALUE…] says: `english`, `mine=my-model,pooling=raw,layers=0+1`. Without NAME the text is
    the name. Raises UsageError for an option that is none."""
    if os.path.exists(text):  # whatever its name looks like
        return NamedEncoder(text, text, text, {})
    named, *settings = text.split(",")
    name, is_named, path = named.rpartition("=")
    options: dict[str, Any] = {}
    for setting in settings:
        option, _, value = setting.partition("=")
        try:
            options[option] = _OPTIONS[option](value)
        except (KeyError, ValueError):
            raise UsageError(
                f"--encoder {text}: {setting!r} is not an option; the options are pooling=raw, layers=0+1 and max_tokens=100"
            ) from None
    return NamedEncoder(text, name if is_named else text, path, options)


_OPTIONS: dict[str, Callable[[str], Any]] = {
    "pooling": str,
    "layers": lambda value: [int(layer) for layer in value.split("+")],
    "max_tokens": int,
}


def open_named(encoder: NamedEncoder | None, **options: Any) -> Encoder:
    """The encoder, by default the one that ships; `options` are those where its own are silent."""
    from vecsearch.encoders import DEFAULT, open_encoder

    named = encoder or parsed(DEFAULT)
    opened = open_encoder(named.path, **options | named.options)
    with bars() as progress:
        opened.prepare(progress)
    return opened


def open_all(encoders: Sequence[NamedEncoder], **options: Any) -> dict[str, Encoder]:
    """Encoders by name, by default the one that ships. Raises UsageError for a name that is given twice."""
    from vecsearch.encoders import DEFAULT

    opened: dict[str, Encoder] = {}
    for named in encoders or [parsed(DEFAULT)]:
        if named.name in opened:
            raise UsageError(f"two encoders are called {named.name}: give them names, --encoder NAME={named.text}")
        opened[named.name] = open_named(named, **options)
    return opened


def open_calibrated(encoder: NamedEncoder | None, calibration: Calibration | None) -> Encoder:
    """The encoder, by default that of the calibration, if there is one. Raises UsageError for another than that."""
    from vecsearch.encoders import ConcatenatedEncoder

    if encoder or not calibration:
        opened = open_named(encoder)
    else:
        own = calibration.encoder
        parts = [open_named(NamedEncoder(name, name, name, own.options)) for name in own.names]
        # Of several there are calibrations by earlier versions.
        opened = parts[0] if len(parts) == 1 else ConcatenatedEncoder(parts, own.weights or None)
    if calibration:
        calibration.check_encoder(opened)
    return opened
