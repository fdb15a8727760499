"""Builds on Ray: a cluster of this machine, and one of three raylets here of which some are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
from conftest import AxisEncoder, Told, documents, refused
from faults import FULL
from store_builds import assert_tidy
from test_distributed import BLOCK, WORDS, Letters, assert_same, held_and, texts
from test_distributed_kinds import Drawn, numbered
from test_scoring_files import contents, each_alone, hidden, scoring_in, write_files

from vecsearch import Document, Index, Options, UlmfitEncoder, ann
from vecsearch.ann import Goal
from vecsearch.distributed import Pool, RayEngine, build, score_files
from vecsearch.errors import CorpusError, LostError, ResourceError, UsageError
from vecsearch.index import update
from vecsearch.matching.judges import EncoderJudge
from vecsearch.store.verify import Verification, verify

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

ROWS = 6 * BLOCK
SCRIPT = """
import sys
from test_distributed import Letters
from conftest import documents
from pathlib import Path
from vecsearch import Options
from vecsearch.distributed import RayEngine, build

if __name__ == "__main__":
    folder, rows, address = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    with RayEngine(address) as engine:
        build(folder, documents(*(f"{'ab' * (i % 5)} {i}" for i in range(rows))), Letters(folder.with_name("encoded"), 0.7),
              Options(spec="IVF4,Flat"), engine=engine, workers=3, shard_rows=1, replace=True,
              resume="resume" in sys.argv).close()
