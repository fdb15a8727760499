"""The files below some paths: which are documents, and what is left out, and why."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from glob import glob, has_magic
from pathlib import Path

from pathspec import GitIgnoreSpec

from vecsearch.corpus.folder.kinds import kind_of, reason_of
from vecsearch.errors import CorpusError

HIDDEN, IGNORED, EXCLUDED = "hidden", "ignored by .gitignore", "excluded"
INDEX = "indexes of vecsearch"
LINKS, SPECIAL, UNREADABLE = "links (to what is read anyway, or to nothing)", "neither files nor folders", "unreadable"


MOST_STARS = 4
"""Of a pattern of a .gitignore that is read."""
_STARS = re.compile(r"\*+")


@dataclass(frozen=True, slots=True)
class Found:
    """A file that is a document: its name as it is shown, the path that opens it, and its state when it was found."""

    name: str
    path: str
    kind: str
    size: int
    modified_ns: int


@dataclass(slots=True)
class LeftOut:
    """What is left out, by reason: counted, and told one by one to whoever asks."""

    counts: Counter[str] = field(default_factory=Counter)
    tell: Callable[[str, str], None] = lambda name, reason: None

    def __call__(self, name: str, reason: str) -> None:
        self.counts[reason] += 1
        self.tell(name, reason)


@dataclass(frozen=True, slots=True)
class Tree:
    """Paths that were given in the folder `base`, and patterns that choose among the files below them."""

    roots: tuple[str, ...]
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    base: str = ""

    def files(self, left_out: LeftOut, *, index: str | None = None, may_be_gone: Container[str] = ()) -> Iterator[Found]:
        """The documents, each once, in the order of the roots and below one in that of their names; without the folder `index`.

        Raises: CorpusError: a root is not there, and is none of those that may be gone.
        """
        given = [root for root in self.roots if root not in may_be_gone or os.path.lexists(self.path(root))]
        roots = [root for each in given for root in self.expanded(each)]
        walk = _Walk(self, left_out, [Path(self.path(root)).resolve() for root in roots], index)
        for root in roots:
            yield from walk.below(root)

    def path(self, root: str) -> str:
        """The path that opens a root."""
        return os.path.join(self.base, root)

    def expanded(self, given: str) -> list[str]:
        """The roots that a path or a glob pattern stands for. Raises CorpusError where there is none."""
        if os.path.lexists(self.path(given)):
            return [given]
        found = sorted(glob(given, root_dir=self.base or None, recursive=True)) if has_magic(given) else []
        if not found:
            raise CorpusError(
                f"{shown(self.path(given))} does not exist; check the path, or build the index anew if it has moved"
            )
        return found

    def chooses(self, name: str) -> bool:
        """Whether the patterns choose the file of this name."""
        return (not self.include or _matches(name, self.include)) and not _matches(name, self.exclude)


def shown(path: str) -> str:
    """A path as text: bytes that are not UTF-8 become \\udcff, as Python writes them."""
    return path.encode(errors="backslashreplace").decode()


def _matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name meets a pattern, by all of its path or by its end: *.md, drafts/*, notes/**/old.md."""
    tails = [name[i:] for i in range(len(name)) if i == 0 or name[i - 1] == "/"]
    return any(fnmatchcase(tail, pattern) for pattern in patterns for tail in tails)


