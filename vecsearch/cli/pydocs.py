"""The documentation of this machine's Python standard library as a corpus, read from its source without running it."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from vecsearch.corpus.document import Document

_LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "turtledemo", "ensurepip"}
_LEFT_OUT |= {"pydoc_data", "encodings"}
"""Not the standard library's own, tests, whole applications, or generated tables with one docstring a hundred times over."""

COMPILED = ("array", "binascii", "builtins", "cmath", "collections", "datetime", "decimal", "errno", "functools", "gc", "io",
             "itertools", "marshal", "math", "operator", "select", "struct", "sys", "time", "unicodedata", "zlib")  # fmt: skip
"""Modules written in C, wholly or in part, that do nothing when they are imported."""

_LONGEST_TEXT = 1000
_LONGEST_SIGNATURE = 80
_Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def python_documentation() -> Iterator[Document]:
    """A document for every public module, class, function and method that has a docstring, always in the same order.

    Ids are dotted names ("json.loads"), the first of each kept; the text is the name's words and the docstring's first
    paragraphs; the fields are kind, module and, where there is one, signature.
    """
    seen = set()
    for document in _all():
        if document.id not in seen:
            seen.add(document.id)
            yield document


def _all() -> Iterator[Document]:
    library = Path(sysconfig.get_path("stdlib"))
    for path in _source_files(library):
        parts = path.relative_to(library).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield from _from_source(path, name)
    for name in COMPILED:
        try:
            module = importlib.import_module(name)
        except ImportError:  # a Python that was built without it
            continue
        yield from _from_module(module)


def _source_files(library: Path) -> Iterator[Path]:
    for folder, subfolders, files in os.walk(library):
        subfolders[:] = sorted(name for name in subfolders if name.isidentifier() and _public(name) and name not in _LEFT_OUT)
        own = Path(folder) != library
        for name in sorted(files):
            if name.endswith(".py") and (_public(name) or (own and name == "__init__.py")):
                yield Path(folder, name)


def _public(name: str) -> bool:
    return not name.startswith("_")


def _from_source(path: Path, name: str) -> Iterator[Document]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old escapes in other people's strings
            tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):  # the library carries files for other versions
        return
    yield from _document(name, ast.get_docstring(tree), kind="module", module=name)
    for definition in _definitions(tree):
        yield from _from_definition(definition, name)


def _definitions(parent: ast.AST) -> Iterator[_Definition]:
    """Public classes and functions directly in `parent`, or under an `if`, `try` or `with` there."""
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, _Definition):
            if _public(node.name):
                yield node
        elif isinstance(node, ast.If | ast.Try | ast.With | ast.ExceptHandler):
            yield from _definitions(node)


def _from_definition(definition: _Definition, module: str) -> Iterator[Document]:
    name = f"{module}.{definition.name}"
    docstring = ast.get_docstring(definition)
    if not isinstance(definition, ast.ClassDef):
        yield from _document(name, docstring, kind="function", module=module, signature=_signature(definition))
        return
    yield from _document(name, docstring, kind="class", module=module)
    for method in _definitions(definition):
        if not isinstance(method, ast.ClassDef):
            docstring = ast.get_docstring(method)
            signature = _signature(method)
            yield from _document(f"{name}.{method.name}", docstring, kind="method", module=module, signature=signature)


def _signature(definition: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return f"({ast.unparse(definition.args)})"


def _from_module(module: ModuleType) -> Iterator[Document]:
    name = module.__name__
    yield from _document(name, module.__doc__, kind="module", module=name)
    for member, value in _members(module):
        # What a module only borrows is documented where it is from; _struct and struct are one.
        if (value.__module__ or name).lstrip("_") == name:
            kind = "class" if inspect.isclass(value) else "function"
            yield from _from_object(value, f"{name}.{member}", kind=kind, module=name)


def _from_object(value: Any, name: str, *, kind: str, module: str) -> Iterator[Document]:
    yield from _document(name, value.__doc__, kind=kind, module=module, signature=_compiled_signature(value, kind))
    if kind == "class":
        for method, function in _members(value):
            if not inspect.isclass(function):
                yield from _from_object(function, f"{name}.{method}", kind="method", module=module)


def _members(owner: Any) -> list[tuple[str, Any]]:
    """Names and values of the public functions and classes that `owner` itself defines."""
    members = [(name, getattr(owner, name)) for name in sorted(vars(owner)) if _public(name)]
    return [(name, value) for name, value in members if inspect.isroutine(value) or inspect.isclass(value)]


def _compiled_signature(value: Any, kind: str) -> str:
    try:
        return "" if kind == "class" else str(inspect.signature(value))
    except ValueError:  # most compiled functions say nothing of their arguments
        return ""


def _document(name: str, docstring: str | None, *, kind: str, module: str, signature: str = "") -> Iterator[Document]:
    if docstring and docstring.strip():
        fields = {"kind": kind, "module": module}
        if signature:
            fields["signature"] = _cut(signature, _LONGEST_SIGNATURE)
        yield Document(name, f"{_words(name)}. {opening(inspect.cleandoc(docstring))}", fields, where=name)


def _words(name: str) -> str:
    """The words in a dotted name: "collections.OrderedDict.move_to_end" -> "collections Ordered Dict move to end"."""
    return " ".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name))


def opening(docstring: str) -> str:
    """The paragraphs from the first one on that fit in `_LONGEST_TEXT` characters, or what fits of the first."""
    if len(docstring) <= _LONGEST_TEXT:
        return docstring
    end = docstring.rfind("\n\n", 0, _LONGEST_TEXT + 1)
    return docstring[:end].rstrip() if end > 0 else _cut(docstring, _LONGEST_TEXT)


def _cut(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    start = text[: length - 1]
    return (start.rpartition(" ")[0] or start) + "…"
