"""One reader for each kind of file, which makes blocks of it; each is imported when the first file of its kind is met."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from vecsearch.corpus.folder.content import Content
from vecsearch.corpus.folder.formats.source import Problem, Source

__all__ = ["FORMATS", "Problem", "Source"]


def _reader(module: str) -> Callable[[Source], Content]:
    def read(source: Source) -> Content:
        return import_module(f"{__name__}.{module}").read(source)

    return read


_MODULES = {"document": "docx", "slides": "pptx", "ebook": "epub"}
FORMATS: dict[str, tuple[Callable[[Source], Content], bool]] = {
    **{kind: (_reader(kind), True) for kind in ("markdown", "rst", "text", "html", "mail", "notebook", "code")},
    **{kind: (_reader(_MODULES.get(kind, kind)), False) for kind in ("pdf", "document", "slides", "spreadsheet", "ebook")},
}
"""The reader of each kind, and whether its files are text."""
