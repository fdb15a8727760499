"""Building, replacing and opening an index: what is asked for is done, and what is not is refused with the way out."""

import errno
import shutil
import sqlite3

import numpy as np
import pytest
from faults import failing
from store_builds import DIM, GOAL, NONE, assert_holds, build, documents, entry, held, vectors

from vecsearch.errors import DamagedIndexError, ResourceError, UnsupportedIndexError, UsageError, VectorsError
from vecsearch.store import snapshot as snapshots
from vecsearch.store.commit import collect_garbage, find_unfinished
from vecsearch.store.layout import files_below
from vecsearch.store.snapshot import open_snapshot, read_manifest
from vecsearch.store.verify import verify
from vecsearch.store.writer import IndexWriter


@pytest.fixture
def index(tmp_path):
    build(tmp_path / "index", "old")
    return tmp_path / "index"


def test_what_is_built_is_opened(index):
    assert held(index) == "old"
    assert list(files_below(index)) == [
        "CURRENT",
        "LOCK",
        "manifest-000001.json",
        "encoder/0123456789abcdef-000001/config.json",
        "segments/000001-0/documents.sqlite",
        "segments/000001-0/index-000001.faiss",
        "segments/000001-0/norms.npy",
        "segments/000001-0/vectors.npy",
    ]
    with open_snapshot(index) as snapshot:
        assert snapshot.manifest.counts == {"documents": 7}
        assert snapshot.encoder_folder == index / "encoder" / "0123456789abcdef-000001"


def test_ready_vectors_have_no_encoder(tmp_path):
    build(tmp_path, "plain", encoder=False)
    with open_snapshot(tmp_path) as snapshot:
        assert_holds(snapshot, "plain")
        assert snapshot.encoder_folder is None and snapshot.manifest.encoder is None


def test_an_index_without_rows_is_an_index(tmp_path):
    build(tmp_path, "none", 0)
    with open_snapshot(tmp_path) as snapshot:
        assert_holds(snapshot, "none", 0)
    assert verify(tmp_path).problems == []


def test_a_moved_or_copied_index_is_the_same(index, tmp_path):
    copy = shutil.copytree(index, tmp_path / "copy of it # 100% ä?")
    index.rename(tmp_path / "elsewhere")
    assert held(copy) == held(tmp_path / "elsewhere") == "old"


def test_replacing_leaves_open_readers_alone(index):
    with open_snapshot(index) as before:
        build(index, "new", 9, replace=True)
        assert_holds(before, "old")
        with open_snapshot(index) as after:
            assert_holds(after, "new", 9)
            assert after.manifest.generation == 2
    assert verify(index).notes == []


def test_opening_again_while_a_writer_replaces(index, monkeypatch):
    really_open, raced = snapshots.open_manifest, []

    def race(*arguments, **options):
        if not raced:
            raced.append(build(index, "new", replace=True))
        return really_open(*arguments, **options)

    monkeypatch.setattr(snapshots, "open_manifest", race)
    assert held(index) == "new" and raced


def test_an_index_that_never_holds_still_is_given_up(index, monkeypatch):
    really_open = snapshots.open_manifest

    def race(*arguments, **options):
        build(index, "new", replace=True)
        return really_open(*arguments, **options)

    monkeypatch.setattr(snapshots, "open_manifest", race)
    with pytest.raises(DamagedIndexError, match="replaced faster than it can be opened"):
        open_snapshot(index)


def test_an_index_is_replaced_only_when_asked(index):
    with pytest.raises(UsageError, match="is an index already; --replace builds it anew, or choose another -o"):
        build(index, "new")
    with pytest.raises(UsageError, match="nothing in it is unfinished; --replace"):
        build(index, "new", resume=True)
    (index / "CURRENT").unlink()
    with pytest.raises(UsageError, match="is an index already"):
        build(index, "new")
    build(index, "new", replace=True)
    assert held(index) == "new"


