"""What adding, deleting, merging and going back do to what an index holds: always what they would do to a dict."""

from __future__ import annotations

import errno
import importlib
import json
import os
import shutil
import signal
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from conftest import Told
from faults import FULL, failing, start, wait
from hypothesis import given, settings
from hypothesis import strategies as st
from store_builds import (
    ADDED,
    COMMANDS,
    FOURTH,
    HISTORY,
    QUICK_DISK,
    Held,
    Letters,
    add,
    answers,
    assert_history,
    assert_tidy,
    live_index,
    of,
)

from vecsearch.corpus.corpus import Corpus
from vecsearch.corpus.document import Document
from vecsearch.corpus.passages import Chunks
from vecsearch.errors import CorpusError, DamagedIndexError, ResourceError, UsageError
from vecsearch.index import update as updating
from vecsearch.index import verify as verifying
from vecsearch.index.build import Options
from vecsearch.index.compact import compact
from vecsearch.index.index import Index
from vecsearch.metric import Metric
from vecsearch.store.commit import Lock, describe_file
from vecsearch.store.snapshot import file_problems, generations, open_manifest
from vecsearch.store.verify import Verification, verify

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live") / "original"
    live_index(folder)
    return folder


@pytest.fixture
def live(original, tmp_path):
    return shutil.copytree(original, tmp_path / "index")


def held(folder: Path, generation: int | None = None) -> Held:
    with Index.open(folder, generation=generation, encoder=Letters()) as index:
        return answers(index)


# -- any sequence of changes, against a dict ---------------------------------------------------------------------------

IDS = st.sampled_from([f"d{i}" for i in range(8)] + ["é", "a'b", " "])
TEXTS = st.text("abc", min_size=1, max_size=6).map(lambda letters: f"x {letters}")
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.dictionaries(IDS, TEXTS, max_size=5)),
        st.tuples(st.just("delete"), st.sets(IDS, max_size=3)),
        st.tuples(st.just("delete where"), st.integers(2, 9)),
        st.tuples(st.just("compact"), st.none()),
        st.tuples(st.just("rebuild"), st.none()),
        st.tuples(st.just("rollback"), st.integers(1, 3)),
        st.tuples(st.just("collect"), st.integers(1, 3)),
    ),
    max_size=8,
)


class Model:
    """An index beside a dict that the same is done to."""

    def __init__(self, folder: Path, spec: str) -> None:
        self.folder, self.encoder = folder, Letters()
        self.history = {1: {"d0": "x a", "d1": "x ab", "d2": "x c"}}
        self.index = Index.build(folder, of(self.history[1]), self.encoder, options=Options(spec=spec))
        self.other = Index.open(folder, encoder=self.encoder)
        """What another process has open."""

    @property
    def newest(self) -> int:
        return max(self.history)

    def change(self, kind: str, what: object) -> None:
        """Do it to both, and see that they hold the same, now and before."""
        before = self.history[self.newest]
        self.encoder.encoded = 0
        after = getattr(self, kind.replace(" ", "_"))(before, what)
        if after is not None:
            self.history[self.newest + 1] = after
        assert self.index.manifest.generation == self.newest
        assert answers(self.index) == self.history[self.newest]
        assert answers(self.other) == self.history[self.other.manifest.generation]
        assert assert_history(self.folder, self.history) == self.newest

    def add(self, before: Held, more: Held) -> Held | None:
        new = {id: text for id, text in more.items() if before.get(id) != text}
        replaced = len(new.keys() & before.keys())
        changes = self.index.add(of(more))
        assert changes == updating.Changes(len(new) - replaced, replaced, len(more) - len(new))
        assert self.encoder.encoded == len(new)
        return before | new if new else None

    def delete(self, before: Held, ids: set[str]) -> Held | None:
        if missing := ids - before.keys():
            with pytest.raises(UsageError, match="nothing was deleted") as refusal:
                self.index.delete(sorted(ids))
            assert any(repr(id) in str(refusal.value) for id in missing)
            return None
        assert self.index.delete(sorted(ids)) == len(ids)
        return {id: before[id] for id in before if id not in ids} if ids else None

    def delete_where(self, before: Held, length: int) -> Held | None:
        after = {id: text for id, text in before.items() if len(text) != length}
        assert self.index.delete(where=f"length = {length}") == len(before) - len(after)
        return after if after != before else None

    def compact(self, before: Held, _: None) -> Held:
        self.index.compact()
        assert self.index.manifest.rows == len(before) and self.index.manifest.deletes is None
        return before

    def rebuild(self, before: Held, _: None) -> Held:
        updating.rebuild(self.folder)
        assert self.index.refresh() and not self.index.refresh()
        return before

    def rollback(self, before: Held, back: int) -> Held | None:
        kept = [manifest.generation for manifest in generations(self.folder, self.index.manifest)]
        if self.newest - back not in kept:
            with pytest.raises(UsageError, match=f"cannot go back to generation {self.newest - back}; it is at {self.newest}"):
                self.index.rollback(self.newest - back)
            return None
        self.index.rollback(self.newest - back)
        return self.history[self.newest - back]

    def collect(self, before: Held, keep: int) -> None:
        updating.collect(self.folder, keep)
        assert len(list(generations(self.folder, self.index.manifest))) <= keep
        self.other.refresh()