"""


def refuse(*_):
    raise CorpusError("it cannot be made")


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def local():
    """A cluster of this machine alone, whose processes can import the tests."""
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", paths)
        with RayEngine("local", 8) as engine:
            yield engine


def test_engine(local):
    assert sum(local.nodes().values()) == 8
    first, second = local.worker(str, 5, node=next(iter(local.nodes()))), local.worker(refuse)
    held, more, threads, process = first.submit(held_and, "x").result(60)
    assert (held, more, threads) == ("5", "x", "1") and process != os.getpid()
    assert local.free() <= 7
    for future in (second.ready, second.submit(held_and, 1)):
        with pytest.raises(CorpusError, match="cannot be made"):
            future.result(60)
    for future in (first.submit(die), first.submit(held_and, 1)):
        with pytest.raises(LostError):
            future.result(60)
    with pytest.raises(LostError, match="nowhere"):
        local.worker(str, node="nowhere")
    second.stop()


def test_another_version_elsewhere_is_said(local, monkeypatch):
    monkeypatch.setattr("vecsearch.distributed.ray_engine.version", lambda name: "9.9")
    worker = local.worker(str)
    with pytest.raises(UsageError, match=r"vecsearch .*9\.9"):
        worker.ready.result(60)
    worker.stop()


@pytest.mark.parametrize("dtype, workers", [("float32", 2), ("bfloat16", 3), ("float32", 8)])
def test_a_build_on_ray_is_that_of_one_process(local, tmp_path, tiny_folder, dtype, workers):
    held = [Document(f"d{i}", text, {"n": i}) for i, text in enumerate(texts(WORDS, 2 * BLOCK + 99))]
    with (
        build(
            tmp_path / "ray", held, UlmfitEncoder(tiny_folder(), dtype=dtype), engine=local, workers=workers, shard_rows=1
        ) as many,
        Index.build(tmp_path / "one", held, UlmfitEncoder(tiny_folder(), dtype=dtype)) as one,
    ):
        assert_same(one, many, ["the king", "a river bank", "unknown"])


@pytest.mark.parametrize("workers", [1, 3])
def test_files_of_pairs_are_scored_on_ray_as_each_is_alone(local, tmp_path, tiny_folder, workers):
    expected = each_alone(write_files(tmp_path / "files", WORDS), tmp_path / "alone", UlmfitEncoder(tiny_folder()))
    judge, scoring = EncoderJudge(UlmfitEncoder(tiny_folder())), scoring_in(tmp_path / "ray")
    total = score_files([tmp_path / "files"], judge, scoring, engine=local, workers=workers)
    assert contents(tmp_path / "ray") == expected and total.files == 5
    assert hidden(tmp_path / "ray") == []


def test_files_of_pairs_go_on_by_another_worker(local, tmp_path):
    """One is killed within a file, which another scores again."""
    expected = each_alone(write_files(tmp_path / "files", ["a", "b"]), tmp_path / "alone", AxisEncoder())
    rows = ['{"a": "die once", "b": "a"}\n', '{"a": "b", "b": "a"}\n']
    (tmp_path / "files" / "z.jsonl").write_text("".join(rows))
    told, judge = Told(), EncoderJudge(Letters(tmp_path / "encoded"))
    total = score_files([tmp_path / "files"], judge, scoring_in(tmp_path / "ray"), engine=local, workers=2, progress=told)
    assert total.files == 6 and any("is done again by another" in note for note in told.notes)
    found = contents(tmp_path / "ray")
    assert {name: data for name, data in found.items() if "z." not in name} == expected
    assert len(found["output/z.jsonl"].splitlines()) == 2 and hidden(tmp_path / "ray") == []


def test_shards_are_indexed_on_ray_as_by_processes_of_one_machine(local, tmp_path):
    """To the bit: the same quantiser, and the same codes."""
    options, made = Options(spec="PCA8,IVF16x2,PQ4x4fsr_64", goal=Goal(0.8)), []
    with ann.threads(1):
        for engine in (local, Pool(2)):
            folder = tmp_path / str(len(made))
            with engine if made else nullcontext():
                build(folder, numbered(2 * BLOCK), Drawn(), options, engine=engine, workers=2, shard_rows=1).close()
            with Index.open(folder, encoder=Drawn()) as index:
                assert len(index.manifest.segments) == 2 and index.manifest.recall["low"] >= 0.8
                made.append([entry for path, entry in index.manifest.files.items() if path.endswith(".faiss")])
    assert sorted(map(str, made[0])) == sorted(map(str, made[1]))


def test_without_a_free_core_that_is_said(local, tmp_path, monkeypatch):
    for name, value in (("SAID_S", 0.5), ("PLACED_S", 1.2)):
        monkeypatch.setattr(f"vecsearch.distributed.crew.{name}", value)
    holders = [local.worker(str) for _ in range(8)]
    for holder in holders:
        holder.ready.result(60)
    told = Told()
    with pytest.raises(ResourceError, match="0 of them free"):
        build(tmp_path / "i", documents("a"), AxisEncoder(), engine=local, progress=told)
    assert "8 cores, 0 of them free" in told.notes[0]
    for holder in holders:
        holder.stop()
    assert not (tmp_path / "i").exists()


def test_no_cluster_answers(vecsearch, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    refused(vecsearch("build", tmp_path / "a.txt", "-o", tmp_path / "i", "--ray", "127.0.0.1:1"), 5, "'127.0.0.1:1'", "refused")
    refused(vecsearch("build", tmp_path / "a.txt", "-o", tmp_path / "i", "--ray", "ray://x:1"), 2, "ray://x:1")


# -- three raylets, of which some are killed ------------------------------------------------------------------------------


class Killing:
    """A cluster, the process that builds on it, and how many times something was killed."""

    def __init__(self, folder: Path, cluster) -> None:
        self.folder, self.cluster, self.kills, self.workers, self.builds = folder, cluster, 0, 0, 1
        (folder.with_name("script.py")).write_text(SCRIPT)
        self.nodes = [cluster.add_node(num_cpus=2) for _ in range(2)]
        self.process = self.start()

    def start(self, *more: str) -> subprocess.Popen:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])}
        command = [sys.executable, self.folder.with_name("script.py"), self.folder, str(ROWS), self.cluster.address, *more]
        return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    def kill_worker(self, rng: random.Random) -> None:
        import psutil

        while not (actors := [process for process in psutil.process_iter(["cmdline"]) if _is_ours(process, self.cluster)]):
            self.again()
            time.sleep(0.05)
        rng.choice(actors).kill()
        self.kills, self.workers = self.kills + 1, self.workers + 1

    def again(self) -> None:
        """Begin another build where this one has come to its end."""
        if self.process.poll() is not None:
            assert self.process.returncode == 0
            self.process, self.builds = self.start(), self.builds + 1

    def kill_raylet(self, rng: random.Random) -> None:
        """With all of its workers; another machine comes in its place."""
        node = self.nodes.pop(rng.randrange(len(self.nodes)))
        self.cluster.remove_node(node, allow_graceful=False)
        self.nodes.append(self.cluster.add_node(num_cpus=2))
        self.kills += 2  # as many workers as it may have had

    def kill_driver(self, rng: random.Random) -> None:
        self.process.kill()
        self.process.wait()
        self.kills += 3
        self.process = self.start("resume")


def _is_ours(process, cluster) -> bool:
    """Whether it is an actor's on this cluster: Ray has each process say what it is."""
    return any("ray::Holder" in part for part in process.info["cmdline"] or [])


