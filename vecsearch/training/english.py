"""The English model that ships, trained again: `python -m vecsearch.training.english DATA TEACHER -o english`.

DATA holds the texts that the model may be made of (docs/model-card.md), TEACHER a sentence transformer's folder. The texts
are written beside the output, and `vecsearch train similarity` learns from them, to which all further options go.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from vecsearch.corpus.readers import read_corpus
from vecsearch.encoders import DEFAULT, find_encoder
from vecsearch.encoders.folder import read_encoder, write_config
from vecsearch.errors import VecsearchError, writing
from vecsearch.files import sha256
from vecsearch.training.similarity import SENTENCE_END

SHORTEST, LONGEST = 12, 240
"""Characters of a sentence: what is shorter says nothing, what is longer takes the teacher long."""
LONGEST_OF_BOOKS = 130
"""The same for books, of which there is a lot."""
CLAUSE_WORDS, CLAUSE_LETTERS = range(3, 15), range(14, 91)
CLAUSE_END = re.compile(
    r"""[,;:.!?()"\u201c\u201d]+\s*|\s(?=(?:who|which|that|when|while|where|because|after|before|and|but|with|from)\s)"""
)
"""Between two clauses: a mark, or a word that begins one."""
LICENCE = "LICENSE"
TRAINING = "learnt from all-MiniLM-L6-v2 (Apache-2.0) on films, trivia, requests, wikisplit, country profiles and books"
MARKUP = re.compile(r"[*_#]+|\[[^\]]*\]|-{3,}")


def main() -> None:
    parser = argparse.ArgumentParser(description="train the English model that ships again")
    parser.add_argument("data", type=Path, help="the folder with corpora/, pairs/ and text/")
    parser.add_argument("teacher", type=Path, help="a sentence transformer's folder")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options, passed_on = parser.parse_known_args()
    path = options.output.with_name(f"{options.output.name}.sentences.txt")
    try:
        texts = texts_of(options.data)
        with writing(path):
            path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    except VecsearchError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    print(f"{len(texts):,} sentences and clauses in {path}", file=sys.stderr)
    command = ["train", "similarity", path, "--teacher", options.teacher, "-o", options.output, *passed_on]
    if code := subprocess.run([sys.executable, "-m", "vecsearch.cli", *map(str, command)]).returncode:
        raise SystemExit(code)
    describe(options.output)


def describe(folder: Path) -> None:
    """Put the licence and the name of the model that ships into a new one's folder."""
    config = read_encoder(folder).config
    shutil.copyfile(find_encoder(DEFAULT) / LICENCE, folder / LICENCE)
    source = {"name": DEFAULT, "licence": "CC-BY-SA-4.0", **config.source, "training": TRAINING}
    write_config(folder, replace(config, files={LICENCE: sha256(folder / LICENCE), **config.files}, source=source))


def texts_of(folder: Path) -> list[str]:
    """Each sentence of the data once, on one line, and behind them all the clauses that are no sentences.

    Raises: CorpusError: a file is missing or cannot be used.
    """
    found = list(dict.fromkeys(" ".join(text.splitlines()) for text in of_data(folder)))
    return list(dict.fromkeys([*found, *(clause for text in found for clause in clauses(text))]))


def of_data(folder: Path) -> Iterator[str]:
    """Sentences of everything in the data that may be shipped."""
    for document in read_corpus(folder / "corpora/movies.jsonl.xz"):
        yield from sentences(document.text)
    for document in read_corpus(folder / "corpora/trivia.jsonl.xz", text_fields=["question", "answer"]):
        question, _, answer = document.text.partition("\n")
        yield from sentences(question)
        yield f"{question} {answer}"
    for document in read_corpus(folder / "corpora/intents.jsonl.xz"):
        yield document.text
    for document in read_corpus(folder / "pairs/wikisplit.jsonl.xz", text_fields=["a", "b"]):
        whole, _, split = document.text.partition("\n")
        yield from (whole, *sentences(split))
    for document in read_corpus(folder / "text/factbook.jsonl.xz"):
        yield from sentences(document.text)
    for book in read_corpus(folder / "text/books.jsonl.xz"):
        yield from sentences(book.text, LONGEST_OF_BOOKS)


def sentences(text: str, longest: int = LONGEST) -> Iterator[str]:
    """The sentences of a text, on one line each, without its markup."""
    for sentence in SENTENCE_END.split(" ".join(MARKUP.sub(" ", text).split())):
        if SHORTEST <= len(sentence) <= longest:
            yield sentence


def clauses(sentence: str) -> Iterator[str]:
    """The parts of a sentence that are short and say something of their own: what people ask is short."""
    for part in CLAUSE_END.split(sentence):
        part = part.strip(" '-\u2014")
        if len(part.split()) in CLAUSE_WORDS and len(part) in CLAUSE_LETTERS:
            yield part


if __name__ == "__main__":
    main()
