"""Words outside a vocabulary in pieces, against tokenizers' WordPiece; and what encoders make of them."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import WORDS, random_tensors
from hypothesis import given
from hypothesis import strategies as st

from vecsearch.corpus.document import Document
from vecsearch.encoders import open_encoder
from vecsearch.encoders.ulmfit.embedding import Embedding, in_eight_bits
from vecsearch.encoders.ulmfit.folder import write_encoder
from vecsearch.errors import CheckpointError
from vecsearch.index.explain import explain
from vecsearch.index.index import Index
from vecsearch.text.pieces import LONGEST, pieces_of, whole_words
from vecsearch.text.rules import SPECIAL_TOKENS
from vecsearch.text.tokenizer import WordTokenizer, open_tokenizer
from vecsearch.text.vocabulary import Vocabulary

LETTERS = "abé"
KNOWN = st.sets(st.text(LETTERS, min_size=1, max_size=3), min_size=1, max_size=12)
PIECES = ("s", "b", "##s", "##u", "##b", "##way", "##an", "##k", "##e", "##r", "##t")


@given(words=KNOWN, going_on=KNOWN, word=st.text(LETTERS + "c", min_size=1, max_size=9))
def test_pieces_are_those_of_wordpiece(words, going_on, word):
    from tokenizers.models import WordPiece

    known = {token: i for i, token in enumerate(["[UNK]", *words, *(f"##{piece}" for piece in going_on)])}
    theirs = [token.value for token in WordPiece(known, unk_token="[UNK]").tokenize(word)]
    assert list(pieces_of(word, known)) == ([] if theirs == ["[UNK]"] else theirs)


def test_what_is_longer_than_a_word_is_not_split():
    assert len(pieces_of("a" * LONGEST, {"a", "##a"})) == LONGEST
    assert pieces_of("a" * (LONGEST + 1), {"a", "##a"}) == ()


@given(st.lists(st.tuples(st.lists(st.text("ab", min_size=1), min_size=1), st.integers(-9, 9)), max_size=5))
def test_pieces_become_words_again(words):
    tokens = [piece if not n else f"##{piece}" for pieces, _ in words for n, piece in enumerate(pieces)]
    amounts = [amount for pieces, amount in words for _ in pieces]
    assert whole_words(tokens, amounts) == (
        ["".join(pieces) for pieces, _ in words],
        [float(amount * len(pieces)) for pieces, amount in words],
    )


def test_a_vocabulary_splits_what_it_does_not_have():
    vocabulary = Vocabulary([*SPECIAL_TOKENS, "the", "sub", "x", "##way", "##s", "##xmaj"])
    tokens = ["xxbos", "the", "subways", "süb", "nothing"]
    assert vocabulary.pieces(tokens) == ["xxbos", "the", "sub", "##way", "##s", "sub", "nothing"]
    # Signs that are not known say nothing.
    assert vocabulary.pieces(["sub-subs+the", "-", "süb-"]) == ["sub", "sub", "##s", "the", "-", "sub"]
    assert vocabulary.pieces(["xxmajs"]) == ["x", "##xmaj", "##s"], "a mark is no beginning of a word"
    assert [vocabulary.words[row] for row in vocabulary.piece_ids] == ["##way", "##s", "##xmaj"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tokenizer):
    """An encoder of random weights in 8 bits, whose rare words are read in pieces."""
    words = list(dict.fromkeys([*WORDS, *PIECES]))
    tensors = random_tensors(("forward",), (6, 6), len(words), np.random.default_rng(0))
    embedding = in_eight_bits(tensors["forward.embedding"])
    tensors |= {"forward.embedding": embedding.table, "forward.scales": embedding.scales}
    made = tmp_path_factory.mktemp("pieces")
    write_encoder(made, tensors, Vocabulary(words), WordTokenizer(tokenizer.rules, pieces=True), source={}, layers=(0, -1))
    return made


def test_no_word_is_unknown(folder):
    encoder = open_encoder(folder)
    assert encoder.tokens("the subanker") == ["xxbos", "the", "s", "##u", "##b", "##an", "##k", "##e", "##r"]
    vectors = encoder.encode(["the subanker", "the subanks"])
    assert encoder.tally.unknown == 0 and not np.allclose(*vectors)
    assert not encoder.encode(["zyx"]).any() and encoder.tally.unknown == 1
    ids, counts = encoder.word_ids()
    assert counts["pieces"] == 9 and not any(encoder.words[i].startswith("##") for i in ids)
    assert "9 pieces of others" in str(encoder.describe()["vocabulary"])


def test_a_copy_reads_the_same(folder, tmp_path):
    encoder = open_encoder(folder)
    encoder.save(tmp_path)
    assert open_tokenizer(tmp_path).pieces
    np.testing.assert_array_equal(open_encoder(tmp_path).encode(["the subanker"]), encoder.encode(["the subanker"]))


@pytest.mark.parametrize("pooling", ["mean", "raw"])
def test_a_word_in_pieces_is_explained_as_a_word(folder, tmp_path, pooling):
    encoder = open_encoder(folder, pooling=pooling)
    with Index.build(tmp_path / "index", [Document("0", "the Subanker sat")], encoder) as index:
        query = encoder.encode(["a bank"])
        (hit,) = index.nearest(query, 1)[0]
        words = explain(index, query[0], hit)
    assert [word.word for word in words] == ["the", "Subanker", "sat"]
    assert sum(word.contribution for word in words) == pytest.approx(hit.score, abs=1e-5)


@given(
    st.integers(1, 9).flatmap(
        lambda dim: st.lists(
            st.lists(st.floats(-1e3, 1e3, width=32), min_size=dim, max_size=dim).map(np.float32), min_size=1, max_size=6
        )
    )
)
def test_eight_bits_are_near_and_stay(rows):
    rows = np.array(rows, np.float32)
    made = in_eight_bits(rows)
    made.check()
    whole = made.whole()
    most = np.abs(rows).max(axis=1, keepdims=True)
    assert (np.abs(whole - rows) <= most / 253 + 1e-30).all()
    np.testing.assert_array_equal(in_eight_bits(whole).table, made.table)
    ids = np.array([[0, len(rows) - 1], [0, 0]])
    np.testing.assert_array_equal(made.rows(ids), whole[ids])
    np.testing.assert_array_equal(Embedding(rows).rows(ids), rows[ids])


def test_torch_and_numpy_read_the_same_rows(folder):
    short, long = ["the bank of the river"], ["the bank of the river"] * 80
    encoder = open_encoder(folder)
    np.testing.assert_allclose(encoder.encode(long)[:1], encoder.encode(short), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.pop("forward.scales"), "a scale for each row"),
        (lambda tensors: tensors.update({"forward.scales": np.ones(3, np.float32)}), "3 scales"),
        (lambda tensors: tensors.update({"forward.embedding": np.ones((40, 6), np.float32)}), "others has none"),
    ],
)
def test_eight_bits_without_their_scales_are_refused(tmp_path, tokenizer, change, said):
    tensors = random_tensors(("forward",), (6, 6), len(WORDS), np.random.default_rng(0))
    embedding = in_eight_bits(tensors["forward.embedding"])
    tensors |= {"forward.embedding": embedding.table, "forward.scales": embedding.scales}
    change(tensors)
    write_encoder(tmp_path, tensors, Vocabulary(WORDS), tokenizer, source={})
    with pytest.raises(CheckpointError, match=said):
        open_encoder(tmp_path)
