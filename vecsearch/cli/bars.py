"""How far a long job has come, on stderr: a bar for each stage, or now and then a line where nobody watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from vecsearch.cli.output import note
from vecsearch.cli.progress import progress_bar
from vecsearch.errors import VecsearchError
from vecsearch.progress import Progress


class Bars(Progress):
    """Shows each stage as a bar of its own, and what is noted between them."""

    def __init__(self, bars: ExitStack) -> None:
        self.stored = 0
        self._bars, self._shown = bars, ""
        self._done, self._total = 0, 0
        self._bar: Callable[[int], None] = lambda done: None

    def step(self, name: str, done: int, total: int | None = None) -> None:
        if name == "documents":
            self.stored = done
        if name != self._shown:
            self._bars.close()
            self._bar = self._bars.enter_context(progress_bar(name, lambda: self._done / self._total if self._total else 0.0))
            self._shown = name
        self._done, self._total = done, total or 0
        self._bar(done)

    def note(self, text: str) -> None:
        self._bars.close()
        self._shown = ""
        note(text)


@contextmanager
def bars(onwards: str = "the same command with --resume continues after them") -> Iterator[Bars]:
    """Gives `Bars`; when the work is stopped, stderr tells how many documents are stored and how it goes on."""
    with ExitStack() as shown:
        watching = Bars(shown)
        try:
            yield watching
        except (VecsearchError, KeyboardInterrupt):
            shown.close()
            if watching.stored:
                note(f"note: {watching.stored:,} documents are stored: {onwards}")
            raise
