"""Files and folders as a corpus, whole or only what has changed, with what was met on the way."""

from __future__ import annotations

import importlib.util
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from os import PathLike

from vecsearch import checks
from vecsearch.corpus.corpus import Corpus
from vecsearch.corpus.document import Document
from vecsearch.corpus.folder.conversion import EMPTY, Limits, Read, read_all
from vecsearch.corpus.folder.files import Files
from vecsearch.corpus.folder.kinds import EXTRA, NEEDS
from vecsearch.corpus.folder.reading import documents_of
from vecsearch.corpus.folder.sections import Sections
from vecsearch.corpus.folder.walk import UNREADABLE, Found, LeftOut, Tree, shown
from vecsearch.corpus.passages import Chunks, PassageSplitter
from vecsearch.corpus.source import CorpusTally
from vecsearch.errors import CorpusError

SAID = 3
"""Files that are named without being asked for."""
EMPTY_FILES = "empty"
WAITING = f"need pip install 'vecsearch[{EXTRA}]'"
PASSAGE_TOKENS = 200
"""Of a passage at the most, where nothing else is asked for: as many as the model that ships has learnt from at once."""


@dataclass(slots=True)
class Reading:
    """How files are read, and what is met: with `strict`, the first that cannot be read is an error.

    `tell` is called with the name of each file that is left out, or read in another way than most, and with what is said of it.
    """

    files: Files
    tokens: Callable[[str], list[str]] = lambda text: ["", *text.split()]
    """An encoder's; by default words count."""
    strict: bool = False
    limits: Limits = field(default_factory=Limits)
    workers: int | None = None
    tell: Callable[[str, str], None] = lambda name, said: None
    read: int = 0
    passages: int = 0
    problems: list[str] = field(default_factory=list)
    remarked: list[str] = field(default_factory=list)
    encodings: Counter[str] = field(default_factory=Counter)
    odd_names: int = 0
    left_out: LeftOut = field(default_factory=LeftOut)
    bytes_read: int = 0
    bytes_found: int = 0

    def __post_init__(self) -> None:
        self.left_out.tell = self._left_out

    def found(self, index: str | None = None) -> list[Found]:
        """The files there are. Raises CorpusError for a root that is not there."""
        tree = self.files.tree
        return list(tree.files(self.left_out, index=index, may_be_gone=self.files.single))

    def documents(self, found: Iterable[Found]) -> Iterator[tuple[Read, list[Document]]]:
        """Each of these files as it was read, and its documents; none where it cannot be read.

        Raises: CorpusError, for that, where it is `strict`.
        """
        sections = Sections(PassageSplitter(Chunks(self.files.tokens), self.tokens), self.files.tokens)
        found = list(found)
        self.bytes_found = sum(one.size for one in found)
        for read in read_all(found, self.limits, self.workers):
            self.bytes_read += read.found.size
            documents = [] if read.content is None else list(documents_of(read, sections))
            self._note(read, len(documents))
            yield read, documents

    def fraction(self) -> float:
        """How much of the files has been read, 0 to 1."""
        return self.bytes_read / self.bytes_found if self.bytes_found else 0.0

    def counts(self) -> dict[str, int]:
        """What was met, by name, as a manifest keeps it."""
        left_out = sum(self.left_out.counts.values())
        return {"files": self.read, "files_left_out": left_out, "files_with_problems": len(self.problems)}

    def remarks(self) -> list[str]:
        """What should be known of how the files were read, as sentences."""
        said = [f"{_counted(self.read, 'file')} read, as {_counted(self.passages, 'passage')}"] if self.read else []
        if self.left_out.counts:
            parts = ", ".join(f"{count:,} {reason}" for reason, count in self.left_out.counts.most_common())
            said.append(f"left out: {parts}")
        if self.encodings:
            parts = ", ".join(f"{count:,} {encoding}" for encoding, count in self.encodings.most_common())
            said.append(f"not in UTF-8: {parts}")
        if self.odd_names:
            said.append(f"{_counted(self.odd_names, 'name')} not in UTF-8, shown with \\udc… for such bytes")
        if self.problems:
            said.append(f"{_counted(len(self.problems), 'file')} cannot be read: {_some(self.problems)}")
        if self.remarked:
            said.append(f"{_counted(len(self.remarked), 'file')} read in part: {_some(self.remarked)}")
        return said

    def can_read(self, found: Found) -> bool:
        """Whether what reads a file's kind is installed; counts those of which it is not."""
        module = NEEDS.get(found.kind)
        if module is None or importlib.util.find_spec(module) is not None:
            return True
        self.left_out(found.name, WAITING)
        return False

    def _left_out(self, name: str, reason: str) -> None:
        if self.strict and reason in (UNREADABLE, WAITING):
            raise CorpusError(f"{name}: {reason}; read it without --strict, or exclude it")
        self.tell(name, reason)

    def _note(self, read: Read, passages: int) -> None:
        name = read.found.name
        if not read.passing:
            self.files.note(read)
        if read.content is None:
            self.note_problem(name, read.problem)
            return
        self.read += 1
        self.passages += passages
        if shown(read.found.path) != read.found.path:
            self.odd_names += 1
            self.tell(name, "has a name that is not UTF-8")
        if encoding := read.content.encoding:
            self.encodings[encoding] += 1
            self.tell(name, f"is read as {encoding}")
        for remark in read.content.remarks:
            self.remarked.append(f"{name} {remark}")
            self.tell(name, remark)

    def note_problem(self, name: str, problem: str) -> None:
        """Count a file that cannot be read; an empty one is none of these. Raises CorpusError where the reading is `strict`."""
        if problem == EMPTY:
            self.left_out(name, EMPTY_FILES)
            return
        self.problems.append(f"{name} {problem}")
        if self.strict:
            raise CorpusError(f"{name} {problem}; read it without --strict, or exclude it")
        self.tell(name, problem)


