"""Opening the index that a command asks, in a folder or in an object store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vecsearch.index.index import Index


def open_index(index: str, **options: Any) -> Index:
    """As `Index.open`; what has to come from a store is shown as it comes."""
    from vecsearch.cli.progress import bars
    from vecsearch.index.index import Index

    with bars() as progress:
        return Index.open(index, progress=progress, **options)
