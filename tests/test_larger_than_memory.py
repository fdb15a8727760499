"""Vectors that need not fit in memory: files are mapped or read, never held, and an index searches wherever its folder lies."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vecsearch import ann
from vecsearch.ann import construction, exact
from vecsearch.ann.trials import Trial
from vecsearch.corpus.document import Document
from vecsearch.errors import DamagedIndexError
from vecsearch.files import release
from vecsearch.index.build import Options
from vecsearch.index.index import Index
from vecsearch.metric import Metric, norms
from vecsearch.progress import SILENT
from vecsearch.store import segment as segment_module
from vecsearch.store.layout import VECTORS
from vecsearch.store.snapshot import open_snapshot

ROWS, DIM = 3_000, 24
SPECS = ("PCA16,IVF16x2,PQ8x4fsr_64", "PCA16,IVF16,SQ8", "PCA16,HNSW16,SQ8")
LITTLE = ann.Goal(memory=10**9)


def made(rows=ROWS, dim=DIM):
    rng = np.random.default_rng(0)
    return rng.standard_normal((rows, dim), np.float32) + 2 * rng.standard_normal((30, dim), np.float32)[np.arange(rows) % 30]


def build(folder, vectors, **options):
    documents = (Document(str(row), "") for row in range(len(vectors)))
    return Index.build(folder, documents, vectors=[vectors], options=Options(**options))


@pytest.fixture(scope="module", params=SPECS)
def index(request, tmp_path_factory):
    with build(tmp_path_factory.mktemp("index") / "index", made(), spec=request.param, goal=LITTLE) as index:
        yield index


@pytest.fixture(scope="module")
def segment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows") / "index"
    build(folder, made()).close()
    with open_snapshot(folder) as snapshot:
        yield snapshot.segments[0]


# -- rows that are read ------------------------------------------------------------------------------------------------


@given(rows=arrays(np.int64, st.integers(0, 40), elements=st.integers(0, ROWS - 1)))
def test_rows_that_are_read_are_those_that_are_mapped(segment, rows):
    found = segment.read(rows)
    assert found.dtype == np.float32 and found.flags.writeable
    np.testing.assert_array_equal(found, segment.vectors[rows])


@pytest.mark.skipif(segment_module.AT_ONCE is None, reason="this system cannot tell what is in memory")
@pytest.mark.parametrize("memory", ["all of it", "nothing", "a part of each", "no answer"])
def test_what_is_not_in_memory_is_asked_for_together_and_then_read(segment, monkeypatch, memory):
    rows, asked, real = np.array([5, 6, 7, 100, 2000, 2001]), [], os.preadv

    def at_once(file, buffers, place, flags=0):
        if not flags or memory == "all of it":
            return real(file, buffers, place, flags)
        assert not asked, "all are looked for before any is asked for"
        if memory == "a part of each":
            return real(file, [memoryview(buffers[0]).cast("B")[:10]], place)
        raise BlockingIOError if memory == "nothing" else OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "preadv", at_once)
    monkeypatch.setattr(os, "posix_fadvise", lambda file, place, size, advice: asked.append((place, size)))
    np.testing.assert_array_equal(segment.read(rows), segment.vectors[rows])
    runs = [(128 + 4 * DIM * start, 4 * DIM * size) for start, size in ((5, 3), (100, 1), (2000, 2))]
    assert asked == ([] if memory == "all of it" else runs)
    monkeypatch.setattr(segment_module, "AT_ONCE", None)
    np.testing.assert_array_equal(segment.read(rows), segment.vectors[rows])


def test_rows_that_follow_each_other_are_read_at_once(segment, monkeypatch):
    calls = []
    monkeypatch.setattr("os.preadv", lambda *arguments, preadv=os.preadv: calls.append(1) or preadv(*arguments))
    rows = np.r_[5:1000, 2000:2500, 7, 8]
    np.testing.assert_array_equal(segment.read(rows), segment.vectors[rows])
    assert len(calls) == 3


def test_a_file_that_became_shorter_is_refused(tmp_path):
    build(tmp_path / "index", made()).close()
    with open_snapshot(tmp_path / "index") as snapshot:
        segment = snapshot.segments[0]
        os.truncate(segment.folder / VECTORS, 4096)
        with pytest.raises(DamagedIndexError, match=f"{VECTORS} ends before the end of row 999"):
            segment.read(np.array([10, 999]))


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("metric", list(Metric))
def test_reading_finds_what_mapping_finds(spec, metric, tmp_path):
    vectors, queries = made(), made(ROWS + 50)[ROWS:]
    with (
        build(tmp_path / "index", vectors, spec=spec, metric=metric, goal=LITTLE) as index,
        open_snapshot(index.folder) as snapshot,
    ):
        assert index.manifest.recall["memory"] == LITTLE.memory
        segment = snapshot.segments[0]
        mapped = ann.open_searcher(
            segment.index_path, spec, ann.Rows(segment.vectors, segment.norms, metric), index.manifest.search_parameters
        )
        # As many rows as FAISS has none for: it answers them with -1.
        for k in (1, 10, ROWS + 1):
            found, expected = index.search(queries, k), mapped.search(queries, k)
            np.testing.assert_array_equal(found.rows, expected[1])
            np.testing.assert_allclose(found.scores, expected[0], rtol=1e-6)


def test_an_index_without_a_memory_maps_its_vectors(tmp_path, monkeypatch):
    monkeypatch.setattr("vecsearch.store.segment.Segment.read", lambda *_: pytest.fail("it was read"))
    with build(tmp_path / "index", made(), spec=SPECS[0]) as index:
        assert index.manifest.recall["memory"] is None
        index.search(made(5), 3)


def test_hits_are_read_in_parts(index, monkeypatch):
    expected = index.search(made(200), 10)
    monkeypatch.setattr("vecsearch.ann.approximate.READ_BYTES", 1000)
    found = index.search(made(200), 10)
    np.testing.assert_array_equal(found.rows, expected.rows)


# -- mapped pages ------------------------------------------------------------------------------------------------------


def resident(name="RssFile"):
    return (
        int(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)).split()[1]) << 10
    )


linux = pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="resident memory is counted as Linux does")


@linux
def test_a_mapped_array_leaves_memory_and_comes_back(tmp_path):
    np.save(tmp_path / "rows.npy", made(100_000, 64))
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    view = mapped.view(np.ndarray)[10:]
    total = float(view.sum())
    before = resident()
    release(view)
    assert before - resident() > 0.9 * view.nbytes
    assert float(view.sum()) == total


@linux
@pytest.mark.parametrize(("memory", "stays"), [(1 << 20, False), (1 << 40, True)])
def test_exact_search_lets_go_of_vectors_that_fill_the_memory(memory, stays, tmp_path, monkeypatch):
    vectors = made(100_000, 64)
    np.save(tmp_path / "rows.npy", vectors)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r").view(np.ndarray)
    monkeypatch.setattr(exact, "memory_limit", lambda: memory)
    searcher = ann.ExactSearcher(mapped, norms(vectors))
    release(mapped)
    before = resident()
    _, rows = searcher.search(vectors[:3], 1, Metric.COSINE)
    assert rows.ravel().tolist() == [0, 1, 2]
    assert (resident() - before > vectors.nbytes // 2) == stays


def test_what_was_written_to_a_private_copy_is_kept(tmp_path):
    np.save(tmp_path / "rows.npy", np.zeros(5000))
    copy = np.load(tmp_path / "rows.npy", mmap_mode="c")
    copy[:] = 1
    release(copy)
    assert (copy == 1).all()


def test_an_array_in_memory_stays_as_it_is():
    vectors = made(10)
    release(vectors)
    np.testing.assert_array_equal(vectors, made(10))


@linux
def test_the_faiss_file_is_mapped(index, tmp_path):
    (path,) = index.folder.rglob("*.faiss")
    sizes = [
        int(line.split()[0].split("-")[1], 16) - int(line.split()[0].split("-")[0], 16)
        for line in Path("/proc/self/maps").read_text().splitlines()
        if line.endswith(str(path))
    ]
    assert sum(sizes) >= path.stat().st_size


# -- the folder --------------------------------------------------------------------------------------------------------


def state(folder):
    return {
        path.relative_to(folder): (path.stat().st_mtime_ns, path.stat().st_mode, path.is_file() and path.read_bytes())
        for path in folder.rglob("*")
    }


def answers(index):
    found = index.search(made(20), 5)
    return found.rows.tolist(), found.scores.tolist()


def test_an_index_that_was_moved_answers_the_same(index, tmp_path):
    shutil.copytree(index.folder, tmp_path / "copy")
    os.rename(tmp_path / "copy", tmp_path / "moved")
    with Index.open(tmp_path / "moved") as moved:
        assert answers(moved) == answers(index)


def test_opening_and_searching_write_nothing(index, tmp_path):
    shutil.copytree(index.folder, tmp_path / "index")
    for path in [*(tmp_path / "index").rglob("*"), tmp_path / "index"]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = state(tmp_path / "index")
    with Index.open(tmp_path / "index") as opened:
        assert answers(opened) == answers(index)
        assert [document.id for document in opened.documents([3, 1])] == ["3", "1"]
    assert state(tmp_path / "index") == before


def test_an_index_on_a_read_only_disk_answers_the_same(index, tmp_path):
    (tmp_path / "disk").mkdir()
    shutil.copytree(index.folder, tmp_path / "index")
    script = f'mount --bind $1 $2 && mount -o remount,bind,ro $2 && ! touch $2/x 2>/dev/null && {sys.executable} -c "$3" "$2"'
    search = (
        "import json, sys, numpy as np; from vecsearch.index.index import Index\n"
        "with Index.open(sys.argv[1]) as index: print(json.dumps(index.search(index.vectors([1, 2, 3]), 5).rows.tolist()))"
    )
    tool = shutil.which("unshare")
    command = [tool or "unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path / "index"), str(tmp_path / "disk"), search]
    probe = [*command[:4], "mount --bind $1 $2", *command[5:8]]
    if not tool or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("this user cannot mount")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == index.search(index.vectors([1, 2, 3]), 5).rows.tolist()


# -- building ----------------------------------------------------------------------------------------------------------


def test_parts_of_an_index_are_trained_on_what_each_needs(monkeypatch):
    monkeypatch.setattr(construction, "TRAINING_ROWS", 500)
    asked, vectors = [], made()
    source = ann.Rows(vectors, norms(vectors), Metric.COSINE, read=lambda rows: asked.append(len(rows)) or vectors[rows])
    index = ann.construct("PCA16,IVF16,SQ8", source, np.arange(ROWS))
    assert index.is_trained and index.ntotal == ROWS
    half = ROWS // 2  # evenly spread, at most ROWS_PER_LIST of each list
    assert half <= 16 * construction.ROWS_PER_LIST < ROWS and asked == [500, half, ROWS]


PROVED = ann.Recall(10, 100, 0.9, 0.8, 0.95)


def best_of_two(path, second, *, reached=True):
    """Two kinds were tried, of which the second promised to be faster; built, it takes `second` ms, and the first 10."""
    trials = [Trial(SPECS[0], 0.0, 1, True, 1.0, 1.0, 1.0), Trial(SPECS[2], 0.0, 1, True, 1.0, 0.1, 0.1)]
    times, vectors = iter([10, second]), made()
    source = ann.Rows(vectors, norms(vectors), Metric.COSINE)
    builder = ann.Builder(source, ann.Goal(0.5), queries=None, progress=SILENT, judge=lambda *_: (PROVED, reached, next(times)))
    return source, builder.build_best(trials, path)


@pytest.mark.parametrize(("second", "spec"), [(1, SPECS[2]), (20, SPECS[0])])
def test_of_two_kinds_the_faster_is_kept_with_every_row(tmp_path, second, spec):
    source, outcome = best_of_two(tmp_path / "i", second)
    assert outcome.spec == spec
    _, rows = ann.open_searcher(tmp_path / "i", spec, source, outcome.search_parameters).search(source.vectors, 1)
    assert (rows[:, 0] >= 0).all()


def test_nothing_is_left_of_kinds_that_do_not_reach_the_recall(tmp_path):
    _, outcome = best_of_two(tmp_path / "i", 20, reached=False)
    assert outcome.spec == ann.EXACT and not list(tmp_path.iterdir())


BUILDS = """
import sys
import numpy as np
from pathlib import Path
from vecsearch import ann
from vecsearch.corpus.document import Document
from vecsearch.index.build import Options
from vecsearch.index.index import Index

def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))

rows, dim = 300_000, 256
rng = np.random.default_rng(0)
blocks = (rng.standard_normal((10_000, dim), np.float32) for _ in range(rows // 10_000))
with Index.build(sys.argv[1], (Document(str(row), "") for row in range(rows)), vectors=blocks,
                 options=Options(spec="PCA32,IVF256,PQ16x4fsr_64", goal=ann.Goal(memory=100 << 20))) as index:
    index.search(rng.standard_normal((4_000, dim), np.float32), 10)
    assert index.manifest.rows == rows
print(memory("VmHWM"))
"""


@linux
@pytest.mark.slow
def test_memory_does_not_hold_the_vectors(tmp_path):
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", BUILDS, str(tmp_path / "index")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    # With the interpreter, FAISS, the training sample and the index it takes less than the vectors alone would.
    assert int(done.stdout) < 4 * 300_000 * 256
