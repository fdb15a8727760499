"""Words in every script: marks, scripts without spaces, and what is written with signs."""

import shutil
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_keywords import Ones, documents, found, index_of, ones

from vecsearch.corpus.document import Document
from vecsearch.corpus.passages import Chunks
from vecsearch.index.build import Options
from vecsearch.index.index import Index

OLD = Path(__file__).parent / "indexes" / "format-3"


def ranked(opened, query):
    return [hit.id for hit in opened.keywords([query], 100)[0]]


# -- marks ---------------------------------------------------------------------------------------------------------------

SAME = [
    ("accents", "café CAFÉ cafe\u0301 cafe Cafè"),
    ("two accents", "một mô\u0323t mot Mộ\u0301t"),
    ("Greek", "Αθήνα αθηνα ΑΘΗΝΑ αθη\u0301να"),
    ("final sigma", "λόγος ΛΟΓΟΣ λογοσ"),
    ("Russian dots and stress", "ёлка елка е\u0308лка ЁЛКА ё\u0301лка"),
    ("й in both forms", "май маи\u0306 МАЙ"),
    ("German", "Straße STRASSE strasse"),
    ("Hebrew points", "שָׁלוֹם שלום ש\u05c1לו\u05b9ם"),
    ("Hebrew letters with a point of their own", "\ufb2aלום שלום"),
    ("Arabic vowels", "كِتَابٌ كتاب كـتـاب كتابٌ"),
    ("alef", "أحمد احمد ا\u0654حمد"),
    ("alef maqsura and teh marbuta", "مدرسة مدرسه مَدْرَسَة"),
    ("Persian letters", "کتاب كتاب"),
    ("Arabic forms of presentation", "ﻛﺘﺎﺏ كتاب"),
    ("nukta in both forms", "\u0958\u0932\u092e \u0915\u093c\u0932\u092e"),
    ("Bengali o in both forms", "\u0995\u09cb \u0995\u09c7\u09be"),
    ("Hangul in both forms", unicodedata.normalize("NFD", "서울") + " 서울"),
    ("full width", "ＣＡＦＥ cafe"),
    ("half-width kana", "ｶﾞｷﾞｸﾞ ガギグ"),
    ("ligatures", "ﬁne fine"),
    ("soft hyphens and zero width", "coope\u00adrate coo\u200bperate cooperate\ufeff cooperate"),
    ("joiners in Hindi", "क्\u200dष क्ष"),
    ("apostrophes", "O'Neil O’Neil o‘neil"),
    ("hyphens", "e-mail e‐mail E‑MAIL"),
]


@pytest.mark.parametrize(("kind", "words"), SAME, ids=[kind for kind, _ in SAME])
def test_one_word_in_several_forms(kind, words):
    forms = words.split(" ")
    with index_of([*forms, "nothing of it"]) as opened:
        for form in forms:
            assert set(found(opened, form)) == {f"d{n}" for n in range(len(forms))}, form
            assert set(found(opened, f'"{form}"')) == {f"d{n}" for n in range(len(forms))}, form


DIFFERENT = [
    ("Devanagari", "केला काला कला किला कीला कुल"),
    ("nukta", "\u0938\u091c\u093e \u0938\u091c\u093c\u093e"),
    ("Bengali", "দিন দান দীন দন"),
    ("Tamil", "பல் பால் பாலை பலா"),
    ("Telugu", "కల కాల కీలు"),
    ("Sinhala", "කල කාල කිල"),
    ("Tibetan", "བོད བད བུད"),
    ("Thaana", "ދިވެހި ދުވަހު"),
    ("й", "май маи"),
    ("ї", "їх іх"),
    ("powers", "10² 102"),
    ("hamza that is a letter", "سأل سئل"),
    ("emphatic", "cop cop2"),
]


@pytest.mark.parametrize(("kind", "words"), DIFFERENT, ids=[kind for kind, _ in DIFFERENT])
def test_marks_that_are_letters_decide(kind, words):
    words = words.split()
    with index_of([*words, "nothing of it"]) as opened:
        for n, word in enumerate(words):
            assert set(found(opened, word)) == {f"d{n}"}, word
            assert set(found(opened, unicodedata.normalize("NFD", word))) == {f"d{n}"}, word


# -- scripts without spaces ----------------------------------------------------------------------------------------------

