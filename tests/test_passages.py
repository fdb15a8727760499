"""Long texts as passages: they cover the text in order, are as long as asked, and stay what they are through every change."""

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_builds import QUICK_DISK

from vecsearch.corpus.document import Document
from vecsearch.corpus.passages import Chunks, PassageSplitter
from vecsearch.encoders import Encoder
from vecsearch.errors import UsageError
from vecsearch.index.build import Options
from vecsearch.index.hits import Neighbors
from vecsearch.index.index import Index
from vecsearch.metric import normalise

TEXTS = st.lists(st.sampled_from(["a", "bank", "é𝄞", "x" * 9, " ", "\n\n", "\t", "\u2003", "tomato,"]), max_size=40).map(
    " ".join
)
CHUNKS = st.integers(1, 9).flatmap(lambda tokens: st.builds(Chunks, st.just(tokens), st.integers(0, tokens - 1)))


def tokens_of(text):
    """A tokenizer for which a word has as many tokens as characters."""
    return ["begin", *text]


def words_of(text):
    """One for which each word is a token."""
    return ["begin", *text.split()]


TOKENS = st.sampled_from([words_of, tokens_of])


@given(TEXTS, CHUNKS, TOKENS)
def test_passages_cover_the_words_in_order(text, chunks, tokens):
    passages = PassageSplitter(chunks, tokens).split(text)
    assert passages
    if not text.split():
        assert passages == [(0, len(text))]
        return
    count = {words_of: lambda word: 1, tokens_of: len}[tokens]
    ends = [(match, match + len(word)) for match, word in positions(text)]
    starts, stops = {start: n for n, (start, _) in enumerate(ends)}, {stop: n for n, (_, stop) in enumerate(ends)}
    # From the beginning of a word to the end of one.
    spans = [(starts[start], stops[stop]) for start, stop in passages]
    assert spans[0][0] == 0
    assert spans[-1][1] == len(ends) - 1
    words = text.split()
    for first, last in spans:
        assert first == last or sum(map(count, words[first : last + 1])) <= chunks.tokens
    for (first, last), (begin, end) in pairwise(spans):
        assert first < begin <= last + 1
        assert last < end
        assert sum(map(count, words[begin : last + 1])) <= chunks.overlap
        # As long as they may be, and as much shared as may be.
        assert sum(map(count, words[first : last + 2])) > chunks.tokens
        most = min(chunks.overlap, chunks.tokens - count(words[last + 1]))
        assert begin == first + 1 or sum(map(count, words[begin - 1 : last + 1])) > most


def positions(text):
    at = 0
    for word in text.split():
        at = text.index(word, at)
        yield at, word
        at += len(word)


@given(TEXTS, st.integers(1, 9))
def test_without_overlap_each_word_is_in_one_passage(text, tokens):
    passages = PassageSplitter(Chunks(tokens), Letters().tokens).split(text)
    assert [word for start, stop in passages for word in text[start:stop].split()] == text.split()


def test_passages_of_a_model_s_own_tokens(tiny):
    text = "He sat on the BANK of the river, isn't it? " * 30
    passages = PassageSplitter(Chunks(20, 5), tiny.tokens).split(text)
    # Words that a tokenizer takes apart count as what they become, and the mark of the beginning does not.
    lengths = [len(tiny.tokens(text[start:stop])) - 1 for start, stop in passages]
    assert len(passages) > 15
    assert all(14 <= length <= 22 for length in lengths[:-1])


@pytest.mark.parametrize(("tokens", "overlap"), [(0, 0), (-1, 0), (5, 5), (5, 6), (5, -1), (1, 1)])
def test_passages_that_come_to_no_end_are_refused(tokens, overlap):
    with pytest.raises(UsageError, match=f"passages of {tokens} tokens cannot overlap by {overlap}; give 0 ≤ overlap < chunk"):
        Chunks(tokens, overlap)


# -- in an index ---------------------------------------------------------------------------------------------------------


class Letters(Encoder):
    """An encoder whose vectors count the letters a to e."""

    dim, fingerprint = 5, "letters"

    def encode(self, texts):
        return np.array([[text.count(letter) for letter in "abcde"] for text in texts], np.float32).reshape(-1, 5)


DOCUMENTS = st.lists(
    st.lists(st.sampled_from(["a", "ab", "c", "dd", "e", "x"]), max_size=9).map(" ".join), min_size=1, max_size=6
)


