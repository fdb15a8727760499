"""Affixes are found where a search of the whole string finds them, however little of it is looked at."""

from __future__ import annotations

import pkgutil
import re

import pytest
import spacy.lang
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch.errors import UsageError
from vecsearch.text.affixes import ends_of_words, leaves_words, outside_words, prefix_length, suffix_length
from vecsearch.text.expressions import Expression
from vecsearch.text.splitting import SplitRules

SLOW = {"fr", "id", "ms"}
"""Their expressions take seconds to compile."""
LANGUAGES = [
    pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())
    for _, name, is_package in pkgutil.iter_modules(spacy.lang.__path__)
    if is_package
]
PIECES = st.sampled_from(
    [*"abcdeghklmnstyzAEJ0157.,:;!?'’-–/()°€$%²…😀éιж+*~\"", "km", "'s", "......", "10km", "5€", "°c.", "http://"]
)
STRINGS = st.lists(PIECES, max_size=12).map("".join)
WORDS = st.text("abcdefghijklmnopqrstuvwxyz", max_size=12)


def searched(pattern: re.Pattern[str], string: str) -> int:
    match = pattern.search(string)
    return len(match[0]) if match else 0


def spans(pattern: re.Pattern[str], string: str) -> list[tuple[int, int]]:
    return [match.span() for match in pattern.finditer(string)]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_affixes_of_every_language_are_those_of_a_search(lang):
    try:
        rules = SplitRules.from_spacy(lang)
    except UsageError as error:
        pytest.skip(str(error))
    others = frozenset("éж")
    prefix, suffix, infix = (pattern.expression(others) for pattern in (rules.prefix, rules.suffix, rules.infix))
    compared = [(prefix.whole, prefix_length(prefix)), (suffix.whole, suffix_length(suffix))]
    assert all(map(leaves_words, (prefix, suffix, infix)))
    ends, within = sorted(ends_of_words(prefix, suffix)), outside_words(infix)

    @given(STRINGS, WORDS, st.sampled_from(["", "b", "a."]), st.sampled_from([5, 200]))
    @settings(max_examples=30)
    def check(string, word, filler, count):
        assert not any(expression.of(word).search(word) for expression in (prefix, suffix, infix))
        for pattern, length in compared:
            for whole in (string, word + string, filler * count + string):
                assert length(f"({whole}.", 1, 1 + len(whole)) == searched(pattern, whole)
                for expression in (prefix, suffix, infix):
                    assert spans(expression.of(whole), whole) == spans(expression.whole, whole)
        for whole in (string, word + string, string + word, f"{word}-{word}{string}"):
            assert spans(within.of(whole), whole) == spans(infix.whole, whole)
        for sign in ends if word else ():
            assert (searched(prefix.whole, word + sign), searched(suffix.whole, word + sign)) == (0, 1)

    check()


@pytest.mark.parametrize(
    ("prefix", "suffix", "ends"),
    [
        ("^,", r",$|(?<=[a-z0-9])\.$|%s$", {",", "."}),
        ("^,", r"(?<=[a-y])\.$|(?<=[0-9]);$|\.\.+$", set()),
        ("^l'|^,", ",$", set()),
        ("^,", r",$|[a-z]\.$", set()),
    ],
)
def test_signs_that_end_any_word(prefix, suffix, ends):
    assert ends_of_words(Expression(prefix, 0), Expression(suffix, 0)) == ends


@pytest.mark.parametrize(
    "pattern", ["-", r"(?<=[a-z])(?:-|--|~)(?=[a-z])", "(?<![0-9])[.,]", "[a-z]+-", "a?-", "(?:-|b)c", "", r"\w-", "(?:-)?x"]
)
@pytest.mark.parametrize("string", ["a-b", "ab--c", "bc", "1.a,b", "xyz", "", "a-bc-", "-bcx"])
def test_infixes_are_found_outside_words(pattern, string):
    infix = Expression(pattern, 0)
    assert spans(outside_words(infix).of(string), string) == spans(infix.whole, string)


@pytest.mark.parametrize("count", [1, 31, 32, 33, 63, 64, 65, 5000])
@pytest.mark.parametrize("around", ["{}", "a{}", "{}a"])
def test_a_run_is_one_affix_however_long(count, around):
    string = around.format("." * count)
    prefix, suffix = Expression(r"^\.+", 0), Expression(r"\.+$", 0)
    assert prefix_length(prefix)(string, 0, len(string)) == searched(prefix.whole, string)
    assert suffix_length(suffix)(string, 0, len(string)) == searched(suffix.whole, string)


@pytest.mark.parametrize("pattern", ["s$", "(?i)S$", "[a-z]$", ".$", "a?b$", "l'$", "[a-z]+-$"])
@pytest.mark.parametrize("string", ["cats", "ab", "aab", "all'", "bbb-"])
def test_suffixes_of_plain_letters_are_found_too(pattern, string):
    expected = re.compile(pattern)
    found = suffix_length(Expression(pattern, expected.flags))(string, 0, len(string))
    assert found == searched(expected, string)


@pytest.mark.parametrize("pattern", ["s$", "(?i)S$", "^[a-z]", ".", ""])
def test_an_expression_of_plain_letters_does_not_leave_words(pattern):
    assert not leaves_words(Expression(pattern, 0))


@pytest.mark.parametrize("suffix", [False, True])
def test_a_long_string_is_not_scanned_for_an_affix(suffix):
    length = suffix_length(Expression("!$", 0)) if suffix else prefix_length(Expression("^!|b!", 0))
    string = "b" * 2_000_000 + "!"
    assert [length(string, start, len(string)) for start in range(10_000)] == [int(suffix)] * 10_000  # 20 GB, if it were