@pytest.mark.parametrize("spec", ["exact", "HNSW4"])
@given(changes=CHANGES)
@settings(max_examples=200 if FULL else 12)
def test_any_changes_do_what_they_do_to_a_dict(spec, changes):
    with TemporaryDirectory(dir=QUICK_DISK) as name:
        model = Model(Path(name) / "index", spec)
        for kind, what in changes:
            model.change(kind, what)
        assert verify(model.folder) == Verification([], [])
        assert_tidy(model.folder)


@pytest.mark.parametrize("order", [("new", "new"), ("new", "old"), ("old", "new"), ("old", "old"), ("fresh", "fresh")])
def test_an_id_twice_in_one_add_is_refused(live, order):
    texts = {"old": FOURTH["d2"], "new": "x ccc", "fresh": "x ccc"}
    twice = [Document("fresh" if text == "fresh" else "d2", texts[text], {"length": len(texts[text])}) for text in order]
    with Index.open(live, encoder=Letters()) as index:
        with pytest.raises(CorpusError, match=f"the id '{twice[0].id}' .*every document needs its own id"):
            index.add(twice)
        assert answers(index) == FOURTH and not index.refresh()


def test_what_has_not_changed_is_not_encoded_and_makes_no_generation(live):
    encoder = Letters()
    with Index.open(live, encoder=encoder) as index:
        assert index.add(of(FOURTH)) == updating.Changes(unchanged=len(FOURTH))
        assert encoder.encoded == 0 and index.manifest.generation == 5
        # A field counts as well.
        assert index.add([Document("d2", FOURTH["d2"], {"length": 0})]).replaced == 1
        assert encoder.encoded == 1


def test_ready_vectors_are_replaced_whatever_they_are(tmp_path):
    vectors = np.eye(3, dtype=np.float32)
    documents = [Document(f"d{i}", "") for i in range(3)]
    with Index.build(tmp_path / "i", documents, vectors=[vectors]) as index:
        assert index.add(documents[:2], vectors=[vectors[1:]]).replaced == 2
        assert {hit.id: hit.score for hit in index.nearest(vectors[2:], 3)[0]} == {"d0": 0, "d1": 1, "d2": 1}
        assert len(index) == 3


