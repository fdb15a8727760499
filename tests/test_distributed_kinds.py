"""A kind of FAISS index over the shards of one build: chosen, trained, tuned and proved once, as good as one index of it."""

from __future__ import annotations

import os
import signal
from functools import cache
from pathlib import Path

import faiss
import numpy as np
import pytest
from conftest import Told, made_vectors, refused, rows
from engines import Here
from faults import limited
from store_builds import assert_tidy

from vecsearch import Document, Index, Options, ann, push
from vecsearch.ann import Goal, builder, planner, trials, tuner
from vecsearch.ann import spec as spec_module
from vecsearch.ann.construction import add
from vecsearch.distributed import Pool, build, compact
from vecsearch.encoders import Encoder
from vecsearch.errors import ResourceError, UsageError
from vecsearch.index import blocks
from vecsearch.metric import Metric, norms
from vecsearch.store.verify import Verification, verify

DIM, ROWS, SHARD = 16, 1_500, 250
SPECS = ["IVF16,Flat", "PCA8,IVF16x2,PQ4x4fsr_64", "PCA8,HNSW8,SQ8"]
OTHERS = ["PCA8,IVF16,PQ4x4fs_64", "PCA8,IVF16x2,PQ4x4fs_64", "HNSW8", "SQ8", "IVF16,SQ8", "IVF16_HNSW4,Flat"]


@cache
def vectors(kind: str = "clustered") -> np.ndarray:
    return made_vectors(kind, 4_000, DIM, 0)


