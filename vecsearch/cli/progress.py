"""How far a long job has come, with a rate and an estimate, on stderr: a bar for a person, else a line now and then."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from vecsearch.cli.output import note

LINE_SECONDS = 60
"""Between two lines where nobody watches a bar: enough to see in a log that the work goes on."""


@contextmanager
def progress_bar(unit: str, fraction: Callable[[], float]) -> Iterator[Callable[[int], None]]:
    """Gives a function that is told how many are done; the bar's length and estimate come from `fraction()`, 0 to 1."""
    if not sys.stderr.isatty():
        yield _lines(unit, fraction)
        return
    from tqdm import tqdm

    form = "{percentage:3.0f} % |{bar:30}| {postfix} [{elapsed} so far, {remaining} left]"
    with tqdm(total=1.0, file=sys.stderr, bar_format=form) as bar:

        def done(count: int) -> None:
            rate = count / max(1e-9, bar.format_dict["elapsed"])
            bar.set_postfix_str(f"{count:,} {unit}, {rate:,.0f}/s", refresh=False)
            share = min(1.0, fraction())
            if share < bar.n:
                bar.reset()  # the next step
            bar.update(share - bar.n)

        yield done


def _lines(unit: str, fraction: Callable[[], float]) -> Callable[[int], None]:
    started = said = monotonic()
    last = 0.0

    def done(count: int) -> None:
        nonlocal started, said, last
        now, share = monotonic(), min(1.0, fraction())
        if share < last:
            started = said = now  # the next step
        last = share
        if share and now - said >= LINE_SECONDS:
            from tqdm import tqdm

            said, elapsed = now, now - started
            spent, left = map(tqdm.format_interval, (elapsed, elapsed / share - elapsed))
            note(f"{share:.0%}: {count:,} {unit}, {count / elapsed:,.0f}/s [{spent} so far, {left} left]")

    return done
