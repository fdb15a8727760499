"""A document as a segment stores it, and what tells that it is the same one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

from vecsearch.corpus.document import Document, place
from vecsearch.errors import CorpusError
from vecsearch.store.layout import damaged

Record = tuple[str, str, str]
"""A document as it is stored: id, text, fields as JSON."""

Span = tuple[int, int, int]
"""A passage: which document of its block, and from which character to which."""


def to_record(document: Document) -> Record:
    """The document as it is stored.

    Raises:
        CorpusError: a field that JSON cannot hold (one within itself), or text that UTF-8 cannot (half of a surrogate pair).
    """
    try:
        record = document.id, document.text, json.dumps(document.fields, ensure_ascii=False, allow_nan=False)
        "".join(record).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise CorpusError(f"{place(document)}: the document cannot be stored ({error}); mend or drop it") from error
    return record


def extend_digest(digest: str, records: Iterable[Record]) -> str:
    """The digest (hex) of all documents so far: blake2b over the digest before and the length and bytes of each part."""
    for record in records:
        state = blake2b(bytes.fromhex(digest), digest_size=32)
        for part in record:
            data = part.encode()
            state.update(len(data).to_bytes(8, "little"))
            state.update(data)
        digest = state.hexdigest()
    return digest


@contextmanager
def sound(path: Path) -> Iterator[None]:
    """Turn SQLite's and JSON's complaints about the bytes of `path` into the error that names it."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise
    except (sqlite3.DatabaseError, json.JSONDecodeError) as error:
        raise damaged(path, f"cannot be read ({error})") from error


def numbers_of(db: sqlite3.Connection, ids: Iterable[str]) -> dict[str, int]:
    """Number of each of the ids that is in a documents file."""
    numbers = {}
    for id in ids:
        # An id with half of a surrogate pair (bytes of a shell that are not UTF-8) has no UTF-8 form, so none is stored.
        with suppress(UnicodeEncodeError):
            if found := db.execute("SELECT rowid FROM documents WHERE id = ?", (id,)).fetchone():
                numbers[id] = found[0]
    return numbers
