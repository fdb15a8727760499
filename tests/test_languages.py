"""Words in a language: their stems, those that decide nothing, and which language it is; against Snowball and plain BM25."""

import json
import math
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import Stemmer
from hypothesis import given, settings
from hypothesis import strategies as st
from test_keywords import documents, found, ones

from vecsearch.corpus.document import Document
from vecsearch.encoders import UlmfitEncoder
from vecsearch.errors import UsageError
from vecsearch.index.build import Options
from vecsearch.index.index import Index
from vecsearch.store.postings import packed, unpacked
from vecsearch.text.languages import LANGUAGES, NONE, Language, language_of

K1, B, EXACT = 1.5, 0.75, 0.2

PARAGRAPHS = {
    "en": "The river rose in the night, and the people of the town carried what they could to the hill above the old church.",
    "de": "Der Fluss stieg in der Nacht, und die Leute aus der Stadt trugen, was sie konnten, auf den Hügel hinter der Kirche.",
    "fr": "La rivière est montée pendant la nuit, et les gens de la ville ont porté ce qu'ils pouvaient sur la colline.",
    "es": "El río subió durante la noche y la gente del pueblo llevó lo que pudo a la colina que está detrás de la iglesia.",
    "ru": "Ночью река поднялась, и жители города несли всё, что могли, на холм за старой церковью, где было сухо и тихо.",
    "tr": "Nehir gece yükseldi ve kasabanın insanları taşıyabildikleri her şeyi eski kilisenin arkasındaki tepeye götürdüler.",
    "hi": "रात में नदी का पानी बढ़ गया और शहर के लोग जो कुछ ले जा सकते थे उसे पुराने मंदिर के पीछे की पहाड़ी पर ले गए थे।",
}


def index_in(folder, code, *texts):
    return Index.build(folder / "i", documents(*texts), vectors=ones(len(texts)), options=Options(language=code))


# -- stems and forms -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("en", "run runs running"),
        ("en", "fish fishing fished fishes"),
        ("en", "naïve naive naïvely"),
        ("de", "Haus Häuser Häusern haus HÄUSER"),
        ("de", "Straße Straßen STRASSE strassen"),
        ("fr", "fermé fermée fermées fermer FERMÉ"),
        ("es", "canción canciones cancion"),
        ("ru", "книга книги книгу книгами"),
        ("sv", "flicka flickor flickorna"),
        ("fi", "talo talossa taloissa"),
        ("hi", "लड़का लड़के"),
    ],
)
def test_a_word_is_found_in_its_other_forms(tmp_path, code, words):
    words = words.split()
    with index_in(tmp_path, code, *words, "nothing of it") as opened:
        for n, word in enumerate(words):
            hits = opened.keywords([word], 100)[0]
            assert {hit.id for hit in hits} == {f"d{n}" for n in range(len(words))}, word
            # Those that are written as it is asked come first, accents and case aside.
            assert hits[0].score == pytest.approx(next(hit.score for hit in hits if hit.id == f"d{n}"))


def test_the_form_that_is_asked_for_comes_first(tmp_path):
    texts = ["they run by the river", "running by the river", "he runs by the river", "running runs run"]
    with index_in(tmp_path, "en", *texts, "x", "y", "z") as opened:
        for query, first in (("run river", "d0"), ("running river", "d1"), ("runs river", "d2")):
            assert opened.keywords([query], 1)[0][0].id == first
        assert set(found(opened, '"running"')) == {"d1", "d3"}
        assert set(found(opened, '"by the river"')) == {"d0", "d1", "d2"}
        assert set(found(opened, '"by river"')) == set()
        assert set(found(opened, '"run by"')) == {"d0"}


def test_words_in_no_language_are_only_themselves(tmp_path):
    with index_in(tmp_path, NONE, "run", "running", "the") as opened:
        assert set(found(opened, "running")) == {"d1"} and set(found(opened, "the running")) == {"d1", "d2"}


