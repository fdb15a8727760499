"""Options that several commands share, each with one name, one meaning and one help text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from vecsearch.cli.output import is_terminal
from vecsearch.cli.progress import bars
from vecsearch.cli.rules import not_with, only_with
from vecsearch.errors import UsageError

if TYPE_CHECKING:
    from vecsearch.encoders import Encoder

F = TypeVar("F", bound=Callable[..., Any])

FOLDER = click.Path(path_type=str)


class WholeNumber(click.types.IntParamType):
    """Any whole number."""

    name = "whole number"


class WholeRange(click.IntRange):
    """A whole number from one to another."""

    name = "whole number"


class Number(click.types.FloatParamType):
    """Any number but NaN and the infinities: with NaN every comparison would fail, without a word."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        return _finite(self, super().convert(value, param, ctx), param, ctx)


class NumberRange(click.FloatRange):
    """A number from one to another, and neither NaN nor infinite."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        return _finite(self, super().convert(value, param, ctx), param, ctx)


def _finite(kind: click.ParamType, number: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
    if not math.isfinite(number):
        kind.fail(f"{number} is not a finite number; give one, such as 0.5", param, ctx)
    return number


class Share(click.ParamType):
    """A number above 0 and up to 1."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            share = float(value)
        except ValueError:
            share = 0.0
        if not 0 < share <= 1:
            self.fail(f"{value!r} must be greater than 0 and at most 1, such as 0.95", param, ctx)
        return share


class Size(click.ParamType):
    """A number of bytes, with a unit or without: 2GB, 1.5 GiB, 800000."""

    name = "size"
    _UNITS = {"": 1, "B": 1} | {
        f"{letter}{i}B": base**n for n, letter in enumerate("KMGT", 1) for i, base in (("", 1000), ("I", 1024))
    }

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*([A-Za-z]*)", str(value).strip(), re.ASCII)
        unit = self._UNITS.get(match[2].upper()) if match else None
        size = float(match[1]) * unit if unit else 0.0
        if not 1 <= size < math.inf:
            self.fail(
                f"{value!r} is not a size; give bytes, or a number with kB, MB, GB, TB, KiB, MiB, GiB or TiB: 2GB", param, ctx
            )
        return int(size)


def apply_options(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one decorator."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


output_options = click.option(
    "--json/--table",
    "as_json",
    default=None,
    callback=lambda context, option, value: not is_terminal() if value is None else value,
    help="JSON lines, or a table. By default a table on a terminal and JSON lines elsewhere.",
)

SKIPS_BAD = "vecsearch.skips_bad"
"""In a context's `meta` once the command that runs has `--skip-bad`, which is then a remedy to speak of."""


def _skips_bad(context: click.Context, option: click.Parameter, value: bool) -> bool:
    context.meta[SKIPS_BAD] = True
    return value


skip_bad_option = click.option(
    "--skip-bad",
    is_flag=True,
    callback=_skips_bad,
    help="Skip records that cannot be used, and count them, instead of stopping.",
)

corpus_options = apply_options(
    click.option("--text-field", "text_fields", multiple=True, metavar="NAME", help="Field to encode; repeat it to join more."),
    click.option("--id-field", metavar="NAME", help="Field that names a document. By default id or _id, else its number."),
    click.option(
        "--format",
        "format",
        metavar="NAME",
        help="txt, jsonl, csv, tsv, parquet or h5 (.gz, .xz), where the suffix does not tell.",
    ),
    skip_bad_option,
    only_with("--text-field", "--id-field", "--format", "--skip-bad", needs="CORPUS"),
)

ready_options = apply_options(
    click.option("--vectors", type=FOLDER, metavar="FILE", help="Ready vectors (.npy, .h5), a row for each document."),
    click.option("--ids", type=FOLDER, metavar="FILE", help="With --vectors and no CORPUS: their ids, one a line."),
    only_with("--ids", needs="--vectors"),
    not_with("--ids", "CORPUS"),
)


def encoder_choice(what: str) -> Callable[[F], F]:
    """The options that name an encoder; `what` says in their help what it is for."""
    return apply_options(
        click.option(
            "--encoder",
            "encoders",
            multiple=True,
            metavar="NAME|FOLDER|FILE",
            help=f"{what} Repeat it to join several: a cosine is then the mean of theirs.",
        ),
        click.option(
            "--encoder-weight",
            "encoder_weights",
            type=Number(),
            multiple=True,
            metavar="W",
            help="With several encoders: what each counts in the mean, in their order. By default all the same.",
        ),
    )


pooling_options = apply_options(
    click.option(
        "--pooling",
        type=click.Choice(["raw", "mean", "max", "last", "concat"]),
        help="raw: the words' embeddings, averaged; the others pool contextual states. By default the encoder's own (mean).",
    ),
    click.option(
        "--layer",
        "layers",
        type=WholeNumber(),
        multiple=True,
        metavar="N",
        help="Layer whose states are pooled: 0 the embedding, 1…, -1 the last. Repeat it to add layers up.",
    ),
)

encoder_options = apply_options(
    encoder_choice("The model: a folder of `vecsearch model import`, a sentence transformer, an .onnx or word vector file."),
    pooling_options,
    click.option(
        "--max-tokens", type=WholeNumber(), metavar="N", help="Cut longer texts, and count what is cut. By default nothing is."
    ),
)

dtype_option = click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="Precision of the model's arithmetic; auto takes bfloat16 where the processor is fast at it.",
)

