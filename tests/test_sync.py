"""An index follows its files: whatever happens to them, a sync makes of it what a build from nothing would."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from vecsearch import Encoder, Index
from vecsearch.corpus.folder.corpus import read_files
from vecsearch.errors import CorpusError, UsageError


class Counting(Encoder):
    """A vector of a text's letters; counts the texts that it encodes."""

    dim = 4
    fingerprint = "counting"

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, texts):
        self.encoded += len(texts)
        return np.array([[1, *(text.count(letter) for letter in "abc")] for text in texts], np.float32).reshape(-1, 4)


def build(folder: Path, *paths: str, encoder: Encoder | None = None, **options) -> Index:
    encoder = encoder or Counting()
    corpus = read_files(paths, tokens=encoder.tokens, index=str(folder), **options)
    return Index.build(folder, corpus, encoder)


def contents(index: Index) -> dict[str, tuple]:
    """All that an index holds, by id."""
    from vecsearch.store.alive import alive_blocks

    return {
        document.id: (document.text, document.fields, vector.tolist())
        for documents, vectors, _ in alive_blocks(index._view.snapshot, 100)
        for document, vector in zip(documents, vectors, strict=True)
    }


@pytest.fixture
def notes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in {"a.md": "# A\n\nabba\n\n# B\n\ncab\n", "sub/b.txt": "bab", "c.py": "def abc():\n    pass\n"}.items():
        path = tmp_path / "notes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "notes"


def test_each_change_of_a_file_is_told_and_followed(notes, tmp_path):
    encoder = Counting()
    with build(tmp_path / "i", "notes", encoder=encoder) as index:
        (notes / "new.md").write_text("acca")
        (notes / "a.md").write_text("# A\n\nabba\n\n# B\n\nchanged cab\n")
        (notes / "sub/b.txt").rename(notes / "renamed.txt")
        (notes / "c.py").unlink()
        encoder.encoded = 0
        planned = index.sync(dry_run=True)
        done = index.sync()
        for changes in (planned, done):
            assert (changes.new, changes.changed) == (["notes/new.md"], ["notes/a.md"])
            assert (changes.renamed, changes.gone) == ({"notes/sub/b.txt": "notes/renamed.txt"}, ["notes/c.py"])
        assert encoder.encoded == done.encoded == 2, "the new file and the changed passage"
        assert sorted(contents(index)) == ["notes/a.md:1", "notes/a.md:5", "notes/new.md:1", "notes/renamed.txt:1"]
        assert index.manifest.generation == 2
        assert not index.sync() and index.manifest.generation == 2


def test_a_touched_file_gets_its_new_time_and_is_not_encoded(notes, tmp_path):
    encoder = Counting()
    with build(tmp_path / "i", "notes", encoder=encoder) as index:
        encoder.encoded = 0
        os.utime(notes / "a.md", (1_000_000_000, 1_000_000_000))
        index.sync()
        assert encoder.encoded == 0
        assert contents(index)["notes/a.md:1"][1]["modified"] == "2001-09-09T01:46:40+00:00"


def test_a_folder_that_is_gone_deletes_nothing(notes, tmp_path):
    with build(tmp_path / "i", "notes") as index:
        shutil.move(notes, tmp_path / "elsewhere")
        with pytest.raises(CorpusError, match="notes"):
            index.sync()
        assert len(index) == 4


def test_a_file_that_was_given_by_name_may_go(notes, tmp_path):
    with build(tmp_path / "i", "notes/a.md", "notes/c.py") as index:
        (notes / "a.md").unlink()
        assert index.sync().gone == ["notes/a.md"]


