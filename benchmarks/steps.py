"""A plain language model and what is made of it, one step each: the rows of docs/training.md, "What each step brings".

    python benchmarks/steps.py DATA TEACHER FOLDER

DATA holds corpora/movies.jsonl.xz and pairs/ (wikisplit, science-paraphrases: .jsonl.xz with "a" and "b"), TEACHER a sentence
transformer. FOLDER gets an encoder a row, each by one command, which is printed; what is there already is left alone. It
takes a little over an hour on two cores. The last line is the command that measures them all.
"""

from __future__ import annotations

import argparse
import json
import lzma
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from vecsearch.encoders import DEFAULT

POSTPROCESS = {
    "raw-sif": "--pooling raw --sif 0.001",
    "raw-sif-centre-remove": "--pooling raw --sif 0.001 --centre --remove 1",
    "sif": "--sif 0.001",
    "centre": "--centre",
    "centre-remove": "--centre --remove 2",
    "whiten": "--centre --dims 128 --whiten",
    "sif-centre-remove-whiten": "--sif 0.001 --centre --remove 2 --dims 128 --whiten",
}
CONTRASTIVE = {"contrastive-splits": ("wikisplit", 2), "contrastive-paraphrases": ("science-paraphrases", 1)}
"""The pairs, and how often each is seen."""
PAIRS = 10_000
"""Of each kind, the first."""
TRAINING = "--batch 128 --rate 0.002"


def main() -> None:
    parser = argparse.ArgumentParser(description="a plain language model and what is made of it, one step each")
    parser.add_argument("data", type=Path, help="a folder with corpora/ and pairs/")
    parser.add_argument("teacher", type=Path, help="a sentence transformer's folder")
    parser.add_argument("folder", type=Path, help="gets an encoder for each step")
    options = parser.parse_args()
    data, teacher, folder = options.data, options.teacher, options.folder
    folder.mkdir(parents=True, exist_ok=True)
    movies, plain, sentences = data / "corpora" / "movies.jsonl.xz", folder / "plain", folder / "sentences.txt"
    pairs = map(json.loads, lines(data, "wikisplit"))
    sentences.write_text("".join(f"{' '.join(pair[side].split())}\n" for pair in pairs for side in "ab"), encoding="utf-8")
    make(plain, f"train lm {movies} --epochs 1")
    for name, options in POSTPROCESS.items():
        make(folder / name, f"model postprocess {plain} {movies} {options}")
    for name, (kind, epochs) in CONTRASTIVE.items():
        source = folder / f"{kind}.jsonl"
        source.write_text("".join(lines(data, kind)), encoding="utf-8")
        make(folder / name, f"train similarity {source} --from {plain} --epochs {epochs} {TRAINING}")
    make(folder / "distilled", f"train similarity {sentences} --from {plain} --teacher {teacher} --epochs 2 {TRAINING}")
    static = folder / "model2vec"
    if not static.exists():
        subprocess.run([sys.executable, Path(__file__).with_name("static_model.py"), teacher, "-o", static], check=True)
    print(shlex.join(["python", "benchmarks/similarity.py", str(data), *rows(folder, plain, teacher)]))


def lines(data: Path, kind: str) -> Iterator[str]:
    """The first pairs of a file, as they stand there."""
    with lzma.open(data / "pairs" / f"{kind}.jsonl.xz", "rt", encoding="utf-8") as file:
        yield from islice(file, PAIRS)


def make(made: Path, command: str) -> None:
    """Run a vecsearch command whose output is this encoder, unless it is there."""
    if not made.exists():
        print(f"vecsearch {command} -o {made}", flush=True)
        subprocess.run([sys.executable, "-m", "vecsearch.cli", *shlex.split(command), "-o", made], check=True)


def rows(folder: Path, plain: Path, teacher: Path) -> list[str]:
    """The encoders as benchmarks/similarity.py takes them."""
    named = {"ships": DEFAULT, "words": f"{DEFAULT},pooling=raw", "plain": plain, "raw": f"{plain},pooling=raw"}
    named |= {name: folder / name for name in (*POSTPROCESS, *CONTRASTIVE, "distilled")}
    named |= {"minilm": teacher, "model2vec": folder / "model2vec"}
    return [f"{name}={its}" for name, its in named.items()]


if __name__ == "__main__":
    main()