@pytest.mark.parametrize("spec", ["HNSW8", "IVF4,Flat", "IVF4x2,PQ4x4fsr", "PCA6,HNSW8"])
def test_an_approximate_index_finds_what_is_there_and_nothing_else(tmp_path, spec, monkeypatch):
    # However few rows are left, FAISS is to find them.
    monkeypatch.setattr("vecsearch.index.segment_searcher.FEW_NUMBERS", 0)
    monkeypatch.setattr("vecsearch.ann.EXACT_NUMBERS", 0)
    rng = np.random.default_rng(0)
    model = {f"d{i}": rng.standard_normal(8).astype(np.float32) for i in range(300)}

    def put(ids):
        return [Document(id, "") for id in ids], [np.array([model[id] for id in ids])]

    documents, vectors = put(model)
    queries = rng.standard_normal((20, 8)).astype(np.float32)
    with Index.build(tmp_path / "i", documents, vectors=vectors, options=Options(spec=spec, keep=10)) as index:
        index.delete([f"d{i}" for i in range(0, 300, 3)])
        model = {id: model[id] for i, id in enumerate(model) if i % 3}
        changed = {f"d{i}": rng.standard_normal(8).astype(np.float32) for i in range(250, 350)}
        model |= changed
        documents, vectors = put(changed)
        index.add(documents, vectors=vectors)
        assert [entry["spec"] for entry in index.manifest.segments] == [spec, spec]
        for work in (lambda: None, index.compact, lambda: index.rollback(2), lambda: index.rollback(3)):
            work()
            alive = model if index.manifest.provenance.get("rollback") != 2 else None
            found, exact = index.nearest(queries, 10), index.nearest(queries, 10, exact=True)
            same = sum(len({hit.id for hit in a} & {hit.id for hit in b}) for a, b in zip(found, exact, strict=True))
            assert same > 180
            for query, hits in zip(queries, found, strict=True):
                assert len(hits) == 10
                if alive:
                    cosines = [model[h.id] @ query / np.linalg.norm(model[h.id]) / np.linalg.norm(query) for h in hits]
                    np.testing.assert_allclose([hit.score for hit in hits], cosines, rtol=1e-4)
                    assert {hit.id for hit in hits} <= alive.keys()


def test_documents_of_several_passages_come_and_go_whole(tmp_path):
    texts = {"long": "a b c a b c a b", "short": "c", "other": "b b b a"}
    with Index.build(tmp_path / "i", of(texts), Letters(), options=Options(chunks=Chunks(2, 1))) as index:
        assert index.manifest.rows > len(index) == 3
        index.add(of({"long": "a a a a", "new": "c c c"}))
        index.delete(["other"])
        expected = {"long": "a a a a", "short": "c", "new": "c c c"}
        for work in (lambda: None, index.compact, lambda: index.add(of({"short": "c"}))):
            work()
            (hits,) = index.nearest(np.ones((1, 3), np.float32), 10)
            assert {hit.id: hit.text for hit in hits} == expected and len(hits) == len(index) == 3
        assert index.manifest.deletes is None and index.manifest.rows == 3 + 1 + 2
    assert verify(tmp_path / "i").problems == []


def test_one_goes_back_to_what_an_index_was_before_it_was_replaced(live):
    other = [Document("other", "")]
    with Index.build(
        live, other, vectors=[np.ones((1, 5), np.float32)], options=Options(metric=Metric.INNER_PRODUCT), replace=True
    ):
        pass
    updating.rollback(live, 5)
    with Index.open(live, encoder=Letters()) as index:
        assert answers(index) == FOURTH and index.metric is Metric.COSINE
        index.add(of(ADDED))
        assert answers(index) == FOURTH | ADDED
        index.rollback(6)
        assert index.dim == 5 and len(index) == 1 and index.metric is Metric.INNER_PRODUCT
    assert verify(live).problems == []


def test_an_index_emptied_by_deletes_is_an_index(live):
    with Index.open(live, encoder=Letters()) as index:
        index.delete(where="length >= 0")
        for _ in range(2):
            assert len(index) == 0 and index.query(["a"], 3) == [[]] and index.keywords(["x"], 3) == [[]]
            assert verify(live).problems == []
            index.compact()
        assert index.manifest.segments == []
        index.add(of(ADDED))
        assert answers(index) == ADDED
    updating.collect(live, 1)
    assert_tidy(live)


