"""Files of text pairs, with or without a score, and of groups of texts that say the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from os import PathLike
from typing import Any

from vecsearch import checks
from vecsearch.corpus.layout import json_fields, plain
from vecsearch.corpus.readers import read_records
from vecsearch.corpus.source import BadRecord, CorpusSource, CorpusTally
from vecsearch.errors import CorpusError, UsageError

TEXTS = (("a", "b"), ("text1", "text2"), ("sentence1", "sentence2"), ("word1", "word2"), ("query", "result"))
"""What the two texts of a pair are called where nobody says."""
SCORES = ("score", "label", "similarity")
GROUP = "texts"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts, and how alike they are: a graded score, a label 0 or 1, or None where the file does not say.

    `record` has all that the file says of the pair, the texts too, as JSON has it.
    """

    a: str
    b: str
    score: float | None = None
    record: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)


def read_pairs(
    path: str | PathLike[str],
    *,
    columns: Sequence[str] = (),
    scored: bool = True,
    format: str | None = None,
    skip_bad: bool = False,
    tally: CorpusTally | None = None,
) -> Iterator[Pair]:
    """Pairs of a .jsonl, .csv, .tsv, .parquet or .h5 file, read as they are asked for and counted in `tally`.

    `columns` name the two texts and, third, the score; without them the names of TEXTS and SCORES are looked for. What scores
    there are is left alone unless `scored`.

    Raises: CorpusError for a file without such columns, and for a record that cannot be used, naming it.
    """
    columns = checks.fields("columns", columns)
    if len(columns) not in (0, 2, 3):
        raise UsageError(f"columns are {', '.join(columns)}; name the two texts and, where there is one, the score")
    records, source = read_records(path, format=format, skip_bad=skip_bad, tally=tally)
    first = next(records, None)
    if first is None:
        raise CorpusError(f"{source.name} holds no pairs; check that it is the file you mean")
    names = _names(first[1], columns, source)[: 3 if scored else 2]
    for number, record in chain([first], records):
        try:
            texts = [_text(record, name) for name in names[:2]]
            pair = Pair(*texts, _score(record, names[2]) if names[2:] else None, json_fields(record))
        except BadRecord as bad:
            source.refuse(number, bad)
        else:
            yield pair


def read_groups(
    path: str | PathLike[str], *, format: str | None = None, skip_bad: bool = False, tally: CorpusTally | None = None
) -> Iterator[list[str]]:
    """Groups of texts that say the same: the list "texts" of each record of a .jsonl file.

    Raises: CorpusError for a record without a list of at least two strings, naming it.
    """
    records, source = read_records(path, format=format, skip_bad=skip_bad, tally=tally)
    for number, record in records:
        texts = record.get(GROUP)
        if not isinstance(texts, list) or len(texts) < 2 or not all(isinstance(text, str) for text in texts):
            source.refuse(number, BadRecord(f'"{GROUP}" is not a list of at least two strings', "give it one"))
        else:
            yield texts


def kind_of(path: str | PathLike[str], *, columns: Sequence[str] = (), format: str | None = None) -> str:
    """What the first record of a file makes it: "pairs", "groups", or "corpus".

    Raises: CorpusError, UsageError as `read_records`.
    """
    records, _ = read_records(path, format=format)
    _, record = next(records, (0, {}))
    if columns or any(set(names) <= record.keys() for names in TEXTS):
        return "pairs"
    return "groups" if GROUP in record else "corpus"


def _names(record: dict[str, Any], columns: Sequence[str], source: CorpusSource) -> list[str]:
    there = ", ".join(map(str, record)) or "none"
    if columns:
        if missing := [name for name in columns if name not in record]:
            raise CorpusError(f"{source.name} has no column {missing[0]!r}; there are: {there}")
        return list(columns)
    for names in TEXTS:
        if set(names) <= record.keys():
            return [*names, *[name for name in SCORES if name in record][:1]]
    known = ", ".join("/".join(names) for names in TEXTS)
    raise CorpusError(f"{source.name} has no two columns of texts ({known}; there are: {there}); name them with --columns")


def _text(record: dict[str, Any], name: str) -> str:
    value = plain(name, record.get(name))
    if not isinstance(value, str):
        raise BadRecord(f'"{name}" is {value!r}, not a text', "write it as a string")
    return value


def _score(record: dict[str, Any], name: str) -> float:
    value = record.get(name)
    try:
        score = float("nan") if isinstance(value, str) and "_" in value else float(value)  # Python reads 1_0 as 10
    except (TypeError, ValueError, OverflowError):
        score = float("nan")
    if not abs(score) < float("inf"):
        raise BadRecord(f'the score in "{name}" is {value!r}, not a number', "write it as one")
    return score
