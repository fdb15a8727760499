"""The English model's own training: which texts it takes from the data, what it puts into the folder, and what it refuses."""

import json
import lzma
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsearch.encoders import DEFAULT, find_encoder
from vecsearch.encoders.folder import read_encoder
from vecsearch.training import english
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
    for name, records in FILES.items():
        path = tmp_path / f"data/{name}.jsonl.xz"
        path.parent.mkdir(parents=True, exist_ok=True)
        with lzma.open(path, "wt") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
    return tmp_path / "data"


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
    found = english.texts_of(data)
    assert found[: len(SENTENCES)] == SENTENCES
    assert [text for text in found if text in CLAUSES] == CLAUSES
    assert len(found) == len(set(found)) and not any("\n" in text for text in found)


# -- the command -----------------------------------------------------------------------------------------------------------


def test_the_model_is_trained_and_has_its_licence(data, tiny_folder, tmp_path, monkeypatch):
    nouns = ("king", "queen", "river", "city", "bank")
    texts = [f"the {a} of the {b} sat on the {c}" for a, b, c in product(nouns, repeat=3)]
    with lzma.open(data / "corpora/intents.jsonl.xz", "wt") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in texts)
    options = ("--words", 30, "--dims", "6,6", "--epochs", 6, "--batch", 8)
    code = run(monkeypatch, data, tiny_folder(("forward",), (8, 10, 8)), "-o", tmp_path / "my.english", *options)
    assert code == 0
    config = read_encoder(tmp_path / "my.english").config
    licence = (find_encoder(DEFAULT) / "LICENSE").read_bytes()
    assert (tmp_path / "my.english/LICENSE").read_bytes() == licence and "LICENSE" in config.files
    told = {"name": DEFAULT, "licence": "CC-BY-SA-4.0", "training": english.TRAINING}
    assert config.source.items() >= told.items()
    written = (tmp_path / "my.english.sentences.txt").read_text(encoding="utf-8")
    assert written == "".join(f"{text}\n" for text in english.texts_of(data))


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(data, tmp_path, monkeypatch, capfd, name):
    path = data / f"{name}.jsonl.xz"
    path.unlink()
    assert run(monkeypatch, data, "teacher", "-o", tmp_path / "new") == 3
    assert f"error: {path} does not exist" in capfd.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


def test_a_training_that_fails_leaves_its_texts_and_its_exit_code(data, tmp_path, monkeypatch, capfd):
    assert run(monkeypatch, data, tmp_path / "no-teacher", "-o", tmp_path / "new", "--words", 30) == 3
    assert "no encoder folder" in capfd.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} >= {"new.sentences.txt"} and not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_written_to_is_named(data, tmp_path, monkeypatch, capfd):
    assert run(monkeypatch, data, "teacher", "-o", tmp_path / "missing/new") == 5
    assert f"cannot write {tmp_path / 'missing/new.sentences.txt'}" in capfd.readouterr().err
