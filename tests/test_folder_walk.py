"""Which files of a folder are documents, beside what git says of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch.corpus.folder.kinds import BINARY, DATA, OTHER
from vecsearch.corpus.folder.walk import EXCLUDED, HIDDEN, LINKS, SPECIAL, LeftOut, Tree
from vecsearch.errors import CorpusError

NAMES = st.sampled_from(["a.md", "b.txt", "c.py", "old.md", "note"])
FOLDERS = st.sampled_from(["", "x", "y", "x/y", "x/z", "build"])
PATTERNS = st.sampled_from(
    [
        "*.md",
        "!old.md",
        "/x",
        "x/",
        "y/",
        "x/y",
        "**/z",
        "build/*",
        "!build/a.md",
        "*.py",
        "# c.py",
        "\\!a",
        "not?",
        "x/**/old.md",
    ]
)


def names(*roots, **patterns):
    left_out = LeftOut()
    return [found.name for found in Tree(tuple(map(str, roots)), **patterns).files(left_out)], left_out


def make(folder: Path, *paths: str) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    return folder


@given(
    files=st.sets(st.tuples(FOLDERS, NAMES), min_size=1, max_size=12),
    ignored=st.dictionaries(FOLDERS, st.lists(PATTERNS, min_size=1, max_size=3), max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_what_git_ignores_is_left_out(tmp_path_factory, files, ignored):
    folder = make(tmp_path_factory.mktemp("notes"), *(f"{inside}/{name}".lstrip("/") for inside, name in files))
    for inside, patterns in ignored.items():
        (folder / inside).mkdir(parents=True, exist_ok=True)
        (folder / inside / ".gitignore").write_text("\n".join(patterns) + "\n")
    git = {"cwd": folder, "check": True, "capture_output": True, "text": True}
    subprocess.run(["git", "init", "-q", "."], **git)
    listed = subprocess.run(["git", "ls-files", "--others", "--exclude-standard"], **git).stdout.splitlines()
    found, _ = names(folder)
    assert sorted(found) == sorted(f"{folder}/{name}" for name in listed if not name.endswith(".gitignore"))


def test_patterns_that_are_none_or_would_not_end_are_passed_over(tmp_path):
    make(tmp_path, "a" * 60 + ".md", "b.md", "c.md")
    (tmp_path / ".gitignore").write_text("a*a*a*a*a*a*a*a*a*a*a*a*x\n!\n[z-a]\n\\\nb.md\n")
    assert [name[-4:] for name in names(tmp_path)[0]] == ["a.md", "c.md"]


def test_a_gitignore_above_counts_within_a_repository_only(tmp_path):
    make(tmp_path, "repo/.git/x", "repo/notes/a.md", "repo/notes/drafts/b.md", "alone/notes/a.md", "alone/notes/drafts/b.md")
    for top in ("repo", "alone"):
        (tmp_path / top / ".gitignore").write_text("drafts\n")
    assert len(names(tmp_path / "repo/notes")[0]) == 1
    assert len(names(tmp_path / "alone/notes")[0]) == 2


def test_names_begin_with_the_path_as_it_was_given_and_each_reason_is_counted(tmp_path, monkeypatch):
    make(
        tmp_path / "notes",
        *("b.md", "a.md", "2024/c.txt", ".hidden.md", ".git/x", "photo.JPG", "rows.csv", "old.doc", "drafts/d.md"),
    )
    os.mkfifo(tmp_path / "notes/pipe.md")
    monkeypatch.chdir(tmp_path)
    told = []
    left_out = LeftOut(tell=lambda name, reason: told.append((name, reason)))
    found = [found.name for found in Tree(("notes/",), exclude=("drafts/*",)).files(left_out)]
    assert found == ["notes/2024/c.txt", "notes/a.md", "notes/b.md"]
    assert left_out.counts == {HIDDEN: 2, BINARY: 1, DATA: 1, OTHER: 1, EXCLUDED: 1, SPECIAL: 1}
    assert ("notes/rows.csv", DATA) in told and ("notes/pipe.md", SPECIAL) in told
    monkeypatch.chdir(tmp_path / "notes")
    assert names(".")[0] == ["2024/c.txt", "a.md", "b.md", "drafts/d.md"]


def test_patterns_meet_names_and_paths(tmp_path, monkeypatch):
    make(tmp_path, "n/a.md", "n/b.txt", "n/sub/c.md", "n/data.csv")
    monkeypatch.chdir(tmp_path)
    assert names("n", include=("*.md",))[0] == ["n/a.md", "n/sub/c.md"]
    assert names("n", include=("sub/*",))[0] == ["n/sub/c.md"]
    assert names("n", include=("*.csv",))[0] == ["n/data.csv"], "what is asked for is read, data as well"
    assert names("n", exclude=("sub", "*.txt"))[0] == ["n/a.md"]
    assert names("n/*.md", "n/b.txt")[0] == ["n/a.md", "n/b.txt"]
    assert names("n/**/*.md")[0] == ["n/a.md", "n/sub/c.md"]


def test_links_are_followed_once_and_never_in_circles(tmp_path, monkeypatch):
    make(tmp_path, "notes/a.md", "notes/sub/b.md", "elsewhere/c.md")
    for link, target in {"loop": "..", "twice": "sub", "sub/up": "..", "out": "../elsewhere", "gone.md": "nothing.md"}.items():
        (tmp_path / "notes" / link).symlink_to(target)
    (tmp_path / "elsewhere/back").symlink_to("../elsewhere")
    (tmp_path / "notes/same.md").symlink_to("a.md")
    monkeypatch.chdir(tmp_path)
    found, left_out = names("notes", "notes/sub", "notes/a.md")
    assert found == ["notes/a.md", "notes/out/c.md", "notes/sub/b.md"]
    assert left_out.counts == {LINKS: 8}


def test_a_path_that_is_not_there(tmp_path):
    for path in ("nothing", "nothing/*.md", "nothing.md"):
        with pytest.raises(CorpusError, match="nothing"):
            names(tmp_path / path)
    tree = Tree((str(make(tmp_path, "a.md")), "gone.md"))
    assert [found.kind for found in tree.files(LeftOut(), may_be_gone={"gone.md"})] == ["markdown"]
    with pytest.raises(CorpusError, match=r"gone\.md"):
        list(tree.files(LeftOut()))


def test_a_name_that_is_not_utf8(tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.md"
    Path(os.fsdecode(path)).write_text("text")
    assert names(tmp_path)[0] == [f"{tmp_path}/caf\\udce9.md"]
