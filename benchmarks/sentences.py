"""The sentences of a corpus, each once, one a line: short texts to encode and to index in the other benchmarks.

python benchmarks/sentences.py papers.jsonl.xz -o papers.txt
vecsearch encode papers.txt -o papers.npy
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from vecsearch.corpus.readers import read_corpus

END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
SHORTEST, LONGEST = 20, 1000
"""Characters: what is shorter is a remnant, what is longer was not split."""


def main() -> None:
    parser = argparse.ArgumentParser(description="the sentences of a corpus, each once, one a line")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    parts = (" ".join(part.split()) for document in read_corpus(options.corpus) for part in END.split(document.text))
    sentences = dict.fromkeys(part for part in parts if SHORTEST <= len(part) <= LONGEST)
    options.output.write_text("".join(f"{sentence}\n" for sentence in sentences), encoding="utf-8")
    print(f"{len(sentences):,} sentences")


if __name__ == "__main__":
    main()
