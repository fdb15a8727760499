"""A vocabulary opens from every file fastai's users have, and from none that would run code."""

from __future__ import annotations

import json
import os
import pickle
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsearch.errors import CheckpointError
from vecsearch.text.pickles import unpickle
from vecsearch.text.vocabulary import Vocabulary

WORDS = ["xxunk", "xxpad", "xxbos", "the", "\n", "\u2028", "été", "xxfake", "xxfake"]
words_lists = st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=20, unique=True)


class _Runs:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


def _pickled(path: Path, value, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


@given(words_lists, st.lists(st.text(max_size=5), max_size=20))
def test_numbers_are_fastais(words, tokens):
    from fastai.text.data import Numericalize

    assert Vocabulary(words).numericalise(tokens + words) == Numericalize(vocab=words)(tokens + words).tolist()


def test_padding_rows_are_never_looked_up():
    vocabulary = Vocabulary(WORDS)
    assert vocabulary.numericalise(["the", "xxfake", "unseen"]) == [3, 0, 0]
    assert vocabulary.special_ids == (0, 1, 2, 7, 8)
    assert len(vocabulary) == 9


def test_old_marks_are_special():
    assert Vocabulary(["_unk_", "_pad_", "the", "xxup"]).special_ids == (0, 1, 3)


@given(words_lists)
def test_json_comes_back(tmp_path_factory, words):
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.json"
    Vocabulary(words).save(path)
    assert Vocabulary.load(path).words == tuple(words)
    assert json.loads(path.read_text(encoding="utf-8")) == words


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_text_has_a_word_a_line(tmp_path, end):
    (tmp_path / "vocab.txt").write_bytes(f"xxunk{end or chr(10)}\u2028{end or chr(10)}été{end}".encode())
    assert Vocabulary.load(tmp_path / "vocab.txt").words == ("xxunk", "\u2028", "été")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", [list, tuple, lambda words: (words, ["neg", "pos"]), lambda words: [words, ("neg", "pos")]])
def test_pickled_lists_open(tmp_path, kind, protocol):
    assert Vocabulary.load(_pickled(tmp_path / "itos.pkl", kind(WORDS), protocol)).words == tuple(WORDS)


@pytest.mark.parametrize("protocol", [2, 4])
def test_what_fastai_pickles_opens(tmp_path, protocol):
    from fastai.data.transforms import CategoryMap
    from fastcore.foundation import L

    for value in (L(WORDS), L([WORDS, CategoryMap(["neg", "pos"])]), (L(WORDS), CategoryMap(["neg", "pos"]))):
        assert Vocabulary.load(_pickled(tmp_path / "vocab.pkl", value, protocol)).words == tuple(WORDS)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (_Runs(os.system, ("touch ran",)), f"{os.name}.system"),
        (_Runs(eval, ("1",)), "builtins.eval"),
        ([WORDS, _Runs(print, ("ran",))], "builtins.print"),
        (defaultdict(int), "collections.defaultdict"),
        (Counter(WORDS), "collections.Counter"),
    ],
)
def test_a_pickle_that_would_run_something_is_refused(tmp_path, monkeypatch, capsys, value, name):
    monkeypatch.chdir(tmp_path)
    path = _pickled(tmp_path / "vocab.pkl", value)
    with pytest.raises(CheckpointError, match=rf"vocab\.pkl: opening it would run {name}; .*json\.dump"):
        Vocabulary.load(path)
    assert not Path("ran").exists()
    assert not capsys.readouterr().out


def test_an_old_torch_file_is_refused_by_what_is_in_it(tmp_path):
    import torch

    torch.save(Counter(WORDS), tmp_path / "data.pkl", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match=r"data\.pkl: opening it would run collections\.Counter"):
        Vocabulary.load(tmp_path / "data.pkl")


@pytest.mark.parametrize("wrap", [list, tuple, lambda value: {"words": value}, lambda value: ["the", {"words": value}]])
def test_lists_shared_many_levels_deep_are_refused_unexpanded(tmp_path, wrap):
    nested: list = []
    for _ in range(200):  # as many elements, once expanded, as 2 to the power of 200
        nested = [nested, nested]
    with pytest.raises(CheckpointError, match=r"vocab\.pkl: (lists nested more than 2 deep|holds a dict|word 2 is \{)"):
        Vocabulary.load(_pickled(tmp_path / "vocab.pkl", wrap(nested)))


def test_a_list_shared_many_times_stays_one(tmp_path):
    value = unpickle(_pickled(tmp_path / "vocab.pkl", [WORDS] * 1000))
    assert value == [WORDS] * 1000
    assert len(set(map(id, value))) == 1


def test_a_list_that_holds_itself_is_refused(tmp_path):
    endless: list = []
    endless.append(endless)
    with pytest.raises(CheckpointError, match="nested more than 2 deep"):
        Vocabulary.load(_pickled(tmp_path / "vocab.pkl", endless))


@pytest.mark.parametrize("name", ["v.txt", "v.json"])
def test_a_byte_order_mark_is_no_part_of_the_first_word(tmp_path, name):
    content = "a\r\nb\n" if name == "v.txt" else '["a", "b"]'
    (tmp_path / name).write_bytes(content.encode("utf-8-sig"))
    assert Vocabulary.load(tmp_path / name).words == ("a", "b")


@given(st.binary(max_size=60) | st.integers(0, 60).map(lambda end: pickle.dumps(WORDS)[:end]))
def test_damaged_pickles_are_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "vocab.pkl"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"vocab\.pkl"):
        Vocabulary.load(path)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("v.json", b"[]", "no words"),
        ("v.txt", b"", "no words"),
        ("v.json", b'{"a": 1}', "holds a dict, not a list"),
        ("v.json", b'["a", 7]', "word 2 is 7, not text"),
        ("v.json", b'["a", "b", "a"]', "'a' is word 1 and word 3"),
        ("v.json", b'["a", "\\ud83d"]', r"word 2, '\\ud83d', holds half a surrogate pair"),
        ("v.json", b'["a",\n"b"', "v.json, line 2: broken JSON"),
        ("v.json", b'["\xff"]', "byte 2 is not UTF-8"),
        ("v.txt", b"a\n\xe9t\xe9\n", "byte 2 is not UTF-8"),
        ("v.txt", b"a\n\nb\n", "word 2 is empty"),
        ("v.csv", b"a", "not '.csv'"),
        ("vocab", b"a", "one without a suffix"),
        ("v.json", None, "cannot be read"),
        ("v.pkl", None, "cannot be read"),
    ],
)
def test_bad_files_are_named(tmp_path, name, content, problem):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"{name}.*{problem}|{problem}"):
        Vocabulary.load(tmp_path / name)


@pytest.mark.skipif("VECSEARCH_DATA" not in os.environ, reason="VECSEARCH_DATA does not name a folder of corpora")
def test_real_files():
    folder = Path(os.environ["VECSEARCH_DATA"]) / "fastai"
    assert len(Vocabulary.load(folder / "itos-60002.pkl")) == 60_002
    with pytest.raises(CheckpointError, match=r"would run fastai\.data_block\.LabelLists"):
        Vocabulary.load(folder / "v1-data-lm-export.pkl")
