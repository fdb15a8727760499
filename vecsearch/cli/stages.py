"""How far a build has come, on stderr: a bar of its documents, then for each stage of its index a line and a bar of vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from vecsearch.cli.output import note
from vecsearch.cli.progress import progress_bar
from vecsearch.errors import VecsearchError


class Stages:
    """Listens to `Index.build`: `documents` to its progress, `note` to what it tries, `vectors` to what an index takes in."""

    def __init__(self, fraction: Callable[[], float], bars: ExitStack) -> None:
        self.stored = 0
        self._added = 0
        self._bars = bars
        self._documents = bars.enter_context(progress_bar("documents", fraction))
        self._vectors: Callable[[int], None] | None = None

    def documents(self, stored: int) -> None:
        """So many documents are stored now."""
        self.stored = stored
        self._documents(stored)

    def note(self, line: str) -> None:
        """Another stage begins."""
        self._bars.close()
        self._added, self._vectors = 0, None
        note(line)

    def vectors(self, added: int) -> None:
        """So many vectors more are in an index."""
        if self._vectors is None:
            self._bars.close()
            # A resumed build whose documents were all there has not heard how many they are.
            self._vectors = self._bars.enter_context(
                progress_bar("vectors", lambda: self._added / max(self.stored, self._added))
            )
        self._added += added
        self._vectors(self._added)


@contextmanager
def stages(
    fraction: Callable[[], float], onwards: str = "the same command with --resume goes on after them"
) -> Iterator[Stages]:
    """Gives `Stages`; when the work is stopped, stderr tells what of it is stored and how it goes on."""
    with ExitStack() as bars:
        listening = Stages(fraction, bars)
        try:
            yield listening
        except (VecsearchError, KeyboardInterrupt):
            bars.close()
            if listening.stored:
                note(f"note: {listening.stored:,} documents are stored: {onwards}")
            raise
