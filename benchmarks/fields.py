"""What indexes of fields cost and save: conditions on three fields, each asked for the first time, with them and without.

    python benchmarks/fields.py [--rows 1000000] [--folder DIR]

Each document has the fields n, the numbers from 0 in any order, year, one of 120, and title, a made one of about 20 characters.
Times are milliseconds of the processor on one thread, medians over conditions with other numbers in them, asked in turns.
Making the tables of fields is measured by itself, in seconds of the processor.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import process_time, thread_time

import numpy as np
from report import report

from vecsearch import Document, Index
from vecsearch.store import fields

CONDITIONS = {
    "n = {k}": "a number",
    "title = 'the {k} of 7'": "a text",
    "n in ({k}, {k}1, {k}2)": "three numbers",
    "n >= {k}000 and n < {k}010": "a range of ten",
    "n < {hundredth} + {k}": "a hundredth",
    "n < {tenth} + {k}": "a tenth",
    "n < {half} + {k}": "half",
    "n >= -{k}": "all",
    "year = 19{k}": "a year",
    "year = 19{k} and title like '%9'": "a year, and a part of a text",
    "title like 'the {k} %'": "the beginning of a text",
}
ROUNDS = range(20, 31)


def main() -> None:
    parser = argparse.ArgumentParser(description="what indexes of fields cost and save")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the indexes are made, and removed again (default: the system's)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        always = fields.INDEXED_FROM
        fields.INDEXED_FROM = options.rows + 1
        without = built(Path(place) / "without", options.rows)
        fields.INDEXED_FROM = always
        having = built(Path(place) / "having", options.rows)
        rows = [cost(way, path) for way, path in (("without", without), ("with", having))]
        with Index.open(without, check=False) as plain, Index.open(having, check=False) as indexed:
            for where, what in CONDITIONS.items():
                rows.append(
                    {"what": what, "condition": where} | asked(where, options.rows, {"without": plain, "with": indexed})
                )
    report("fields", [row | {"rows": options.rows} for row in rows])


def built(folder: Path, rows: int) -> Path:
    """An index of so many documents."""
    rng = np.random.default_rng(0)
    numbers, years = rng.permutation(rows).tolist(), rng.integers(1900, 2020, rows).tolist()
    of = rng.integers(0, 50_000, (rows, 2)).tolist()
    vectors = rng.standard_normal((rows, 2), np.float32)

    def documents() -> Iterator[Document]:
        for row, (n, year, (a, b)) in enumerate(zip(numbers, years, of, strict=True)):
            yield Document(str(row), "x", {"n": n, "year": year, "title": f"the {a} of {b}"})

    Index.build(folder, documents(), vectors=np.array_split(vectors, -(-rows // 16_384))).close()
    return folder


def cost(way: str, folder: Path) -> dict[str, object]:
    """What the tables of fields of an index take on the disk, and to make, once more."""
    (path,) = folder.glob("segments/*/documents.sqlite")
    size = path.stat().st_size
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        copy = Path(place) / path.name
        copy.write_bytes(path.read_bytes())
        always = fields.INDEXED_FROM
        with sqlite3.connect(copy) as db:
            fields.INDEXED_FROM = always if way == "with" else 1 << 62
            started = process_time()
            fields.write_fields(db)
            took = process_time() - started
        fields.INDEXED_FROM = always
    return {"what": f"tables of fields, {way} indexes", "build_s": round(took, 2), "bytes": size}


def asked(where: str, rows: int, ways: dict[str, Index]) -> dict[str, object]:
    """Milliseconds that a condition takes each way, and how many documents meet it."""
    took: dict[str, list[float]] = {way: [] for way in ways}
    for k in ROUNDS:
        condition = where.format(k=k, half=rows // 2, tenth=rows // 10, hundredth=rows // 100)
        found = set()
        for way, index in ways.items():
            started = thread_time()
            found.add(index.count(condition))
            took[way].append(1000 * (thread_time() - started))
        assert len(found) == 1, condition
    return {"left": found.pop(), **{f"{way}_ms": round(median(each), 2) for way, each in took.items()}}


if __name__ == "__main__":
    main()
