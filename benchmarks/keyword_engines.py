"""Engines that find documents by words, side by side: quality, bytes, seconds to build, milliseconds; one thread, one run.

    python benchmarks/keyword_engines.py DATA [--documents 1000000] [--queries 100] [--engines ours,fts5,…]

DATA holds retrieval/cranfield and retrieval/medline, which nDCG@10 is measured on, and broad/, whose texts, cut into passages
of 60 words, are the large corpus. A query is a question of broad/questions, or two, three or eight words of a passage.
"fts5" is SQLite's own index of whole texts, "fts5 stems" the same of Snowball's stems without stop words, as bm25s and tantivy
get them; "ours" is what an index has, phrases and forms with signs included.
"""

from __future__ import annotations

import argparse
import json
import lzma
import random
import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np
from report import report

from vecsearch.corpus.document import Document
from vecsearch.corpus.readers import read_corpus
from vecsearch.evaluation.measures import of_ranking
from vecsearch.evaluation.sets import read_retrieval
from vecsearch.index.keywords import Keywords, word_totals
from vecsearch.store.documents import Documents
from vecsearch.store.documents_writer import DocumentsWriter, Stored
from vecsearch.store.records import to_record
from vecsearch.text.analysis import analyser

K, BLOCK, PASSAGE = 10, 4096, 60
K1, B = 1.5, 0.75
ENGLISH = analyser("en")
Ask = Callable[[str], list[int]]
"""From a query to the numbers of the best documents."""


def stems(text: str) -> list[str]:
    return [word.stems[0] for word in ENGLISH.words(text) if ENGLISH.decides(word.form)]


def ours(texts: Sequence[str], folder: Path) -> Ask:
    path, progress = folder / "documents.sqlite", Stored()
    writer = DocumentsWriter(path)
    for first in range(0, len(texts), BLOCK):
        records = [to_record(Document(str(n), text)) for n, text in enumerate(texts[first : first + BLOCK], first)]
        after = Stored(first + len(records), first + len(records))
        writer.append(records, None, progress, after)
        progress = after
    writer.finish("en")
    writer.close()
    documents = Documents(path, len(texts))
    keywords = Keywords([documents], "en", word_totals([documents]))
    return lambda query: [number for _, _, number in keywords.best(query, keywords.counts(query), K, [None])]


def fts5(texts: Sequence[str], folder: Path, words: Callable[[str], list[str]] | None = None) -> Ask:
    db = sqlite3.connect(folder / "words.sqlite", isolation_level=None)
    db.execute(f"CREATE VIRTUAL TABLE words USING fts5(text, content = ''{', tokenize = ascii' if words else ''})")
    db.execute("BEGIN")
    rows = ((n, " ".join(words(text)) if words else text) for n, text in enumerate(texts))
    db.executemany("INSERT INTO words(rowid, text) VALUES (?, ?)", rows)
    db.execute("INSERT INTO words(words) VALUES ('optimize')")
    db.execute("COMMIT")
    split = words or (lambda text: re.findall(r"\w+", text.lower()))

    def ask(query: str) -> list[int]:
        match = " OR ".join(f'"{word}"' for word in dict.fromkeys(split(query)))
        found = db.execute("SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?", (match or '""', K))
        return [number for (number,) in found]

    return ask


def fts5_stems(texts: Sequence[str], folder: Path) -> Ask:
    return fts5(texts, folder, stems)


def with_bm25s(texts: Sequence[str], folder: Path) -> Ask:
    import bm25s

    ids: dict[str, int] = {}
    tokens = [[ids.setdefault(stem, len(ids)) for stem in stems(text)] for text in texts]
    index = bm25s.BM25(k1=K1, b=B)
    index.index((tokens, ids), show_progress=False)
    index.save(folder / "bm25s")
    del tokens, index
    opened = bm25s.BM25.load(folder / "bm25s", mmap=True)

    def ask(query: str) -> list[int]:
        known = [stem for stem in stems(query) if stem in ids]
        if not known:
            return []
        found, _ = opened.retrieve([known], k=K, show_progress=False, n_threads=1)
        return found[0].tolist()

    return ask


