"""Word vectors trained by word2vec (gensim) and fastText themselves, to measure with: real files of each format.

    PYTHON benchmarks/train_words.py DATA FOLDER

PYTHON is the interpreter of an environment with gensim and fasttext, neither of which vecsearch needs. DATA holds
text/books.jsonl.xz, text/factbook.jsonl.xz and corpora/movies.jsonl.xz: 15.8 million words. FOLDER gets w2v.vec, w2v.bin and
ft.bin: skip-gram, 100 numbers, two epochs, words that occur five times, one thread. It takes 20 minutes.
"""

from __future__ import annotations

import argparse
import json
import lzma
import re
from itertools import chain
from pathlib import Path

SOURCES = ("text/books.jsonl.xz", "text/factbook.jsonl.xz", "corpora/movies.jsonl.xz")
SENTENCE = re.compile(r"(?<=[.!?])\s+")
WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|[^\w\s]")


def main() -> None:
    parser = argparse.ArgumentParser(description="word vectors trained by word2vec and fastText themselves")
    parser.add_argument("data", type=Path, help="a folder with text/ and corpora/")
    parser.add_argument("folder", type=Path, help="gets w2v.vec, w2v.bin and ft.bin")
    options = parser.parse_args()
    import fasttext
    from gensim.models import Word2Vec

    folder, corpus = options.folder, options.folder / "corpus.txt"
    with corpus.open("w") as file:
        for source in SOURCES:
            with lzma.open(options.data / source, "rt") as lines:
                for sentence in chain.from_iterable(SENTENCE.split(json.loads(line)["text"]) for line in lines):
                    words = WORD.findall(sentence.lower())
                    if len(words) > 2:
                        file.write(" ".join(words) + "\n")
    training = {"vector_size": 100, "min_count": 5, "sg": 1, "epochs": 2, "sample": 1e-4, "workers": 1, "seed": 1}
    vectors = Word2Vec(corpus_file=str(corpus), window=5, **training).wv
    vectors.save_word2vec_format(str(folder / "w2v.vec"))
    vectors.save_word2vec_format(str(folder / "w2v.bin"), binary=True)
    model = fasttext.train_unsupervised(
        str(corpus), model="skipgram", dim=100, minCount=5, epoch=2, bucket=200_000, thread=1, t=1e-4
    )
    model.save_model(str(folder / "ft.bin"))


if __name__ == "__main__":
    main()
