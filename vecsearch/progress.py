"""How far a long job has come, told to whoever asks."""

from __future__ import annotations


class Progress:
    """Is told how far a long job has come. This one is silent: override what you want to be told.

    A method that raises stops the job; what was stored until then is kept, and the job can be resumed where its page says so.
    """

    def step(self, name: str, done: int, total: int | None = None) -> None:
        """So many of the things called `name` are done, of `total` where that is known. Another name is another stage, and a
        number that is not larger than the last one begins a stage again."""

    def note(self, text: str) -> None:
        """A sentence on what is being done."""


SILENT = Progress()


def expected(done: int, share: float) -> int | None:
    """The total, about, of which so many are done where that is this share of the work, 0 to 1; None where nothing is."""
    return max(done, round(done / share)) if share else None


def check_progress(progress: Progress) -> None:
    """Raise TypeError for what is no progress."""
    if not isinstance(progress, Progress):
        raise TypeError(f"progress is {progress!r:.100}; give an instance of a subclass of vecsearch.Progress")
