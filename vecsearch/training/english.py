"""The English model that ships, trained again: `python -m vecsearch.training.english DATA TEACHER -o english`.

DATA holds the texts that the model may be made of (docs/model-card.md), TEACHER a sentence transformer's folder. What is
learnt from is written beside the output, and `vecsearch train similarity` learns from it, to which all further options go.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from hashlib import blake2b, sha256
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from vecsearch.corpus.document import Document
from vecsearch.corpus.readers import read_corpus
from vecsearch.encoders import DEFAULT, find_encoder
from vecsearch.encoders.ulmfit.folder import read_encoder, write_config
from vecsearch.errors import VecsearchError
from vecsearch.files import sha256 as file_sha256
from vecsearch.files import write_whole
from vecsearch.training.scenes import scenes
from vecsearch.training.train_similarity import SENTENCE_END

BROAD = {
    "arxiv-nature": 12_000,
    "arxiv-computing-math": 7000,
    "aws-docs": 1500,
    "court-opinions": 1100,
    "dc-law": 2000,
    "dev-docs": 4000,
    "manuals": 4500,
    "medquad": 5000,
    "openstax": 5000,
    "plos": 2000,
    "pmc-ccby": 11_000,
    "questions": 4900,
    "recipes": 350,
    "stackexchange": 4000,
    "us-gov-web": 1500,
    "us-regulations": 1000,
    "wiki-articles": 7000,
    "wiki-more": 4000,
    "wiki-vital": 4000,
    "wikinews": 1000,
}
"""Files of texts with titles or questions, and how many of their texts are learnt from as a whole; of as many others, and of
these, a sentence each. More would take the teacher longer than an hour."""
DEFINITIONS, GLOSSES, EXAMPLES = 25_000, 40_000, 50_000
"""How many are learnt from: words with their definitions; definitions without the word; sentences that show a word's use."""
SENTENCES, CLAUSES, SCENES = 80_000, 50_000, 120_000
"""And sentences of films, trivia, requests and books; parts of these; sentences of a grammar."""
EVERYDAY, MADE = "everyday", "scenes"
"""The sources of what is from no file of `broad`: found, and made by a grammar."""
LENGTHS = (40, 80, 130)
"""Words to which a text is cut, in turn: the teacher's time grows with them."""
HELD_OUT = 0.02
"""Share of the rows of `broad` that are not learnt from: what is found by their titles and questions can be measured."""
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
TRAINING = "learnt from all-MiniLM-L6-v2 (Apache-2.0) on the sources that docs/model-card.md names"
TEXT = attrgetter("text")
QUOTED = re.compile(r'"([^"]+)"')
T = TypeVar("T")
MARKUP = re.compile(r"[*_#]+|\[[^\]]*\]|-{3,}")


def main() -> None:
    parser = argparse.ArgumentParser(description="train the English model that ships again")
    parser.add_argument("data", type=Path, help="the folder with broad/, corpora/, pairs/ and text/")
    parser.add_argument("teacher", type=Path, help="a sentence transformer's folder")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument(
        "--scenes", type=int, default=SCENES, help="sentences of a grammar to learn from (default: %(default)s)"
    )
    options, passed_on = parser.parse_known_args()
    path = options.output.with_name(f"{options.output.name}.texts.jsonl")
    try:
        rows = rows_of(options.data, options.scenes)
        write_whole(path, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode())
    except VecsearchError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    print(f"{len(rows):,} texts in {path}", file=sys.stderr)
    command = ["train", "similarity", path, "--teacher", options.teacher, "--title", "title", "-o", options.output, *passed_on]
    if code := subprocess.run([sys.executable, "-m", "vecsearch.cli", *map(str, command)]).returncode:
        raise SystemExit(code)
    describe(options.output)


def describe(folder: Path) -> None:
    """Put the licence and the name of the model that ships into a new one's folder."""
    config = read_encoder(folder).config
    shutil.copyfile(find_encoder(DEFAULT) / LICENCE, folder / LICENCE)
    source = {"name": DEFAULT, "licence": "CC-BY-SA-4.0", **config.source, "training": TRAINING}
    write_config(folder, replace(config, files={LICENCE: file_sha256(folder / LICENCE), **config.files}, source=source))


