"""What is written down of a JSON value is what it must be: the first that does not fit is named with its place."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsearch.schema import check, number, one_of, whole

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=5,
)
KINDS = {"text": str, "none": (None, int), "list": [int, ...], "table": {"a": str, ...: whole(1)}, "any": {}}
GOOD = {"text": "x", "none": None, "list": [1, 2], "table": {"a": "", "b": 1, "c": 2}, "any": {"x": [None]}}


def test_what_fits():
    check(GOOD, KINDS)
    check(GOOD | {"none": 3, "list": [0], "table": {"a": "x"}, "more": 1}, KINDS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"text": 1}, "holds 1 as text"),
        ({"none": True}, "holds True as none"),
        ({"list": []}, "holds [] as list"),
        ({"list": [1, 2.0]}, "holds 2.0 as list[1]"),
        ({"list": {"0": 1}}, "holds {'0': 1} as list"),
        ({"table": []}, "holds [] as table"),
        ({"table": {"b": 1}}, "has no table.a"),
        ({"table": {"a": "", "../b": 0}}, "holds 0 as table['../b']"),
        ({"any": None}, "holds None as any"),
    ],
)
def test_what_does_not_fit_is_named(change, said):
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        check(GOOD | change, KINDS)


def test_a_field_that_may_be_left_out():
    expected = {"a": int, "b?": {"c": str}}
    check({"a": 1}, expected)
    check({"a": 1, "b": {"c": "x"}}, expected)
    for value, said in (({"a": 1, "b": None}, "holds None as b"), ({"a": 1, "b": {}}, "has no b.c"), ({}, "has no a")):
        with pytest.raises(ValueError, match=f"^{said}$"):
            check(value, expected)


def test_a_long_value_is_cut_short():
    with pytest.raises(ValueError, match=r"^holds 'x{100}") as refused:
        check("x" * 10_000, int)
    assert len(str(refused.value)) < 300


@given(st.sampled_from(sorted(KINDS)))
def test_every_field_must_be_there(name):
    with pytest.raises(ValueError, match=f"^has no {name}$"):
        check({key: value for key, value in GOOD.items() if key != name}, KINDS)


@given(JSON)
def test_any_json_fits_or_is_refused_with_a_value_error(value):
    for expected in (KINDS, [KINDS], (None, [KINDS]), {...: KINDS}, one_of("a", ["b"]), number(), whole()):
        try:
            check(json.loads(json.dumps(value)), expected)
        except ValueError as refused:
            assert str(refused).startswith(("holds ", "has no "))


def test_numbers():
    for value, fits in ((0, True), (1, True), (0.5, True), (-0.1, False), (2, False), (True, False), ("1", False)):
        assert number(0, 1)(value) is fits
    for value in (float("nan"), float("inf"), -float("inf"), 10**400):
        assert not number()(value)
    assert [whole(1, 3)(value) for value in (0, 1, 3, 4, 2.0, True)] == [False, True, True, False, False, False]
    assert one_of("a", ["b"])(["b"]) and not one_of("a", ["b"])("b")
