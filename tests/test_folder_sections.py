"""Blocks as passages: nothing is lost, none is too long, and each has its headings and its place."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch.corpus.folder.content import Block, Content
from vecsearch.corpus.folder.formats.markdown import markdown_blocks
from vecsearch.corpus.folder.formats.text import paragraphs
from vecsearch.corpus.folder.sections import Sections
from vecsearch.corpus.passages import Chunks, PassageSplitter


def sections(most: int) -> Sections:
    """Counts a word as one token."""
    return Sections(PassageSplitter(Chunks(most), lambda text: ["", *text.split()]), most)


def passages(text: str, most: int = 50, title: str = ""):
    return list(sections(most).passages(Content(list(markdown_blocks(text)), title)))


WORDS = st.text("abcde .!?é。", max_size=40)
BLOCKS = st.builds(
    lambda text, level, lines: Block(text, ("line", 1), level, lines and not level),
    st.lists(WORDS, max_size=4).map("\n".join),
    st.sampled_from([0, 0, 0, 1, 2, 3, 7]),
    st.booleans(),
)


@given(st.lists(BLOCKS, max_size=12), st.integers(2, 12))
@settings(max_examples=300)
def test_every_word_is_in_a_passage_and_none_is_too_long(blocks, most):
    found = list(sections(most).passages(Content(blocks)))
    words = [word for block in blocks if not block.level for word in block.text.split()]
    assert "".join(word for passage in found for word in passage.text.split()) == "".join(words)
    headings = {" ".join(block.text.split()) for block in blocks if block.level and block.text.strip()}
    assert {heading for passage in found for heading in passage.headings} == headings
    for passage in found:
        room = max(most // 2, most - len(passage.heading.split()))
        assert len(passage.text.split()) <= room


def test_a_passage_has_the_headings_above_it_and_the_line_where_it_begins():
    found = passages("intro\n\n# Install\n\n## Linux\n\nrun apt\n\n## macOS\n\n# Use\n\nask\n\nagain\n")
    assert [(p.heading, p.text, p.place) for p in found] == [
        ("", "intro", ("line", 1)),
        ("Install > Linux", "run apt", ("line", 5)),
        ("Install > macOS", "", ("line", 9)),
        ("Use", "ask\n\nagain", ("line", 11)),
    ]


def test_the_title_comes_first_where_no_heading_repeats_it():
    assert passages("# Notes\n\ntext", title="Notes")[0].heading == "Notes"
    assert passages("# Day\n\ntext", title="Notes")[0].heading == "Notes > Day"


def test_a_table_that_is_too_long_is_split_between_rows_and_each_part_has_its_header():
    rows = "\n".join(f"| r{i} | x{i} |" for i in range(10))
    found = passages(f"| name | value |\n|---|---|\n{rows}\n", most=15)
    assert [p.text.split("\n")[0] for p in found] == ["name | value"] * len(found)
    assert [row for p in found for row in p.text.split("\n")[1:]] == [f"r{i} | x{i}" for i in range(10)]
    for p in found[1:]:
        first_row = p.text.split("\n")[1]
        assert p.place == ("line", 3 + int(first_row[1 : first_row.index(" ")]))


def test_code_that_fits_stays_whole_and_begins_a_passage():
    found = passages("one two three four five six\n\n```\na = 1\n\nb = 2\n```\n\nseven\n", most=8)
    assert [p.text for p in found] == ["one two three four five six", "a = 1\n\nb = 2\n\nseven"]
    assert found[1].place == ("line", 3)


def test_a_paragraph_that_is_too_long_ends_with_a_sentence():
    text = "One is here. Two is there! Is three? “Yes.” Four went away with five."
    found = list(sections(7).passages(Content(list(paragraphs(text)))))
    assert [p.text for p in found] == ["One is here. Two is there!", "Is three? “Yes.”", "Four went away with five."]


def test_a_word_that_is_too_long_is_cut():
    splitter = PassageSplitter(Chunks(5), lambda text: ["", *re.findall(r".{1,4}", text)])
    found = list(Sections(splitter, 5).passages(Content([Block("x" * 100)])))
    assert "".join(p.text for p in found) == "x" * 100
    assert max(len(p.text) for p in found) <= 20
