"""Tokens are those of fastai's own tokenizer, and splits those of spaCy's."""

from __future__ import annotations

import json
import lzma
import os
import sys
import threading
import time
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch.errors import UsageError
from vecsearch.text.splitting import SplitRules, TokenSplitter
from vecsearch.text.tokenizer import WordTokenizer
from vecsearch.text.vocabulary import Vocabulary

PIECES = [
    *"aAeizZ059 \n\t\r\x1c\x85\xa0\u2028.,;:!?'\"’“”()[]{}<>-–—…/\\#@&%$€£°*+=_^~|",
    *"ΣςЖж中文ไทยعربي،؟。！हि😀\u200d\u200b\u0301\ufe0f",
    *(
        "don't",
        "can't've",
        "I'm",
        "I’ll",
        "U.S.A.",
        "a.m.",
        "10am",
        "10km",
        "e.g.",
        "Mr.",
        "gonna",
        ":)",
        ":-)",
        ">:(",
        "8-)",
        "<3",
    ),
    *(
        "http://",
        "www.",
        "ex.com",
        "/a?b=c",
        "user@",
        "it's",
        "'s",
        "--",
        "state-of",
        "naïve",
        "STRASSE",
        "l'",
        "z.B.",
        "aujourd'",
    ),
    *(
        "EE. UU.",
        "D.C.",
        "...",
        "!!!",
        "ha ha ha ",
        "xxmaj",
        "xxbos",
        "C++",
        "o.o",
        "(*_*)",
        "¯\\(ツ)/¯",
        ":",
        ")",
        "(",
        "v.",
        "p.m",
    ),
]
nasty = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
# Emoticons cut into pieces are where one chunk's tokens can depend on the next one's.
emoticons = st.text(":;)(-8x=DpP|/ '\n", max_size=14)


