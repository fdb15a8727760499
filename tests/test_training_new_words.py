"""New words of an encoder: they stand where their contexts say, and nothing else of it changes."""

import json
from collections import Counter

import numpy as np
import pytest
from conftest import WORDS, Told, random_tensors
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from vecsearch.encoders import open_encoder
from vecsearch.encoders.ulmfit.folder import read_encoder, write_encoder
from vecsearch.metric import normalise
from vecsearch.text.rules import SPECIAL_TOKENS
from vecsearch.text.vocabulary import Vocabulary
from vecsearch.training.keeper import Keeper
from vecsearch.training.language_model import LanguagePlan, train_language_model
from vecsearch.training.network import random_stack
from vecsearch.training.new_words import NOTHING, WINDOW, add_words, context_map, contexts, with_new_words
from vecsearch.training.start import Start, english_tokenizer

KNOWN = [f"known{chr(97 + i)}" for i in range(20)]
TOKENIZER = english_tokenizer()


def start_of(words=KNOWN, dim=6, seed=0):
    rng = np.random.default_rng(seed)
    embedding = rng.standard_normal((len(SPECIAL_TOKENS) + len(words), dim)).astype(np.float16)
    stack = random_stack(embedding, (dim,), rng, shut=False)
    return Start({"forward": stack}, Vocabulary([*SPECIAL_TOKENS, *words]), TOKENIZER, (0, -1), {"score": 0.5})


def rows_of(start):
    return start.stacks["forward"].embedding.whole()


@given(
    texts=st.lists(st.lists(st.integers(0, 11), max_size=12), max_size=8),
    block=st.integers(WINDOW, 40),
    seed=st.integers(0, 9),
)
def test_contexts_are_those_of_a_plain_loop(texts, block, seed):
    """Rows 0 to 7 are known, 8 to 11 new; blocks of any size see each pair of neighbors once."""
    embedding = np.random.default_rng(seed).standard_normal((8, 3))
    tokens = np.array([row for text in texts for row in [*text, *[NOTHING] * WINDOW]], int)
    sums, near = contexts(embedding, tokens, 12, block_tokens=block)
    wanted, count = np.zeros((12, 3)), np.zeros(12)
    for text in texts:
        for place, row in enumerate(text):
            for other in text[max(0, place - WINDOW) : place] + text[place + 1 : place + 1 + WINDOW]:
                if other < 8:
                    wanted[row] += embedding[other]
                    count[row] += 1
    assert_allclose(sums, wanted, atol=1e-12)
    assert_array_equal(near, count)


@given(counts=st.lists(st.integers(1, 6), min_size=1, max_size=6), most=st.integers(1, 8))
def test_the_commonest_new_words_join_and_the_known_ones_stay(counts, most):
    start, names = start_of(), [f"new{chr(97 + i)}" for i in range(len(counts))]
    texts = [
        f"{KNOWN[i]} {name} ! {KNOWN[-1]}"
        for i, (name, count) in enumerate(zip(names, counts, strict=True))
        for _ in range(count)
    ]
    heard = []
    grown = with_new_words(start, texts, most, heard.append)
    wanted = [name for name, count in Counter(dict(zip(names, counts, strict=True))).most_common(most) if count >= 2]
    assert list(grown.vocabulary.words) == [*start.vocabulary.words, *wanted]  # and not "!", which is no word
    assert_array_equal(rows_of(grown)[: len(start.vocabulary)], rows_of(start))
    lengths = np.linalg.norm(rows_of(grown)[len(start.vocabulary) :], axis=1)
    assert_allclose(lengths, np.linalg.norm(rows_of(start)[len(SPECIAL_TOKENS) :], axis=1).mean(), rtol=1e-3)
    assert heard == ([f"{len(wanted)} new words begin where the words around them say"] if wanted else [])
    assert (grown is start) == (not wanted)


def test_a_word_in_another_ones_contexts_comes_to_stand_beside_it():
    """Ten words have three of ten others around them; each new one has those of the word that it is another name of."""
    rng = np.random.default_rng(0)
    around = {word: rng.choice(KNOWN[:10], 3, replace=False) for word in KNOWN[10:]}
    start = start_of(dim=len(KNOWN))  # the map can be right for all of them
    texts = [" ".join([*rng.permutation(near)[:2], word]) for word, near in around.items() for _ in range(40)]
    texts += [" ".join([*rng.permutation(near)[:2], f"new{word}"]) for word, near in around.items() for _ in range(40)]
    grown = with_new_words(start, texts, 100)
    rows = normalise(rows_of(grown))
    of = dict(zip(grown.vocabulary.words, rows, strict=True))
    ranks = [sum(of[f"new{word}"] @ of[other] > of[f"new{word}"] @ of[word] for other in KNOWN) for word in around]
    assert np.mean(ranks) < 1  # by chance 9.5


def test_a_word_with_nothing_known_around_it_is_the_mean():
    start = start_of()
    nine = len(SPECIAL_TOKENS)
    # The first six stand beside xxbos, which is known.
    rows = rows_of(with_new_words(start, ["anew bnew anew bnew anew bnew onenew twonew onenew twonew"], 9))
    assert len(rows) == len(start.vocabulary) + 4
    assert_allclose(rows[-2:], [rows[nine:-4].mean(axis=0)] * 2, rtol=1e-5)