def with_tantivy(texts: Sequence[str], folder: Path) -> Ask:
    import tantivy

    schema = tantivy.SchemaBuilder()
    schema.add_text_field("text", stored=False, tokenizer_name="whitespace")
    schema.add_integer_field("number", stored=True)
    (folder / "tantivy").mkdir()
    index = tantivy.Index(schema.build(), path=str(folder / "tantivy"))
    writer = index.writer(500_000_000, 1)
    for number, text in enumerate(texts):
        writer.add_document(tantivy.Document(text=[" ".join(stems(text))], number=number))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    searcher = index.searcher()

    def ask(query: str) -> list[int]:
        terms = [tantivy.Query.term_query(index.schema, "text", stem) for stem in stems(query)]
        wanted = tantivy.Query.boolean_query([(tantivy.Occur.Should, term) for term in terms])
        return [searcher.doc(address)["number"][0] for _, address in searcher.search(wanted, K, count=False).hits]

    return ask


ENGINES: dict[str, Callable[[Sequence[str], Path], Ask]] = {
    "fts5": fts5,
    "fts5 stems": fts5_stems,
    "ours": ours,
    "bm25s": with_bm25s,
    "tantivy": with_tantivy,
}


def passages(folder: Path) -> Iterator[str]:
    for path in sorted((folder / "broad").glob("*.jsonl.xz")):
        with lzma.open(path, "rt", encoding="utf-8") as file:
            for record in map(json.loads, file):
                words = f"{record.get('title') or record.get('question') or ''} {record['text']}".split()
                yield from (" ".join(words[first : first + PASSAGE]) for first in range(0, len(words), PASSAGE))


def drawn_queries(folder: Path, texts: Sequence[str], count: int) -> list[str]:
    rng = random.Random(0)
    with lzma.open(folder / "broad/questions.jsonl.xz", "rt", encoding="utf-8") as file:
        asked = [json.loads(line)["question"] for line in file]
    queries = rng.sample(asked, count // 2)
    return queries + [" ".join(rng.choice(texts).split()[: rng.choice((2, 3, 8))]) for _ in range(count - len(queries))]


def ndcg(engine: Callable[[Sequence[str], Path], Ask], folder: Path) -> float:
    asked = read_retrieval(folder, "test")
    corpus = list(read_corpus(folder))
    with tempfile.TemporaryDirectory() as place:
        ask = engine([document.text for document in corpus], Path(place))
        values = [
            of_ranking([corpus[number].id for number in ask(query)], asked.grades[id], K)[f"ndcg@{K}"]
            for id, query in asked.queries.items()
        ]
    return float(np.mean(values))


def measured(name: str, texts: Sequence[str], queries: Sequence[str], data: Path) -> dict[str, Any]:
    engine = ENGINES[name]
    quality = {folder: round(ndcg(engine, data / "retrieval" / folder), 4) for folder in ("cranfield", "medline")}
    with tempfile.TemporaryDirectory() as place:
        start, cpu = perf_counter(), process_time()
        ask = engine(texts, Path(place))
        taken = {"build_s": round(perf_counter() - start, 1), "build_cpu_s": round(process_time() - cpu, 1)}
        size = sum(path.stat().st_size for path in Path(place).rglob("*") if path.is_file())
        if name == "ours":  # beside the documents themselves, which the others do not have
            size -= sum(len(to_record(Document(str(n), text))[1].encode()) for n, text in enumerate(texts))
        ms = []
        for query in queries:
            start = perf_counter()
            ask(query)
            ms.append(1000 * (perf_counter() - start))
    times = {"ms": round(median(ms), 2), "p99_ms": round(float(np.percentile(ms, 99)), 1)}
    return {"engine": name, **quality, "documents": len(texts), "bytes": size, **taken, **times}


def main() -> None:
    parser = argparse.ArgumentParser(description="engines that find documents by words, side by side")
    parser.add_argument("data", type=Path, help="the folder with retrieval/ and broad/")
    parser.add_argument("--documents", type=int, default=1_000_000, help="of the large corpus (default: %(default)s)")
    parser.add_argument("--queries", type=int, default=100, help="how many are timed (default: %(default)s)")
    parser.add_argument("--engines", default=",".join(ENGINES), help="which (default: %(default)s)")
    options = parser.parse_args()
    texts = list(islice(passages(options.data), options.documents))
    queries = drawn_queries(options.data, texts, options.queries)
    rows = [measured(name, texts, queries, options.data) for name in options.engines.split(",")]
    report("keyword_engines", [row | {"threads": 1, "k1": K1 if "fts5" not in row["engine"] else 1.2} for row in rows])


if __name__ == "__main__":
    main()
