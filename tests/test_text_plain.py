"""The proof that an expression leaves plain letters alone must never be wrong, and should not be too timid."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch.encoders import open_encoder
from vecsearch.text.plain import never_matches_plain

LETTERS = st.text("abcdefghijklmnopqrstuvwxyz", max_size=12)
ATOMS = st.sampled_from(
    [
        "a",
        "k",
        "Z",
        "7",
        r"\.",
        "[a-f]",
        "[^a]",
        "[0-9]",
        r"\d",
        r"\w",
        r"\s",
        ".",
        "K",
        "[А-я]",
        "$",
        "^",
        r"\b",
        "(?=x)",
        "(?<=7)",
    ]
)
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "*?"])).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
        inner.map(lambda part: f"(?!{part})"),
        inner.map(lambda part: f"(?i:{part})"),
    ),
    max_leaves=6,
)


@given(pattern=PATTERNS, flags=st.sampled_from([0, re.IGNORECASE]), strings=st.lists(LETTERS, min_size=1, max_size=30))
@settings(max_examples=400)
def test_what_is_proved_is_so(pattern, flags, strings):
    if never_matches_plain(pattern, flags):
        assert not [string for string in strings if re.search(pattern, string, flags)]


@pytest.mark.parametrize(
    "pattern", [r"\.", "[0-9]+km", r"(?<=[0-9])km", "'s$", "(?:-|—)(?=[a-z])", r"[A-Z]", r"\d", r"x\s", "é"]
)
def test_what_is_plainly_so_is_proved(pattern):
    assert never_matches_plain(pattern, 0)


@pytest.mark.parametrize(
    "pattern", ["", "a", "[a-z]", r"\w", "x?", "(?i:K)", "(?i)\u212a", "[^0-9]", ".", "a|7", r"(?!7)", "$"]
)
def test_what_may_match_is_not_proved(pattern):
    assert not never_matches_plain(pattern, 0)


def test_english_is_proved():
    rules = open_encoder()._opened.tokenizer.rules
    assert all(never_matches_plain(p.pattern, p.flags) for p in (rules.prefix, rules.suffix, rules.infix, rules.url_match))
