"""How far a long job has come, with a rate and an estimate, on stderr: a bar for a person, else a line now and then."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic

from vecsearch.cli.output import note
from vecsearch.errors import VecsearchError
from vecsearch.progress import Progress

LINE_SECONDS = 60
"""Between two lines where nobody watches a bar: enough to see in a log that the work goes on."""
RESUME = "the same command with --resume continues after them"

Shown = Callable[[int, float], None]
"""Shows how many are done, and what share of the whole that is, 0 to 1."""


class Bars(Progress):
    """Shows each stage as a bar of its own, and what is noted between them."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack, self._stage = stack, ""
        self._show: Shown = lambda done, share: None
        self.done: dict[str, int] = {}
        """How many of each thing are done."""

    def step(self, name: str, done: int, total: int | None = None) -> None:
        if name != self._stage:
            self._stack.close()
            self._stage = name
            self._show = self._stack.enter_context(_bar(name)) if sys.stderr.isatty() else _lines(name)
        self.done[name] = done
        self._show(done, min(1.0, done / total) if total else 0.0)

    def note(self, text: str) -> None:
        self._stack.close()
        self._stage = ""
        note(text)


@contextmanager
def bars(*, resumed_by: str = "") -> Iterator[Bars]:
    """Gives `Bars`. When work whose documents are stored as it goes is stopped, stderr says how many these are, and what
    resumes it, `resumed_by`."""
    with ExitStack() as stack:
        progress = Bars(stack)
        try:
            yield progress
        except (VecsearchError, KeyboardInterrupt):
            stack.close()
            if resumed_by and (stored := progress.done.get("documents")):
                note(f"note: {stored:,} documents are stored: {resumed_by}")
            raise


@contextmanager
def _bar(unit: str) -> Iterator[Shown]:
    from tqdm import tqdm

    form = "{percentage:3.0f} % |{bar:30}| {postfix} [{elapsed} so far, {remaining} left]"
    with tqdm(total=1.0, file=sys.stderr, bar_format=form) as bar:

        def show(done: int, share: float) -> None:
            rate = done / max(1e-9, bar.format_dict["elapsed"])
            bar.set_postfix_str(f"{done:,} {unit}, {rate:,.0f}/s", refresh=False)
            if share < bar.n:
                bar.reset()  # the next step
            bar.update(share - bar.n)

        yield show


def _lines(unit: str) -> Shown:
    started = said = monotonic()
    last = 0.0

    def show(done: int, share: float) -> None:
        nonlocal started, said, last
        now = monotonic()
        if share < last:
            started = said = now  # the next step
        last = share
        if share and now - said >= LINE_SECONDS:
            from tqdm import tqdm

            said, elapsed = now, now - started
            spent, left = map(tqdm.format_interval, (elapsed, elapsed / share - elapsed))
            note(f"{share:.0%}: {done:,} {unit}, {done / elapsed:,.0f}/s [{spent} so far, {left} left]")

    return show
