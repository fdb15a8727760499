"""The English model's own training: which texts it takes from the data, what it puts into the folder, and what it refuses."""

import json
import lzma
import re
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsearch.corpus.document import Document
from vecsearch.encoders import DEFAULT, find_encoder
from vecsearch.encoders.ulmfit.folder import read_encoder
from vecsearch.training import english, scenes
from vecsearch.training.english import CLAUSE_END, CLAUSE_LETTERS, CLAUSE_WORDS, LONGEST, SHORTEST, clauses, sentences

PROSE = st.text(alphabet="abcDE  \n.,;:!?()[]*_#-'\"—“”", max_size=400) | st.lists(
    st.sampled_from(["the king", "A queen.", "who", "which was", "and", "after", "river,", "of the bank", "*", "[3]", "\n\n"])
).map(" ".join)

FILES = {
    "corpora/movies": [{"text": "The king and his queen, who sat on the bank, loved a river. It is a film.\nThe war is over!"}],
    "corpora/trivia": [{"question": "Who sat on the bank?", "answer": "the queen\nof a city"}],
    "corpora/intents": [{"text": "find me a film"}],
    "pairs/wikisplit": [{"a": "The king sat and the queen sat.", "b": "The king sat first. The queen sat after him."}],
    "text/factbook": [{"text": "The city is [1] *the* city. Yes."}],
    "text/books": [{"text": f"The queen sat by a river for {'very ' * 25}long. The king sat on a bank of it."}],
}
BROAD = [*english.BROAD, "definitions"]
SENTENCES = [
    "The king and his queen, who sat on the bank, loved a river.",
    "It is a film.",
    "The war is over!",
    "Who sat on the bank?",
    "Who sat on the bank? the queen of a city",
    "find me a film",
    "The king sat and the queen sat.",
    "The king sat first.",
    "The queen sat after him.",
    "The city is the city.",
    "The king sat on a bank of it.",
]
CLAUSES = [
    *("who sat on the bank", "The war is over", "Who sat on the bank", "the queen of a city", "and the queen sat"),
    *("The king sat first", "The city is the city", "The king sat on a bank of it"),
]
"""Of fourteen letters and three words, at least; "It is a film" is shorter."""


@pytest.fixture
def data(tmp_path):
    """The files that the model is made of, of a few texts."""
    broad = {f"broad/{name}": broad_of(name) for name in BROAD}
    for name, records in (FILES | broad).items():
        path = tmp_path / f"data/{name}.jsonl.xz"
        path.parent.mkdir(parents=True, exist_ok=True)
        with lzma.open(path, "wt") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
    return tmp_path / "data"


def broad_of(name):
    """A few texts of a file of `broad`: titles, a question, and a text without either."""
    nouns = np.random.default_rng(BROAD.index(name)).choice(["king", "queen", "river", "city", "bank"], (8, 60))
    texts = [
        " ".join(f"The {noun} of {name} sat on {n} and {k}." for k, noun in enumerate(some)) for n, some in enumerate(nouns)
    ]
    records = [{"id": str(n), "text": text, "title": f"On  {name} {n}"} for n, text in enumerate(texts)]
    records[0]["question"] = f"What is {name}?"
    del records[0]["title"], records[1]["title"]
    return records


def run(monkeypatch, *arguments):
    """The command in this process; its exit code."""
    monkeypatch.setattr("sys.argv", ["english", *map(str, arguments)])
    try:
        english.main()
    except SystemExit as ended:
        return ended.code
    return 0


# -- texts ---------------------------------------------------------------------------------------------------------------


@given(PROSE, st.integers(SHORTEST, LONGEST))
def test_sentences_are_lines_in_the_order_of_the_text(text, longest):
    left = " ".join(english.MARKUP.sub(" ", text).split())
    for sentence in sentences(text, longest):
        assert SHORTEST <= len(sentence) <= longest and sentence == " ".join(sentence.split())
        assert not set(sentence) & set("*_#\n")
        _, found, left = left.partition(sentence)
        assert found


@given(PROSE)
def test_what_is_long_enough_is_lost_by_its_length_alone(text):
    whole = " ".join(english.MARKUP.sub(" ", text).split())
    assert list(sentences(text, len(whole))) == [part for part in english.SENTENCE_END.split(whole) if len(part) >= SHORTEST]


@given(PROSE)
def test_clauses_are_short_parts_without_an_end_within(text):
    sentence = " ".join(text.split())
    for clause in clauses(sentence):
        assert clause in sentence and len(clause.split()) in CLAUSE_WORDS and len(clause) in CLAUSE_LETTERS
        assert not CLAUSE_END.search(clause) and clause == clause.strip(" '-—")


def test_the_texts_of_the_data(data):
    rows = english.rows_of(data, 50)
    texts = [row["text"] for row in rows]
    assert len(texts) == len(set(texts)) and not any("\n" in text for text in texts)
    assert {row["text"] for row in rows if row["source"] == english.EVERYDAY} == {*SENTENCES, *CLAUSES}
    assert {row["text"] for row in rows if row["source"] == english.MADE} == {*scenes.scenes(50)}
    assert rows == english.rows_of(data, 50), "nothing is drawn that depends on anything but the texts"


@pytest.mark.parametrize("name", english.BROAD)
def test_passages_and_a_sentence_of_each_are_learnt(data, name):
    rows = [row for row in english.rows_of(data, 0) if row["source"] == name]
    passages = {row["title"]: row["text"] for row in rows if "title" in row}
    learnt = [d for d in english.of_broad(data, name) if not english.is_held_out(name, d)]
    assert passages.keys() == {english.title_of(d) for d in learnt} - {""}
    whole = {english.title_of(d): d.text for d in learnt}
    for title, text in passages.items():
        assert len(text.split()) in english.LENGTHS and whole[title].startswith(text)
    assert {row["text"] for row in rows if "title" not in row} == {english.one_of([*sentences(d.text)]) for d in learnt}


