"""Files read by child processes: what is wrong with one is said, and stops no other."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from vecsearch.corpus.folder.conversion import Limits, read_all
from vecsearch.corpus.folder.walk import Found, LeftOut, Tree
from vecsearch.files import sha256


def read(folder: Path, limits: Limits | None = None, workers: int = 2):
    return list(read_all(Tree((str(folder),)).files(LeftOut()), limits or Limits(), workers))


def problems(folder: Path, limits: Limits | None = None) -> dict[str, str]:
    return {Path(one.found.name).name: one.problem for one in read(folder, limits) if one.content is None}


def test_files_come_in_their_order_with_the_state_of_their_bytes(tmp_path):
    for number in range(40):
        (tmp_path / f"{number:02}.md").write_text(f"# {number}\n\n" + "text " * (40 - number) * 100)
    found = read(tmp_path)
    assert [one.content.blocks[0].text for one in found] == [str(number) for number in range(40)]
    for one in found:
        state = os.stat(one.found.path)
        assert (one.size, one.modified_ns, one.sha256) == (state.st_size, state.st_mtime_ns, sha256(Path(one.found.path)))


def test_each_problem_is_said_and_the_other_files_are_read(tmp_path):
    (tmp_path / "a.md").write_text("good")
    (tmp_path / "bad.ipynb").write_text("{")
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)))
    (tmp_path / "empty.md").write_text("")
    (tmp_path / "blank.md").write_text("\n \n")
    (tmp_path / "long.txt").write_text("x" * 3000)
    (tmp_path / "z.md").write_text("good")
    said = problems(tmp_path, Limits(text_bytes=2000))
    assert said["empty.md"] == "is empty" and said["blank.md"] == "has no text"
    assert "binary" in said["binary.txt"] and "no notebook" in said["bad.ipynb"]
    assert "3,000 bytes" in said["long.txt"] and "2,000" in said["long.txt"]
    assert len(said) == 5


def test_too_much_text_is_said(tmp_path):
    (tmp_path / "a.txt").write_text("x" * 3000)
    assert "1,000 characters" in problems(tmp_path, Limits(characters=1000))["a.txt"]


def test_a_file_that_takes_too_long_ends_with_its_process(tmp_path):
    # Front matter that refers to itself, nine at a time: 9 ** 9 entries.
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
    (tmp_path / "bomb.md").write_text(f"---\n{bomb}---\ntext\n")
    (tmp_path / "z.md").write_text("good")
    said = problems(tmp_path, Limits(seconds=3, memory=1 << 30))
    assert list(said) == ["bomb.md"]
    assert "3 s" in said["bomb.md"] or "1,024 MB" in said["bomb.md"]


@pytest.mark.parametrize("suffix", [".html", ".md", ".ipynb", ".txt", ".rst", ".py"])
def test_nesting_is_no_way_to_break_it(tmp_path, suffix):
    deep = {
        ".html": "<div>" * 100_000 + "x",
        ".md": "> " * 20_000 + "x\n" + "[" * 20_000,
        ".ipynb": '{"cells": ' + "[" * 100_000,
        ".txt": "(" * 100_000,
        ".rst": "\n".join(" " * n + "x" for n in range(2000)),
        ".py": "(" * 5_000 + ")" * 5_000,
    }
    (tmp_path / f"deep{suffix}").write_text(deep[suffix])
    (tmp_path / "z.md").write_text("good")
    found = read(tmp_path, Limits(seconds=20))
    assert [bool(one.content) or bool(one.problem) for one in found] == [True, True]
    assert found[1].content is not None


def test_a_file_that_is_gone_or_no_file_any_more(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    found = [Found(name, str(tmp_path / name), "text", 1, 1) for name in ("gone.md", "pipe")]
    said = [one.problem for one in read_all(found, Limits(seconds=5), 1)]
    assert "No such file" in said[0] and "no file any more" in said[1]


def test_a_file_that_changes_while_it_is_read_is_never_half_read(tmp_path):
    path = tmp_path / "a.txt"
    versions = [letter * 200_000 for letter in "ab"]
    path.write_text(versions[0])
    ended = threading.Event()

    def write() -> None:
        while not ended.is_set():
            for version in versions:
                path.write_text(version)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = [Found("a.txt", str(path), "text", 1, 1)] * 200
        for one in read_all(found, Limits(), 2):
            if one.content is not None:
                text = one.content.blocks[0].text
                assert len(set(text)) == 1 and len(text) == one.size
            else:
                assert "changes" in one.problem or "empty" in one.problem
    finally:
        ended.set()
        writer.join()


def test_nothing_beside_the_documents_is_run(tmp_path, monkeypatch):
    for module in ("numpy", "json", "yaml", "markdown_it", "lxml", "sitecustomize", "vecsearch"):
        (tmp_path / f"{module}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (tmp_path / "a.md").write_text("---\na: 1\n---\ntext")
    monkeypatch.chdir(tmp_path)
    assert read(Path("."), workers=1)[0].content.fields == {"a": 1}
    assert not (tmp_path / "ran").exists()


def test_what_a_file_says_that_no_index_can_hold_is_left_out(tmp_path):
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": [{"cell_type": "code", "source": "a\0b \ud800 c"}]}))
    (tmp_path / "b.md").write_text("---\nx: !!binary aGk=\nw: .nan\nwhen: 2025-01-31T10:00:00Z\n---\ntext\n")
    notebook, note = read(tmp_path)
    assert notebook.content.blocks[0].text == "ab ? c"
    assert note.content.fields == {"x": "hi", "w": None, "when": "2025-01-31T10:00:00+00:00"}