def _some(sentences: Sequence[str]) -> str:
    others = len(sentences) - SAID
    return "; ".join(sentences[:SAID]) + (f"; and {others:,} more, which --verbose names" if others > 0 else "")


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def read_files(
    paths: Sequence[str | PathLike[str]],
    *,
    tokens: Callable[[str], list[str]],
    most: int = PASSAGE_TOKENS,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    index: str | PathLike[str] | None = None,
    strict: bool = False,
    tell: Callable[[str, str], None] = lambda name, said: None,
) -> Corpus:
    """The files at and below some paths as documents, one for each passage of at most `most` tokens, as an encoder's `tokens`
    has them; without what lies in the folder `index`.

    Raises: CorpusError: a path is not there, no file can be read, or with `strict` one cannot.
    """
    roots = [str(path) for path in checks.paths("paths", paths)]
    include, exclude = checks.fields("include", include), checks.fields("exclude", exclude)
    most, strict = checks.count("most", most, least=1, most=checks.MANY), checks.flag("strict", strict)
    checks.functions(tokens=tokens, tell=tell)
    try:
        checks.texts("what it returns", tokens("some words"))
    except (TypeError, ValueError) as error:
        raise TypeError(f"tokens is {checks.described(tokens)}, which gives no tokens ({error}); give an encoder's") from error
    index = None if index is None else str(checks.path("index", index))
    files = Files(Tree(tuple(roots), tuple(include), tuple(exclude), os.getcwd()), most)
    reading = Reading(files, tokens, strict=strict, tell=tell)
    tally = CorpusTally(fraction=reading.fraction)
    options = {"files": roots, "include": include, "exclude": exclude}
    options = {name: [shown(text) for text in texts] for name, texts in options.items()} | {"tokens": most}
    return Corpus(_all(reading, tally, index), ", ".join(map(shown, roots)), options, tally, files=files)


def _all(reading: Reading, tally: CorpusTally, index: str | None) -> Iterator[Document]:
    for _, documents in reading.documents(filter(reading.can_read, reading.found(index))):
        tally.extra = reading.counts()
        yield from documents
    tally.extra, tally.notes = reading.counts(), reading.remarks()
    if not reading.passages:
        raise CorpusError(f"there is no file to read; {'; '.join(reading.remarks()) or 'the folder is empty'}")
