"""A word is the same word in every form that Unicode has for it, for all encoders with tokens of ours."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch import Document, Index
from vecsearch.encoders import open_encoder
from vecsearch.encoders.ulmfit.encoder import UlmfitEncoder
from vecsearch.index.explain import explain
from vecsearch.text.forms import composed_places, plain_form
from vecsearch.text.splitting import SplitRules
from vecsearch.text.tokenizer import WordTokenizer
from vecsearch.text.vocabulary import Vocabulary

# Each is one known word, or some, in another form; what a person reads is the same.
SAME = {
    "decomposed": ("pin\u0303ata", "piñata"),
    "decomposed, marks of two kinds": ("vie\u0323\u0302t", "việt"),
    "decomposed Korean": (unicodedata.normalize("NFD", "한국어"), "한국어"),
    "full-width": ("ｋｉｎｇ", "king"),
    "full-width capitals": ("ＫＩＮＧ", "king"),
    "full-width with its signs": ("（ｋｉｎｇ，ｑｕｅｅｎ！）", "(king, queen!)"),
    "half-width kana": ("ｶﾞﾗｽ", "ガラス"),
    "a ligature": ("ﬁre", "fire"),
    "a soft hyphen": ("ki\u00adng", "king"),
    "a soft hyphen as an entity": ("ki&shy;ng", "king"),
    "a decomposed entity": ("pin&#771;ata", "piñata"),
    "zero-width spaces": ("ki\u200bng", "king"),
    "zero-width spaces between words": ("king\u200bqueen", "king queen"),
    "zero-width joiners": ("ki\u200d\u200cng", "king"),
    "a word joiner": ("king\u2060", "king"),
    "a byte order mark": ("\ufeffking queen", "king queen"),
    "marks of direction": ("\u200eking\u200f \u202aqueen\u202c", "king queen"),
    "an old ligature in a sentence": ("the king saw a ﬁre", "the king saw a fire"),
}
WORDS = ["king", "queen", "fire", "piñata", "việt", "한국어", "ガラス", "the", "saw", "a", "می\u200cخواهم", "میخواهم"]
MARKS = ["xxunk", "xxpad", "xxbos", "xxeos", "xxfld", "xxrep", "xxwrep", "xxup", "xxmaj", "(", ")", ",", "!"]


@pytest.fixture(params=["ulmfit", "words", "words with capitals"])
def encoder(request, tiny_folder, tmp_path):
    if request.param == "ulmfit":
        return UlmfitEncoder(with_words(tiny_folder(), tmp_path, WORDS))
    words = WORDS + ["King"] * (request.param == "words with capitals")
    rng = np.random.default_rng(1)
    lines = [f"{word} {' '.join(map(str, rng.normal(size=6).round(3)))}\n" for word in words]
    (tmp_path / "w.txt").write_text("".join(lines), encoding="utf-8")
    return open_encoder(tmp_path / "w.txt")


def with_words(source, tmp_path, words):
    """An ULMFiT folder with the first of another's rows, for these words."""
    from vecsearch.encoders.ulmfit.folder import read_encoder, write_encoder

    opened = read_encoder(source)
    vocabulary = Vocabulary([*MARKS, *words])
    tensors = {}
    for direction, stack in opened.stacks.items():
        rng = np.random.default_rng(3)
        tensors[f"{direction}.embedding"] = rng.normal(size=(len(vocabulary), stack.dims[0])).astype(np.float32)
        for n, layer in enumerate(stack.layers):
            for name in ("weight_ih", "weight_hh", "bias"):
                tensors[f"{direction}.lstm.{n}.{name}"] = getattr(layer, name)
    folder = tmp_path / "with-words"
    folder.mkdir()
    write_encoder(folder, tensors, vocabulary, opened.tokenizer, source={})
    return folder