class _Walk:
    """One walk below a root. Symbolic links are followed to what lies outside of all roots; what is inside is met anyway."""

    def __init__(self, tree: Tree, left_out: LeftOut, roots: Sequence[Path], index: str | None) -> None:
        self._tree, self._left_out, self._roots = tree, left_out, roots
        self._index = index and os.path.realpath(index)
        self._met: set[tuple[int, int]] = set()
        """Device and number of each folder and file."""

    def below(self, root: str) -> Iterator[Found]:
        name, root = os.path.normpath(root), self._tree.path(root)
        try:
            state = os.stat(root)
        except OSError as error:
            if os.path.islink(root):
                self._left_out(shown(name), LINKS)
                return
            raise CorpusError(f"{shown(root)} cannot be read ({error.strerror}); check the path") from error
        if stat.S_ISDIR(state.st_mode):
            base = "" if name == "." else f"{name}/"
            yield from self._folder(root, base, _ignored_above(Path(root).resolve()))
        elif stat.S_ISREG(state.st_mode):
            yield from self._document(name, root, state)
        else:
            raise CorpusError(f"{shown(root)} is neither a file nor a folder; give one")

    def _folder(self, path: str, base: str, ignored: tuple[_Ignored, ...]) -> Iterator[Found]:
        try:
            state = os.stat(path)
            with os.scandir(path) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            self._left_out(shown(base), UNREADABLE)
            return
        if not self._is_new(base, state):
            return
        names = {entry.name for entry in inside}
        if "CURRENT" in names and any(name.startswith("manifest-") for name in names):
            self._left_out(shown(base), INDEX)
            return
        if ".gitignore" in names:
            ignored = (*ignored, *_ignored_in(Path(path)))
        real = os.path.realpath(path) if ignored else ""
        for entry in inside:
            name = f"{base}{entry.name}"
            if reason := self._reason(entry, name, real, ignored):
                self._left_out(shown(name), reason)
            elif entry.is_dir():
                yield from self._folder(entry.path, f"{name}/", ignored)
            else:
                yield from self._document(name, entry.path, entry.stat())

    def _is_new(self, name: str, state: os.stat_result) -> bool:
        if (state.st_dev, state.st_ino) in self._met:
            self._left_out(shown(name), LINKS)
            return False
        self._met.add((state.st_dev, state.st_ino))
        return True

    def _document(self, name: str, path: str, state: os.stat_result) -> Iterator[Found]:
        if self._is_new(name, state):
            yield Found(shown(name), path, kind_of(name) or "text", state.st_size, state.st_mtime_ns)

    def _reason(self, entry: os.DirEntry[str], name: str, real: str, ignored: Sequence[_Ignored]) -> str | None:
        """Why an entry of a folder is left out, None where it is not."""
        if entry.name.startswith("."):
            return HIDDEN
        try:
            is_folder, mode = entry.is_dir(), entry.stat().st_mode
        except OSError:
            return LINKS if entry.is_symlink() else UNREADABLE
        if entry.is_symlink() and self._is_met_anyway(entry.path):
            return LINKS
        if _ignores(ignored, f"{real}/{entry.name}", is_folder):
            return IGNORED
        if is_folder and self._index == os.path.realpath(entry.path):
            return INDEX
        if is_folder:
            return EXCLUDED if _matches(name, self._tree.exclude) else None
        if not stat.S_ISREG(mode):
            return SPECIAL
        if not self._tree.chooses(name):
            return EXCLUDED
        # What is asked for by a pattern is read as text, whatever it is called.
        return None if self._tree.include else reason_of(entry.name)

    def _is_met_anyway(self, path: str) -> bool:
        """Whether a link leads into a root, or to a folder that holds one."""
        real = Path(os.path.realpath(path))
        return any(real == root or root in real.parents or real in root.parents for root in self._roots)


@dataclass(frozen=True, slots=True)
class _Ignored:
    """A .gitignore: the folder that it lies in, and its patterns."""

    folder: str
    spec: GitIgnoreSpec


def _ignored_in(folder: Path) -> list[_Ignored]:
    try:
        lines = (folder / ".gitignore").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    # A pattern becomes a regular expression, which takes the longer the more stars it has: many of them would not end.
    usable = [line for line in lines if len(_STARS.findall(line)) <= MOST_STARS and _is_pattern(line)]
    return [_Ignored(os.path.realpath(folder), GitIgnoreSpec.from_lines(usable))]


def _is_pattern(line: str) -> bool:
    try:
        GitIgnoreSpec.from_lines([line])
    except (ValueError, re.error):
        return False
    return True


def _ignored_above(folder: Path) -> tuple[_Ignored, ...]:
    """Those of the folders above, up to the one that holds .git; none where none does."""
    above = list(folder.parents)
    top = next((i for i, parent in enumerate([folder, *above]) if (parent / ".git").exists()), 0)
    return tuple(one for parent in reversed(above[:top]) for one in _ignored_in(parent))


def _ignores(ignored: Sequence[_Ignored], path: str, is_folder: bool) -> bool:
    """Whether git would ignore the path: the last pattern that meets it decides, of the innermost .gitignore first."""
    for one in reversed(ignored):
        inside = path[len(one.folder) + 1 :] + ("/" if is_folder else "")
        decided = one.spec.check_file(inside).include
        if decided is not None:
            return decided
    return False
