"""Which files are documents, told by their names: the kind of each suffix, and what its reader needs to be installed."""

from __future__ import annotations

import mimetypes
from pathlib import PurePath

CODE = "code"
"""The kind whose headings are names of functions and classes."""
_SUFFIXES = {
    "markdown": ".md .markdown .mdown .mkd .qmd .rmd",
    "rst": ".rst .rest",
    "text": ".txt .text .adoc .asciidoc .org .tex",
    "html": ".html .htm .xhtml",
    "pdf": ".pdf",
    "document": ".docx .docm",
    "slides": ".pptx .pptm",
    "spreadsheet": ".xlsx .xlsm .xlsb .xls .ods",
    "ebook": ".epub",
    "mail": ".eml .mbox",
    "notebook": ".ipynb",
    CODE: ".bash .c .cc .cpp .cs .cxx .dart .ex .exs .go .h .hpp .hs .java .jl .js .jsx .kt .lua .m .mjs .ml .php .pl .pm "
    ".ps1 .py .pyi .r .rb .rs .scala .sh .sql .swift .tcl .ts .tsx .vue .zig",
}
KINDS = {suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}
"""The kind of each suffix. A file without one, or with one that nobody knows, is read as text, if it is one."""
NEEDS = {
    "html": "lxml",
    "ebook": "lxml",
    "pdf": "pypdfium2",
    "document": "mammoth",
    "slides": "pptx",
    "spreadsheet": "python_calamine",
}
"""The module that a kind's reader imports; all of them come with the extra `files`."""
EXTRA = "files"
DATA, BINARY, OTHER = "data files", "pictures, archives and other binary files", "documents of kinds that are not read"
_NOT_READ = {
    DATA: ".json .jsonl .ndjson .csv .tsv .parquet .h5 .hdf5 .arrow .feather .npy .npz .xml .svg .yaml .yml .toml .ini .cfg "
    ".conf .css .scss .less .map .lock .log .bib .db .sqlite .sqlite3 .po .mo .pem .crt .diff .patch",
    BINARY: ".gz .xz .bz2 .zst .pyc .pyo .o .a .so .dll .dylib .class .bin .dat .pkl .pt .onnx .whl",
    OTHER: ".doc .ppt .odt .odp .rtf .pages .numbers .key .djvu .mobi .azw3 .msg",
}
NO_KINDS = {suffix: reason for reason, suffixes in _NOT_READ.items() for suffix in suffixes.split()}
"""Why files of a suffix are left out in a folder: DATA is read as records where it is named, or is no text for people."""
_MINIFIED = ([".min", ".js"], [".min", ".mjs"])


def kind_of(name: str) -> str | None:
    """The kind of the file of this name, None for what is no document."""
    if reason_of(name):
        return None
    path = PurePath(name)
    if path.suffix.lower() == ".txt":  # Sphinx serves its sources as .rst.txt
        return KINDS.get(PurePath(path.stem).suffix.lower(), "text")
    return KINDS.get(path.suffix.lower(), "text")


def reason_of(name: str) -> str | None:
    """Why a file of this name is no document, None where it is one."""
    suffixes = [suffix.lower() for suffix in PurePath(name).suffixes]
    last = suffixes[-1] if suffixes else ""
    if last in KINDS:
        return DATA if suffixes[-2:] in _MINIFIED else None
    guessed = mimetypes.guess_type(f"a{last}", strict=False)[0] or ""
    is_binary = guessed.partition("/")[0] in ("image", "audio", "video", "font", "application")
    return NO_KINDS.get(last, BINARY if is_binary else None)