def python_paragraphs(count: int) -> list[str]:
    """Paragraphs of the standard library's sources, then of its tests' e-mails and web pages where they are installed."""
    library = Path(os.__file__).parent
    files = sorted([*library.glob("*.py"), *library.glob("test/**/*.txt"), *library.glob("test/test_htmlparser.py")])
    paragraphs = [part for file in files for part in file.read_text("utf-8", "replace").split("\n\n")]
    return paragraphs[:: max(1, len(paragraphs) // count)]


class Pair:
    """Ours and fastai's tokenizer of one language."""

    def __init__(self, lang: str) -> None:
        from fastai.text.core import SpacyTokenizer, TokenizeWithRules

        self.rules = SplitRules.from_spacy(lang)
        self.ours = WordTokenizer(self.rules)
        self.spacy = SpacyTokenizer(lang)
        self.splitter = TokenSplitter(self.rules)
        self._fastai = TokenizeWithRules(self.spacy)

    def check(self, texts: list[str]) -> None:
        composed = [unicodedata.normalize("NFC", text) for text in texts]
        for text, tokens, expected in zip(texts, self.ours.tokens(texts), self._fastai(composed), strict=True):
            assert tokens == list(expected), text


@pytest.fixture(scope="module")
def english() -> Pair:
    return Pair("en")


@pytest.fixture(scope="module", params=["de", "es", "el", "ru", "gd", "hu"])
def other(request) -> Pair:
    return Pair(request.param)


def test_tokens_of_thousands_of_real_texts(english):
    paragraphs = python_paragraphs(4000)
    assert len(paragraphs) >= 4000
    english.check(paragraphs)


@given(nasty | emoticons)
@settings(max_examples=400)
def test_tokens_of_nasty_texts(english, text):
    english.check([text])


# What a rule could find across the end of a text, were texts put together carelessly; a NUL stands between them.
EDGES = [
    "\0",
    "\n",
    " ",
    "\n\0\n",
    "&am",
    "&amp",
    "p;",
    "&#3",
    "9;",
    " @",
    "@ ",
    "<br",
    " />",
    "..",
    "-",
    "a",
    "a ",
    " a",
    "the the",
    "A",
    ".",
    ")",
    ":",
]
edges = st.lists(st.sampled_from(EDGES), max_size=6).map("".join)


@given(st.lists(edges | nasty, max_size=8))
@settings(max_examples=300)
def test_tokens_of_texts_that_are_cleaned_together(english, texts):
    english.check(texts)


@given(st.lists(edges | nasty | emoticons, max_size=8), st.booleans())
@settings(max_examples=200)
def test_the_ids_of_texts_are_those_of_their_tokens(english, texts, pieces):
    vocabulary = Vocabulary(
        ["xxunk", "xxbos", "xxmaj", ".", "...", "a", ":)", "user", "##s", "s", "the", "n't", "中", "e\u0301", *"bcd:)"]
    )
    tokenizer = WordTokenizer(english.rules, pieces=pieces)
    expected = [vocabulary.numericalise(next(tokenizer.tokens_for(vocabulary, [text]))) for text in texts]
    number = tokenizer.numbering(vocabulary)
    for _ in range(2):
        assert [ids.tolist() for ids in number(texts)] == expected


@given(
    st.lists(st.sampled_from([":)", ")", ":", "(", "8", "b:)", "(a):", ";-)", "x", "\n", "Id.", "''The", "don't"]), max_size=30)
)
@settings(max_examples=300)
def test_special_cases_that_meet_in_long_texts(english, chunks):
    english.check([" ".join(chunks), " ".join(["some words"] * 50 + chunks + ["some words"] * 50)])


@given(
    st.lists(
        st.sampled_from(["a", "A", "x", "xyyy", "yyyx", "333", "3", "the", "the,", "/", "\n", " \n  ", "\xa0", " "]),
        max_size=14,
    )
)
@settings(max_examples=200)
def test_words_that_are_repeated_over_spaces_and_lines(english, parts):
    english.check(["".join(parts), " ".join(parts)])


def test_every_whitespace_is_a_token_as_fastai_has_it(english):
    spaces = [chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()]
    english.check(
        [f"{x}{space}a{space}b  {space}  c{x} {space}/{space} d{space}" for space in spaces for x in ("", "\xad", "\n")]
    )


def test_a_generator_is_read_no_further_than_it_is_asked(english):
    given_texts: list[str] = []
    texts = (given_texts.append(text) or text for text in ["some words"] * 1_000_000)
    assert next(english.ours.tokens(texts)) == ["xxbos", "some", "words"]
    assert len(given_texts) < 100_000


@given(st.lists(nasty, min_size=1, max_size=3))
@settings(max_examples=60)
def test_tokens_in_other_languages(other, texts):
    other.check(texts)


@given(nasty | emoticons | st.text(max_size=30))
@settings(max_examples=300)
def test_splits_are_spacys_without_the_rules(english, text):
    assert english.splitter.split(text) == list(next(iter(english.spacy([text]))))


@pytest.mark.parametrize(
    "text", ["a:) ) b", "x:-) :( )", "EE. UU.", "(a.m.)", "", " ", "\n", " \n ", "a \n b", "a\u3000b  c", "xxmaj"]
)
def test_chunks_that_meet(english, text):
    english.check([text])
    assert english.splitter.split(text) == list(next(iter(english.spacy([text]))))


@pytest.mark.parametrize(
    "text", ["a-b", "and/or/nor", "x a-b-c.", "1-2-3", "me@ex-a.com", "10/12/2001", "(ab-cd)", "5mg", "1.5m"]
)
def test_what_is_cut_within_words_and_numbers(other, text):
    other.check([text])


@pytest.mark.slow
def test_french():
    # Its expressions are 1.5 million characters long and take seconds to compile.
    french = Pair("fr")
    french.check(["Aujourd'hui, l'été n'est-il pas là ? Peut-être qu'Anne-Marie l'a dit.", "Va-t'en ! C.-à-d. à 10h30 ; 12°C"])
    french.check(python_paragraphs(200)[:200])


def test_a_memo_that_overflows_changes_nothing(english):
    small = WordTokenizer(english.rules, remembered=7)
    texts = python_paragraphs(100)
    assert list(small.tokens(texts)) == list(english.ours.tokens(texts))


def test_threads_share_a_tokenizer(english):
    texts = python_paragraphs(300)
    expected = list(english.ours.tokens(texts))
    shared = WordTokenizer(english.rules, remembered=50)
    found: list[list[list[str]]] = []
    threads = [threading.Thread(target=lambda: found.append(list(shared.tokens(texts)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


@pytest.mark.parametrize("lang", ["en", "el"])
def test_long_chunks_are_spacys(lang):
    """Longer than the window in which affixes are looked for, in languages with each kind of affix expression."""
    pair = Pair(lang)

    @given(st.lists(st.text(".…", max_size=70) | st.sampled_from([*"!,$%😀a5-)(:\n", "a.", "A.", "10km", "'s"]), min_size=30))
    @settings(max_examples=60)
    def check(pieces):
        text = "".join(pieces) + "!?" * 40
        assert pair.splitter.split(text) == list(next(iter(pair.spacy([text]))))

    check()


LONG = {
    "minified JSON": '{"id":17,"name":"storm","tags":["a","b"],"n":-1.5e3,"ok":true},',
    "hex with colons": "6f:a0:3c:11:",
    "times": "12:30:45,",
    "letters with dots": "a.b.c.d.",
    "parentheses": "()",
    "mixed brackets": "([)]",
    "quotes": "'\"",
    "quoted s": "ab's's",
    "dots and commas": ".,",
    "dots and brackets": "..............)",
    "addresses": "http://a.b/c?d=e&",
    "e-mails": "ab.c@d.ef,",
    "at signs": "a.b@:",
    "colons": "a:",
    "emoji": "😀😃",
    "Chinese": "東「京」、",
    "euros": "€12,",
    "units": "5km",
    "sums": "1+1-",
    "entities": "&amp;&#12371;",
}


@pytest.mark.parametrize("piece", LONG.values(), ids=LONG)
def test_a_long_chunk_is_split_in_linear_time(english, piece):
    """An eighth of a megabyte takes 0.1 to 2 s on one core; what is quadratic takes a minute."""
    text = piece * ((1 << 17) // len(piece))
    started = time.process_time()
    [tokens] = WordTokenizer(english.rules).tokens([text])
    assert time.process_time() - started < 10
    assert tokens[0] == "xxbos"


@pytest.mark.parametrize("piece", LONG.values(), ids=LONG)
@pytest.mark.parametrize("around", ["{}", "a{}", "{}b", "({})", "x{}a.b", "{}'s", "ab" * 40 + "{}" + "!?" * 30])
def test_a_long_chunk_has_spacys_tokens(english, piece, around):
    text = around.format(piece * (600 // len(piece)))
    assert english.splitter.split(text) == list(next(iter(english.spacy([text]))))


@given(st.text("a.:-/()[]'0123,€@A😀", min_size=40, max_size=400))
@settings(max_examples=200)
def test_long_random_chunks_have_spacys_tokens(english, text):
    assert english.splitter.split(text) == list(next(iter(english.spacy([text]))))


@pytest.mark.parametrize("text", ["&#" + "9" * 5000 + ";", "&#x" + "f" * 5000 + ";", "a &#" + "1" * 100_000])
def test_an_entity_with_a_number_of_any_length_is_no_character(english, text):
    [tokens] = english.ours.tokens([text])
    assert tokens[-1] == "�"


def test_rules_survive_json(english):
    assert SplitRules.from_json(json.loads(json.dumps(english.rules.to_json()))) == english.rules


def test_a_special_case_must_be_its_parts(english):
    with pytest.raises(ValueError, match="'ab'"):
        SplitRules.from_json(replace(english.rules, special_cases={"ab": ["a", "c"]}).to_json())


@pytest.mark.parametrize("lang", ["zh", "qq"])
def test_languages_without_rules_are_refused(lang):
    with pytest.raises(UsageError, match=repr(lang)):
        SplitRules.from_spacy(lang)


@pytest.mark.slow
@pytest.mark.skipif("VECSEARCH_DATA" not in os.environ, reason="VECSEARCH_DATA does not name a folder of corpora")
@pytest.mark.parametrize("name", ["corpora/movies", "corpora/trivia", "text/film-reviews"])
def test_tokens_of_whole_corpora(english, name):
    with lzma.open(Path(os.environ["VECSEARCH_DATA"]) / f"{name}.jsonl.xz", "rt", encoding="utf-8") as file:
        english.check([value for line in file for value in json.loads(line).values() if isinstance(value, str)])