def test_an_interrupted_add_goes_on_where_it_was(live):
    more = {f"n{i}": "x " + "ab" * (i + 1) for i in range(10)}

    class Breaks(Letters):
        def encode(self, texts):
            if "n6" in {id for id, text in more.items() if text in texts}:
                raise KeyboardInterrupt
            return super().encode(texts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vecsearch.index.blocks.BLOCK_DOCUMENTS", 3)
        with Index.open(live, encoder=Breaks()) as index, pytest.raises(KeyboardInterrupt):
            index.add(Corpus(of(more), "n"))
        assert held(live) == FOURTH
        with (
            Index.open(live, encoder=Letters()) as index,
            pytest.raises(UsageError, match=r"cannot resume: .*; use the same options, or start again without --resume"),
        ):
            index.add(Corpus(of(more), "m"), resume=True)
        with Index.open(live, encoder=Letters()) as index, pytest.raises(UsageError, match="nothing was deleted"):
            index.delete(["nowhere"])  # and so is what can be resumed
        encoder = Letters()
        with Index.open(live, encoder=encoder) as index:
            index.add(Corpus(of(more), "n"), resume=True)
            assert answers(index) == FOURTH | more
    assert 0 < encoder.encoded < len(more)


def test_rebuild_mends_a_faiss_index_and_nothing_is_made_from_damage(live):
    path = live / "segments/000001-0/index-000001.faiss"
    path.write_bytes(bytes(path.stat().st_size))
    for work in (lambda: Index.open(live, encoder=Letters()), lambda: updating.rollback(live, 3)):
        with pytest.raises(DamagedIndexError, match=r"index-000001\.faiss has sha256"):
            work()
    updating.rebuild(live)
    assert held(live) == FOURTH
    assert [path.name in problem for problem in verify(live).problems] == [True]  # older generations have it
    updating.collect(live, 1)
    assert verify(live) == Verification([], [])
    vectors = live / "segments/000002-0/vectors.npy"
    vectors.write_bytes(vectors.read_bytes()[:-1] + b"\xff")
    commands = {name: work for name, (work, _) in COMMANDS.items() if name in ("compact", "rebuild")}
    for work in commands.values():
        with pytest.raises(DamagedIndexError, match=r"000002-0/vectors\.npy has sha256"):
            work(live)
    assert len(verify(live).problems) == 1


@pytest.mark.parametrize(("size", "first"), [(2, 4), (5, 3)], ids=["by the same version", "by one that copies other blocks"])
def test_an_interrupted_compaction_is_finished_whole(live, monkeypatch, size, first):
    def interrupt(name, stored):
        if stored == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("vecsearch.index.compact.COPIED_ROWS", 2)
    with pytest.raises(KeyboardInterrupt):
        compact(live, progress=Told(interrupt))
    assert held(live) == FOURTH
    monkeypatch.setattr("vecsearch.index.compact.COPIED_ROWS", size)
    stored = Told()
    compact(live, progress=stored)
    assert held(live) == FOURTH and stored.steps["documents"][0] == first
    assert verify(live).problems == []


# -- beside other processes --------------------------------------------------------------------------------------------


def test_an_index_is_locked_while_another_process_writes_and_free_when_that_is_killed(live, vecsearch, tmp_path):
    ready, go = os.pipe()

    def hold():
        with Lock(live):
            os.write(go, b"x")
            signal.pause()

    process = start(hold)
    os.read(ready, 1)
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"id": "n", "text": "x a"}\n')
    commands = [("rollback", live, 3), ("delete", live, "d2"), ("compact", live), ("rebuild", live), ("gc", live)]
    try:
        for command in commands:
            ran = vecsearch(*command)
            assert ran.code == 5 and f"{live} is being written by process {process}; wait for it, or stop it" in ran.err
        assert held(live) == FOURTH  # who reads does not wait
        assert verify(live) == Verification([], [])
    finally:
        os.kill(process, signal.SIGKILL)
        wait(process)
    for command in commands:
        assert vecsearch(*command).code == 0, command


def test_what_is_open_stays_what_it_was_whatever_is_removed(live):
    with Index.open(live, encoder=Letters()) as index:
        compact(live)
        updating.delete(live, ids=["d0"])
        updating.collect(live, 1)
        assert len(list(live.glob("segments/*"))) == 1
        assert answers(index) == FOURTH
        assert index.refresh() and answers(index) == {id: FOURTH[id] for id in FOURTH if id != "d0"}


def test_a_generation_that_is_removed_while_it_is_opened_is_not_kept(live, monkeypatch):
    def removed_meanwhile(folder, manifest, **options):
        monkeypatch.undo()
        updating.collect(live, 1)
        return open_manifest(folder, manifest, **options)

    monkeypatch.setattr("vecsearch.store.snapshot.open_manifest", removed_meanwhile)
    with pytest.raises(UsageError, match="does not keep generation 3; it keeps 5"):
        Index.open(live, generation=3, encoder=Letters())


