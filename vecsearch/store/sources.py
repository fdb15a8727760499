"""What an index keeps of the files that it was made of, as the bytes that `corpus.folder.files` has made of it."""

from __future__ import annotations

from pathlib import Path

from vecsearch.errors import DamagedIndexError
from vecsearch.store.layout import reading
from vecsearch.store.manifest import Manifest
from vecsearch.store.snapshot import file_problem


def read_sources(folder: Path, manifest: Manifest) -> bytes | None:
    """Those bytes, None for an index that was made of something else. Raises DamagedIndexError for others."""
    if manifest.sources is None:
        return None
    if problem := file_problem(folder, manifest.sources, manifest, check=True):
        raise DamagedIndexError(problem)
    with reading(folder / manifest.sources):
        return (folder / manifest.sources).read_bytes()