RUNS = [
    "東京タワーは高い。",
    "京都へ行く",
    "重跑gen-itgc后",
    "서울에서 부산까지 갑니다",
    "ฉันรักภาษาไทยมาก",
    "ຂ້ອຍຮັກພາສາລາວ",
    "ខ្ញុំស្រលាញ់ភាសាខ្មែរ",
    "ကျွန်တော်မြန်မာစာဖတ်တယ်",
    "學習C++語言,很好",
    "我们在北京大学学习",
    "the plain English one",
]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("東京", {"d0"}),
        ("タワー", {"d0"}),
        ("高い", {"d0"}),
        ("ﾀﾜｰ", {"d0"}),
        ("京", {"d0", "d1", "d9"}),
        ("く", {"d1"}),
        ("重跑", {"d2"}),
        ("跑", {"d2"}),
        ("后", {"d2"}),
        ("gen-itgc", {"d2"}),
        ("itgc", {"d2"}),
        ("重跑gen-itgc后", {"d2"}),
        ('"跑gen"', {"d2"}),
        ('"itgc后"', {"d2"}),
        ('"跑 itgc"', set()),
        ("서울", {"d3"}),
        ("부산", {"d3"}),
        ("부산까지", {"d3"}),
        (unicodedata.normalize("NFD", "서울"), {"d3"}),
        ("ภาษา", {"d4"}),
        ("ไทย", {"d4"}),
        ("ພາສາ", {"d5"}),
        ("ភាសា", {"d6"}),
        ("မြန်မာ", {"d7"}),
        ("C++", {"d8"}),
        ("語言", {"d8"}),
        ("北京", {"d9"}),
        ("大学", {"d9"}),
        ('"京大学学"', {"d9"}),
        ('"京大阪"', set()),
        ("English", {"d10"}),
        ("上海", set()),
        ("図書館", set()),
    ],
)
def test_words_in_texts_without_spaces(query, ids):
    with index_of(RUNS[:6], RUNS[6:]) as opened:
        assert set(found(opened, query)) == ids


@pytest.mark.parametrize("whole", ["東京タワー", "北京大学", "서울에서", "ภาษาไทย", "重跑gen-itgc后", "C++語言"])
def test_a_whole_run_comes_before_its_parts(whole):
    parts = [whole[start : start + 2] for start in range(len(whole) - 1)]
    scattered = " ".join(part for part in parts[::-1] for _ in range(9))
    with index_of(
        [*(f"{part} " * 20 for part in parts), scattered, f"x、{whole}{'い長' * 60} {'b ' * 200}", "x", "y"]
    ) as opened:
        assert ranked(opened, whole)[0] == f"d{len(parts) + 1}"
        assert set(found(opened, f'"{whole}"')) == {f"d{len(parts) + 1}"}


# -- what is written with signs ------------------------------------------------------------------------------------------

SIGNS = [
    "C++",
    "C#",
    "F#",
    ".NET",
    "e-mail",
    "x86-64",
    "O'Neil",
    "AT&T",
    "node.js",
    "3.14",
    "#hashtag",
    "@user",
    "user@example.com",
    "9001:2015",
    "and/or",
    "TCP/IP",
    "100%",
    "$5",
    "€5",
    "20°C",
    "U.S.",
    "don't",
    "12:30:45",
    "foo_bar",
    "std::vector",
    "C++/C#",
    "R&D",
    "--help",
    "-5",
    "v1.2.3-rc1",
    "a+b",
    "§5",
    "A*",
    "A-",
    "C--",
    "__init__",
    "foo()",
    "<br>",
    "*args",
    "**kwargs",
    "~/bin",
    "pre-",
]
AROUND = [
    "{}",
    "I like {}.",
    "is it {}? {}’s",
    "{}...",
    "({}),",
    "“{}”:",
    '"{}"!',
    "{}—so",
    "the **{}**; _{}_",
    "{}\n{}\tx",
    "在{}中",
]


@pytest.mark.parametrize("around", AROUND)
def test_what_is_written_with_signs_comes_first(around):
    bare = ["".join(letter if letter.isalnum() else " " for letter in written) for written in SIGNS]
    others = [f"{text} " * 30 for words in bare for text in (words, *words.split())]
    exact = [around.format(written, written) + " and many other words that make it long" * 20 for written in SIGNS]
    with index_of(exact, others) as opened:
        for n, written in enumerate(SIGNS):
            if "**" in around and "*" in written:
                continue  # Nobody can tell the star of A* from those of bold letters.
            for query in (written, written.upper(), f"({written})", f'"{written}"'):
                # C++/C# has C++ as well.
                assert ranked(opened, query)[0] in {f"d{m}" for m, text in enumerate(exact) if written in text}, query
            assert f"d{n}" in ranked(opened, written)[:3], written


def test_what_is_written_with_signs_beside_other_words():
    texts = [
        "templates in C",
        "C and C# and more of C",
        "templates in C++, a tutorial",
        "ISO 2015, 9001",
        "ISO 9001:2015",
        "iso",
    ]
    with index_of(texts) as opened:
        assert ranked(opened, "C++ templates")[0] == "d2"
        assert ranked(opened, "ISO 9001:2015")[0] == "d4"
        assert ranked(opened, "c#") == ["d1", "d0", "d2"]
        # Within a longer form.
        assert ranked(opened, '"in C++"') == ["d2", "d0"]