@pytest.mark.parametrize("name", ["notes.txt", "segments/000001-0/thesis.doc", "segments/mine/vectors.npy", ".git"])
def test_a_folder_with_something_else_is_left_alone(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match=r"exists and is not an index .*choose another -o"):
        build(tmp_path, "new", replace=True)
    assert list(files_below(tmp_path)) == [name]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="is a file, not a folder"):
        build(tmp_path / "file", "new")
    with pytest.raises(ResourceError, match="cannot write"):
        build(tmp_path / "file" / "below", "new")


def test_an_unfinished_build_is_resumed_or_discarded(tmp_path):
    build(tmp_path, "new", stop=4)
    assert find_unfinished(tmp_path, None) == [("000001-0", {"corpus": "new", "dim": DIM})]
    with pytest.raises(UnsupportedIndexError, match="it holds an unfinished build: finish it with vecsearch build --resume"):
        open_snapshot(tmp_path)
    with pytest.raises(UsageError, match="unfinished build: --resume continues it, --replace starts again"):
        build(tmp_path, "new")
    with pytest.raises(UsageError, match=r"was started with corpus 'new', not 'other'; .*start again with --replace"):
        build(tmp_path, "other", resume=True)
    build(tmp_path, "new", resume=True)
    assert held(tmp_path) == "new" and verify(tmp_path).notes == []
    build(tmp_path, "other", stop=4, replace=True)
    assert held(tmp_path) == "new"
    build(tmp_path, "third", replace=True)
    assert held(tmp_path) == "third" and verify(tmp_path).notes == []


@pytest.mark.parametrize("content", [b"", b'{"corpus": "n', b"\xff", b"[]", b"null"])
def test_a_build_whose_signature_cannot_be_read_is_begun_again(tmp_path, content):
    build(tmp_path, "new", stop=4)
    (tmp_path / "segments/000001-0/build.json").write_bytes(content)
    assert find_unfinished(tmp_path, None) == []
    build(tmp_path, "other", resume=True)
    assert held(tmp_path) == "other" and verify(tmp_path).notes == []


def test_a_crash_after_the_commit_leaves_nothing_unfinished(index):
    (index / "segments/000001-0/build.json").write_text("{}")
    with pytest.raises(UsageError, match="is an index already; nothing in it is unfinished"):
        build(index, "new", resume=True)
    build(index, "new", stop=4, replace=True)
    assert held(index) == "old"


def test_a_resumed_build_equals_an_uninterrupted_one(tmp_path):
    build(tmp_path / "whole", "new")
    for stop in (3, 4, 7):
        build(tmp_path / "pieces", "new", stop=stop, resume=stop > 3)
    build(tmp_path / "pieces", "new", resume=True)
    for file in ("vectors.npy", "norms.npy"):
        assert (tmp_path / "whole/segments/000001-0" / file).read_bytes() == (
            tmp_path / "pieces/segments/000001-0" / file
        ).read_bytes()
    whole, pieces = (tables(tmp_path / name / "segments/000001-0/documents.sqlite") for name in ("whole", "pieces"))
    assert whole == pieces and whole["documents"]


def tables(path):
    """All rows of a SQLite file, by table; what a virtual table holds is in others."""
    db = sqlite3.connect(path)
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE '%VIRTUAL%'")]
    return {name: db.execute(f'SELECT * FROM "{name}"').fetchall() for name in names}


def test_a_replacement_is_resumed_without_replace(index):
    build(index, "new", stop=4, replace=True)
    build(index, "new", resume=True)
    assert held(index) == "new"


def test_a_failed_build_that_stored_nothing_leaves_nothing_to_resume(tmp_path):
    with pytest.raises(VectorsError), IndexWriter(tmp_path) as writer:
        nan = np.full((1, DIM), np.nan, np.float32)
        writer.segment(DIM, {}).append(documents("x", 1), nan)
    assert list(files_below(tmp_path)) == ["LOCK"]
    build(tmp_path, "new")
    assert held(tmp_path) == "new"