@pytest.mark.parametrize(("other", "usual"), SAME.values(), ids=SAME)
def test_a_word_is_known_in_every_form(encoder, other, usual):
    if "&" in other and not isinstance(encoder, UlmfitEncoder):
        pytest.skip("word vectors do not read HTML")
    vectors = encoder.encode([other, usual])
    assert vectors.any(axis=1).all() and encoder.tally.unknown == 0
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_documents_and_queries_in_different_forms_find_each_other(encoder, tmp_path, form):
    documents = [Document("1", unicodedata.normalize(form, "the piñata")), Document("2", "the king")]
    with Index.build(tmp_path / "index", documents, encoder) as index:
        for asked in ("piñata", "pin\u0303ata", "ｐｉñａｔａ"):
            assert index.query([asked], k=1)[0][0].id == "1"


@pytest.mark.parametrize("word", ["می\u200cخواهم", "میخواهم"])
def test_a_known_word_with_a_joiner_stays_what_it_is(encoder, word):
    one, other = encoder.encode(["می\u200cخواهم", "میخواهم"])
    assert not np.allclose(one, other)
    if isinstance(encoder, UlmfitEncoder):
        assert encoder.tokens(word) == ["xxbos", word]


def test_a_vocabulary_of_decomposed_words_is_found(tiny_folder, tmp_path):
    word = unicodedata.normalize("NFD", "piñata")
    encoder = UlmfitEncoder(with_words(tiny_folder(), tmp_path, [word, "the"]))
    for text in ("piñata", word):
        assert encoder.tokens(text) == ["xxbos", word]
    (tmp_path / "w.txt").write_text(f"{word} 1 2 3\nthe 3 1 2\n", encoding="utf-8")
    encoder = open_encoder(tmp_path / "w.txt")
    assert encoder.encode(["piñata", word]).any(axis=1).all() and encoder.tally.unknown == 0


def test_three_dots_are_known_as_they_were_before_fastai_made_them_one_sign(tiny_folder, tmp_path):
    encoder = UlmfitEncoder(with_words(tiny_folder(), tmp_path, ["...", "the"]))
    for text in ("the...", "the…", "é the..."):
        assert encoder.tokens(text)[-2:] == ["the", "..."]


@pytest.mark.parametrize("text", ["the ｋｉｎｇ saw a pin\u0303ata", "a ki\u00adng saw ﬁre & pin\u0303ata", "e\u0301 king"])
def test_places_of_words_are_those_of_the_text_itself(encoder, tmp_path, text):
    with Index.build(tmp_path / "index", [Document("1", text)], encoder) as index:
        vectors = index.encode(["king"])
        words = explain(index, vectors[0], index.nearest(vectors)[0][0])
    assert all(word.word == text[word.start : word.stop] for word in words)
    assert any("king" in plain_form(word.word) for word in words)
    if "pin" in text:
        assert any("pin\u0303ata" in word.word for word in words)


@given(st.text(st.sampled_from("aé ne\u0301\u0303\u0323\u093c한\u1112\u1161ｶﾞ\u00adﬁ\u05b8ब"), max_size=12))
def test_places_point_into_the_text(text):
    shown, places = composed_places(text)
    assert len(places) == len(shown) + 1 and places[-1] == len(text)
    assert list(places) == sorted(places)
    assert shown == text or shown == unicodedata.normalize("NFC", text)


@given(st.text(max_size=40).map(lambda text: unicodedata.normalize("NFC", text)))
@settings(max_examples=300)
def test_tokens_of_composed_texts_stay_fastais(fastai, text):
    """Whatever a text has: tokens that the model knows stay, in their order, and the others are another form of themselves."""
    tokenizer, reference = fastai
    expected = list(next(iter(reference([text]))))
    assert list(tokenizer.tokens([text])) == [expected]
    vocabulary = Vocabulary(["xxunk", *sorted(set(expected) - {"xxunk"})])
    assert list(tokenizer.tokens_for(vocabulary, [text])) == [expected]


@pytest.fixture(scope="module")
def fastai():
    from fastai.text.core import SpacyTokenizer, TokenizeWithRules

    return WordTokenizer(SplitRules.from_spacy("en")), TokenizeWithRules(SpacyTokenizer("en"))
