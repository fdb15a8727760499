"""What documents are found by when they are asked for by words: made from their texts when a segment is finished."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

from vecsearch.store.folding import folded
from vecsearch.store.wording import forms, words

_TOKENS = "!#$%&''()*+,-./:;<=>?@[\\]^_`{|}~"
"""All signs of ASCII but the double quote, as SQL quotes them."""
_SCHEMA = """
DROP TABLE IF EXISTS terms;
DROP TABLE IF EXISTS forms;
CREATE VIRTUAL TABLE terms USING fts5(text, content = '', tokenize = 'ascii');
CREATE VIRTUAL TABLE forms USING fts5(text, content = '', columnsize = 0, detail = none, tokenize = "ascii tokenchars '@'");
""".replace("@", _TOKENS)
_SORTED_BYTES = 1 << 25
"""How much FTS5 sorts before it writes; its megabyte takes nearly twice as long."""
_BLOCK = 1 << 20
"""Characters of the documents that are looked at together."""


def write_keywords(db: sqlite3.Connection) -> None:
    """Fill `terms` with the words of all documents, and `forms` with what they write with signs: C++, .NET, e-mail."""
    for statement in _SCHEMA.strip().split("\n"):
        db.execute(statement)
    for table in ("terms", "forms"):
        db.execute(f"INSERT INTO {table}({table}, rank) VALUES ('hashsize', ?)", (_SORTED_BYTES,))
    for block in _blocks(db.cursor().execute("SELECT number, text FROM documents ORDER BY number")):
        numbers, texts = [number for number, _ in block], [folded(text) for _, text in block]
        db.executemany("INSERT INTO terms(rowid, text) VALUES (?, ?)", zip(numbers, map(words, texts), strict=True))
        found = ((number, " ".join(sorted(each))) for number, each in zip(numbers, forms(texts), strict=True) if each)
        db.executemany("INSERT INTO forms(rowid, text) VALUES (?, ?)", found)
    for table in ("terms", "forms"):
        db.execute(f"INSERT INTO {table}({table}) VALUES ('optimize')")


def _blocks(documents: Iterable[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    block, characters = [], 0
    for number, text in documents:
        block.append((number, text))
        characters += len(text)
        if characters >= _BLOCK:
            yield block
            block, characters = [], 0
    yield block
