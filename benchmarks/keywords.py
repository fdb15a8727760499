"""Words of texts as they are indexed now beside FTS5 as it is: bytes, seconds, milliseconds; turn by turn, one thread, medians.

    python benchmarks/keywords.py [--corpus FILE.jsonl.xz] [--texts N] [--rounds N] [--folder FOLDER]

Without a corpus the texts are the docstrings of the Python standard library's modules, ten times over, and Chinese, drawn:
sentences of 20,000 words of one to three characters, by Zipf's law. "before" is a table of whole texts for FTS5's tokenizer,
as earlier versions made it. A query is two words of a text (two characters, where it is Chinese), asked with the same code.
"store_s" is what storing the documents takes, "words_s" what their words take after that, "words_cpu_s" of the processor.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import numpy as np
from report import report
from tokens import corpus_texts, library_texts

from vecsearch.corpus.document import Document
from vecsearch.index.keywords import Keywords, best
from vecsearch.store.documents import Documents
from vecsearch.store.documents_writer import DocumentsWriter, Progress
from vecsearch.store.keywords_writer import write_keywords
from vecsearch.store.records import to_record
from vecsearch.text.languages import language_of

QUERIES, K, BLOCK = 300, 10, 1024
BEFORE = (
    "CREATE VIRTUAL TABLE words USING fts5(text, content = documents, content_rowid = number)",
    "INSERT INTO words(words) VALUES ('rebuild')",
    "INSERT INTO words(words) VALUES ('optimize')",
)


def chinese_texts(characters: int) -> list[str]:
    rng, texts = np.random.default_rng(0), []
    words = ["".join(map(chr, 0x4E00 + rng.integers(0, 3000, length))) for length in rng.choice([1, 2, 2, 2, 3], 20_000)]
    while characters > 0:
        sentences = ("".join(words[rank % len(words)] for rank in rng.zipf(1.2, 12)) for _ in range(20))
        texts.append("。".join(sentences))
        characters -= len(texts[-1])
    return texts


def before(db: sqlite3.Connection, language: str) -> None:
    for statement in BEFORE:
        db.execute(statement)


WAYS: dict[str, Callable[[sqlite3.Connection, str], None]] = {"before": before, "now": write_keywords}


def stored(path: Path, texts: list[str]) -> float:
    """Seconds that the documents take, without what they are found by."""
    start = perf_counter()
    writer, progress = DocumentsWriter(path), Progress()
    for first in range(0, len(texts), BLOCK):
        records = [to_record(Document(str(n), text)) for n, text in enumerate(texts[first : first + BLOCK], first)]
        after = Progress(first + len(records), first + len(records))
        writer.append(records, None, progress, after)
        progress = after
    writer.close()
    return perf_counter() - start


def indexed(path: Path, write: Callable[[sqlite3.Connection, str], None], language: str) -> tuple[float, float, int]:
    """Seconds and seconds of the processor that the words take, and their bytes."""
    bare = path.stat().st_size
    db = sqlite3.connect(path, isolation_level=None)
    start, cpu = perf_counter(), process_time()
    with db:
        db.execute("BEGIN IMMEDIATE")
        write(db, language)
    db.execute("PRAGMA incremental_vacuum").fetchall()
    taken = perf_counter() - start, process_time() - cpu
    db.close()
    return *taken, path.stat().st_size - bare


def asked(path: Path, count: int, queries: list[str], language: str) -> list[float]:
    documents = Documents(path, count)
    words, taken = Keywords([documents], language), []
    for query in queries:
        start = perf_counter()
        best(words.scores(query), K, [None])
        taken.append(1000 * (perf_counter() - start))
    documents.close()
    return taken


def drawn_queries(texts: list[str]) -> list[str]:
    rng, queries = np.random.default_rng(1), []
    while len(queries) < QUERIES:
        chunks = texts[rng.integers(len(texts))].split() or [""]
        first, second = (chunks[rng.integers(len(chunks))] for _ in range(2))
        if not first.isascii():
            start = rng.integers(max(1, len(first) - 2))
            first, second = first[start : start + 2], ""
        if any(letter.isalnum() for letter in first):
            queries.append(f"{first} {second}".replace('"', " ").strip())
    return queries


def measured(texts: list[str], rounds: int, folder: Path, language: str) -> list[dict]:
    queries = drawn_queries(texts)
    taken: dict[str, list[tuple]] = {way: [] for way in WAYS}
    ms: dict[str, list[float]] = {way: [] for way in WAYS}
    stores = []
    for _ in range(rounds):
        for way, write in WAYS.items():
            path = folder / f"{way}.sqlite"
            path.unlink(missing_ok=True)
            stores.append(stored(path, texts))
            taken[way].append(indexed(path, write, language))
            ms[way] += asked(path, len(texts), queries, language)
    rows = []
    for way in WAYS:
        seconds, cpu, size = (median(values) for values in zip(*taken[way], strict=True))
        times = {"ms": round(median(ms[way]), 3), "p99_ms": round(float(np.percentile(ms[way], 99)), 3)}
        facts = {"way": way, "store_s": round(median(stores), 2), "words_s": round(seconds, 2), "words_cpu_s": round(cpu, 2)}
        rows.append(facts | {"words_bytes": size} | times)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="words of texts, as they are indexed now beside FTS5 as it is")
    parser.add_argument("--corpus", type=Path, help="a .jsonl.xz with a field 'text'; default: docstrings, and drawn Chinese")
    parser.add_argument("--texts", type=int, default=20_000, help="take at most so many texts (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds to take the median of (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="where the files are made, and removed again (default: the system's)")
    options = parser.parse_args()
    if options.corpus:
        corpora = {options.corpus.name: corpus_texts(options.corpus)[: options.texts]}
    else:
        english = (library_texts() * 10)[: options.texts]
        corpora = {"python docstrings": english, "drawn Chinese": chinese_texts(sum(map(len, english)) // 3)}
    for name, texts in corpora.items():
        facts = {
            "corpus": name,
            "texts": len(texts),
            "characters": sum(map(len, texts)),
            "threads": 1,
            "load": os.getloadavg()[0],
        }
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            report(
                "keywords",
                [row | facts for row in measured(texts, options.rounds, Path(folder), language_of(texts[:1000], None))],
            )


if __name__ == "__main__":
    main()
