"""Labelled pairs of an entertainment catalogue: do two descriptions speak of the same title? Nobody's judgement, but a rule.

    python benchmarks/catalogue_pairs.py DATA -o pairs.jsonl

DATA holds corpora/streaming-catalogue.jsonl.xz (three services) and corpora/movies.jsonl.xz (an encyclopaedia's films). **A
match** (label 1): the same title in two of these four sources, by its letters and digits, of the same type and at most a year
apart. Only the texts are compared, never titles or years; a pair with equal texts says nothing and is left out, and so is the
same title with years further apart, which may be a remake. **No match** (label 0), two for each match: its first text with
the second text of another title, once of the one most alike by words (TF-IDF, so that words alone do not give it away) and
once of any. Both come from the same twentieth of the titles: every text is there in both roles, and pairs of different parts
share none, so that whole parts can be held out.

A record is {a, b, label, a_id, b_id, kind}, `kind` being match, alike or random; shuffled.
"""

from __future__ import annotations

import argparse
import json
import lzma
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

PARTS = 20
YEARS = 1
Record = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description="labelled pairs of an entertainment catalogue")
    parser.add_argument("data", type=Path, help="a folder with corpora/streaming-catalogue.jsonl.xz and movies.jsonl.xz")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    pairs = labelled_pairs(options.data)
    options.output.write_text("".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs), encoding="utf-8")
    print(", ".join(f"{count:,} {kind}" for kind, count in Counter(pair["kind"] for pair in pairs).items()))


def labelled_pairs(data: Path, seed: int = 0) -> list[Record]:
    """The pairs, the same each time."""
    rng = np.random.default_rng(seed)
    catalogue = list(lines(data / "corpora" / "streaming-catalogue.jsonl.xz"))
    films = [film | {"service": "films", "type": "Movie"} for film in lines(data / "corpora" / "movies.jsonl.xz")]
    by_title: dict[str, list[Record]] = defaultdict(list)
    for record in (*catalogue, *films):
        by_title[" ".join(re.findall(r"\w+", record["title"].lower()))].append(record)
    groups = [list(matches(records)) for title, records in by_title.items() if title]
    groups = [group for group in groups if group]
    parts = np.array_split(rng.permutation(len(groups)), PARTS)
    pairs = [pair for part in parts for pair in of_part([groups[i] for i in part], rng)]
    return [pairs[i] for i in rng.permutation(len(pairs))]


def matches(records: list[Record]) -> Iterator[tuple[Record, Record]]:
    """Pairs of one title. Of services and films, a film is the second, and each text is in one match only."""
    taken: set[str] = set()
    for a, b in combinations(records, 2):
        same = a["service"] != b["service"] and a["type"] == b["type"] and a["text"] != b["text"]
        if same and close(a, b) and not taken & {a["id"], b["id"]}:
            taken |= {a["id"], b["id"]}
            yield a, b


def close(a: Record, b: Record) -> bool:
    return abs(int(a["year"]) - int(b["year"])) <= YEARS


def of_part(groups: list[list[tuple[Record, Record]]], rng: np.random.Generator) -> Iterator[Record]:
    """Each match, and its first text with two second texts of other titles."""
    title = np.array([n for n, group in enumerate(groups) for _ in group])
    found = [match for group in groups for match in group]
    alike = likeness([a["text"] for a, _ in found], [b["text"] for _, b in found])
    for n, (a, b) in enumerate(found):
        yield labelled(a, b, "match")
        others = np.flatnonzero(title != title[n])
        nearest = others[alike[n, others].argmax()]
        yield labelled(a, found[nearest][1], "alike")
        yield labelled(a, found[rng.choice(others[others != nearest])][1], "random")


def likeness(a: list[str], b: list[str]) -> np.ndarray:
    """Cosines (a, b) of TF-IDF vectors."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(sublinear_tf=True).fit([*a, *b])
    return (words.transform(a) @ words.transform(b).T).toarray()


def labelled(a: Record, b: Record, kind: str) -> Record:
    return {"a": a["text"], "b": b["text"], "label": int(kind == "match"), "a_id": a["id"], "b_id": b["id"], "kind": kind}


def lines(path: Path) -> Iterator[Record]:
    with lzma.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            if record["text"].strip() and str(record["year"]).isdecimal():
                yield record


if __name__ == "__main__":
    main()