recall_options = apply_options(
    click.option(
        "--recall", type=Share(), metavar="R", help="Reach this recall, provably, with the fastest kind that does; 1 is exact."
    ),
    click.option(
        "-k",
        "k",
        type=WholeRange(1),
        metavar="K",
        help="Nearest neighbors that the recall counts: recall@k. By default 10.",
    ),
    click.option(
        "--memory", type=Size(), metavar="SIZE", help="With --recall: what the index may take in memory, such as 2GB."
    ),
    click.option(
        "--queries",
        type=FOLDER,
        metavar="FILE",
        help="Measure the recall with these texts (one a line, or .jsonl, .csv …) or vectors (.npy, .h5).",
    ),
    click.option(
        "--spec", help="exact, or any FAISS factory string, such as HNSW32,SQ8. By default exact, or what --recall takes."
    ),
    only_with("--memory", "-k", needs=("--recall", "--spec")),
)

language_option = click.option(
    "--language",
    metavar="CODE",
    help="Language that --keywords reads words in: en, de … or none. By default it is found, or stays what it is.",
)

metric_option = click.option("--metric", type=click.Choice(["cosine", "ip"]), help="Cosine, or inner product.")

exact_option = click.option("--exact", is_flag=True, help="Look at every vector, whatever the index's kind.")

generation_option = click.option(
    "--generation", type=WholeRange(1), metavar="N", help="Ask an older generation that the index keeps."
)

calibration_option = click.option(
    "--calibration", type=FOLDER, metavar="FILE", help="Add the probability of a match, as `vecsearch calibrate` learnt it."
)


def open_named_encoder(encoders: Sequence[str], weights: Sequence[float] = (), **options: Any) -> Encoder:
    """The encoder that the options name, several joined; without any the shipped one. Each takes the `options`."""
    from vecsearch.encoders import DEFAULT, JoinedEncoder, open_encoder

    given = {name: value for name, value in options.items() if value not in (None, ())}
    opened = [open_encoder(encoder, **given) for encoder in encoders or (DEFAULT,)]
    for encoder in opened:
        with bars() as progress:
            encoder.prepare(progress)
    if len(opened) > 1:
        return JoinedEncoder(opened, weights or None)
    if weights:
        raise UsageError("--encoder-weight says what each of several encoders counts: give --encoder more than once")
    return opened[0]


def open_calibrated_encoder(
    calibration: Any, encoders: Sequence[str], weights: Sequence[float] = (), **options: Any
) -> Encoder:
    """The encoder that the options name, else that of the `calibration`, if there is one. Raises UsageError for another."""
    if calibration and not encoders:
        own = calibration.encoder
        encoders, weights = own.names, weights or own.weights
        options = own.options | {name: value for name, value in options.items() if value not in (None, ())}
    encoder = open_named_encoder(encoders, weights, **options)
    if calibration:
        calibration.check_encoder(encoder)
    return encoder


def named_encoders(given: Sequence[str], **options: Any) -> dict[str, Encoder]:
    """Encoders by name, as [NAME=]ENCODER[,OPTION=VALUE…] says: `english`, `mine=my-model,pooling=raw,layers=0+1`.

    `options` go to each beside its own. Raises UsageError for a name that is given twice, and for an option that is none.
    """
    opened = {}
    for text in given or ("english",):
        name, folder, own = _parsed(text)
        if name in opened:
            raise UsageError(f"two encoders are called {name}: give them names, --encoder NAME={text}")
        opened[name] = open_named_encoder((folder,), **options | own)
    return opened


def _parsed(text: str) -> tuple[str, str, dict[str, Any]]:
    if Path(text).exists():  # whatever its name looks like
        return text, text, {}
    named, *settings = text.split(",")
    name, is_named, folder = named.rpartition("=")
    options: dict[str, Any] = {}
    for setting in settings:
        option, _, value = setting.partition("=")
        try:
            options[option] = _SETTINGS[option](value)
        except (KeyError, ValueError):
            raise UsageError(
                f"--encoder {text}: {setting!r} is not an option; the options are pooling=raw, layers=0+1 and max_tokens=100"
            ) from None
    return name if is_named else text, folder, options


_SETTINGS: dict[str, Callable[[str], Any]] = {
    "pooling": str,
    "layers": lambda value: [int(layer) for layer in value.split("+")],
    "max_tokens": int,
}


def require_words(encoders: Sequence[str], what: str, *, marks: bool = False) -> bool:
    """Whether the named encoder is an ULMFiT model. Raises UsageError unless it has words of its own, as `what` needs, and with
    `marks` reads marked ones."""
    from vecsearch.encoders import DEFAULT, JOINED, ULMFIT, WORDS, find_encoder, kind_of

    named = " and ".join(encoders or (DEFAULT,))
    kind = kind_of(find_encoder(named)) if len(encoders) < 2 else JOINED
    needed = ULMFIT.name if marks else f"{ULMFIT.name} or {WORDS.name}"
    if kind not in (ULMFIT, WORDS):
        raise UsageError(f"{what} needs {needed}: {named} is {kind.name}, which has no words of its own")
    if marks and kind is WORDS:
        raise UsageError(f"{what} needs {needed}: {named} is {kind.name}, in which a word is the same in any context")
    return kind is ULMFIT