def test_what_is_held_out_is_not_learnt(data):
    """A share of the rows, the same ones each time; and of medical questions all with one answer."""
    texts = {row["text"] for row in english.rows_of(data, 0)}
    for name in english.BROAD:
        for document in english.of_broad(data, name):
            if english.is_held_out(name, document):
                assert not {english.cut(document.text), *sentences(document.text)} & texts
    count = sum(english.is_held_out("plos", Document(str(n), "a text")) for n in range(5000))
    assert 0.015 < count / 5000 < 0.025
    one, two = Document("1", "An answer."), Document("2", "An  answer.")
    assert english.is_held_out("medquad", one) == english.is_held_out("medquad", two)


def test_definitions_are_learnt_with_their_words_alone_and_by_their_examples(data):
    records = [{"id": "1", "title": "bank, rim", "text": 'the land beside a river;  "they sat on the bank"; "up the bank"'}]
    with lzma.open(data / "broad/definitions.jsonl.xz", "wt") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
    assert {row["text"] for row in english.rows_of(data, 0) if row["source"] == "definitions"} == {
        'bank, rim: the land beside a river; "they sat on the bank"; "up the bank"',
        "the land beside a river",
        "they sat on the bank",
    }


# -- sentences of a grammar ------------------------------------------------------------------------------------------------


def test_sentences_of_the_grammar_are_different_ones_and_the_same_for_a_seed():
    made = scenes.scenes(2000)
    assert len(set(made)) == 2000 and made == scenes.scenes(2000) and made != scenes.scenes(2000, seed=1)
    for text in made:
        assert text == " ".join(text.split()) and text[0].isupper() and len(text.split()) > 1
        assert not re.search(r"\ba [aeio]|\ban [^aeiou]|\b(an?|the) (an?|the)\b|\b(\w+) \2\b", text), text
    for pattern in (r" being \w+ by ", r"^There (is|are) ", r"\bno\b", r" not ", r" who "):
        assert any(re.search(pattern, text, re.IGNORECASE) for text in made), pattern


@pytest.mark.parametrize(
    ("verb", "forms"),
    {
        "ride": ("riding", "rides", "ridden"),
        "put on": ("putting on", "puts on", "put on"),
        "lie down": ("lying down", "lies down", "lied down"),
        "carry": ("carrying", "carries", "carried"),
        "catch": ("catching", "catches", "caught"),
        "chop": ("chopping", "chops", "chopped"),
        "play": ("playing", "plays", "played"),
        "tie": ("tying", "ties", "tied"),
    }.items(),
)
def test_forms_of_verbs(verb, forms):
    assert (scenes.ing(verb), scenes.third(verb), scenes.participle(verb)) == forms


def test_plurals_and_articles():
    nouns = ("old man", "bench", "knife", "sheep", "umbrella")
    assert [*map(scenes.plural_of, nouns)] == ["old men", "benches", "knives", "sheep", "umbrellas"]
    assert [*map(scenes.with_article, ("apple", "uniform", "old man", "boy"))] == [
        "an apple",
        "a uniform",
        "an old man",
        "a boy",
    ]


# -- the command -----------------------------------------------------------------------------------------------------------


def test_the_model_is_trained_and_has_its_licence(data, tiny_folder, tmp_path, monkeypatch):
    nouns = ("king", "queen", "river", "city", "bank")
    texts = [f"the {a} of the {b} sat on the {c}" for a, b, c in product(nouns, repeat=3)]
    for name in ("corpora/intents", *(f"broad/{name}" for name in BROAD)):
        with lzma.open(data / f"{name}.jsonl.xz", "wt") as file:
            file.writelines(json.dumps({"text": text}) + "\n" for text in texts)
    options = ("--words", 30, "--dims", "6,6", "--epochs", 6, "--batch", 8, "--scenes", 20)
    code = run(monkeypatch, data, tiny_folder(("forward",), (8, 10, 8)), "-o", tmp_path / "my.english", *options)
    assert code == 0
    config = read_encoder(tmp_path / "my.english").config
    licence = (find_encoder(DEFAULT) / "LICENSE").read_bytes()
    assert (tmp_path / "my.english/LICENSE").read_bytes() == licence and "LICENSE" in config.files
    told = {"name": DEFAULT, "licence": "CC-BY-SA-4.0", "training": english.TRAINING}
    assert config.source.items() >= told.items()
    written = (tmp_path / "my.english.texts.jsonl").read_text(encoding="utf-8").splitlines()
    assert list(map(json.loads, written)) == english.rows_of(data, 20)


@pytest.mark.parametrize("name", [*FILES, "broad/plos", "broad/definitions"])
def test_a_missing_file_is_named(data, tmp_path, monkeypatch, capfd, name):
    path = data / f"{name}.jsonl.xz"
    path.unlink()
    assert run(monkeypatch, data, "teacher", "-o", tmp_path / "new") == 3
    assert f"error: {path} does not exist" in capfd.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


def test_a_training_that_fails_leaves_its_texts_and_its_exit_code(data, tmp_path, monkeypatch, capfd):
    assert run(monkeypatch, data, tmp_path / "no-teacher", "-o", tmp_path / "new", "--words", 30, "--scenes", 20) == 3
    assert "no encoder folder" in capfd.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} >= {"new.texts.jsonl"} and not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_written_to_is_named(data, tmp_path, monkeypatch, capfd):
    assert run(monkeypatch, data, "teacher", "-o", tmp_path / "missing/new") == 5
    assert f"cannot write {tmp_path / 'missing'}" in capfd.readouterr().err