def test_a_file_that_cannot_be_read_now_keeps_what_was_read(notes, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    with build(tmp_path / "i", "notes") as index:
        (notes / "a.md").write_text("changed")
        (notes / "a.md").chmod(0)
        assert not index.sync() and "notes/a.md:1" in contents(index)
        (notes / "a.md").chmod(0o644)
        assert index.sync().changed == ["notes/a.md"]


def test_a_file_that_breaks_leaves_the_index_and_one_that_is_mended_comes_back(notes, tmp_path):
    with build(tmp_path / "i", "notes") as index:
        (notes / "a.md").write_bytes(bytes(range(256)))
        told = []
        changes = index.sync(tell=lambda name, said: told.append((name, said)))
        assert changes.changed == ["notes/a.md"] and told[0][0] == "notes/a.md" and "binary" in told[0][1]
        assert "notes/a.md:1" not in contents(index)
        assert not index.sync(), "it is not read again as long as it stays so"
        with pytest.raises(CorpusError, match=r"a\.md"):
            (notes / "a.md").write_bytes(bytes(range(255)))
            index.sync(strict=True)
        (notes / "a.md").write_text("mended")
        index.sync()
        assert "notes/a.md:1" in contents(index)


def test_more_paths_are_followed_from_then_on(notes, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more/x.md").write_text("x")
    with build(tmp_path / "i", "notes") as index:
        assert index.sync(["more"]).new == ["more/x.md"]
        (tmp_path / "more/y.md").write_text("y")
        assert index.sync().new == ["more/y.md"]
        with pytest.raises(CorpusError, match="nowhere"):
            index.sync(["nowhere"])


def test_rollback_and_compaction_keep_what_the_files_were(notes, tmp_path):
    with build(tmp_path / "i", "notes") as index:
        (notes / "new.md").write_text("acca")
        index.sync()
        index.rollback(1)
        assert index.sync().new == ["notes/new.md"]
        index.compact()
        assert not index.sync() and len(index) == 5


def test_an_index_of_something_else_has_no_files(tmp_path):
    from vecsearch import Document

    with Index.build(tmp_path / "i", [Document("a", "b")], Counting()) as index, pytest.raises(UsageError, match="add"):
        index.sync()


def test_documents_that_were_added_otherwise_stay(notes, tmp_path):
    from vecsearch import Document

    with build(tmp_path / "i", "notes") as index:
        index.add([Document("own", "mine", {"path": "notes/a.md"})])
        (notes / "a.md").unlink()
        index.sync()
        assert "own" in contents(index) and "notes/a.md:1" not in contents(index)


NAMES = ["a.md", "b.txt", "sub/c.md", "sub/d.py", "e.html", ".hidden.md", "f.bin"]
TEXTS = ["abba", "# A\n\ncab\n\n# B\n\nabc", "", "\0\1", "<p>aa</p>", "def f():\n    return 1\n", "b " * 600]


class Following(RuleBasedStateMachine):
    """Files are made, changed, renamed and removed in any order; after each sync the index is one built from nothing."""

    @initialize(seed=st.integers(0, 1 << 30))
    def begin(self, seed: int) -> None:
        self.place = Path(tempfile.mkdtemp())
        self.before = os.getcwd()
        os.chdir(self.place)
        (self.place / "notes").mkdir()
        (self.place / "notes/first.md").write_text("first")
        self.random, self.number = random.Random(seed), 0
        self.index = build(self.place / "i", "notes")
        self.synced = True

    def path(self, name: str) -> Path:
        return self.place / "notes" / name

    @rule(name=st.sampled_from(NAMES), text=st.sampled_from(TEXTS))
    def write(self, name: str, text: str) -> None:
        self.path(name).parent.mkdir(exist_ok=True)
        self.path(name).write_text(text)
        self.synced = False

    @rule(name=st.sampled_from(NAMES), to=st.sampled_from(NAMES))
    def rename(self, name: str, to: str) -> None:
        if self.path(name).exists():
            self.path(to).parent.mkdir(exist_ok=True)
            self.path(name).rename(self.path(to))
            self.synced = False

    @rule(name=st.sampled_from(NAMES))
    def remove(self, name: str) -> None:
        self.path(name).unlink(missing_ok=True)
        self.synced = False

    @rule(name=st.sampled_from(NAMES), seconds=st.integers(1_000_000_000, 1_000_000_005))
    def touch(self, name: str, seconds: int) -> None:
        if self.path(name).exists():
            os.utime(self.path(name), (seconds, seconds))
            self.synced = False

    @precondition(lambda self: not self.synced)
    @rule()
    def sync(self) -> None:
        self.index.sync()
        self.synced = True

    @invariant()
    def equal_to_one_built_from_nothing(self) -> None:
        if self.synced and hasattr(self, "index"):
            self.number += 1
            with build(self.place / f"fresh{self.number}", "notes") as fresh:
                assert contents(self.index) == contents(fresh)

    def teardown(self) -> None:
        if hasattr(self, "index"):
            self.index.close()
            os.chdir(self.before)
            shutil.rmtree(self.place)


TestFollowing = Following.TestCase
TestFollowing.settings = settings(max_examples=8, stateful_step_count=12, deadline=None)