def test_a_code_stays_a_code(tmp_path):
    with index_in(tmp_path, "en", "model XK-47 here", "XK 48", "47 models", "Models AB12s", "covid-19 and more") as opened:
        assert set(found(opened, "XK-47")) == {"d0"}
        assert set(found(opened, "AB12s")) == {"d3"}
        assert set(found(opened, "covid-19")) == {"d4"}
        assert set(found(opened, "covid-20")) == set()


def test_words_that_are_joined_say_what_they_mean(tmp_path):
    texts = ["the boundary-layer", "a layer at the boundary", "boundaries", "king/queen", "a queen"]
    with index_in(tmp_path, "en", *texts, "x") as opened:
        assert [hit.id for hit in opened.keywords(["boundary-layer"], 9)[0]] == ["d0", "d1", "d2"]
        assert set(found(opened, "king/queen")) == {"d3", "d4"} and set(found(opened, '"king/queen"')) == {"d3"}


# -- stop words ----------------------------------------------------------------------------------------------------------


def test_stop_words_decide_nothing_beside_others(tmp_path):
    texts = ["the who", "who is the king", "the the the", "a king of bread", "it jobs"]
    with index_in(tmp_path, "en", *texts) as opened:
        assert found(opened, "who is the king") == found(opened, "king")
        assert set(found(opened, "the king")) == {"d1", "d3"}
        # There is nothing else to go by.
        assert set(found(opened, "the who")) == {"d0", "d1", "d2"} and opened.keywords(["the who"], 1)[0][0].id == "d0"
        assert set(found(opened, '"who is"')) == {"d1"} and set(found(opened, '"the" king')) == {"d0", "d1", "d2", "d3"}
        assert found(opened, "i.e. king, e.g.") == found(opened, "king")


# -- the formula ---------------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(["king", "kings", "run", "running", "runs", "the", "and", "river", "rivers", "tomato"])
TEXTS = st.lists(st.lists(WORDS, max_size=8), min_size=1, max_size=6)


def scores_of(texts, query):
    """BM25 of stems, and a fifth of that of the words as they are asked; stop words left out."""
    stemmer = Stemmer.Stemmer("english")
    kept = [[word for word in text if word not in ("the", "and")] for text in texts]
    average = max(1, sum(map(len, kept)) / len(kept))
    scores = Counter()
    asked = [word for word in query if word not in ("the", "and")]
    for read, weight in ((stemmer.stemWord, 1.0), (lambda word: word, EXACT)):
        read_texts = [list(map(read, text)) for text in kept]
        for word in map(read, asked):
            having = sum(word in text for text in read_texts)
            idf = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
            for n, text in enumerate(read_texts):
                if count := text.count(word):
                    scores[n] += weight * idf * count * (K1 + 1) / (count + K1 * (1 - B + B * len(text) / average))
    return scores


@settings(max_examples=40)
@given(TEXTS, TEXTS, st.lists(WORDS, min_size=1, max_size=5))
def test_scores_are_those_of_the_formula_in_any_number_of_segments(tmp_path_factory, first, second, query):
    texts = [" ".join(text) for text in (*first, *second)]
    folder = tmp_path_factory.mktemp("i")
    with (
        index_in(folder / "one", "en", *texts) as one,
        index_in(folder / "two", "en", *texts[: len(first)]) as two,
    ):
        two.add(documents(*texts[len(first) :], first=len(first)), vectors=ones(len(second)))
        scores = found(two, " ".join(query))
        assert scores == found(one, " ".join(query))
        if set(query) - {"the", "and"}:
            expected = scores_of([*first, *second], query)
            assert scores == pytest.approx({f"d{n}": score for n, score in expected.items()})


@given(st.sets(st.integers(0, 1 << 20), min_size=1), st.data())
def test_postings_come_back_as_they_were(numbers, data):
    numbers = np.array(sorted(numbers))
    counts = np.array(data.draw(st.lists(st.integers(1, 300), min_size=len(numbers), max_size=len(numbers))))
    again, counted = unpacked(packed(numbers, counts))
    np.testing.assert_array_equal(again, numbers)
    np.testing.assert_array_equal(counted, np.minimum(counts, 255))


