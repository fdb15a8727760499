"""The standard library's documentation: thousands of documents, always the same, read without running anything."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings

import pytest

from vecsearch.cli import pydocs
from vecsearch.cli.pydocs import python_documentation
from vecsearch.corpus.document import Document


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return list(python_documentation())


def test_thousands_of_short_documents_with_unique_public_names(documents):
    assert len(documents) > 4000
    assert len({document.id for document in documents}) == len(documents)
    for document in documents:
        assert re.fullmatch(r"[A-Za-z]\w*(\.[A-Za-z]\w*)*", document.id)
        assert document.id.startswith(document.fields["module"])
        assert document.text.strip()
        assert len(document.text) < 1200
    assert not {"test", "idlelib", "lib2to3", "encodings"} & {document.id.split(".")[0] for document in documents}


def test_every_kind_is_there_with_its_signature(documents):
    found = {document.id: document for document in documents}
    assert found["json.loads"].text.startswith("json loads. Deserialize")
    assert found["json.loads"].fields["signature"].startswith("(s, *, cls=None")
    assert len(found["json.loads"].fields["signature"]) <= 80
    kinds = {"json": "module", "json.decoder.JSONDecoder": "class", "json.loads": "function", "math.sqrt": "function"}
    kinds |= {
        "builtins.len": "function",
        "builtins.str.split": "method",
        "collections.deque": "class",
        "time.sleep": "function",
    }
    kinds |= {"textwrap.TextWrapper.wrap": "method", "datetime.datetime.now": "method"}
    assert {name: found[name].fields["kind"] for name in kinds} == kinds
    assert found["builtins.len"].fields["signature"] == "(obj, /)"
    assert found["collections.OrderedDict.move_to_end"].text.startswith("collections Ordered Dict move to end. ")
    assert json.loads(json.dumps([document.fields for document in documents])) == [document.fields for document in documents]


def test_nothing_is_imported_or_warned_about_and_the_order_is_the_same(documents):
    program = (
        "import sys; from vecsearch.cli.pydocs import python_documentation;"
        "documents = list(python_documentation());"
        "assert not {'this', 'antigravity', 'tkinter', 'turtle', 'socket'} & set(sys.modules);"
        "print(*(document for document in documents if document.fields['module'] != 'sys'), sep='\\n')"
    )
    environment = {"PYTHONHASHSEED": "1", "PYTHONWARNINGS": "always"}
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    # pytest puts a hook of its own into sys.
    assert ran.stdout == "".join(f"{its}\n" for its in documents if its.fields["module"] != "sys") and not ran.stderr


ESCAPE = r"""
"Old \escape."
if True:
    def f(x=1, *, y):
        "F."
    def _g():
        "G."
def f():
    "Again."
"""
PACKAGE = """
"Package."
class C:
    "C."
    async def m(self):
        "M."
    def __init__(self):
        "Dunder."
"""


def test_bad_source_files_are_skipped(tmp_path, monkeypatch):
    sources = {
        "broken.py": "def (:",
        "binary.py": "'''a'''\0",
        "escape.py": ESCAPE,
        "empty.py": "'''   '''",
        "_private.py": "'''Private.'''",
        "package/__init__.py": PACKAGE,
        "package/__main__.py": "'''Main.'''",
        "test/inner.py": "'''Test.'''",
        "site-packages/other.py": "'''Other.'''",
    }
    for name, source in sources.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    monkeypatch.setattr(pydocs, "COMPILED", ("no_such_module",))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        documents = list(python_documentation())
    assert [document.text for document in documents] == [
        "escape. Old \\escape.",
        "escape f. F.",
        "package. Package.",
        "package C. C.",
        "package C m. M.",
    ]
    assert documents[1].fields == {"kind": "function", "module": "escape", "signature": "(x=1, *, y)"}


@pytest.mark.parametrize(
    ("docstring", "opening"),
    [
        ("a" * 1000, "a" * 1000),
        ("first\n\n" + "b" * 990 + "\n\nthird", "first\n\n" + "b" * 990),
        ("first\n\n" + "b" * 1000, "first"),
        ("word " * 300, "word " * 198 + "word…"),
        ("a" * 2000, "a" * 999 + "…"),
    ],
)
def test_long_docstrings_end_with_a_paragraph_or_a_word(docstring, opening):
    assert pydocs.opening(docstring) == opening