def test_verify_beside_a_writer_reports_damage_and_nothing_else(live, monkeypatch):
    texts = iter("abcabcabc")

    def late(*arguments, **options):
        add(live, {"d0": f"x b{next(texts)}"})
        updating.collect(live, 1)
        return file_problems(*arguments, **options)

    monkeypatch.setattr("vecsearch.store.verify.file_problems", late)
    assert verify(live).problems == []
    assert not (live / "deletes-000005.npy").exists()
    path = live / "segments/000001-0/vectors.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    (problem,) = verify(live).problems
    assert str(path) in problem


def test_an_index_that_changes_while_it_is_hashed_is_opened_all_the_same(live, monkeypatch):
    """Hashing takes so long that the generation is gone by then; what has been hashed is not hashed again."""
    hashed = []

    def slowly(path):
        hashed.append(path.relative_to(live).as_posix())
        if path == live / "segments/000001-0/vectors.npy":
            add(live, {"d0": f"x a{'b' * len(hashed)}"})
            updating.collect(live, 1)
        return describe_file(path)

    monkeypatch.setattr("vecsearch.store.snapshot._HASH_THREADS", 1)
    monkeypatch.setattr("vecsearch.store.snapshot.describe_file", slowly)
    with Index.open(live, encoder=Letters()) as index:
        assert index.manifest.generation > 5
    assert len(hashed) == len(set(hashed))


@pytest.mark.parametrize("seconds", [60 if FULL else 3])
def test_readers_beside_a_writer_see_whole_generations(tmp_path, seconds, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    readers = importlib.import_module("readers")
    done = readers.run(tmp_path / "index", seconds, 4, least=30)
    assert done["adds"] >= 24 and done["deletes"] >= 3 and done["compactions"] >= 2 and done["gcs"] >= 2
    assert done["answers"] > 50 and done["refreshes_to_newer"] > 10


# -- wherever the folder is --------------------------------------------------------------------------------------------


def test_moved_and_copied(live, tmp_path):
    moved = live.rename(tmp_path / "ö 'ü%20?#")
    copy = shutil.copytree(moved, tmp_path / "copy")
    for folder in (moved, copy):
        assert_history(folder, HISTORY)
        assert add(folder, ADDED).added == 1
        assert held(folder) == FOURTH | ADDED
        assert verify(folder).problems == []
    assert held(moved, 4) == FOURTH


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_read_only_folder_is_read_and_never_written(live, vecsearch):
    before = contents(live)
    with failing(errno.EROFS, 0, reading=True):
        assert_history(live, HISTORY)
        assert verify(live) == Verification([], [])
        with Index.open(live, encoder=Letters()) as index:
            assert not index.refresh()
            for work in (lambda: index.add(of(ADDED)), lambda: index.delete(["d2"]), index.compact, lambda: index.rollback(3)):
                with pytest.raises(ResourceError, match="read-only disk"):
                    work()
            assert answers(index) == FOURTH
        for command in [("delete", live, "d2"), ("compact", live), ("rebuild", live), ("rollback", live, 3), ("gc", live)]:
            ran = vecsearch(*command)
            assert ran.code == 5 and f"cannot write {live}/LOCK: the folder is on a read-only disk" in ran.err
    assert contents(live) == before


@pytest.fixture
def reachable():
    """A folder that every user may enter."""
    with TemporaryDirectory(dir=QUICK_DISK) as name:
        Path(name).chmod(0o755)
        yield Path(name)
        for path in Path(name).rglob("*"):
            path.chmod(0o755)


def test_a_folder_one_may_not_write_to(live, reachable):
    """As a user who may read the folder and nothing else; root may always write, so it becomes one who may not."""

    def as_reader():
        if os.getuid() == 0:
            os.setuid(65534)
        assert_history(live, HISTORY)
        assert verify(live) == Verification([], [])
        with pytest.raises(ResourceError, match="permission denied"):
            updating.delete(live, ids=["d2"])

    def without_right():
        if os.getuid() == 0:
            os.setuid(65534)
        with pytest.raises(ResourceError, match=r"cannot read .*manifest-000005.json: permission denied"):
            held(live)
        with redirect_stdout(StringIO()) as said:
            verifying.main(live)
        assert "permission denied" in json.loads(said.getvalue())["refused"]

    live = shutil.copytree(live, reachable / "index")
    for path in (live, *live.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    assert wait(start(as_reader)) == 0
    (live / "manifest-000005.json").chmod(0)
    assert wait(start(without_right)) == 0
