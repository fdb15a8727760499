"""Pictures, drawn by matplotlib."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from typing import TYPE_CHECKING, Any

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


def save_figure(figure: Figure, path: str | PathLike[str]) -> None:
    """Write a figure in the format of the file's suffix. Raises ResourceError where the disk refuses."""
    with writing(path):
        figure.savefig(path, dpi=160, facecolor="white")
