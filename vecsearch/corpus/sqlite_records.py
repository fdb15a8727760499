"""Records of a table of an SQLite file, or of a query over one: sqlite:films.db?table=films, sqlite:films.db?query=SELECT …"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

from vecsearch.corpus.source import CorpusSource, Records
from vecsearch.errors import CorpusError, UsageError
from vecsearch.sqlite import Database

PREFIX = "sqlite:"
_FORMS = "sqlite:PATH?table=NAME or sqlite:PATH?query=SELECT …"
_READS = frozenset((sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE))


def sqlite_file(address: str) -> str:
    """The path of the file in an address. Raises UsageError for one of another form, CorpusError where there is no file."""
    path, _ = _parts(address)
    if not Path(path).is_file():
        raise CorpusError(f"{path} does not exist; check the path")
    return path


def sqlite_records(address: str, source: CorpusSource) -> Records:
    """A record for each row, with its columns as fields. The file is only read, and nothing that it brings along is run.

    Raises: CorpusError: SQLite refuses; two columns have one name.
    """
    path, query = _parts(address)
    uri = f"{Path(path).absolute().as_uri()}?mode=ro"
    try:
        with closing(Database(uri, uri=True)) as database:
            with database.quiet() as db:
                db.execute("PRAGMA trusted_schema = OFF")
                # Whatever a query or a view asks for beside reading is refused: another file, a pragma, a change.
                db.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _READS else sqlite3.SQLITE_DENY)
                cursor = db.execute(query)
            names = [name for name, *_ in cursor.description or ()]
            if twice := [name for name, count in Counter(names).items() if count > 1]:
                raise CorpusError(f'{source.name}: the column "{twice[0]}" is there twice; give each its own name, with AS')
            for number, (row,) in enumerate(database.batches(cursor, 1), 1):
                yield number, dict(zip(names, row, strict=True))
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise CorpusError(f"{source.name} cannot be read: {error}; check the file, and the table or the query") from error


def _parts(address: str) -> tuple[str, str]:
    """The path and the query of an address."""
    for option in ("table", "query"):
        path, found, value = address.removeprefix(PREFIX).partition(f"?{option}=")
        if found and path and value:
            return path, value if option == "query" else 'SELECT * FROM "{}"'.format(value.replace('"', '""'))
    raise UsageError(f"{address!r} names no table; give {_FORMS}")
