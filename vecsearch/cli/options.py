"""Options that several commands share, each with one name, one meaning and one help text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from vecsearch.cli.output import is_terminal
from vecsearch.cli.rules import not_with, only_with
from vecsearch.urls import NO_PATH, is_store_url

F = TypeVar("F", bound=Callable[..., Any])

INDEX = click.Path(path_type=str)
"""An index, by its folder or by its URL in an object store."""


class LocalPath(click.Path):
    """A path, and no URL of an object store."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if is_store_url(value):
            self.fail(f"it is {value!r}, {NO_PATH}", param, ctx)
        return super().convert(value, param, ctx)


FOLDER = LocalPath(path_type=str)


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
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{number} is not a finite number; give one, such as 0.5", param, ctx)
        return number


class NumberRange(Number, click.FloatRange):
    """A finite number from one to another."""


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