def test_a_damaged_index_can_be_replaced(index):
    (index / "manifest-000001.json").write_text("{}")
    with pytest.raises(DamagedIndexError, match="manifest-000001"):
        build(index, "new")
    build(index, "new", replace=True)
    assert held(index) == "new" and read_manifest(index).generation == 2


@pytest.mark.parametrize("lost", ["manifest-000001.json", "CURRENT"])
def test_replacing_a_damaged_index_spares_what_may_be_restored(index, tmp_path, lost):
    (index / lost).rename(tmp_path / lost)
    build(index, "new", stop=4, replace=True)
    (tmp_path / lost).rename(index / lost)
    assert held(index) == "old"
    build(index, "new", resume=True)
    assert held(index) == "new" and verify(index).notes == []


def test_garbage_is_ours_alone(index):
    for name in ("notes.txt", "segments/000009-0/thesis.doc", "encoder/README", "manifest-1.json", "segments/mine/vectors.npy"):
        (index / name).parent.mkdir(exist_ok=True)
        (index / name).write_text("mine")
    for name in ("segments/000009-0/vectors.npy", "manifest-000009.json", "CURRENT.tmp", "encoder/x-000009/deep/model"):
        (index / name).parent.mkdir(parents=True, exist_ok=True)
        (index / name).write_text("left over")
    assert len([note for note in verify(index).notes if "left over from interrupted work" in note]) == 4
    assert len([note for note in verify(index).notes if "not part of the index" in note]) == 5
    removed = collect_garbage(index, [read_manifest(index)])
    assert sorted(removed) == [
        "CURRENT.tmp",
        "encoder/x-000009/deep/model",
        "manifest-000009.json",
        "segments/000009-0/vectors.npy",
    ]
    assert not (index / "encoder/x-000009").exists() and (index / "segments/000009-0/thesis.doc").exists()
    assert len(verify(index).notes) == 5 and held(index) == "old"


def test_what_cannot_be_removed_does_not_undo_a_commit(index, monkeypatch):
    def refuse(*_):
        raise ResourceError("permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("vecsearch.store.commit.remove_files", refuse)
        build(index, "new", replace=True)
    assert held(index) == "new" and (index / "manifest-000001.json").exists()
    build(index, "third", replace=True)
    assert held(index) == "third" and verify(index).notes == []


def test_a_commit_that_could_not_be_opened_is_refused(tmp_path):
    with pytest.raises(DamagedIndexError, match="holds 'l2' as metric"), IndexWriter(tmp_path) as writer:
        segment = writer.segment(DIM, {})
        segment.append(documents("x", 1), vectors("x", 1))
        writer.commit([entry(segment)], NONE, metric="l2", dim=DIM, goal=GOAL, counts={}, provenance={})
    assert not (tmp_path / "CURRENT").exists()


def test_no_index(tmp_path):
    for folder, message in [
        (tmp_path / "nowhere", "no index at .*nowhere: no such folder"),
        (tmp_path, "is not an index: it has no CURRENT file; it is empty"),
    ]:
        for read in (open_snapshot, verify):
            with pytest.raises(UnsupportedIndexError, match=message):
                read(folder)
    for name in "abcd":
        (tmp_path / name).touch()
    with pytest.raises(UnsupportedIndexError, match="has no CURRENT file; it holds a, b, c, …"):
        open_snapshot(tmp_path)


def test_reading_without_permission_is_not_damage(index, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(ResourceError, match=r"cannot read .*CURRENT: permission denied"):
        open_snapshot(index)


def test_nothing_is_written_by_reading(index):
    with failing(errno.EROFS, 0):
        assert held(index) == "old"
        assert verify(index).problems == []


def test_metrics_are_kept(tmp_path):
    with IndexWriter(tmp_path) as writer:
        segment = writer.segment(DIM, {})
        segment.append(documents("x", 1), vectors("x", 1))
        made = writer.commit([entry(segment)], NONE, metric="ip", dim=DIM, goal=GOAL, counts={}, provenance={})
    assert read_manifest(tmp_path) == made and made.metric == "ip" and made.spec == "exact"
