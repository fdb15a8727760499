"""What opening and using word vectors of two million rows costs, in each format, and what gensim and fastText take for that.

    python benchmarks/word_vectors.py [--rows 2000000] [--dim 300] [--folder DIR] [--formats NAME...] [--peers PYTHON]

Files of made-up words and random numbers are written to the folder, one format after the other (15 GB at most). Each figure is
that of a new process, its imports done: `open_s` opens the file, `first_s` then gives the first vector, for which it is read
once; `again_open_s` and `again_first_s` are those of the next process. `unknown_ms` is the vector of a word that is not there,
`texts_per_s` encodes texts of 20 words, `memory_mb` is the private memory (RssAnon) at the end. With --peers, the interpreter
of an environment that has gensim and fasttext, their own loading and first vector are measured too. One thread.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er", "ing")]
TEXTS, WORDS_OF_TEXT = 20_000, 20
BLOCK = 10_000
BUCKETS = 2_000_000

PEERS = {
    "gensim": """
import time, json, sys
from gensim.models import KeyedVectors
t = time.perf_counter()
vectors = KeyedVectors.load_word2vec_format(sys.argv[1], binary=sys.argv[2] == "binary", no_header=sys.argv[2] == "glove")
vectors[sys.argv[3]]
""",
    "fasttext": """
import time, json, sys
import fasttext
t = time.perf_counter()
model = fasttext.load_model(sys.argv[1])
model.get_word_vector(sys.argv[3])
""",
}
PEER_END = """
private = [line.split()[1] for line in open("/proc/self/status") if line.startswith("RssAnon")][0]
print(json.dumps({"first_s": time.perf_counter() - t, "memory_mb": int(private) / 1000}))
"""


def words(rows: int) -> Iterator[str]:
    """So many different words of syllables, the commonest short."""
    for number in range(rows):
        word, rest = "", number + 1
        while rest:
            rest, syllable = divmod(rest, len(SYLLABLES))
            word += SYLLABLES[syllable]
        yield word if number % 3 else word + str(number % 10)


def blocks(rows: int, dim: int) -> Iterator[np.ndarray]:
    """Random rows (b, dim) float32: the same thousand, over and over, so that they cost no time to make."""
    table = np.random.default_rng(0).standard_normal((BLOCK, dim)).astype(np.float32) / 4
    for first in range(0, rows, BLOCK):
        yield table[: rows - first]


def write_text(path: Path, rows: int, dim: int, *, header: bool) -> None:
    lines = [" ".join(map("{:.4f}".format, row)) for row in next(blocks(BLOCK, dim)).tolist()]
    with path.open("w") as file:
        if header:
            file.write(f"{rows} {dim}\n")
        for number, word in enumerate(words(rows)):
            file.write(f"{word} {lines[number % BLOCK]}\n")


def write_binary(path: Path, rows: int, dim: int) -> None:
    vectors = [row.tobytes() for row in next(blocks(BLOCK, dim))]
    with path.open("wb") as file:
        file.write(f"{rows} {dim}\n".encode())
        for number, word in enumerate(words(rows)):
            file.write(word.encode() + b" " + vectors[number % BLOCK])


def write_fasttext(path: Path, rows: int, dim: int) -> None:
    buckets = min(BUCKETS, rows)
    with path.open("wb") as file:
        file.write(struct.pack("<2i12id", 793712314, 12, dim, 5, 5, 5, 5, 1, 2, 2, buckets, 3, 6, 100, 1e-4))
        file.write(struct.pack("<3i2q", rows, rows, 0, 10**9, -1))
        for word in words(rows):
            file.write(word.encode() + b"\0" + struct.pack("<qb", 5, 0))
        file.write(struct.pack("<bqq", 0, rows + buckets, dim))
        for count in (rows, buckets):
            for block in blocks(count, dim):
                file.write(block.tobytes())
        file.write(struct.pack("<bqq", 0, rows, dim))
        file.truncate(file.tell() + 4 * rows * dim)


FORMATS = {
    "word2vec text": (".vec", lambda *args: write_text(*args, header=True), ("gensim", "text")),
    "GloVe text": (".txt", lambda *args: write_text(*args, header=False), ("gensim", "glove")),
    "word2vec binary": (".bin", write_binary, ("gensim", "binary")),
    "fastText binary": (".bin", write_fasttext, ("fasttext", "bin")),
}


def measured(path: Path, *, last: str) -> dict[str, float]:
    """What a process sees: opening, the first vector, one of an unknown word, texts, memory."""
    from vecsearch.encoders import open_encoder

    times = [time.perf_counter()]
    encoder = open_encoder(path)
    times.append(time.perf_counter())
    assert encoder.encode([last]).any()
    times.append(time.perf_counter())
    encoder.encode(["kqzzwx"])
    times.append(time.perf_counter())
    common = list(encoder.words[:5_000])
    rng = np.random.default_rng(0)
    ranks = np.minimum(rng.zipf(1.3, (TEXTS, WORDS_OF_TEXT)) - 1, len(common) - 1)
    texts = [" ".join(common[rank] for rank in row) for row in ranks]
    started = time.perf_counter()
    for first in range(0, TEXTS, 4096):
        encoder.encode(texts[first : first + 4096])
    seconds = time.perf_counter() - started
    status = Path("/proc/self/status").read_text().splitlines()
    private = next(line.split()[1] for line in status if line.startswith("RssAnon"))
    return {
        "open_s": times[1] - times[0],
        "first_s": times[2] - times[1],
        "unknown_ms": 1e3 * (times[3] - times[2]),
        "texts_per_s": TEXTS / seconds,
        "memory_mb": int(private) / 1000,
    }


def child(*command: str | Path) -> dict[str, float]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--dim", type=int, default=300)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--peers", metavar="PYTHON")
    parser.add_argument("--measure", nargs=2, metavar=("FILE", "WORD"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        json.dump(measured(Path(asked.measure[0]), last=asked.measure[1]), sys.stdout)
        return
    from report import report

    last = list(words(asked.rows))[-1]
    found = []
    for format in asked.formats:
        suffix, write, (peer, kind) = FORMATS[format]
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            path = Path(folder, f"words{suffix}")
            write(path, asked.rows, asked.dim)
            os.environ["XDG_CACHE_HOME"] = str(Path(folder, "cache"))
            first, again = (child(sys.executable, __file__, "--measure", path, last) for _ in range(2))
            about = {"format": format, "rows": asked.rows, "dim": asked.dim, "file_mb": path.stat().st_size / 1e6}
            again |= {"again_open_s": again.pop("open_s"), "again_first_s": again.pop("first_s")}
            found.append({**about, "by": "vecsearch", "open_s": first["open_s"], "first_s": first["first_s"], **again})
            if asked.peers:
                shutil.rmtree(Path(folder, "cache"))
                code = PEERS[peer] + PEER_END
                found.append({**about, "by": peer, **child(asked.peers, "-c", code, path, kind, last)})
    report("word_vectors", found)


if __name__ == "__main__":
    main()
