"""Queries in a file: texts, one a line, or records with an id, as the corpus readers have them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from vecsearch.corpus.layout import Layout
from vecsearch.corpus.lines import COMPRESSIONS
from vecsearch.corpus.readers import read_records
from vecsearch.corpus.source import BadRecord, CorpusTally
from vecsearch.errors import CorpusError

TEXTS = ("text", "query", "question")
"""What the text of a query is called; the first of these that the first record has."""


@dataclass(frozen=True, slots=True)
class Query:
    """A text that is asked, its id where its file has ids, and where it was read."""

    text: str
    id: str | None = None
    where: str = field(default="", compare=False)


def read_queries(
    path: str | PathLike[str], *, format: str | None = None, skip_bad: bool = False, tally: CorpusTally | None = None
) -> Iterator[Query]:
    """The queries of a file that `read_corpus` takes, or of the queries.jsonl in a BEIR folder, read as they are asked for.

    A file without a suffix has a text on each line. Raises: UsageError, CorpusError as `read_corpus`, and for an
    id that is there twice.
    """
    place = _in_folder(Path(path))
    kind = "txt" if format is None and not place.suffix else format
    records, source = read_records(place, format=kind, skip_bad=skip_bad, tally=tally)
    layout, lines = None, {}
    for number, record in records:
        if layout is None:
            layout = Layout.of(record, text_fields=[_text_field(record)], id_field=None, beir=False)
        needed = [name for name in (layout.id_field, *layout.text_fields) if name]
        try:
            if not all(name in record for name in needed):
                names = " and ".join(f'"{name}"' for name in needed)
                raise BadRecord(f"a query needs {names}; there are: {', '.join(record) or 'none'}", "name its columns so")
            document = layout.document(number, record, source.where(number))
        except BadRecord as bad:
            source.refuse(number, bad)
            continue
        if layout.id_field is None:
            yield Query(document.text, where=document.where)
            continue
        if (before := lines.setdefault(document.id, number)) != number:
            problem = f'the id "{document.id}" is there already, in {source.unit} {before}'
            source.refuse(number, BadRecord(problem, "keep one of them, or give each its own id"))
            continue
        yield Query(document.text, document.id, document.where)
    if layout is None:
        raise CorpusError(f"{source.name} holds no queries; check that it is the file you mean")


def _text_field(record: dict[str, object]) -> str:
    return next((name for name in TEXTS if name in record), TEXTS[0])


def _in_folder(place: Path) -> Path:
    """The file to read: `place`, or what a BEIR folder has for its queries. Raises CorpusError for another folder."""
    if not place.is_dir():
        return place
    names = ("queries.jsonl", *(f"queries.jsonl.{suffix}" for suffix in COMPRESSIONS))
    found = next((place / name for name in names if (place / name).is_file()), None)
    if found is None:
        raise CorpusError(
            f"{place} has no queries.jsonl, so it is no BEIR folder; name a file, or a folder with corpus, queries and qrels"
        )
    return found
