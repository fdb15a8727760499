"""An expression without the characters that a string has not matches in it what the whole one does."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsearch.text.expressions import Expression

CHARACTERS = "aAkKsSiIzZ09_-^]\\[.:=~& \n\té€ßıſK’–…жЖ中😀\x7f\x80"
ELEMENTS = st.one_of(
    st.sampled_from(CHARACTERS).map(lambda c: rf"\{c}" if c in "]\\[^-" else c),
    st.sampled_from(CHARACTERS).map(lambda c: f"\\u{ord(c):04x}" if ord(c) < 1 << 16 else f"\\U{ord(c):08x}"),
    st.sampled_from(
        [r"\w", r"\W", r"\d", r"\s", r"\n", r"\-", r"\.", "a-z", "A-Z", r"\x00-\x7f", "é-ж", r"\u0041-\u0400", "ÿ-中", "^", "-"]
    ),
    st.tuples(st.sampled_from(CHARACTERS), st.sampled_from(CHARACTERS)).map(
        lambda ends: "-".join(f"\\U{ord(end):08x}" for end in sorted(ends))
    ),
)
CLASSES = st.builds(lambda no, inner: f"[{no}{''.join(inner)}]", st.sampled_from(["", "", "^"]), st.lists(ELEMENTS, min_size=1))
PARTS = st.one_of(
    CLASSES,
    CLASSES.map(lambda it: f"(?<={it})"),
    CLASSES.map(lambda it: f"(?={it})"),
    st.tuples(CLASSES, CLASSES).map(lambda two: f"(?<!{two[0]}|{two[1]})"),
    st.tuples(CLASSES, st.sampled_from("*+?")).map("".join),
    st.sampled_from(["a", "é", r"\[", r"\]", ".", "|", r"\w", "$", "^"]),
)
PATTERNS = st.lists(PARTS, min_size=1, max_size=5).map("".join)
STRINGS = st.text(CHARACTERS, max_size=12)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@given(
    PATTERNS,
    st.sampled_from([0, re.IGNORECASE, re.DOTALL]),
    st.sampled_from(["", "(?i)", "(?u)"]),
    st.frozensets(st.sampled_from("é€жK😀")),
    st.lists(STRINGS, min_size=1),
)
def test_it_matches_the_same(pattern, flags, inner, others, strings):
    pattern = inner + pattern
    try:
        expected = re.compile(pattern, flags)
    except re.error:
        with pytest.raises(re.error):
            Expression(pattern, flags, others).of("")
        return
    expression = Expression(pattern, flags, others)
    for string in strings:
        for some in (string, "".join(filter(str.isascii, string))):
            assert [m.span() for m in expression.of(some).finditer(some)] == [m.span() for m in expected.finditer(some)]
            assert expression.matches(some) == (expected.match(some) is not None)


@pytest.mark.parametrize("pattern", ["[", "a[b", "[^]", "[]", "a\\", "[b-a]", "(", r"[\u00]", r"[\w-z]"])
def test_what_is_no_expression_is_refused_for_any_string(pattern):
    with pytest.raises(re.error):
        Expression(pattern, 0).of("")


def test_most_of_a_class_is_left_out():
    expression = Expression("(?<=[a-zà-ÿ\\u0400-\\u04ff])[,;¡](?=[中])", 0, frozenset("à"))
    assert len(expression.narrow.pattern) < 60
    assert expression.narrow.search("à,") is None
    assert expression.of("ж,中") is expression.whole
    assert expression.of("à,’") is expression.narrow
