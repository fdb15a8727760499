"""Pictures, drawn by matplotlib."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple

from vecsearch.errors import writing

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY = "#888888"
DOT = {"fmt": "o", "markersize": 5, "capsize": 3}
"""A value with its interval, for `Axes.errorbar`."""


@contextmanager
def importing_matplotlib() -> Iterator[None]:
    """Have matplotlib, where it cannot write to the user's folders, take a temporary one without warning of it on stderr."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches, whose parts do not overlap."""
    with importing_matplotlib():
        from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def spans(values: Any, lows: Any, highs: Any) -> np.ndarray:
    """How far intervals reach below and above values (n,), as `Axes.errorbar` wants them: (2, n). A value may lie a little
    outside of its interval, by rounding or at the edge of its samples: the length is then 0."""
    import numpy as np

    return np.maximum(0, [np.subtract(values, lows), np.subtract(highs, values)])


def lighten(axes: Axes, *, grid: str = "both") -> None:
    """A small title, faint lines across "x" or "both" axes, and no frame at the top and the right."""
    axes.title.set_fontsize(10)
    axes.grid(axis=grid, color=GREY, alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


class Label(NamedTuple):
    """A text at a place of a picture, from 0 to 1 from its lower left corner."""

    x: float
    y: float
    text: str
    size: float
    colour: str
    bold: bool = False
    moves: bool = False
    """Whether it may stand beside its place, with a line to it, where others are in the way."""


RINGS, AROUND = (0.035, 0.06, 0.09, 0.13), 12
"""How far from its place a label is tried, and in how many directions."""


def place_labels(axes: Axes, labels: Iterable[Label]) -> list[Label]:
    """Write labels over the whole of a picture without one covering another, the first ones first, each with a halo; returns
    those that there is room for. `axes` fill the figure and go from 0 to 1 both ways."""
    from matplotlib.patheffects import withStroke

    shown, taken, whole = [], [], axes.get_window_extent()
    for label in labels:
        text = axes.text(
            label.x, label.y, label.text, fontsize=label.size, color=label.colour, ha="center", va="center",
            fontweight="bold" if label.bold else "normal", linespacing=1.05, parse_math=False, zorder=4,
            path_effects=[withStroke(linewidth=0.28 * label.size, foreground="white", alpha=0.9)],
        )  # fmt: skip
        for x, y in _tried(label):
            text.set_position((x, y))
            box = text.get_window_extent().padded(2)
            inside = whole.x0 <= box.x0 and whole.y0 <= box.y0 and box.x1 <= whole.x1 and box.y1 <= whole.y1
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                shown.append(label._replace(x=x, y=y))
                if (x, y) != (label.x, label.y):
                    axes.plot((label.x, x), (label.y, y), color=label.colour, linewidth=0.6, alpha=0.6, zorder=3)
                break
        else:
            text.remove()
    return shown


def _tried(label: Label) -> Iterator[tuple[float, float]]:
    yield label.x, label.y
    for radius in RINGS if label.moves else ():
        for turn in range(AROUND):
            angle = 2 * math.pi * turn / AROUND
            yield label.x + radius * math.cos(angle), label.y + radius * math.sin(angle)


def save_figure(figure: Figure, path: str | PathLike[str]) -> None:
    """Write a figure in the format of the file's suffix. Raises ResourceError where the disk refuses."""
    with writing(path):
        figure.savefig(path, dpi=160, facecolor="white")
