"""Documents by the words in them: BM25 over all segments of an index, answered by SQLite's full-text search (FTS5)."""

from __future__ import annotations

import math
import re
import sqlite3
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np

from vecsearch.corpus.document import Document
from vecsearch.errors import UsageError
from vecsearch.store.documents import Documents

COMMON = 1e-6
"""How rare FTS5 takes a word to be that more than half of the documents have."""
_TERM = re.compile(r'"([^"]+)"|(\S+)')


def terms(text: str) -> list[str]:
    """What a query asks for, as FTS5's strings: each word, and each "phrase in quotes", once.

    FTS5 takes a string apart as it did the texts, so that XK-47 is a phrase of xk and 47.
    """
    # NUL would end the query in the middle; half of a surrogate pair has no UTF-8 form.
    text = text.replace("\0", " ").encode("utf-8", "replace").decode()
    found = [match[1] or match[2] for match in _TERM.finditer(text)]
    found = [term for term in found if any(letter.isalnum() for letter in term)]
    return ['"' + term.replace('"', '""') + '"' for term in dict.fromkeys(found)]


class Keywords:
    """The words of an index's documents, a part for each of its segments. Raises UsageError where one part has none."""

    def __init__(self, parts: Sequence[Documents]) -> None:
        if any("words" not in part.tables for part in parts):
            raise UsageError("a part of the index was made by an earlier vecsearch, without keywords: vecsearch compact")
        self._parts = parts

    def search(self, text: str, k: int, allowed: Sequence[np.ndarray | None]) -> list[tuple[float, int, int]]:
        """The k best documents for a query: score, part, number of the document there; best first, equal ones in order.

        `allowed` says for each part which of its documents, (m,) bool, may be found; None for all. The score is BM25 (Robertson
        and Zaragoza 2009, with FTS5's k1 = 1.2, b = 0.75). How rare a term is counts over the whole index, how long an average
        document is in its own part.
        """
        total = sum(len(part) for part in self._parts)
        counts = {term: [self._count(part, term) for part in self._parts] for term in terms(text)}
        # Words of more than half of the documents take the longest, and decide nothing where there are others.
        rare = {term: count for term, count in counts.items() if idf(sum(count), total) > COMMON}
        found = self._found(rare, total, k, allowed)
        return found if len(found) == k or len(rare) == len(counts) else self._found(counts, total, k, allowed)

    def _found(
        self, counts: Mapping[str, Sequence[int]], total: int, k: int, allowed: Sequence[np.ndarray | None]
    ) -> list[tuple[float, int, int]]:
        """`search` for terms, each with the number of documents that have it in each part."""
        found: list[tuple[float, int, int]] = []
        for number, (part, mask) in enumerate(zip(self._parts, allowed, strict=True)):
            weights = [
                (term, idf(sum(count), total) / idf(count[number], len(part)))
                for term, count in counts.items()
                if count[number]
            ]
            found += [(score, number, document) for document, score in _best(part, weights, k, mask)]
        return sorted(found, key=lambda hit: (-hit[0], hit[1:]))[:k]

    @staticmethod
    def _count(part: Documents, term: str) -> int:
        with part.reading() as db:
            return db.execute("SELECT count(*) FROM words WHERE words MATCH ?", (term,)).fetchone()[0]


def idf(count: int, total: int) -> float:
    """How rare a term of `count` among `total` documents is, as FTS5 has it."""
    return max(math.log((total - count + 0.5) / (count + 0.5)), 0.0) or COMMON


def _best(part: Documents, weights: Sequence[tuple[str, float]], k: int, mask: np.ndarray | None) -> list[tuple[int, float]]:
    """The k best documents of a part with their scores: each term's BM25 there, times its weight."""
    if not weights:
        return []
    # FTS5's rank is BM25, negative so that the best comes first.
    each = " UNION ALL ".join("SELECT rowid AS number, -rank * ? AS score FROM words WHERE words MATCH ?" for _ in weights)
    query = f"SELECT number, sum(score) FROM ({each}) WHERE allowed(number) GROUP BY number ORDER BY 2 DESC, 1 LIMIT ?"
    query = query if mask is not None else query.replace("WHERE allowed(number) ", "")
    values = [value for term, weight in weights for value in (weight, term)]
    with part.reading() as db:
        if mask is not None:
            db.create_function("allowed", 1, lambda number: bool(mask[number]), deterministic=True)
        try:
            return db.execute(query, (*values, k)).fetchall()
        except sqlite3.OperationalError as error:
            if "too many" in str(error):
                raise UsageError(f"the query has {len(weights)} terms, more than SQLite takes; ask for fewer") from None
            raise


def best_passage(documents: Documents, document: Document, number: int, text: str) -> str | None:
    """The passage of a split document with the most of a query's terms, the first of several; None where it is not split."""
    if not documents.split:
        return None
    wanted = _words(" ".join(terms(text)))
    passages = [document.text[slice(*documents.span(row))] for row in documents.rows(np.array([number])).tolist()]
    return max(passages, key=lambda passage: len(wanted & _words(passage)))


def _words(text: str) -> set[str]:
    """The words of a text as FTS5 compares them: in lower case, without accents."""
    letters = (letter for letter in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(letter))
    return set(re.findall(r"[^\W_]+", "".join(letters)))