@given(n=st.integers(30, 60), seed=st.integers(0, 99))
def test_the_map_is_the_one_that_made_the_words(n, seed):
    rng = np.random.default_rng(seed)
    contexts, made_by = rng.standard_normal((n, 4)), rng.standard_normal((4, 4))
    found = context_map(contexts, contexts @ made_by, rng.uniform(1, 5, n))
    assert_allclose(found, made_by, atol=0.05)


@pytest.mark.parametrize("n, expected", [(0, 1.0), (1, 2.0)])
def test_with_few_words_the_map_only_stretches(n, expected):
    contexts = np.eye(4)[:n]
    found = context_map(contexts, expected * contexts, np.ones(n))
    assert_allclose(found, expected * np.eye(4), atol=1e-9)


# -- the command ---------------------------------------------------------------------------------------------------------

TEXTS = ["the king met a wizard by the river", "a wizard slept", "the hobbit met the queen", "a hobbit and a wizard"]


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "tales.txt").write_text("\n".join(TEXTS))
    return tmp_path / "tales.txt"


def test_the_command_makes_an_encoder_that_knows_them(vecsearch, corpus, tmp_path):
    ran = vecsearch("model", "words", "english", corpus, "-o", tmp_path / "grown", "--most", 5)
    # The words are known to the English model; so are none of these.
    assert ran.code == 3 and "english knows every word that occurs 2 times" in ran.err
    corpus.write_text("\n".join(text.replace("wizard", "wizardo").replace("hobbit", "hobbito") for text in TEXTS))
    ran = vecsearch("model", "words", "english", corpus, "-o", tmp_path / "grown", "--most", 5)
    assert ran.code == 0 and "2: wizardo, hobbito" in ran.out
    before, after = open_encoder("english"), open_encoder(tmp_path / "grown")
    assert_allclose(after.encode(["a queen slept"]), before.encode(["a queen slept"]), atol=1e-3)
    assert before.tokens("wizardo") == ["xxbos", "wizard", "##o"] and after.tokens("wizardo") == ["xxbos", "wizardo"]
    assert after.source["new_words"] == 2 and after.source["licence"] == before.source["licence"]


def test_words_are_added_to_words(corpus, tiny_folder, tmp_path):
    first = add_words(tiny_folder(("forward", "backward")), [corpus], tmp_path / "one", most=1)
    second = add_words(tmp_path / "one", [corpus], tmp_path / "two", most=1)
    opened = read_encoder(tmp_path / "two")
    assert opened.config.source["new_words"] == 2 and opened.vocabulary.words[-2:] == (*first, *second)
    assert set(opened.stacks) == {"forward", "backward"}
    assert not np.allclose(*(stack.embedding.whole()[-1] for stack in opened.stacks.values()), atol=1e-3)


def test_what_is_there_is_not_overwritten(vecsearch, corpus, tiny_folder, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("mine")
    ran = vecsearch("model", "words", tiny_folder(), corpus, "-o", tmp_path / "mine")
    assert ran.code == 2 and [path.name for path in (tmp_path / "mine").iterdir()] == ["notes"]


# -- in training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [None, 1, 0])
@pytest.mark.parametrize("command", ["similarity", "lm"])
def test_a_training_learns_them_unless_told_not_to(vecsearch, tiny_folder, tmp_path, command, most):
    rng = np.random.default_rng(0)
    things = ["king", "queen", "river", "bank", "wizard", "hobbit"]
    lines = [" ".join([*rng.permutation(things), *rng.permutation(things)[:4]]) for _ in range(300)]
    (tmp_path / "tales.txt").write_text("\n".join(lines))
    folder = tiny_folder(("forward",), (6, 6))
    options = ["--epochs", 1, "--batch", 8, "--rate", 0.02, *(["--new-words", most] if most is not None else [])]
    ran = vecsearch("train", command, tmp_path / "tales.txt", "--from", folder, "-o", tmp_path / "new", *options, "--json")
    assert json.loads(ran.out)["encoder"] == str(tmp_path / "new"), ran.err
    known = read_encoder(folder).vocabulary.words
    count = len(set(things) - set(known))
    assert count >= 2
    expected = count if most is None else most
    assert (f"{expected} new words begin" in ran.err) == (expected > 0)
    if ran.code == 0:
        words = read_encoder(tmp_path / "new").vocabulary.words
        assert words[: len(known)] == known and len(words) == len(known) + expected


@pytest.mark.parametrize("source, rate", [({"score": 0.5}, 5e-4), ({"name": "random"}, 5e-3)])
@pytest.mark.parametrize("asked", [None, 0.01])
def test_a_similarity_encoder_is_trained_gently(tokenizer, tmp_path, monkeypatch, source, rate, asked):
    write_encoder(
        new(tmp_path / "start"),
        random_tensors(("forward",), (6, 6), len(WORDS), np.random.default_rng(0)),
        Vocabulary(WORDS),
        tokenizer,
        source=source,
    )
    (tmp_path / "tales.txt").write_text("the king sat on the bank of the river\n" * 300)
    heard, rates = Told(), []

    def run(self, **_):
        rates.append(self.rate)
        raise KeyboardInterrupt

    monkeypatch.setattr(Keeper, "run", run)
    with pytest.raises(KeyboardInterrupt):
        train_language_model(
            [tmp_path / "tales.txt"],
            tmp_path / "new",
            start=tmp_path / "start",
            plan=LanguagePlan(rate=asked),
            progress=heard,
        )
    assert rates == [asked or rate]
    assert any("forgets some of it here" in line for line in heard.notes) == ("score" in source)


def new(folder):
    folder.mkdir()
    return folder
