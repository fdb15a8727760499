"""Pictures, drawn by matplotlib."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    """An empty figure of so many inches, whose parts keep clear of one another."""
    with importing_matplotlib():
        from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