@pytest.fixture
def cluster():
    from ray.cluster_utils import Cluster

    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", paths)
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        yield made
        made.shutdown()


def test_kills_on_three_raylets(cluster, tmp_path):
    """Whatever is killed, the build comes to its end, and at most a shard is encoded again for each worker that was lost."""
    killing, rng = Killing(tmp_path / "index", cluster), random.Random(0)
    kinds = [killing.kill_worker, killing.kill_raylet, killing.kill_driver]
    for number in range(50 if FULL else 4):
        while killing.process.poll() is None and not list(killing.folder.glob("segments/*-shards-*/*-*.json")):
            time.sleep(0.05)
        killing.again()
        time.sleep(rng.uniform(0, 2))
        kinds[number % 3](rng)
    assert killing.process.wait(300) == 0 and killing.workers
    encoded = killing.folder.with_name("encoded").stat().st_size
    assert encoded <= killing.builds * ROWS + killing.kills * BLOCK
    with Index.open(killing.folder, encoder=Letters(killing.folder)) as index:
        assert [document.id for document in index.documents(range(ROWS))] == [f"d{i}" for i in range(ROWS)]
    update.collect(killing.folder, 1)
    assert verify(killing.folder) == Verification([], [])
    assert_tidy(killing.folder)


# -- searching -----------------------------------------------------------------------------------------------------------------

SEARCHING = """
import sys, time
from pathlib import Path
import numpy as np
from conftest import AxisEncoder
from vecsearch import Index
from vecsearch.distributed import RayEngine
from vecsearch.errors import LostError

if __name__ == "__main__":
    queries = np.random.default_rng(0).standard_normal((200, 3)).astype(np.float32)
    with Index.open(sys.argv[1], encoder=AxisEncoder()) as one, RayEngine(sys.argv[2]) as engine:
        wanted = [one.search(query[None], 10) for query in queries]
        with Index.open(sys.argv[1], encoder=AxisEncoder(), engine=engine) as apart:
            def same():
                found = [apart.search(query[None], 10) for query in queries]
                return sum(repr(each) == repr(other) for each, other in zip(wanted, found))
            print("told", len(engine.nodes()), same(), apart.hybrid(["cab"]) == one.hybrid(["cab"]), flush=True)
            sys.stdin.readline()
            said, until = None, time.monotonic() + 120
            while time.monotonic() < until:
                try:
                    if apart.search(queries[:1], 10).rows.size and said:
                        break
                except LostError as error:
                    said = said or str(error)
                time.sleep(0.1)
            print("told", same(), said, flush=True)
"""


def test_a_search_on_three_raylets_is_that_of_one_process_and_survives_one(cluster, tmp_path):
    rng = random.Random(1)
    made = documents(*("".join(rng.choices("abc", k=rng.randint(1, 9))) for _ in range(1600)))
    with Index.build(tmp_path / "index", made[:200], AxisEncoder()) as index:
        for first in range(200, 1600, 200):
            index.add(made[first : first + 200])
        assert len(index.manifest.segments) == 8
    (tmp_path / "script.py").write_text(SEARCHING)
    nodes = [cluster.add_node(num_cpus=2) for _ in range(2)]
    try:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])}
        command = [sys.executable, tmp_path / "script.py", tmp_path / "index", cluster.address]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
            told = (line.split(maxsplit=1)[1] for line in process.stdout if line.startswith("told "))  # Ray may say more
            assert next(told).split() == ["3", "200", "True"]
            cluster.remove_node(nodes.pop(), allow_graceful=False)
            process.stdin.write("go on\n")
            process.stdin.flush()
            same, said = next(told).split(maxsplit=1)
            assert same == "200"
            assert "of 1,600 documents are out of reach, those of the rows " in said
            assert process.wait(60) == 0
    finally:
        for node in nodes:
            cluster.remove_node(node)
