"""Encoders beside one another as a picture: a panel for each measure of a set, values with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from vecsearch.drawing import DOT, lighten, new_figure, save_figure, spans
from vecsearch.errors import UsageError

COLUMNS = 2
FORMATS = (".png", ".svg", ".pdf")


def check_picture(path: str) -> None:
    """Raise UsageError unless the file's suffix names a format that is drawn."""
    if not path.lower().endswith(FORMATS):
        raise UsageError(f"{path} is no picture that can be drawn; name a file that ends in {', '.join(FORMATS)}")


def plot_measures(path: str | PathLike[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw `rows` with set, metric, measure, encoder, value, low and high. Raises ResourceError where the disk refuses."""
    panels = list(dict.fromkeys((row["set"], row["measure"]) for row in rows))
    encoders = list(dict.fromkeys(row["encoder"] for row in rows))
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    columns = min(COLUMNS, len(panels))
    height = 0.9 + 0.28 * len(encoders) * len(metrics)
    figure = new_figure(4.6 * columns + 1, height * -(-len(panels) // columns))
    axes = figure.subplots(-(-len(panels) // columns), columns, squeeze=False).ravel()
    for ax, panel in zip(axes, panels, strict=False):
        for n, metric in enumerate(metrics):
            own = [row for row in rows if (row["set"], row["measure"], row["metric"]) == (*panel, metric)]
            places = [encoders.index(row["encoder"]) + 0.25 * (n - (len(metrics) - 1) / 2) for row in own]
            values, lows, highs = ([row[part] for row in own] for part in ("value", "low", "high"))
            ax.errorbar(values, places, xerr=spans(values, lows, highs), label=metric, **DOT)
        ax.set_title(f"{panel[0]}: {panel[1]}", parse_math=False)
        ax.set_yticks(range(len(encoders)), [""] * len(encoders))
        ax.set_ylim(len(encoders) - 0.5, -0.5)
        lighten(ax, grid="x")
    for ax in axes[: len(panels) : columns]:
        ax.set_yticks(range(len(encoders)), encoders, parse_math=False)
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    if len(metrics) > 1:
        axes[0].legend(frameon=False, fontsize=8)
    save_figure(figure, path)