@pytest.mark.parametrize(
    ("exact", "others", "query"),
    [
        ("O’Neil’s boat", "O Neil Neil O Neil boat", "O'Neil"),
        ("ISO\u00a09001:2015 certified", "ISO ISO 9001 2015 2015 9001 certified certified", "iso 9001:2015"),
        ("learning C++ with templates", "learning C with templates, templates, learning", "learn C++ templates"),
        ("We use ASP.NET", "the net, net, asp", "asp.net"),
        ("Ｃ＋＋が好き", "C C C", "C++"),
        ("he got an A- in it", "A A A", "A-"),
    ],
)
def test_other_words_said_often_do_not_outweigh_it(exact, others, query):
    segments = [f"{others} " * 3] * 5, [exact + " and so on" * 300], ["x", *[others] * 5]
    with index_of(*segments) as opened:
        assert ranked(opened, query)[0] == "d5"
        assert opened.keywords([query], 1, where="n >= 2")[0][0].id == "d5"


@pytest.mark.parametrize(
    ("texts", "query"),
    [
        (["an email", "an e-mail"], "email"),
        (["an email", "an e-mail"], "e-mail"),
        (["Oneil", "O'Neil", "O’Neil"], "oneil"),
        (["Oneil", "O'Neil", "O’Neil"], "O'Neil"),
        (["Oneil", "O'Neil", "O’Neil"], "O’Neil"),
        (["XK47", "XK-47", "XK 47"], "XK-47"),
        (["a C++-style cast", "the C++'s cast", "C++/Java", "C++11 C++"], "C++"),
        (["a node.js-like", "node.js's", "(node.js)"], "node.js"),
    ],
)
def test_with_and_without_a_hyphen(texts, query):
    with index_of([*texts, "x", "y", "z"]) as opened:
        assert set(found(opened, query)) == {f"d{n}" for n in range(len(texts))}


SIGNED = ["a.b.", "()", '{"a":1,', "a0:", "*a", "__a", "<a", "',", "a-", "~/a", "_", '"a', "a'"]
UNSIGNED = ["x", "日本", "日a-", "กา", "e\u0301", "\u0301"]


@pytest.mark.parametrize("period", [*SIGNED, *UNSIGNED])
def test_a_long_text_without_spaces_takes_no_longer_than_others(period):
    """Not a measurement: where a text is read again from each of its characters, this takes a minute."""
    text = period * (40_000 // len(period))
    before = time.process_time()
    with index_of([text, "nothing of it"]) as opened:
        for query in (text, f'"{text}"'):
            assert set(found(opened, query)) <= {"d0", "d1"}
    assert time.process_time() - before < 6


@pytest.mark.parametrize("query", ["-- ++", "→", "🎬", "…", "'", '"++"', "\u0301", "\u200b", "。", "\ud800", "\0"])
def test_what_has_no_letter_finds_nothing(query):
    with index_of(["-- ++ → 🎬 … ' 。", "king"]) as opened:
        assert found(opened, query) == {}
        assert set(found(opened, f"{query} king")) == {"d1"}


# -- a plain reading -----------------------------------------------------------------------------------------------------

SPACED = [
    "aeé e\u0301 ñ ß Ω ώ".replace(" ", ""),
    "йиеё\u0301",
    "שלםו\u05b8\u05c1",
    "كتابأ\u064e\u0651ـ",
    "कलम\u093e\u0947\u093f\u0940\u094d\u093c",
    "பலம\u0bbe\u0bc8\u0bcd",
    "xyz019",
]
WORDS = st.sampled_from(SPACED).flatmap(lambda letters: st.text(st.sampled_from(letters), min_size=1, max_size=4))
UNSPACED = st.text(st.sampled_from("東京都タワ々ー서울에"), min_size=1, max_size=5)


def plain(word):
    """A word as it is compared, told in another way than the index does it."""
    out = ""
    for letter in unicodedata.normalize("NFC", word):
        name = unicodedata.name(letter)
        if name.startswith(("LATIN", "GREEK")) or letter == "ё":
            letter = unicodedata.normalize("NFD", letter)[0]
        if name.startswith(("HEBREW POINT", "ARABIC FATHA", "ARABIC SHADDA", "ARABIC TATWEEL", "COMBINING")):
            continue
        out += "ا" if letter == "أ" else letter
    return unicodedata.normalize("NFC", out.casefold())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(WORDS, min_size=1, max_size=5), min_size=1, max_size=6), st.lists(WORDS, max_size=5))
