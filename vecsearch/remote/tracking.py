"""What a folder and the stores that it is pushed to and pulled from last had in common, kept in the folder."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from vecsearch.errors import ResourceError
from vecsearch.files import write_whole
from vecsearch.schema import check
from vecsearch.store.layout import REMOTES


def remembered(folder: Path, url: str) -> str | None:
    """sha256 of the manifest that `folder` and `url` last had in common; None where that is not known."""
    return _read(folder).get(url)


def remember(folder: Path, url: str, sha256: str) -> None:
    """Keep that both have this manifest now. A folder that must not be written to forgets it: a manifest that names the one
    before it says the same, so long as there was no more than one change."""
    with suppress(ResourceError):
        write_whole(folder / REMOTES, json.dumps(_read(folder) | {url: sha256}, indent=1, sort_keys=True).encode() + b"\n")


def _read(folder: Path) -> dict[str, str]:
    try:
        values = json.loads((folder / REMOTES).read_bytes())
        check(values, {...: str})
    except (OSError, ValueError):
        return {}  # nothing depends on it that the manifests do not say as well
    return values