class Drawn(Encoder):
    """The vector of a text is that at the row of its number; how many were encoded, a file says, with a byte for each."""

    dim = DIM

    def __init__(self, kind: str = "clustered", path: Path | None = None) -> None:
        self.drawn, self.path = kind, path

    @property
    def fingerprint(self):
        return f"drawn-{self.drawn}"

    def encode(self, texts):
        if self.path:
            with self.path.open("ab") as file:
                file.write(b"." * len(texts))
        numbers = np.array([int(text.split()[0]) for text in texts], int)
        return vectors(self.drawn)[numbers % 4_000] + np.float32(1e-3) * (numbers[:, None] // 4_000)


class Longer(Drawn):
    """By shards, vectors get longer; within one, they are of one length."""

    def encode(self, texts):
        found = super().encode(texts)
        numbers = np.array([int(text.split()[0]) for text in texts])
        return found / np.linalg.norm(found, axis=1, keepdims=True) * np.float32(1 + numbers[:, None] // SHARD)


def numbered(count: int = ROWS, first: int = 0) -> list[Document]:
    return [Document(f"d{i}", f"{i} text") for i in range(first, first + count)]


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Small blocks; so little work is done sooner by one thread."""
    monkeypatch.setattr(blocks, "BLOCK_DOCUMENTS", SHARD)
    monkeypatch.setattr(tuner, "TIMED_QUERIES", 20)
    with ann.threads(1):
        yield


@pytest.fixture
def quick(monkeypatch):
    """Trials over few vectors, for the defaults are for a million."""
    monkeypatch.setattr(builder, "EXACT_NUMBERS", 0)
    monkeypatch.setattr(trials, "LEAST_ROWS", 500)
    monkeypatch.setattr(trials, "QUERIES", 40)
    monkeypatch.setattr(spec_module, "PQ_ROUNDS", 2)
    monkeypatch.setattr(planner, "REDUCTIONS", (8, 12))


def both(place: Path, options: Options, count: int = ROWS, *, engine=None, encoder=None, shard_rows: int = SHARD, **more):
    """The index of one process, and that of several."""
    encoder, held = encoder or Drawn(), numbered(count)
    one = Index.build(place / "one", held, encoder, options)
    return one, build(place / "many", held, encoder, options, engine=engine or Here(), shard_rows=shard_rows, **more)


def paths_of(index: Index) -> list[Path]:
    """The FAISS indexes of its segments."""
    return [index.folder / "segments" / entry["name"] / entry["faiss"] for entry in index.manifest.segments]


def searched(path: Path, queries: np.ndarray, k: int, nprobe: int) -> tuple[np.ndarray, np.ndarray]:
    """FAISS's own distances and rows."""
    index = faiss.read_index(str(path))
    faiss.extract_index_ivf(index).nprobe = nprobe
    return index.search(queries, k)


# -- as good as one index ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", [Metric.COSINE, pytest.param(Metric.INNER_PRODUCT, marks=pytest.mark.slow)])
@pytest.mark.parametrize("spec", [*SPECS, *[pytest.param(spec, marks=pytest.mark.slow) for spec in OTHERS]])
def test_shards_by_one_quantiser_have_the_recall_of_one_index(tmp_path, spec, metric):
    """With the same search parameters, on the same queries, which were held out of both."""
    one, many = both(tmp_path, Options(metric, spec))
    with one, many:
        assert one.manifest.search_parameters == many.manifest.search_parameters
        mine, its = one.manifest.recall, many.manifest.recall
        assert mine["queries"] == its["queries"] == 49 and its["mean"] >= mine["mean"] - 0.005
        assert len({(str(entry["effort"]), str(entry["recall"]), entry["spec"]) for entry in many.manifest.segments}) == 1
        assert len(many.manifest.segments) == 6 and many.manifest.goal == one.manifest.goal
        asked = made_vectors("clustered", 50, DIM, 1)
        every = range(ROWS)
        np.testing.assert_array_equal(one.vectors(every), many.vectors(every))
        mine, its = one.search(asked, 10, exact=True), many.search(asked, 10, exact=True)
        np.testing.assert_array_equal(mine.rows, its.rows)
        np.testing.assert_allclose(mine.scores, its.scores, rtol=1e-6)  # the last bit depends on the shape of a product
        assert one.keywords(["text"], 5) == many.keywords(["text"], 5)
        truth = many.search(asked, 10, exact=True).scores
        found = [ann.Recall.of(np.isin(index.search(asked, 10).scores, truth).mean(axis=1), 10).mean for index in (one, many)]
        assert found[1] >= found[0] - 0.005
    assert verify(tmp_path / "many") == Verification([], [])
    assert_tidy(tmp_path / "many")


@pytest.mark.parametrize("spec", ["IVF16,Flat", "PCA8,IVF16,PQ4x4fs_64", "IVF16,PQ8x4fs", "IVF16,SQ8"])
def test_merged_distances_are_those_of_one_index_by_the_same_training(tmp_path, spec):
    """To the bit, for any number of lists that are read."""
    one, many = both(tmp_path, Options(spec=spec))
    with one, many:
        parts = paths_of(many)
        whole = faiss.read_index(str(parts[0]))
        whole.reset()
        source = ann.Rows(vectors()[:ROWS], norms(vectors()[:ROWS]), Metric.COSINE)
        add(whole, 1, source, np.arange(ROWS))
        faiss.write_index(whole, str(tmp_path / "whole"))
        queries = source.compared.of_queries(made_vectors("clustered", 40, DIM, 1))
        for nprobe in (1, 3, 16):
            expected, _ = searched(tmp_path / "whole", queries, 20, nprobe)
            found = np.concatenate([searched(path, queries, 20, nprobe)[0] for path in parts], axis=1)
            np.testing.assert_array_equal(np.sort(found, axis=1)[:, :20], expected)
        # The one process trained on the same rows, to the same index.
        alone, _ = searched(paths_of(one)[0], queries, 20, 3)
        np.testing.assert_array_equal(alone, searched(tmp_path / "whole", queries, 20, 3)[0])


def test_what_a_recall_takes_is_chosen_and_proved_once(tmp_path, quick):
    told = Told()
    one, many = both(tmp_path, Options(goal=Goal(0.85)), 4_000, progress=told)
    with one, many:
        manifest = many.manifest
        assert manifest.spec != "exact" and manifest.recall["low"] >= 0.85 and manifest.recall["queries"] == 133
        assert len({(entry["spec"], str(entry["effort"]), str(entry["recall"])) for entry in manifest.segments}) == 1
        (mine, its) = ([trial["spec"] for trial in index.manifest.provenance["trials"]] for index in (one, many))
        assert sorted(mine) == sorted(its)  # of the same number of rows
        assert len([note for note in told.notes if note.startswith("building ")]) <= len(its)
        asked = made_vectors("clustered", 300, DIM, 1)
        truth, found = many.search(asked, 10, exact=True), many.search(asked, 10)
        shared = [len(set(a) & set(b)) / 10 for a, b in zip(truth.rows.tolist(), found.rows.tolist(), strict=True)]
        assert ann.Recall.of(np.array(shared), 10).high >= 0.85
    assert told.steps["vectors"].count(3_601) >= 1
    assert verify(tmp_path / "many") == Verification([], [])
    assert_tidy(tmp_path / "many")


@pytest.mark.parametrize("shard, copies", [(SHARD, 1), (SHARD, 2), (2 * SHARD, 1)])
def test_what_the_lists_of_all_shards_take_is_known_before(tmp_path, shard, copies):
    """Each shard has all centroids, and a list of few rows takes as much as one of 64."""
    kind = planner.lists(2_000, DIM, 8, copies=copies, indexes=2_000 // shard)
    held = {"engine": Here(), "shard_rows": shard}
    with build(tmp_path / "i", numbered(2_000), Drawn("gaussian"), Options(spec=kind.spec), **held) as index:
        found = sum(path.stat().st_size for path in paths_of(index))
    assert 0.75 * found <= kind.memory_bytes <= 1.35 * found


def test_queries_of_your_own_prove_it(tmp_path):
    asked = made_vectors("gaussian", 90, DIM, 1)
    one, many = both(tmp_path, Options(spec="IVF16,Flat", goal=Goal(0.9), queries=asked))
    with one, many:
        assert many.manifest.recall["queries"] == one.manifest.recall["queries"] == 30
        assert many.manifest.recall["low"] >= 0.85


def test_processes_fill_what_one_does(tmp_path):
    """The same files, whoever fills them."""
    options = Options(spec="PCA8,IVF16x2,PQ4x4fsr_64", goal=Goal(0.8, memory=10_000_000))
    one, many = both(tmp_path, options)
    with (
        one,
        many,
        Pool(2) as engine,
        build(tmp_path / "pool", numbered(), Drawn(), options, engine=engine, shard_rows=SHARD) as pool,
    ):
        assert pool.manifest.recall["low"] >= 0.8
        hashes = [
            [index.manifest.files[path.relative_to(index.folder).as_posix()]["sha256"] for path in paths_of(index)]
            for index in (many, pool)
        ]
        assert hashes[0] == hashes[1]
    assert verify(tmp_path / "pool") == Verification([], [])


# -- vectors and shards that are hard ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec", ["PCA4,IVF4x2,PQ4x4fs_64", *[pytest.param(spec, marks=pytest.mark.slow) for spec in ("Flat", "HNSW4")]]
)
def test_shards_whose_rows_are_all_held_out(tmp_path, monkeypatch, spec):
    """A row for each shard."""
    monkeypatch.setattr(blocks, "BLOCK_DOCUMENTS", 1)
    one, many = both(tmp_path, Options(spec=spec, goal=Goal(0.1, 3)), 34, shard_rows=1)
    with one, many:
        assert len(many.manifest.segments) == 34 and many.manifest.recall["queries"] == 1
        every = many.search(vectors()[:34], 34)
        assert all(sorted(found[found >= 0]) == sorted(set(found[found >= 0])) for found in every.rows)
        assert (every.rows[:, 0] == np.arange(34)).mean() > 0.9
    assert verify(tmp_path / "many") == Verification([], [])


def test_lengths_that_differ_only_between_shards(tmp_path):
    """By inner product: within a shard all are equal, and each is compared as all are."""
    for spec in ("IVF16,Flat", "HNSW16"):
        one, many = both(tmp_path / spec, Options(Metric.INNER_PRODUCT, spec), encoder=Longer("gaussian"))
        with one, many:
            assert many.manifest.recall["mean"] >= one.manifest.recall["mean"] - 0.005
            assert many.search(vectors("gaussian")[:20], 10).scores.shape == (20, 10)
        assert verify(tmp_path / spec / "many") == Verification([], [])


# -- what goes wrong, and what does not reach the recall ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "metric, spec, goal, count, kind",
    [
        ("cosine", "IVF64,Flat", Goal(), 20, "gaussian"),
        ("cosine", "PCA8,IVF32x2,PQ8x4fs_64", Goal(), 20, "gaussian"),
        ("cosine", "Nonsense", Goal(), 20, "gaussian"),
        ("cosine", "PCA99,Flat", Goal(), 20, "gaussian"),
        ("ip", "HNSW8", Goal(), 20, "far"),
    ],
)
def test_a_spec_that_does_not_fit_is_refused_as_by_one_process(tmp_path, metric, spec, goal, count, kind, monkeypatch):
    vectors()
    if kind == "far":
        monkeypatch.setattr(
            "test_distributed_kinds.vectors", lambda kind: np.float32(1e30) * made_vectors("gaussian", 4_000, DIM, 0)
        )
    said = []
    for work in (Index.build, lambda *given: build(*given, engine=Here(), shard_rows=1)):
        with pytest.raises(UsageError) as raised:
            work(tmp_path / str(len(said)), numbered(count), Drawn(kind), Options(metric, spec, goal))
        said.append(str(raised.value))
    assert said[0] == said[1]


def test_a_budget_too_small_is_refused_with_one_that_is_not(tmp_path, quick):
    with pytest.raises(UsageError, match=r"1,000 bytes of memory.*--memory \d+MB"):
        build(
            tmp_path / "many",
            numbered(4_000),
            Drawn("gaussian"),
            Options(goal=Goal(0.95, memory=1_000)),
            engine=Here(),
            shard_rows=SHARD,
        )
    # What was encoded is kept, and another goal goes on with it.
    path = tmp_path / "encoded"
    with build(
        tmp_path / "many",
        numbered(4_000),
        Drawn("gaussian", path),
        Options(spec="HNSW4"),
        engine=Here(),
        shard_rows=SHARD,
        resume=True,
    ) as index:
        assert index.manifest.spec == "HNSW4" and not path.exists()
    assert_tidy(tmp_path / "many")


@pytest.mark.parametrize(
    "goal, count, why", [(Goal(0.95), 300, "9 queries are too few"), (Goal(0.9), 1_500, "over 1,500 vectors nothing")]
)
def test_what_leaves_exact_search_does_so_for_shards(tmp_path, monkeypatch, goal, count, why):
    if "few" in why:
        monkeypatch.setattr(builder, "EXACT_NUMBERS", 0)
    told = Told()
    one, many = both(tmp_path, Options(goal=goal), count, progress=told)
    with one, many:
        assert many.manifest.spec == "exact" and any(why in note for note in told.notes)
        assert many.manifest.goal == one.manifest.goal
        assert many.search(vectors()[:9], 5).rows.tolist() == one.search(vectors()[:9], 5).rows.tolist()


@pytest.mark.slow
def test_a_recall_that_no_kind_reaches_is_left_to_exact_search(tmp_path, quick, monkeypatch):
    monkeypatch.setattr(tuner, "MOST_CANDIDATES", 1)
    monkeypatch.setattr(spec_module, "MOST_NODES", 1)
    told = Told()
    one, many = both(tmp_path, Options(goal=Goal(0.97)), 4_000, encoder=Drawn("gaussian"), progress=told)
    with one, many:
        assert many.manifest.spec == one.manifest.spec == "exact" and many.manifest.provenance["trials"]
    assert told.notes[-1] == "exact search: no other kind reaches the recall"
    assert_tidy(tmp_path / "many")


def test_commands_say_what_is_reached_as_for_one_process(tmp_path, vecsearch, tiny_folder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("".join(f"the king {'of the city ' * (i % 7)}{i % 13}\n" for i in range(300)))
    common = ["a.txt", "--encoder", tiny_folder(), "--json"]
    workers = ["--workers", 1, "--shard-rows", 100]
    for extra in ([], workers):
        low = ["-o", f"low{len(extra)}", "--spec", "PCA1,Flat", "--recall", 0.9]
        short = vecsearch("build", *common, *extra, *low)
        assert short.code == 1 and "0.9 is not reached" in short.err
        (shown,) = rows(vecsearch("info", low[1], "--json"))
        assert (shown["spec"], shown["rows"], shown["recall"]["by"]["rows"]["queries"]) == ("PCA1,Flat", 300, 9)
        refused(vecsearch("build", *common, *extra, *low[2:4], "-o", low[1]), 2, "is an index already")
        refused(
            vecsearch("build", *common, *extra, "-o", f"no{len(extra)}", "--spec", "IVF900,Flat"),
            2,
            "IVF900,Flat",
            "273 vectors",
        )
        refused(vecsearch("build", *common, *extra, "-o", "never", "--spec", "Nonsense"), 2, "Nonsense")
    assert Path("no0").exists() and Path("no4").exists() and not Path("never").exists()


# -- what is done with it later ------------------------------------------------------------------------------------------------


@pytest.fixture
def made(tmp_path):
    with build(tmp_path / "i", numbered(), Drawn(), Options(spec="IVF16,Flat"), engine=Here(), shard_rows=SHARD) as index:
        yield index


def assert_finds(index: Index, every: range) -> None:
    """Each of these documents, by its own vector; the index is whole."""
    found = index.search(vectors()[list(every)], 1)
    own = [document.id for document in index.documents(found.rows[:, 0].tolist())]
    assert np.mean([id == f"d{number}" for id, number in zip(own, every, strict=True)]) > 0.95
    assert verify(index.folder) == Verification([], [])


@pytest.mark.parametrize("size", [None, 1100])
def test_compacted(made, size):
    made.delete(["d3"])
    made.compact(rows=size)
    assert len(made.manifest.segments) == (1 if size is None else 2) and made.manifest.spec == "IVF16,Flat"
    assert_finds(made, range(10, ROWS))


def test_compacted_by_workers(made):
    compact(made.folder, engine=Here(), rows=1100)
    with Index.open(made.folder, encoder=Drawn()) as index:
        assert_finds(index, range(ROWS))


@pytest.mark.parametrize("asked", [{}, {"spec": "HNSW8"}, {"spec": "exact"}])
def test_rebuilt(made, asked):
    made.rebuild(**asked)
    assert made.manifest.spec == asked.get("spec", "IVF16,Flat")
    assert_finds(made, range(ROWS))
    made.collect(1)
    assert_tidy(made.folder)


def test_added_to_deleted_from_and_rolled_back(made):
    made.add(numbered(200, ROWS))
    assert len(made.manifest.segments) == 7 and made.manifest.recall is not None
    assert_finds(made, range(ROWS + 200))
    made.delete(["d1", "d1699"])
    assert len(made) == ROWS + 198
    made.rollback(1)
    assert_finds(made, range(ROWS))


def test_adopted(made, tmp_path):
    with Index.from_segments(tmp_path / "of", [made.folder], Drawn()) as index:
        assert [entry["spec"] for entry in index.manifest.segments] == ["IVF16,Flat"] * 6
        assert index.manifest.recall == made.manifest.recall
        assert_finds(index, range(ROWS))


def test_pushed_and_read_from_there(made, tmp_path):
    push(made.folder, f"file://{tmp_path}/place")
    with Index.open(f"file://{tmp_path}/place", encoder=Drawn()) as index:
        asked = vectors()[:50]
        assert index.search(asked, 10).rows.tolist() == made.search(asked, 10).rows.tolist()


# -- whatever ends ---------------------------------------------------------------------------------------------------------


class Stop(Exception):
    pass


def stop_at(count: int):
    """Raises when so many vectors were added; None where it is never."""

    def then(name: str, done: int) -> None:
        if name == "vectors" and done >= count:
            raise Stop

    return Told(then)


def test_resume_encodes_nothing_twice_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "encoded"
    common = {"engine": Here(), "shard_rows": SHARD}
    for count in (1, 1_000):
        with pytest.raises(Stop):
            build(
                tmp_path / "i", numbered(), Drawn(path=path), Options(spec="IVF16,Flat"), **common,
                progress=stop_at(count), resume=path.exists(),
            )  # fmt: skip
        assert list((tmp_path / "i/segments").glob("*/index-*.faiss"))
    with build(tmp_path / "i", numbered(), Drawn(path=path), Options(spec="HNSW8"), **common, resume=True) as index:
        assert index.manifest.spec == "HNSW8"
    assert path.stat().st_size == ROWS
    assert verify(tmp_path / "i") == Verification([], [])
    assert_tidy(tmp_path / "i")


@pytest.mark.slow
def test_a_process_that_dies_while_shards_are_filled_is_replaced(tmp_path):
    """Before it has begun, while it works, and while it waits for work."""
    killed: list[int] = []

    def kill(name: str, done: int) -> None:
        if name == "vectors" and len(killed) < 3:
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            serving = [child for child in map(int, children) if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
            if left := [child for child in serving if child not in killed]:
                killed.append(left[-1])
                os.kill(killed[-1], signal.SIGKILL)

    made, told = [], Told(kill)
    for engine in (Pool(2), Here()):
        folder, options = tmp_path / type(engine).__name__, Options(spec="IVF16,Flat")
        with engine, build(folder, numbered(), Drawn(), options, engine=engine, shard_rows=SHARD, progress=told) as index:
            made.append(index.manifest)
        assert verify(folder) == Verification([], [])
        assert_tidy(folder)
    assert killed and made[0].recall == made[1].recall


def test_a_disk_that_is_full_within_faiss_is_said_with_the_file(tmp_path):
    """By the limit on the size of files; what was encoded is kept."""
    options, common = Options(spec="HNSW32"), {"engine": Here(), "shard_rows": SHARD}
    with pytest.raises(Stop):
        build(tmp_path / "i", numbered(), Drawn(), options, **common, progress=stop_at(1))

    def work():
        with pytest.raises(
            ResourceError, match=r"cannot write .*i/segments/000001-\d-[0-9a-f]{8}/index-000001-[0-9a-f]{8}\.faiss"
        ):
            build(tmp_path / "i", numbered(), Drawn(), options, **common, resume=True)

    assert limited(work, 50_000, kill=False) == 0
    assert not list((tmp_path / "i/segments").glob("000001-?-*/*.faiss"))
    assert len(list((tmp_path / "i/segments").glob("*-shards-*/*-*.json"))) == 6
