"""The example in docs/index-format.md is what is written, byte for byte, and what is written there opens."""

import hashlib
import json
import re
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from store_builds import GOAL, NONE, entry

from vecsearch.corpus.document import Document
from vecsearch.store.documents_writer import DocumentsWriter
from vecsearch.store.manifest import Manifest
from vecsearch.store.writer import IndexWriter

SPECIFICATION = Path(__file__).parent.parent / "docs" / "index-format.md"


@pytest.fixture(scope="module")
def blocks():
    """The fenced blocks of the specification, in order."""
    return re.findall(r"```\w*\n(.*?)```", SPECIFICATION.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def index(tmp_path):
    with IndexWriter(tmp_path) as writer:
        segment = writer.segment(2, {"corpus": "words.txt"})
        documents = [Document("a", "one", {"n": 1}), Document("b", "", {})]
        segment.append(documents, np.array([[3, 4], [0, 0]], np.float32), counts={"documents": 2})
        writer.commit(
            [entry(segment)],
            NONE,
            metric="cosine",
            dim=2,
            goal=GOAL,
            counts=segment.progress.counts,
            provenance={"corpus": "words.txt"},
        )
    return tmp_path


def test_current_and_manifest(blocks, index):
    current, shown = blocks[-4], blocks[-3].encode()
    assert current == f"manifest-000001.json {hashlib.sha256(shown).hexdigest()}\n"
    assert Manifest.from_bytes(shown, "shown").to_bytes() == shown
    written = json.loads((index / "manifest-000001.json").read_bytes())
    expected = json.loads(shown)
    # The one differs by the clock, the other by the version of SQLite.
    for values in (written, expected):
        values["created"] = values["files"]["segments/000001-0/documents.sqlite"] = None
    assert written == expected


def test_rows(blocks, index):
    segment = index / "segments" / "000001-0"
    written = [(segment / name).read_bytes()[128:].hex(" ", 4) for name in ("vectors.npy", "norms.npy")]
    assert blocks[-2].splitlines() == written


def test_documents(blocks, index):
    with sqlite3.connect(index / "segments" / "000001-0" / "documents.sqlite") as db:
        rows = [repr(row) for table in ("documents", "progress") for row in db.execute(f"SELECT * FROM {table}")]
    db.close()
    assert blocks[-1].splitlines() == rows


def test_schema(blocks, tmp_path):
    DocumentsWriter(tmp_path / "documents.sqlite").close()
    with sqlite3.connect(tmp_path / "documents.sqlite") as db:
        statements = [statement for (statement,) in db.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL")]
    db.close()
    assert blocks[1] == "".join(f"{statement};\n" for statement in statements)
