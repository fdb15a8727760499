"""Test sets as they lie on disk: scored pairs, analogies, a BEIR folder. `read_set` says which of them a path is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import numpy as np

from vecsearch import checks
from vecsearch.corpus.lines import byte_lines, text_lines
from vecsearch.corpus.pairs import read_pairs
from vecsearch.corpus.queries import read_queries
from vecsearch.corpus.source import BadRecord, CorpusSource, CorpusTally
from vecsearch.errors import CorpusError

LEAST_PAIRS = 3
"""Two points always lie on a line."""
Grades = dict[str, int]
"""How relevant each document is to a query, by its id."""
_GRADE = re.compile(r"\s*-?[0-9]{1,9}\s*")


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of texts or words, what people think of each, (n,) float64, higher is more alike, and how they were read."""

    name: str
    a: list[str]
    b: list[str]
    scores: np.ndarray
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Analogies:
    """Questions "a is to b as c is to …": four words each, the answer last, lower-case; `sections` names each one's kind."""

    name: str
    questions: list[tuple[str, str, str, str]]
    sections: list[str]


@dataclass(frozen=True, slots=True)
class Retrieval:
    """A folder with a corpus, and the queries that have relevant documents; `notes` say what does not fit together."""

    name: str
    folder: Path
    queries: dict[str, str]
    grades: dict[str, Grades]
    notes: list[str] = field(default_factory=list)


TestSet = Pairs | Analogies | Retrieval


def read_set(path: str | PathLike[str], *, columns: Sequence[str] = (), split: str = "test") -> TestSet:
    """The test set at `path`: a BEIR folder, a .txt of analogies, or a file of scored pairs (`read_pairs`, with its `columns`).

    Raises: DataError for a set that cannot be used, naming the file and the line; UsageError for an unknown format.
    """
    place, split = checks.path("path", path), checks.text("split", split)
    columns = checks.texts("columns", columns)
    if place.is_dir():
        return read_retrieval(place, split)
    if not place.exists():
        raise CorpusError(f"{place} does not exist; check the path")
    return read_analogies(place) if place.suffix == ".txt" else read_scored(place, columns)


def read_scored(path: Path, columns: Sequence[str] = ()) -> Pairs:
    """Pairs with a score. Raises DataError for a file without scores, with fewer than three pairs, or where all are equal."""
    tally = CorpusTally()
    pairs = list(read_pairs(path, columns=columns, tally=tally))
    scores = np.array([np.nan if pair.score is None else pair.score for pair in pairs], np.float64)
    if np.isnan(scores).any():
        raise CorpusError(f"{path} has no scores to compare with; name the columns: --columns A,B,SCORE")
    if len(pairs) < LEAST_PAIRS:
        raise CorpusError(f"{path} holds {len(pairs)} pairs; a correlation needs at least {LEAST_PAIRS}")
    if np.ptp(scores) == 0:
        raise CorpusError(f"all {len(pairs)} scores in {path} are {scores[0]:g}: nothing can correlate with them")
    return Pairs(path.name, [pair.a for pair in pairs], [pair.b for pair in pairs], scores, tally.remarks())


def read_analogies(path: Path) -> Analogies:
    """Questions as word2vec's questions-words.txt has them (Mikolov et al. 2013): lines of four words under lines ": section".

    Words are lower-cased, as most encoders' are. Raises CorpusError for any other line, and for a file without questions.
    """
    questions: list[tuple[str, str, str, str]] = []
    sections: list[str] = []
    section = ""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    for number, line in enumerate(lines, 1):
        words = line.lower().split()
        if line.startswith(":"):
            section = line[1:].strip()
        elif len(words) == 4:
            questions.append((words[0], words[1], words[2], words[3]))
            sections.append(section)
        elif words:
            raise CorpusError(
                f"{path}, line {number}: {len(words)} words; an analogy has four, a line that begins with ':' names a "
                "section; pairs with scores go in a .tsv, .csv or .jsonl file"
            )
    if not questions:
        raise CorpusError(f"{path} holds no analogies; check that it is the file you mean")
    return Analogies(path.name, questions, sections)


def read_retrieval(folder: Path, split: str = "test") -> Retrieval:
    """The queries of a BEIR folder (corpus.jsonl, queries.jsonl, qrels/<split>.tsv) that have a relevant document.

    Raises CorpusError for a folder without these files, for a bad line in them, and for qrels without a relevant document.
    """
    grades, repeated = read_qrels(folder, split)
    relevant = {query for query, its in grades.items() if max(its.values()) > 0}
    queries, path = {}, _existing(folder, "queries.jsonl")
    for query in read_queries(path):
        if query.id is None:
            raise CorpusError(f'{path} has no ids: a query needs "_id" and "text"')
        if query.id in relevant:
            queries[query.id] = query.text
    unknown = len(relevant - queries.keys())
    if not queries:
        raise CorpusError(
            f"{folder}: no query has a relevant document in qrels/{split}.tsv; check that ids are the same in both"
        )
    notes = [f"{unknown} queries of qrels/{split}.tsv are not in queries.jsonl, and are left out"] if unknown else []
    if repeated:
        notes.append(f"{repeated:,} lines of qrels/{split}.tsv are there twice, with the same grade, and count once")
    return Retrieval(folder.name or str(folder), folder, queries, {id: grades[id] for id in queries}, notes)


def read_qrels(folder: Path, split: str = "test") -> tuple[dict[str, Grades], int]:
    """How relevant which documents are to each query, from qrels/<split>.tsv: query, document, grade, under a header or none;
    and how many lines say what one before them says.

    Raises CorpusError for a missing file, naming the splits that are there, for a bad line, and for one with another grade than
    a line before it.
    """
    path = folder / "qrels" / f"{split}.tsv"
    if not path.is_file():
        there = ", ".join(sorted(place.stem for place in path.parent.glob("*.tsv"))) or "none"
        raise CorpusError(f"{path} does not exist; splits that are there: {there}. Name one with --split")
    source = CorpusSource(str(path), "line", False, CorpusTally())
    grades: dict[str, Grades] = {}
    repeated = 0
    for number, line in text_lines(byte_lines(str(path), "", source), source):
        row = line.split("\t")
        if number == 1 and row[-1].strip() == "score":
            continue
        if len(row) != 3 or not _GRADE.fullmatch(row[2]):
            raise CorpusError(f"{path}, line {number}: {' '.join(row)!r} is not query, document and a whole grade, with tabs")
        query, document, grade = row[0], row[1], int(row[2])
        its = grades.setdefault(query, {})
        if document in its:
            if its[document] != grade:
                problem = f"the grade of {document!r} for the query {query!r} is {grade}, and {its[document]} in a line before"
                source.refuse(number, BadRecord(problem, "keep one of them"))
            repeated += 1
        its[document] = grade
    return grades, repeated


def _existing(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise CorpusError(
            f"{folder} has no {name}, so it is not a BEIR folder; name a file, or a folder with corpus, queries and qrels"
        )
    return path
