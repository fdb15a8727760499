"""Affixes are found where a search of the whole string finds them, however little of it is looked at."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch.text.affixes import matcher, prefix_length, suffix_length
from vecsearch.text.splitting import SplitRules

ATOMS = st.sampled_from(
    [
        *("a", r"\.", r"\.+", r"\.\.+", "a*", "[ab]", "[ab]+", "[^a]", ".", "$", "^", r"\n", r"\b", "(?m:^)", "(?i:A)"),
        *(
            "(?<=a)",
            "(?<![ab])",
            "(?<=a.)",
            "(?<=^b)",
            "(?<=(?<=a)b)",
            "(?<!^)",
            r"(?=\.+$)",
            "(?!b)",
            "[ab]{0,3}",
            r"(?:b\.){2}",
        ),
    ]
)
PARTS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        st.lists(inner, min_size=1, max_size=2).map(lambda parts: f"({'|'.join(parts)})"),
    ),
    max_leaves=5,
).filter(lambda part: part.count("+") + part.count("*") < 2)  # more of them take the search itself too long
BRANCHES = st.lists(PARTS, min_size=1, max_size=3)
RUNS = st.tuples(st.sampled_from([*"ab.\nA", "ab", "a.", "..b", ".\n"]), st.integers(1, 80)).map(lambda run: run[0] * run[1])
STRINGS = st.tuples(st.lists(RUNS, max_size=3).map("".join), st.text("ab.\n", max_size=4)).map("".join)
FLAGS = st.sampled_from([0, 0, 0, re.IGNORECASE, re.MULTILINE])


def searched(pattern: re.Pattern[str], string: str) -> int:
    match = pattern.search(string)
    return len(match[0]) if match else 0


@given(branches=BRANCHES, flags=FLAGS, strings=st.lists(STRINGS, min_size=1, max_size=10))
@settings(max_examples=500)
def test_lengths_are_those_of_a_search(branches, flags, strings):
    begins = re.compile("|".join(f"^{branch}" for branch in branches), flags)
    ends = re.compile("|".join(f"{branch}$" for branch in branches), flags)
    for pattern in (begins, ends):
        for length in (prefix_length(pattern), suffix_length(pattern)):
            for string in strings:
                for start, end in {(0, len(string)), (len(string) // 3, len(string)), (1, max(1, len(string) - 2))}:
                    assert length(string, start, end) == searched(pattern, string[start:end])
            begins_with = matcher(pattern)
            for string in strings:
                assert begins_with(string, 2, len(string)) == (pattern.match(string[2:]) is not None)


@pytest.mark.parametrize(
    ("pattern", "string"),
    [
        ("(?<=ba{40})!$", "c" * 500 + "b" + "a" * 40 + "!"),
        ("(?<!ba{40})!$", "c" * 500 + "b" + "a" * 40 + "!"),
        ("(?=(?<=ba{40})!)!$", "c" * 500 + "b" + "a" * 40 + "!"),
        ("(?<=(?<=ba{30})a{40})!$", "c" * 500 + "b" + "a" * 70 + "!"),
        (r"\.+!$", "a" + "." * 500 + "!\n"),
        (r"(?:a|\.)+!$", "b" + "a." * 500 + "!"),
        (r"(a)?(?(1)b\.|!)+$", "a" + "b." * 500),
        ("(?i:a)+!$", "b" + "A" * 500 + "!"),
    ],
)
def test_what_reaches_far_back_is_found(pattern, string):
    compiled = re.compile(pattern)
    assert suffix_length(compiled)(string, 0, len(string)) == searched(compiled, string)


@pytest.mark.slow
@pytest.mark.parametrize("lang", ["en", "fr", "hu", "id"])
def test_the_affixes_of_languages_are_those_of_a_search(lang):
    rules = SplitRules.from_spacy(lang)
    affixes = [(rules.prefix.compile(), prefix_length), (rules.suffix.compile(), suffix_length)]
    compared = [(pattern, length(pattern)) for pattern, length in affixes]
    pieces = st.sampled_from([*"!,$%😀…°a5-)(:\n.", "a.", "A.", "10km", "'s", "......", "km²", "5€", "°c."])

    @given(st.lists(pieces, max_size=12), st.text("ab.", min_size=1, max_size=2), st.sampled_from([5, 200, 3000]))
    @settings(max_examples=60)
    def check(pieces, filler, count):
        string = filler * count + "".join(pieces)
        for pattern, length in compared:
            assert length(string, 0, len(string)) == searched(pattern, string)

    check()


@pytest.mark.parametrize(
    ("pattern", "string"),
    [("!$", "a" * 2_000_000 + "!"), (r"\.\.+$|!$", "." * 2_000_000 + "a!"), ("(?<=a)!$|(?:bc){2}$", "a" * 2_000_000 + "!")],
)
def test_a_long_string_is_not_scanned_for_a_suffix(pattern, string):
    length = suffix_length(re.compile(pattern))
    assert all(length(string, start, len(string)) == 1 for start in range(10_000))  # 20 GB, if it were


@pytest.mark.parametrize("pattern", ["^!", r"^\.\.+|^(?:!|a(?=!))"])
def test_a_long_string_is_not_scanned_for_a_prefix(pattern):
    length = prefix_length(re.compile(pattern))
    string = "b" * 2_000_000
    assert not any(length(string, start, len(string)) for start in range(10_000))
