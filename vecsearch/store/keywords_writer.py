"""What documents are found by when they are asked for by words: made from their texts when a segment is finished."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

from vecsearch.store.postings import PostingsWriter
from vecsearch.text.analysis import analyser
from vecsearch.text.folding import folded
from vecsearch.text.wording import forms, has_sign, without_signs, words

_SCHEMA = """
DROP TABLE IF EXISTS terms;
CREATE VIRTUAL TABLE terms USING fts5(text, content = '', tokenize = 'ascii');
"""
_SORTED_BYTES = 1 << 25
"""How much FTS5 sorts before it writes; its megabyte takes nearly twice as long."""
_BLOCK, _AT_LEAST = 1 << 20, 64
"""Characters of the documents that are looked at together, where each counts as so many at the least: one without a text takes
memory as well."""


def write_keywords(db: sqlite3.Connection, language: str) -> None:
    """Write which documents have which words, in which forms of the language, and in which order: `terms` is for phrases.

    What documents write with signs, C++, .NET, e-mail, is among the words, as its own stem.
    """
    postings = PostingsWriter(db, analyser(language))
    for statement in _SCHEMA.strip().split("\n"):
        db.execute(statement)
    db.execute("INSERT INTO terms(terms, rank) VALUES ('hashsize', ?)", (_SORTED_BYTES,))
    for block in _blocks(db.cursor().execute("SELECT number, text FROM documents ORDER BY number")):
        numbers, texts = [number for number, _ in block], [folded(text) for _, text in block]
        db.executemany("INSERT INTO terms(rowid, text) VALUES (?, ?)", zip(numbers, map(words, texts), strict=True))
        for (_, text), signed in zip(block, forms(texts), strict=True):
            postings.add(text, (form if has_sign(form) else without_signs(form) for form in signed))
    postings.flush()
    db.execute("INSERT INTO terms(terms) VALUES ('optimize')")


def _blocks(documents: Iterable[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    block, characters = [], 0
    for number, text in documents:
        block.append((number, text))
        characters += max(_AT_LEAST, len(text))
        if characters >= _BLOCK:
            yield block
            block, characters = [], 0
    yield block
