"""Indexes and the names that they are served under."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vecsearch.errors import UsageError


def named_folders(indexes: Sequence[str]) -> Mapping[str, Path]:
    """The folders by the names that they are served under. Raises UsageError."""
    folders: dict[str, Path] = {}
    for given in indexes:
        name, equals, folder = given.partition("=")
        if not equals:
            name, folder = Path(given).resolve().name, given
        if not name or not folder or "/" in name or not name.isprintable():
            raise UsageError(f"{given!r} does not say what an index is called and where it lies; give a folder, or NAME=FOLDER")
        if name in folders:
            raise UsageError(f"two indexes are called {name!r}; call one of them otherwise: NAME={folder}")
        folders[name] = Path(folder)
    return folders
