"""The files that an index was made of: where they are looked for, and the state in which each was read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

from vecsearch.corpus.folder.conversion import Read
from vecsearch.corpus.folder.walk import Found, Tree, shown
from vecsearch.schema import check, whole

FORMAT = 1


class State(NamedTuple):
    """A file as it was read: bytes, time of its last change, sha256, and what was wrong with it, if anything was."""

    size: int
    modified_ns: int
    sha256: str
    problem: str = ""


@dataclass(slots=True)
class Files:
    """What an index keeps of the files that it was made of, by which `sync` tells what has changed."""

    tree: Tree
    tokens: int
    """Of a passage at the most."""
    states: dict[str, State] = field(default_factory=dict)

    @property
    def single(self) -> list[str]:
        """The roots that are files, and may be gone one day as those of a folder may."""
        return [root for root in self.tree.roots if root in self.states]

    def below(self, root: str, names: Iterable[str] | None = None) -> list[str]:
        """Those of the names, by default of all that are known, that stand below a root."""
        base = shown(os.path.normpath(root))
        return [name for name in (self.states if names is None else names) if base == "." or name.startswith(f"{base}/")]

    def has(self, found: Found) -> bool:
        """Whether the file is as it was read."""
        state = self.states.get(found.name)
        return state is not None and (state.size, state.modified_ns) == (found.size, found.modified_ns)

    def note(self, read: Read) -> None:
        """Remember a file as it was read."""
        size, modified_ns = (read.size, read.modified_ns) if read.sha256 else (read.found.size, read.found.modified_ns)
        self.states[read.found.name] = State(size, modified_ns, read.sha256, read.problem)

    def gone(self, found: Iterable[Found]) -> list[str]:
        """Names of the files that are not among those found."""
        there = {one.name for one in found}
        return [name for name in self.states if name not in there]

    def to_bytes(self) -> bytes:
        """As JSON, for `from_bytes`."""
        values = {"format": FORMAT, "tree": asdict(self.tree), "tokens": self.tokens, "states": self.states}
        return json.dumps(values).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Files:
        """Raises ValueError for what `to_bytes` has not written."""
        values = json.loads(data)
        check(values, _FILES)
        if values["format"] != FORMAT:
            raise ValueError(f"has the format {values['format']}; this vecsearch reads {FORMAT}")
        tree = {name: tuple(value) if isinstance(value, list) else value for name, value in values["tree"].items()}
        return cls(Tree(**tree), values["tokens"], {name: State(*state) for name, state in values["states"].items()})


def _is_state(value: object) -> bool:
    return isinstance(value, list) and [type(part) for part in value] == [int, int, str, str]


_FILES = {
    "format": int,
    "tree": {"roots": [str], "include": [str], "exclude": [str], "base": str},
    "tokens": whole(1),
    "states": {...: _is_state},
}