def test_words_are_found_as_a_plain_reading_finds_them(texts, others):
    read = [{plain(word) for word in text} - {""} for text in texts]
    with index_of([" ".join(text) for text in texts]) as opened:
        for word in [*others, *(word for text in texts for word in text)]:
            expected = {f"d{n}" for n, words in enumerate(read) if plain(word) in words}
            assert set(found(opened, word)) == expected, word
            assert set(found(opened, unicodedata.normalize("NFD", word))) == expected, word


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.one_of(UNSPACED, WORDS), min_size=1, max_size=5).map("".join), min_size=1, max_size=6),
    st.lists(UNSPACED, max_size=5),
)
def test_runs_are_found_wherever_they_stand(texts, others):
    with index_of(texts) as opened:
        inside = [text[start : start + 3] for text in texts for start in range(len(text))]
        for run in [*others, *(part for part in inside if all(letter in "東京都タワ々ー서울에" for letter in part))]:
            expected = {f"d{n}" for n, text in enumerate(texts) if run in plain(text)}
            assert set(found(opened, f'"{run}"')) == expected, run
            if expected:
                first = ranked(opened, run)[: len(expected)]
                assert set(first) == expected, run


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=12), min_size=1, max_size=5))
def test_every_word_of_a_text_finds_it(words):
    words = [word.encode("utf-8", "ignore").decode() for word in words]
    with index_of([" ".join(words), "x"]) as opened:
        for chunk in " ".join(words).split():
            if any(letter.isalnum() for letter in chunk) and '"' not in chunk:
                assert "d0" in found(opened, chunk), chunk
                assert "d0" in found(opened, f'"{chunk}"'), chunk


# -- around the words ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "passage"),
    [("東京", "東京タワーは高い"), ("高", "東京タワーは高い"), ("C++", "C++ and"), ("cafe", "CAFÉ no"), ("केला", "केला है")],
)
def test_the_passage_shown_has_the_word(tmp_path, query, passage):
    text = "C or काला है C++ and 京都へ行く a CAFÉ no 東京タワーは高い thing केला है end"
    with Index.build(tmp_path / "index", documents(text), Ones(), options=Options(chunks=Chunks(2))) as opened:
        assert passage.split()[0] in opened.keywords([query], 1)[0][0].passage


def test_an_index_from_before_answers_as_it_did_and_after_compact_as_a_new_one(tmp_path):
    shutil.copytree(OLD / "clusters", tmp_path / "i")
    with Index.open(tmp_path / "i") as index:
        text = index.documents([7])[0].text
        before = found(index, text)
        assert set(before) == {f"d{n}" for n in range(60)} and max(before, key=before.get) == "d7"
        assert found(index, "7") == pytest.approx({"d7": found(index, "7")["d7"]})
        index.add([Document("new", "東京タワーは高い C++ 7"), Document("c", "c")], vectors=[np.ones((2, 5), np.float32)])
        assert set(found(index, "7")) == {"d7", "new"} and ranked(index, "C++") == ["new", "c"]
        assert set(found(index, "東京")) == {"new"}
        index.compact()
        assert set(found(index, text)) == {*(f"d{n}" for n in range(60)), "new"} and ranked(index, "C++") == ["new", "c"]


def test_why_nothing_is_found(vecsearch, tmp_path):
    texts = [Document("a", "東京タワーは高い"), Document("b", "C++")]
    Index.build(tmp_path / "i", texts, vectors=ones(2)).close()
    shutil.copytree(OLD / "exact", tmp_path / "old")

    def said(index, *arguments):
        ran = vecsearch("query", tmp_path / index, *arguments, "--keywords")
        assert (ran.code, ran.out) == (0, "")
        return [line for line in ran.err.splitlines() if "nothing" in line]

    assert said("i", "大阪") == ["note: nothing is found for '大阪': no document has a word of it"]
    without = "words are looked for, and it has neither letter nor digit"
    assert said("i", "++ → 🎬", "zzz") == [
        f"note: nothing is found for '++ → 🎬': {without}",
        "note: nothing is found for 'zzz': no document has a word of it",
    ]
    assert said("i", "king/queen") == [
        "note: nothing is found for 'king/queen': no document has a word of it, nor those of 'king/queen' one after another; "
        "ask for them with spaces between",
    ]
    assert said("i", "--where", "id = 'a'", "++") == [f"note: nothing is found for '++': {without}"]
    assert said("i", "--where", "id = 'z'", "東京") == ["note: nothing is found for '東京': no document meets the condition"]
    (line,) = said("old", "ext")
    assert line.startswith(
        "note: nothing is found for 'ext': no document has a word of it; a part of the index is of an earlier"
    )
    assert line.endswith(": vecsearch compact")
