"""A bar with a rate and an estimate, on stderr and only for a person."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(unit: str, fraction: Callable[[], float]) -> Iterator[Callable[[int], None]]:
    """Gives a function that is told how many are done; the bar's length and estimate come from `fraction()`, 0 to 1."""
    from tqdm import tqdm

    form = "{percentage:3.0f} % |{bar:30}| {postfix} [{elapsed} so far, {remaining} left]"
    with tqdm(total=1.0, file=sys.stderr, disable=not sys.stderr.isatty(), bar_format=form) as bar:

        def done(count: int) -> None:
            rate = count / max(1e-9, bar.format_dict["elapsed"])
            bar.set_postfix_str(f"{count:,} {unit}, {rate:,.0f}/s", refresh=False)
            share = min(1.0, fraction())
            if share < bar.n:
                bar.reset()  # the next step
            bar.update(share - bar.n)

        yield done


@contextmanager
def stage_bar(unit: str) -> Iterator[Callable[[int, float], None]]:
    """Gives a function that is told how many are done, and how much of all the work that is, 0 to 1."""
    share = 0.0
    with progress_bar(unit, lambda: share) as bar:

        def done(count: int, fraction: float) -> None:
            nonlocal share
            share = fraction
            bar(count)

        yield done