# -- which language ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", PARAGRAPHS)
def test_the_language_is_found_from_the_texts(tmp_path, code):
    paragraph = PARAGRAPHS[code]
    with Index.build(tmp_path / "i", documents(*[paragraph] * 5), vectors=ones(5)) as opened:
        assert opened.manifest.language == code
    words = paragraph.split()
    assert language_of(words * 9, None) == code, "a list of words"


@pytest.mark.parametrize(
    "texts",
    [
        [],
        [""],
        ["king", "queen"],
        ["XK-47", "AB12", "9001:2015"] * 50,
        ["東京タワーは高い。京都へ行く" * 20],
        [PARAGRAPHS["de"], PARAGRAPHS["fr"], PARAGRAPHS["ru"], PARAGRAPHS["en"]] * 3,
    ],
    ids=["nothing", "empty", "two words", "codes", "Japanese", "several"],
)
def test_where_there_is_none_it_is_none(texts):
    texts = [text * 10 if len(text) > 50 else text for text in texts]
    assert language_of(texts, None) == NONE


def test_an_encoder_says_it_where_the_texts_are_too_short(tmp_path, tiny_folder):
    encoder = UlmfitEncoder(tiny_folder())
    assert encoder.language == "en"
    with Index.build(tmp_path / "i", documents("kings", "queens"), encoder) as opened:
        assert opened.manifest.language == "en" and set(found(opened, "king")) == {"d0"}
    with Index.build(tmp_path / "j", documents("kings", "queens"), encoder, options=Options(language="none")) as opened:
        assert opened.manifest.language == "none" and set(found(opened, "king")) == set()


def test_what_is_added_is_read_in_the_index_language_until_it_is_compacted_in_another(tmp_path, vecsearch):
    with index_in(tmp_path, "de", "Häuser") as opened:
        opened.add([Document("new", "viele Häusern und " + PARAGRAPHS["en"])], vectors=ones(1))
        assert set(found(opened, "Haus")) == {"d0", "new"} and opened.manifest.language == "de"
    ran = vecsearch("compact", tmp_path / "i", "--language", "none")
    assert ran.code == 0
    with Index.open(tmp_path / "i") as opened:
        assert set(found(opened, "Haus")) == set() and set(found(opened, "hauser")) == {"d0"}
    assert json.loads(vecsearch("info", tmp_path / "i", "--json").out)["language"] == "none"


@pytest.mark.parametrize("code", ["xx", "", "english", "EN", "e n"])
def test_a_language_that_there_is_not_is_refused_before_anything_is_done(tmp_path, vecsearch, code):
    with pytest.raises(UsageError, match=r"choose among ar, ca, .*none"):
        index_in(tmp_path, code, "a")
    (tmp_path / "c.txt").write_text("king\n")
    ran = vecsearch("build", tmp_path / "c.txt", "-o", tmp_path / "i", "--language", code)
    assert ran.code == 2 and repr(code) in ran.err and not (tmp_path / "i").exists()
    with index_in(tmp_path, "en", "a") as opened, pytest.raises(UsageError, match="choose among"):
        opened.compact(language=code)


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_language_has_stems_and_stop_words(code):
    assert Language(code).stem("xyz47") and bool(Language(code).stop_words) == (code != NONE)


def test_words_of_an_earlier_version_are_found_until_they_are_made_again(tmp_path):
    shutil.copytree(Path(__file__).parent / "indexes" / "format-3" / "exact", tmp_path / "i")
    with Index.open(tmp_path / "i") as opened:
        assert opened.earlier_words and opened.manifest.language is None
        before = set(found(opened, "text"))
        assert before
        opened.add([Document("new", "texts in English, " + PARAGRAPHS["en"])], vectors=[np.ones((1, opened.dim), np.float32)])
        assert opened.manifest.language == "en" and set(found(opened, "text")) == before | {"new"}
        opened.compact()
        assert not opened.earlier_words and set(found(opened, "texts")) == before | {"new"}