def rows_of(folder: Path, made: int = SCENES) -> list[dict[str, Any]]:
    """What is learnt from, each text once and in an order that depends on the texts alone: {"text", "source"}, with "title"
    where a title or a question goes with it. `made` are sentences of a grammar.

    Raises: CorpusError: a file is missing or cannot be used.
    """
    rows = [{"text": text, "source": EVERYDAY} for text in everyday(folder)]
    for name, most in BROAD.items():
        documents = drawn(learnt_from(folder, name), 2 * most, TEXT)
        found = [(document, title_of(document), [*sentences(document.text)]) for document in documents]
        rows += [{"text": one_of(its), "source": name} for _, _, its in found if its]
        rows += [{"text": cut(each.text), "title": title, "source": name} for each, title, _ in found[:most] if title]
    rows += [{"text": text, "source": "definitions"} for text in of_definitions(folder)]
    rows += [{"text": text, "source": MADE} for text in scenes(made)]
    return sorted({row["text"]: row for row in rows}.values(), key=lambda row: _digest(row["text"]))


def everyday(folder: Path) -> list[str]:
    """Sentences of films, trivia, requests and books, and behind them clauses that are no sentences."""
    found = list(dict.fromkeys(map(one_line, of_everyday(folder))))
    parts = dict.fromkeys(clause for text in found for clause in clauses(text))
    return [*drawn(found, SENTENCES), *drawn(parts.keys() - set(found), CLAUSES)]


def of_everyday(folder: Path) -> Iterator[str]:
    """Every sentence of these."""
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


def of_definitions(folder: Path) -> list[str]:
    """Words with their definitions, definitions alone, and the quoted sentences beside them."""
    documents = [*learnt_from(folder, "definitions")]
    whole = [one_line(f"{title_of(document)}: {document.text}") for document in drawn(documents, DEFINITIONS, TEXT)]
    glosses = {gloss for document in documents if SHORTEST <= len(gloss := gloss_of(document)) <= LONGEST}
    examples = {one_line(quoted) for document in documents for quoted in QUOTED.findall(document.text)}
    examples = {text for text in examples if SHORTEST <= len(text) <= LONGEST}
    return [*whole, *drawn(glosses, GLOSSES), *drawn(examples, EXAMPLES)]


def gloss_of(document: Document) -> str:
    """A definition without what is quoted behind it."""
    return one_line(document.text.partition('"')[0]).rstrip(" ;:,")


def learnt_from(folder: Path, name: str) -> Iterator[Document]:
    """The documents of one of the files of `broad` that are not held out."""
    return (document for document in of_broad(folder, name) if not is_held_out(name, document))


def of_broad(folder: Path, name: str) -> Iterable[Document]:
    """All documents of one of the files of `broad`."""
    return read_corpus(folder / f"broad/{name}.jsonl.xz")


def is_held_out(name: str, document: Document) -> bool:
    """Whether a document is kept for measuring. Of medical questions all that have one answer are, or none."""
    key = name + (one_line(document.text)[:200] if name == "medquad" else str(document.id))
    return int(sha256(key.encode()).hexdigest()[:8], 16) / 2**32 < HELD_OUT


def title_of(document: Document) -> str:
    """The title or the question that goes with a text, "" without one."""
    return one_line(str(document.fields.get("title") or document.fields.get("question") or ""))


def drawn(texts: Iterable[T], most: int, text_of: Callable[[T], str] = str) -> list[T]:
    """At most so many texts, or documents by `text_of`, drawn by what the texts are alone."""
    return sorted(texts, key=lambda one: _digest(text_of(one)))[:most]


def one_of(texts: list[str]) -> str:
    """One of several texts, drawn by what they are."""
    return min(texts, key=_digest)


def cut(text: str) -> str:
    """The beginning of a text, on one line."""
    words = text.split()
    return " ".join(words[: LENGTHS[_digest(text)[0] % len(LENGTHS)]])


def one_line(text: str) -> str:
    return " ".join(text.split())


def sentences(text: str, longest: int = LONGEST) -> Iterator[str]:
    """The sentences of a text, on one line each, without its markup."""
    for sentence in SENTENCE_END.split(one_line(MARKUP.sub(" ", text))):
        if SHORTEST <= len(sentence) <= longest:
            yield sentence


def clauses(sentence: str) -> Iterator[str]:
    """The parts of a sentence that are short and say something of their own: what people ask is short."""
    for part in CLAUSE_END.split(sentence):
        part = part.strip(" '-\u2014")
        if len(part.split()) in CLAUSE_WORDS and len(part) in CLAUSE_LETTERS:
            yield part


def _digest(text: str) -> bytes:
    return blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()


if __name__ == "__main__":
    main()
