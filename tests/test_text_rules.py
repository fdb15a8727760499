"""The text rules give what fastai's own give."""

from __future__ import annotations

import re
import sys
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsearch.text.rules import SPECIAL_TOKENS, apply_rules, mark_case

# What the rules look for, and what has odd lower cases (the final sigma's neighbors, the dotted I, the Kelvin sign).
TRIGGERS = [
    *"aAbBzZ09_ \n\t\r\x1c\x1f\x85\xa0\u2028\u3000.,'\"!-/#\\&;:<>@xX",
    *"ΣσςΑάЖжİıßẞKÅǅ\u0301\u200b\u200d\u00ad\ufeff😀中ไع",
    *(
        "  ",
        "...",
        "aaa",
        "a a a ",
        "Aa Aa Aa",
        "\\n",
        '\\"',
        "<br />",
        "<unk>",
        "#39;",
        "amp;",
        "#146;",
        "nbsp;",
        "#36;",
        "quot;",
    ),
    *(" @.@ ", " @-@ ", "&lt;", "&#0;", "&eacute", "xxmaj", "xxup ", "ΑΣ", "Σ.Α", "WORD ", "Word ", "wOrd "),
]
texts = st.lists(st.sampled_from(TRIGGERS), max_size=30).map("".join) | st.text(max_size=40)


@pytest.fixture(scope="module")
def fastai_rules():
    from fastai.text.core import defaults

    return lambda text: reduce(lambda text, rule: rule(text), defaults.text_proc_rules, text)


@given(texts)
def test_rules_are_fastais(fastai_rules, text):
    assert apply_rules(text) == fastai_rules(text)


@given(st.lists(st.sampled_from(["a", "b", "ab", "a.", "a-b", "é", "3", "33", "333", "A", " ", "\n", "_"]), max_size=24))
def test_repeated_words_are_fastais(fastai_rules, words):
    for text in ("".join(words), " ".join(words)):
        assert apply_rules(text) == fastai_rules(text)


@given(st.text("ABab.3É", max_size=8).filter(lambda chunk: chunk))
def test_a_chunk_is_marked_as_fastai_does(chunk):
    from fastai.text.core import lowercase, replace_all_caps, replace_maj

    assert f"xxbos {mark_case(chunk)}" == lowercase(replace_maj(replace_all_caps(chunk)))


@given(
    st.text("AaΣσς.'\u0301\u00ad ", max_size=12), st.sampled_from([chr(code) for code in range(0x3001) if chr(code).isspace()])
)
def test_lower_case_looks_no_further_than_whitespace(text, space):
    assert f"{text}{space}Σ{space}{text}".lower() == f"{text.lower()}{space}σ{space}{text.lower()}"


def test_whitespace_is_the_same_for_expressions_and_strings():
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        assert bool(re.match(r"\s", character)) == character.isspace() == (not character.split())


def test_special_tokens_are_fastais():
    from fastai.text.core import defaults

    assert list(SPECIAL_TOKENS) == defaults.text_spec_tok


def test_each_rule_is_seen():
    text = "HELLO There I 3333 so so so a/b #1 x  y<br />z &amp; #39; ..."
    assert apply_rules(text) == ("xxbos xxup hello xxmaj there i xxrep 4 3 xxwrep 3 so a / b # 1 x y\nz && ' …")
