"""Files as bytes on a disk: made durable, and told apart by their content."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from vecsearch.errors import writing


def sync(path: Path) -> None:
    """Have the file's bytes, or the folder's list of names, reach the disk before this returns.

    Raises: ResourceError: the system refuses.
    """
    with writing(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
