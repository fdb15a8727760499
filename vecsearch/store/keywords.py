"""Documents by the words in them: BM25 over all segments of an index, answered by SQLite's full-text search (FTS5)."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vecsearch.corpus.document import Document
from vecsearch.errors import UsageError
from vecsearch.store.documents import Documents
from vecsearch.store.query_terms import MOST, Reading, Term, terms
from vecsearch.store.wording import compared

COMMON = 1e-6
"""How rare FTS5 takes a word to be that more than half of the documents have."""
_WORDS, _FORMS = "json_extract(value, '$[0]')", "json_extract(value, '$[1]')"
_ALSO = "terms.rowid IN (SELECT rowid FROM forms WHERE forms MATCH {})"


@dataclass(frozen=True)
class _Asked:
    """A reading of a term in each part, how many documents there have it, how rare it is, and what it counts for."""

    readings: Sequence[Reading | None]
    counts: Sequence[int]
    idf: float
    worth: float


class Keywords:
    """The words of an index's documents, a part for each of its segments. Raises UsageError where one part has none."""

    def __init__(self, parts: Sequence[Documents]) -> None:
        if any(not {"words", "terms"} & part.tables for part in parts):
            raise UsageError("a part of the index was made by an earlier vecsearch, without keywords: vecsearch compact")
        self._parts = parts
        self._total = sum(len(part) for part in parts)

    def search(self, text: str, k: int, allowed: Sequence[np.ndarray | None]) -> list[tuple[float, int, int]]:
        """The k best documents for a query: score, part, number of the document there; best first, equal ones in order.

        `allowed` says for each part which of its documents, (m,) bool, may be found; None for all. The score is BM25 (Robertson
        and Zaragoza 2009, with FTS5's k1 = 1.2, b = 0.75). How rare a term is counts over the whole index, how long an average
        document is in its own part. Of a term that can be found in several ways, a document that has it as it is written gets
        as much as the others may bring together, so that it comes first.
        """
        asked = [each for term in terms(text) for each in self._asked(term)]
        # Words of more than half of the documents take the longest, and decide nothing where there are others.
        rare = [each for each in asked if each.idf > COMMON]
        found = self._found(rare, k, allowed)
        return found if len(found) == k or len(rare) == len(asked) else self._found(asked, k, allowed)

    def _asked(self, term: Term) -> list[_Asked]:
        """The readings of a term, as it is written last."""
        asked, most = [], 0.0
        for reading in (*term.other, term.written):
            earlier = term.earlier if reading is term.written else None
            readings = [reading if "terms" in part.tables else earlier for part in self._parts]
            counts = [_count(part, each) if each else 0 for part, each in zip(self._parts, readings, strict=True)]
            rarity = idf(sum(counts), self._total)
            worth = reading.weight * rarity
            if reading is term.written and not reading.ranked:
                worth = max(MOST * worth, most)
            most += (MOST if reading.ranked else 1.0) * worth
            asked.append(_Asked(readings, counts, rarity, worth))
        return asked

    def _found(self, asked: Sequence[_Asked], k: int, allowed: Sequence[np.ndarray | None]) -> list[tuple[float, int, int]]:
        found: list[tuple[float, int, int]] = []
        for number, (part, mask) in enumerate(zip(self._parts, allowed, strict=True)):
            weights = []
            for each in asked:
                if (reading := each.readings[number]) and (count := each.counts[number]):
                    # What FTS5 ranks has the rarity of this part in it already.
                    weights.append((reading, each.worth / idf(count, len(part)) if reading.ranked else each.worth))
            found += [(score, number, document) for document, score in _best(part, weights, k, mask)]
        return sorted(found, key=lambda hit: (-hit[0], hit[1:]))[:k]


def idf(count: int, total: int) -> float:
    """How rare a term of `count` among `total` documents is, as FTS5 has it."""
    return max(math.log((total - count + 0.5) / (count + 0.5)), 0.0) or COMMON


def _count(part: Documents, reading: Reading) -> int:
    """How many documents of a part have it."""
    query = f"SELECT count(*) FROM {reading.table} WHERE {reading.table} MATCH ?"
    values = [reading.match]
    if reading.forms:
        query, values = f"{query} AND {_ALSO.format('?')}", [*values, reading.forms]
    with part.reading() as db:
        return db.execute(query, values).fetchone()[0]


def _best(
    part: Documents, weights: Sequence[tuple[Reading, float]], k: int, mask: np.ndarray | None
) -> list[tuple[int, float]]:
    """The k best documents of a part with their scores: what the readings count, times their weights, added up."""
    if not weights:
        return []
    kinds: dict[str, list[tuple[str, str, float]]] = defaultdict(list)
    for reading, weight in weights:
        # FTS5's rank is BM25, negative so that the best comes first.
        score = f"{'-rank * ' if reading.ranked else ''}json_extract(value, '$[2]')"
        also = f" AND {_ALSO.format(_FORMS)}" if reading.forms else ""
        query = f"FROM json_each(?) CROSS JOIN {reading.table} WHERE {reading.table} MATCH {_WORDS}{also}"
        kinds[f"SELECT {reading.table}.rowid AS number, {score} AS score {query}"].append(
            (reading.match, reading.forms, weight)
        )
    left = "" if mask is None else "WHERE allowed(number) "
    query = f"SELECT number, sum(score) FROM ({' UNION ALL '.join(kinds)}) {left}GROUP BY number ORDER BY 2 DESC, 1 LIMIT ?"
    with part.reading() as db:
        if mask is not None:
            db.create_function("allowed", 1, lambda number: bool(mask[number]), deterministic=True)
        return db.execute(query, (*map(json.dumps, kinds.values()), k)).fetchall()


def best_passage(documents: Documents, document: Document, number: int, text: str) -> str | None:
    """The passage of a split document with the most of a query's terms, the first of several; None where it is not split."""
    if not documents.split:
        return None
    wanted = compared(text)
    passages = [document.text[slice(*documents.span(row))] for row in documents.rows(np.array([number])).tolist()]
    return max(passages, key=lambda passage: len(wanted & compared(passage)))
