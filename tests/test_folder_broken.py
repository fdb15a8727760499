"""Whole, broken and hostile files of each kind: each is read, or named with what is wrong, and stops no other."""

from __future__ import annotations

from pathlib import Path

import pytest
import sample_files as made

from vecsearch.corpus.folder.conversion import Limits, read_all
from vecsearch.corpus.folder.walk import LeftOut, Tree

SAMPLES = made.samples()


def read(folder: Path, limits: Limits | None = None):
    return list(read_all(Tree((str(folder),)).files(LeftOut()), limits or Limits(seconds=20), 1))


def text_of(content) -> str:
    return "\n".join(block.text for block in content.blocks)


@pytest.mark.parametrize("suffix", SAMPLES)
def test_a_whole_file_says_what_is_in_it(tmp_path, suffix):
    (tmp_path / f"a{suffix}").write_bytes(SAMPLES[suffix])
    (one,) = read(tmp_path)
    assert one.problem == "" and "zebra" in text_of(one.content)


def test_places_of_pages_slides_sheets_and_chapters(tmp_path):
    for suffix in (".pdf", ".pptx", ".xlsx", ".epub", ".docx"):
        (tmp_path / f"a{suffix}").write_bytes(SAMPLES[suffix])
    found = {one.found.kind: [(b.level, b.text, b.place) for b in one.content.blocks if b.text] for one in read(tmp_path)}
    assert found["pdf"] == [
        (1, "A zebra", ("page", 1)), (0, "It runs.", ("page", 1)), (1, "Another", ("page", 2)), (0, "page", ("page", 2)),
    ]  # fmt: skip
    assert found["slides"] == [
        (1, "A zebra", ("slide", 1)), (0, "It runs.", ("slide", 1)),
        (1, "Another", ("slide", 2)), (0, "It stands.", ("slide", 2)),
    ]  # fmt: skip
    assert found["spreadsheet"] == [(1, "Zebras", ("sheet", "Zebras")), (0, "name | age\nzebra | 3", ("sheet", "Zebras"))]
    assert found["ebook"][0] == (1, "A zebra", ("anchor", "b/c0.xhtml#h0"))
    assert found["document"] == [(1, "A zebra", None), (0, "It runs.", None)]


@pytest.mark.parametrize("suffix", SAMPLES)
def test_broken_files_are_named_and_stop_no_other(tmp_path, suffix):
    variants = dict(made.broken(suffix, SAMPLES[suffix], SAMPLES))
    assert len(variants) >= 20
    for name, data in variants.items():
        (tmp_path / f"{name}{suffix}").write_bytes(data)
    (tmp_path / f"zz-good{suffix}").write_bytes(SAMPLES[suffix])
    found = read(tmp_path)
    assert len(found) == len(variants) + 1
    for one in found:
        if one.content is None:
            assert one.problem and "\n" not in one.problem and "Traceback" not in one.problem
        else:
            assert text_of(one.content).strip()
    problems = {Path(one.found.name).stem: one.problem for one in found}
    assert problems["empty"] == "is empty"
    assert problems["spaces"] and problems["zeros"]
    assert problems["zz-good"] == ""


@pytest.mark.parametrize("suffix", [".docx", ".pptx", ".xlsx", ".epub"])
def test_a_zip_bomb_is_not_unpacked(tmp_path, suffix):
    (tmp_path / f"bomb{suffix}").write_bytes(made.zipped(**{f"part{n}.xml": "0" * 30_000_000 for n in range(10)}))
    assert "300,000,000" in read(tmp_path, Limits(parts_bytes=200_000_000))[0].problem


def test_a_part_that_unpacks_to_more_than_it_says(tmp_path):
    data = made.docx("# A", "x" * 2_000_000)
    lying = data.replace((2_000_000 + 313).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    (tmp_path / "a.docx").write_bytes(lying)
    assert read(tmp_path)[0].found.name.endswith("a.docx")


def test_a_pdf_of_ten_thousand_empty_pages(tmp_path):
    (tmp_path / "empty.pdf").write_bytes(made.pdf(*[""] * 10_000))
    assert read(tmp_path)[0].problem == "has no text"


def test_a_pdf_whose_pages_are_their_own_children(tmp_path):
    (tmp_path / "loop.pdf").write_bytes(made.pdf("zebra").replace(b"/Kids[4 0 R]", b"/Kids[2 0 R]"))
    (one,) = read(tmp_path)
    assert one.content is None and one.problem


def test_xml_that_grows_or_reads_other_files_does_neither(tmp_path):
    (tmp_path / "secret").write_text("secret zebra")
    bomb = '<!DOCTYPE p [<!ENTITY a0 "zebra"><!ENTITY f SYSTEM "' + str(tmp_path / "secret") + '">'
    bomb += "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)) + "]>"
    book = made.epub(("A", "B"))
    package = f"{bomb}<package><metadata><title>&a9;&f;</title></metadata><manifest/><spine/></package>"
    parts = {"META-INF/container.xml": '<container><rootfile full-path="p.opf"/></container>', "p.opf": package}
    (tmp_path / "bomb.epub").write_bytes(made.zipped(**parts))
    (tmp_path / "bomb.html").write_text(f"{bomb}<p>&a9;&f;</p><p>text</p>")
    (tmp_path / "good.epub").write_bytes(book)
    found = {Path(one.found.name).name: one for one in read(tmp_path)}
    assert found["good.epub"].content is not None
    assert "secret zebra" not in str([one.content for name, one in found.items() if name != "secret"])


def test_what_is_too_large_for_memory_ends_alone(tmp_path):
    (tmp_path / "large.ipynb").write_text('{"cells": [' + "{}," * 8_000_000 + "{}]}")
    (tmp_path / "z.md").write_text("good")
    large, good = read(tmp_path, Limits(memory=500 << 20, seconds=30))
    assert large.content is None and "MB" in large.problem
    assert good.content is not None
