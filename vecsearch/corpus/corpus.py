"""A corpus as an index takes it: documents, and what is known of where they come from and how they were read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from vecsearch import checks
from vecsearch.corpus.document import Document, checked_documents
from vecsearch.corpus.source import CorpusTally
from vecsearch.progress import expected

if TYPE_CHECKING:
    from vecsearch.corpus.folder.files import Files


class Corpus(Iterator[Document]):
    """Documents, one after another, with their provenance: the `name` of what they are read from, and the `options` by which.

    An index keeps both in its manifest, with what `tally` counted while they were read, and resumes only with the same ones.
    Where nothing is known of the documents, any iterable of them does in place of this. `total` is how many there are, where
    that is known beforehand; `files` those that they are passages of, which an index remembers for `sync`.
    """

    def __init__(
        self,
        documents: Iterable[Document],
        name: str = "",
        options: Mapping[str, Any] | None = None,
        tally: CorpusTally | None = None,
        total: int | None = None,
        files: Files | None = None,
    ) -> None:
        """Raises TypeError for a name that is no text, for options that JSON cannot hold, and a total that is no number."""
        self._documents = iter(checks.iterable("documents", documents, "documents"))
        # What is no text in a path's bytes is shown as \udcff, which JSON can hold.
        self.name = checks.text("name", name).encode(errors="backslashreplace").decode()
        self.options = dict(checks.kept("options", {} if options is None else options))
        if tally is not None:
            checks.instance("tally", tally, CorpusTally, give="CorpusTally()")
        self.tally = tally
        self.total = None if total is None else checks.count("total", total)
        if files is not None:
            from vecsearch.corpus.folder.files import Files

            checks.instance("files", files, Files, give="what read_files has made")
        self.files = files

    def __next__(self) -> Document:
        return next(self._documents)

    @property
    def provenance(self) -> dict[str, Any]:
        """What a manifest keeps of where the documents come from."""
        return {**({"source": self.name} if self.name else {}), **self.options}

    def counts(self) -> dict[str, int]:
        """What a manifest keeps of what was met until now."""
        return self.tally.counts() if self.tally else {}

    def expected(self, done: int) -> int | None:
        """How many documents there will be, about, when so many are done; None where that is not known."""
        return self.total or expected(done, self.tally.fraction() if self.tally else 0)


def checked_corpus(documents: Iterable[Document]) -> Corpus:
    """The documents as a corpus, looked at as `checked_documents` does. Raises as it does."""
    checked = checked_documents(documents)
    if isinstance(documents, Corpus):
        return Corpus(checked, documents.name, documents.options, documents.tally, documents.total, documents.files)
    return Corpus(checked)