def assert_passages_are_right(opened, texts, chunks):
    """Every alive row stands for the passage that its document's text is split into, and its vector is that passage's."""
    split, expected = PassageSplitter(chunks, Letters().tokens), []
    rows = opened.alive().tolist()
    (stored,) = opened.hits(Neighbors(np.array([rows]), np.zeros((1, len(rows)), np.float32)))
    for id in dict.fromkeys(hit.id for hit in stored):
        expected += [(id, texts[id][start:stop]) for start, stop in split.split(texts[id])]
    assert {hit.id for hit in stored} == set(texts)
    assert [(hit.id, hit.passage) for hit in stored] == expected
    assert all(hit.text == texts[hit.id] for hit in stored)
    np.testing.assert_array_equal(opened.vectors(rows), Letters().encode([hit.passage for hit in stored]))
    assert len(opened) == len(texts)


@settings(max_examples=20)
@given(DOCUMENTS, DOCUMENTS, st.data())
def test_passages_stay_right_through_add_delete_and_compact(first, second, data):
    chunks = data.draw(CHUNKS)
    texts = {f"d{n}": text for n, text in enumerate(first)}
    with tempfile.TemporaryDirectory(dir=QUICK_DISK) as folder:
        with Index.build(
            Path(folder) / "index",
            [Document(id, text) for id, text in texts.items()],
            Letters(),
            options=Options(chunks=chunks),
        ) as opened:
            assert_passages_are_right(opened, texts, chunks)
            # Some of them take an old one's place.
            place = data.draw(st.integers(0, len(first)))
            more = {f"d{place + n}": text for n, text in enumerate(second)}
            opened.add([Document(id, text) for id, text in more.items()])
            texts |= more
            assert_passages_are_right(opened, texts, chunks)
            gone = data.draw(st.lists(st.sampled_from(sorted(texts)), unique=True, max_size=len(texts) - 1))
            assert opened.delete(gone) == len(gone)
            texts = {id: text for id, text in texts.items() if id not in gone}
            assert_passages_are_right(opened, texts, chunks)
            assert_finds_documents(opened, texts, chunks)
        # An encoder of your own is not in the index.
        with Index.open(Path(folder) / "index", encoder=Letters()) as opened:
            opened.compact()
        with Index.open(Path(folder) / "index", encoder=Letters()) as opened:
            assert_passages_are_right(opened, texts, chunks)
            assert_finds_documents(opened, texts, chunks)


def assert_finds_documents(opened, texts, chunks):
    """Hits are documents, each once, with the best of its passages."""
    query = Letters().encode(["a dd c"])
    best = {}
    for id, text in texts.items():
        for start, stop in PassageSplitter(chunks, Letters().tokens).split(text):
            passage = text[start:stop]
            score = float(normalise(query)[0] @ normalise(Letters().encode([passage]))[0])
            if id not in best or score > best[id][0] + 1e-6:
                best[id] = score, passage
    for k in (1, 3, 100):
        (hits,) = opened.query(["a dd c"], k)
        assert [hit.score for hit in hits] == pytest.approx(
            sorted((score for score, _ in best.values()), reverse=True)[:k], abs=1e-6
        )
        assert len({hit.id for hit in hits}) == len(hits) == min(k, len(texts))
        assert all(hit.passage == best[hit.id][1] and hit.text == texts[hit.id] for hit in hits)


def test_documents_of_very_many_passages_do_not_crowd_out_the_others(tmp_path):
    documents = [Document("long", "a b " * 500), Document("other", "a a b"), Document("third", "c")]
    with Index.build(tmp_path / "index", documents, Letters(), options=Options(chunks=Chunks(2))) as opened:
        assert [hit.id for hit in opened.query(["a b"], 3)[0]] == ["long", "other", "third"]
        assert [hit.id for hit in opened.query(["a b"], 2, where="id <> 'long'")[0]] == ["other", "third"]
        (hits,) = opened.similar(["long"], 2)
        assert [hit.id for hit in hits] == ["other", "third"]
        assert {hit.id for hit in opened.keywords(["b"], 3)[0]} == {"other", "long"}


def test_ready_vectors_are_not_split(tmp_path):
    with pytest.raises(UsageError, match="ready vectors stand for whole documents: they cannot be split into passages"):
        Index.build(
            tmp_path / "index", [Document("a", "a b")], vectors=[np.ones((1, 5), np.float32)], options=Options(chunks=Chunks(2))
        )
