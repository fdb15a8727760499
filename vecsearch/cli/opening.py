"""Opening the index that a command asks, in a folder or in an object store."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vecsearch.index.index import Index


def open_index(index: str, **options: Any) -> Index:
    """As `Index.open`; what has to come from a store is shown as it comes."""
    with keeping_all():
        from vecsearch.cli.progress import bars
        from vecsearch.index.index import Index

        with bars() as progress:
            return Index.open(index, progress=progress, **options)


@contextmanager
def keeping_all() -> Iterator[None]:
    """Look for no unreachable cycles, nor later among what is there by then: what is imported and opened stays, and to look at
    it again and again is a tenth of what a cold query takes."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
