"""Names of clusters: words that a person would give, of several languages, varied, distinct, and the same every time."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vecsearch.clustering.names import IN_NAME, WORDS, distinctive_words, name_of, words_of
from vecsearch.clustering.terms import terms_of
from vecsearch.text.languages import Language

PLURAL = re.compile(r"(?<=[A-Z])s$")
WORD = st.sampled_from(
    ["the", "and", "Her", "she", "was", "1937", "1990s", "3", "12.5", "x", "don't", "film", "films", "Film", "horror", "New",
     "York", "Warner", "noir", "l'homme", "Zürich", "東京都", "C++", "RL", "CNNs", "CNN", "—", "!", "June", "\\mathbb"]
)  # fmt: skip
TEXTS = st.lists(st.lists(WORD, max_size=12).map(" ".join), min_size=2, max_size=30)


def named(texts: list[str], labels: list[int], language: str | None = "en") -> list[list[str]]:
    return distinctive_words(texts, np.array(labels), max(labels) + 1, language=language)


@given(texts=TEXTS, count=st.integers(1, 4), language=st.sampled_from(["en", "fr", "de", "none", None]))
@settings(max_examples=80)
@example(texts=["the and Her she 1937"] * 4, count=2, language="en")
def test_no_word_of_a_name_is_a_stop_word_a_number_or_said_before(texts, count, language):
    labels = [i % count for i in range(len(texts))]
    found = distinctive_words(texts, np.array(labels), count, language=language)
    assert len(found) == count and found == distinctive_words(texts, np.array(labels), count, language=language)
    own = Language(language or "none")
    for words in found:
        assert len(words) <= WORDS
        parts = [part for word in words for part in word.split()]
        assert not any(part.lower() in own.stop_words or part[0].isdigit() or len(part) < 2 for part in parts)
        stems = [{own.stem(PLURAL.sub("", part).lower()) for part in word.split()} for word in words]
        assert sum(map(len, stems)) == len(set().union(*stems))


FILLERS = ["often", "people", "during", "whole", "place", "maybe", "about", "quite", "thing", "other"]


def texts_of(*heaps: list[str], seed: int = 0) -> tuple[list[str], list[int]]:
    """Twenty texts for each heap of terms: half of these in each, in any order, between words that all heaps have."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for label, heap in enumerate(heaps):
        for n in range(20):
            words = [heap[(n + k) % len(heap)] for k in range(-(-len(heap) // 2))] + rng.choice(FILLERS, 6).tolist()
            texts.append(f"{' '.join(rng.permutation(words))}. It was released in June {1930 + n}, and she saw 12 of 50.")
            labels.append(label)
    return texts, labels


@pytest.mark.parametrize("seed", range(3))
def test_words_are_the_most_distinctive_ones_as_people_write_them(seed):
    texts, labels = texts_of(
        ["Wes Craven", "horror", "slasher", "vampires", "monster"],
        ["detective", "noirs", "murder", "Humphrey Bogart"],
        seed=seed,
    )
    horror, noir = named(texts, labels)
    assert {"Wes Craven", "horror", "slasher", "vampires", "monster"} <= set(horror)
    assert {"detective", "noirs", "murder", "Humphrey Bogart"} <= set(noir)
    alone = " ".join(horror + noir).lower().split()
    assert not {"it", "june", "in", "released", "12", "50"} & set(alone)


def test_endings_are_one_word_and_the_commonest_form_is_shown():
    texts, labels = texts_of(["dogs", "dogs", "dog", "CNNs"], ["cats", "Cats", "cats", "CNN"])
    dogs, cats = named(texts, labels)
    assert "dogs" in dogs and "dog" not in dogs and "cats" in cats and "Cats" not in cats
    assert not {"CNN", "CNNs"} & {*dogs[:1], *cats[:1]}  # the same word, common in both


def test_words_of_the_same_texts_give_way_to_others():
    """Maximal marginal relevance: of words that stand together, one, before one of other texts that is less distinctive."""
    alpha = ["alpha beta gamma whatever"] * 12 + ["delta whatever"] * 8
    words = named([*alpha, *["whatever else here"] * 20], [0] * 20 + [1] * 20)[0]
    assert "delta" in words[:2]


def test_a_cluster_is_set_apart_from_its_group():
    texts, labels = texts_of(["western", "cattle"], ["western", "saloon"], ["space", "alien"], ["space", "rocket"])
    terms = terms_of(texts, "en")
    of_groups = words_of(terms, np.array(labels), 4, groups=np.array([0, 0, 1, 1]))
    assert [words[0] for words in of_groups] == ["cattle", "saloon", "alien", "rocket"]
    assert all("western" not in words and "space" not in words for words in of_groups)
    assert any("western" in words for words in words_of(terms, np.array(labels), 4))


@pytest.mark.parametrize(
    ("language", "texts", "expected"),
    [
        ("de", ["Der Hund, die Katze in dem Haus.", "Die Rakete, mit der zum Mond."], ({"Hund", "Haus"}, {"Mond", "Rakete"})),
        ("fr", ["L'homme avec le chien dans la maison.", "La fusée, vers la lune."], ({"homme", "chien"}, {"lune", "fusée"})),
        ("ru", ["Собака и кошка в доме.", "Ракета, на луну."], ({"Собака", "кошка"}, {"Ракета", "луну"})),
        ("none", ["東京都の天気", "大阪府の料理"], ({"東京"}, {"大阪"})),
    ],
)
def test_other_languages_and_scripts(language, texts, expected):
    found = named([text for text in texts for _ in range(4)], [0] * 4 + [1] * 4, language)
    for words, some in zip(found, expected, strict=True):
        assert some <= set(words)
        assert not {word.lower() for word in words} & Language(language).stop_words


@pytest.mark.parametrize("texts", [["", ""], ["!", "?"], ["dog", "moon"], ["the and", "and the"], ["1999 2000", "2001"]])
def test_texts_without_a_common_word_give_no_names(texts):
    assert named(texts, [0, 1]) == [[], []]


def test_a_name_is_the_first_words_else_the_most_typical_documents():
    assert name_of(["one", "two", "three", "four"], [], 7) == ", ".join(["one", "two", "three", "four"][:IN_NAME])
    assert name_of([], [], 7) == "cluster 7"
