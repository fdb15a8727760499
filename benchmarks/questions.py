"""What recall new titles get in an index whose recall was proved with rows alone, and in one that was proved with questions.

    python benchmarks/questions.py CORPUS... [--rows 20000] [--recall 0.95] [--new 2000]

CORPUS are files of records with title and text. The titles of some documents are kept aside: they are the new questions, and
their documents are in the index, as the document that answers a question is. The same vectors are built into three indexes,
which are proved with rows alone (rows), with rows and titles (titles), and with rows and parts of texts, as where no document
has a title (parts). `share` is what the questions took to encode, of what the documents took.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from report import Printed, listed, report

from vecsearch import Document, Encoder, Index, Options, ann, open_encoder, read_corpus
from vecsearch.ann.recall import recalls

K = 10
WAYS = ("rows", "titles", "parts")


class Timed(Encoder):
    """The model that ships, and the seconds for which it encoded."""

    def __init__(self) -> None:
        self._own, self.seconds = open_encoder(), 0.0
        self.dim, self.fingerprint = self._own.dim, self._own.fingerprint

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        started = time.perf_counter()
        vectors = self._own.encode(texts)
        self.seconds += time.perf_counter() - started
        return vectors

    def save(self, folder: Path) -> None:
        self._own.save(folder)


def main() -> None:
    options = parse()
    report("questions", [row for path in options.corpora for row in measured(path, options)])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the recall that new titles get, by what an index was proved with")
    parser.add_argument("corpora", type=Path, nargs="+", help="files of records with title and text")
    parser.add_argument("--rows", type=int, default=20_000, help="documents of each (default: %(default)s)")
    parser.add_argument("--recall", type=listed(float), default=[0.95], help="default: 0.95")
    parser.add_argument("--new", type=int, default=2000, help="titles that are kept aside (default: %(default)s)")
    return parser.parse_args()


def measured(path: Path, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Of each recall asked for and each way to prove it, a line."""
    rng = np.random.default_rng(1)
    every = [document for document in read_corpus(path) if document.text.strip() and document.fields.get("title")]
    documents = [every[place] for place in np.sort(rng.permutation(len(every))[: options.rows])]
    aside = set(rng.permutation(len(documents))[: options.new].tolist())
    encoder = Timed()
    vectors = encoder.encode([document.text for document in documents])
    encode_s = encoder.seconds
    new = encoder.encode([documents[place].fields["title"] for place in sorted(aside)])
    new = new[new.any(axis=1)]
    for target in options.recall:
        for way in WAYS:
            titled = [
                Document(its.id, its.text, {"title": its.fields["title"]} if way == "titles" and place not in aside else {})
                for place, its in enumerate(documents)
            ]
            encoder.seconds = 0.0
            found = built(titled, vectors, encoder if way != "rows" else None, target, new)
            facts = {"corpus": path.name.partition(".")[0], "rows": len(documents), "asked": target, "proved_with": way}
            share = round(encoder.seconds / encode_s, 3)
            yield facts | found | {"encode_s": round(encode_s, 1), "questions_s": round(encoder.seconds, 1), "share": share}


def built(
    documents: Sequence[Document], vectors: np.ndarray, encoder: Encoder | None, target: float, new: np.ndarray
) -> dict[str, Any]:
    """What is proved of an index, and what new questions get in it."""
    options = Options(goal=ann.Goal(recall=target, k=K))
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        with Index.build(Path(folder) / "i", documents, encoder, options, vectors=[vectors], progress=Printed()) as index:
            seconds = time.perf_counter() - started
            truth = index.search(new, K, exact=True)
            with ann.threads(1):
                index.search(new, K)
                again = time.perf_counter()
                found = index.search(new, K)
                ms = 1000 * (time.perf_counter() - again) / len(new)
            manifest = index.manifest
    fresh = ann.Recall.of(recalls(truth.scores, found.scores), K)
    proved = ann.Recall.from_dict(manifest.recall) if manifest.recall else None
    return {
        "proved": str(proved) if proved else "exact",
        "new": str(fresh),
        "reached": bool(fresh.high >= target),
        "kind": manifest.spec,
        "effort": " ".join(f"{name}={value}" for name, value in manifest.search_parameters.items()),
        "ms": round(ms, 3),
        "build_s": round(seconds, 1),
    }


if __name__ == "__main__":
    main()
