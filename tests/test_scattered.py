"""An index whose parts several workers hold answers as one that is open in this process: to the bit, whatever is asked of it;
and where a worker is lost, it says which documents are out of reach."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from functools import partial

import numpy as np
import pytest
from conftest import AxisEncoder
from engines import Here
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_facets import GONE, Words, changed, documents_of, tables

from vecsearch import Chunks, Document, Index, Options, clustering
from vecsearch.distributed import Pool
from vecsearch.errors import DamagedIndexError, LostError, UsageError
from vecsearch.index import workers as searching
from vecsearch.index.hits import Fusion
from vecsearch.index.part import Part
from vecsearch.index.scattered import runs
from vecsearch.store.filters.tokens import written_name

SECONDS = 60
QUERIES = ["a cab", "storm", '"on the bank"', "abc", "", "the a cab-storm"]
VECTORS = np.array([[1, 0, 0], [0.5, 1, 0], [0, 0, 0], [-1, 2, 0.25]], np.float32)


def answers(index: Index, where: str | None) -> dict:
    """What is found by every way of asking."""
    ids = [hit.id for hit in index.browse(k=100)]
    rows = index.document_rows().tolist()
    names = [field.name for field in index.fields()]
    return {
        "search": [part.tolist() for part in index.search(VECTORS, 5, where=where)],
        "exact": [part.tolist() for part in index.search(VECTORS, 100, metric="ip", exact=True)],
        "hits": index.hits(index.search(VECTORS, 3, where=where)),
        "nearest": index.nearest(VECTORS, 4, where=where),
        "query": index.query(QUERIES, 3, where=where),
        "similar": index.similar(ids[:3], 2, where=where),
        "keywords": index.keywords(QUERIES, 3, where=where),
        "hybrid": index.hybrid(QUERIES, 4, where=where),
        "ranks": index.hybrid(QUERIES, 4, fusion=Fusion.RANKS, where=where, weights=(2, 1)),
        "candidates": [(each.hits, each.meaning.tolist(), each.words.tolist()) for each in index.candidates(QUERIES)],
        "browse": [index.browse(where, offset, 3) for offset in range(0, 12, 2)],
        "count": [index.count(where), index.count(where, words="cab")],
        "facets": index.facets(names, where=where, words="cab bank", limit=3),
        "fields": [index.fields(), index.examples()],
        "remarks": index.remarks(where or "id is not null"),
        "stored": [index.documents(rows[::-1]), index.vectors(rows).tolist(), index.rows(ids), index.known([*ids, "none"])],
        "rows": [index.alive().tolist(), rows, len(index), index.earlier_words],
    }


def refusal(ask) -> str:
    with pytest.raises(UsageError) as refused:
        ask()
    return str(refused.value)


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(tables(), tables(), GONE, st.sampled_from([None, Chunks(2, 1)]), st.integers(1, 4), st.data())
def test_every_answer_is_that_of_an_index_in_this_process(table, more, gone, chunks, workers, data):
    named = [f"{written_name(name)} is not null" for fields in table for name in fields]
    where = data.draw(st.sampled_from([None, "length(text) > 6", *named]))
    with changed(table, more, gone, chunks=chunks) as index:
        index.add(documents_of(more, 1000))
        with Here(workers) as engine, Index.open(index.folder, encoder=Words(), engine=engine, workers=workers) as apart:
            assert repr(answers(apart, where)) == repr(answers(index, where))
            assert apart.missing == []
            for ask in (
                lambda one: one.count("nothing = 1"),
                lambda one: one.facets(["no such field"]),
                lambda one: one.similar(["no such id"]),
            ):
                assert refusal(partial(ask, apart)) == refusal(partial(ask, index))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An index of five segments of 40 documents each, with clusters, and some deleted."""
    folder = tmp_path_factory.mktemp("scattered") / "index"
    random = np.random.default_rng(0)
    texts = ["".join(random.choice(list("abc"), random.integers(1, 9))) + f" word{n % 7}" for n in range(200)]
    made = [Document(f"d{n}", text, {"turn": n % 5}) for n, text in enumerate(texts)]
    with Index.build(folder, made[:40], AxisEncoder()) as index:
        for first in range(40, 200, 40):
            index.add(made[first : first + 40])
        index.delete(["d3", "d77", "d199"])
        clustering.cluster(index, clustering.Settings("communities", threshold=0.9, size=3))
    return folder


@pytest.mark.parametrize(("metric", "spec"), [("ip", None), ("cosine", "IVF4,Flat"), ("cosine", "HNSW8")])
def test_kinds_of_index_and_metrics(tmp_path, metric, spec):
    vectors = np.random.default_rng(1).standard_normal((900, 3)).astype(np.float32)
    made = [Document(f"d{n}", "abc"[n % 3] * (n % 11)) for n in range(900)]
    with Index.build(tmp_path / "one", made[:300], AxisEncoder(), Options(metric=metric, spec=spec)) as index:
        index.add(made[300:600])
        index.add(made[600:])
        with Here(4) as engine, Index.open(index.folder, encoder=AxisEncoder(), engine=engine, workers=2) as apart:
            for asked in ({}, {"where": "length(text) > 4"}, {"exact": True}):
                for one, other in zip(
                    index.search(vectors[:50], 20, **asked), apart.search(vectors[:50], 20, **asked), strict=True
                ):
                    assert one.tobytes() == other.tobytes()
            assert apart.hybrid(["abc", "aab"], 20) == index.hybrid(["abc", "aab"], 20)


def test_clusters_are_those_of_the_whole_index(folder):
    with (
        Index.open(folder, encoder=AxisEncoder()) as index,
        Here(4) as engine,
        Index.open(folder, encoder=AxisEncoder(), engine=engine, workers=3) as apart,
    ):
        assert index.clustering.clusters
        assert apart.facets(["cluster"]) == index.facets(["cluster"])
        assert apart.query(["aab"], 50, where="cluster = 1") == index.query(["aab"], 50, where="cluster = 1")
        assert apart.query(["aab"], 200) == index.query(["aab"], 200)


def test_changes_are_shown_after_a_refresh_by_the_same_workers(folder, tmp_path):
    made = [Document(f"n{n}", "ab" * n) for n in range(6)]
    with Here(2) as engine, Index.build(tmp_path / "index", made, AxisEncoder()) as writer:
        writer.add([Document("late", "ca")])
        apart = Index.open(writer.folder, encoder=AxisEncoder(), engine=engine, workers=2)
        before = apart.reader()
        assert not apart.refresh()
        writer.add([Document("later", "cab")])
        writer.delete(["n2"])
        assert apart.refresh()
        assert apart.query(["cab"], 20) == writer.query(["cab"], 20)
        assert len(before.query(["cab"], 20)[0]) == 7  # n0 has no letter, and still scores 0
        assert apart.add([Document("own", "bbc")]).added == 1
        assert "own" in [hit.id for hit in apart.query(["bbc"], 3)[0]]
        newer = apart.newer()
        assert newer is None
        apart.close()
        assert engine.started == 2


@given(st.lists(st.integers(1, 100), max_size=30), st.integers(1, 12))
def test_runs_hold_all_segments_in_order_and_about_as_many_rows(rows, count):
    found = list(runs(rows, count))
    assert [number for run in found for number in run] == list(range(len(rows)))
    assert len(found) == max(1, min(count, len(rows)))
    if rows:
        held = [sum(rows[number] for number in run) for run in found]
        assert min(held) > 0
        assert max(held) <= sum(rows) / len(found) + max(rows) + 1 or len(found) == len(rows)


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Mortal(Pool):
    """A pool whose workers can be ended."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self.made = []

    def worker(self, *arguments, **options):
        self.made.append(super().worker(*arguments, **options))
        return self.made[-1]

    def end(self, number: int) -> None:
        with pytest.raises(LostError):
            self.made[number].submit(die).result(SECONDS)


def test_what_a_lost_worker_held_is_told_and_comes_back(folder, monkeypatch):
    monkeypatch.setattr(searching, "AGAIN_S", 0)
    with (
        Index.open(folder, encoder=AxisEncoder()) as index,
        Mortal(3) as engine,
        Index.open(folder, encoder=AxisEncoder(), engine=engine, workers=3) as apart,
    ):
        wanted = index.query(["aab"], 20)
        assert apart.query(["aab"], 20) == wanted
        engine.end(1)
        with pytest.raises(LostError, match=r"40 of 200 documents are out of reach, those of the rows 80 to 119: ") as lost:
            apart.query(["aab"], 20)
        assert lost.value.exit_code == 5
        found, until = None, time.monotonic() + SECONDS
        while found is None:
            assert time.monotonic() < until
            try:
                found = apart.query(["aab"], 20)
            except LostError:
                time.sleep(0.05)
        assert found == wanted
        assert len(engine.made) == 4  # asking again meanwhile starts no more


def test_partial_answers_are_those_of_the_others_and_say_what_they_lack(folder):
    with (
        Index.open(folder, encoder=AxisEncoder()) as index,
        Mortal(2) as engine,
        Index.open(folder, encoder=AxisEncoder(), engine=engine, workers=2, partial=True) as apart,
    ):
        asked = apart.reader()
        ids = {hit.id for hit in index.browse("turn >= 0", 0, 200)}
        assert {hit.id for hit in asked.query(["aab"], 200)[0]} == ids
        engine.end(0)
        assert asked.missing == []
        lacking = apart.reader()
        found = lacking.query(["aab"], 200)[0]
        ((rows, documents),) = lacking.missing
        rest = [hit for hit in index.query(["aab"], 200)[0] if int(hit.id[1:]) not in rows]
        assert (found, documents, apart.missing) == (rest, len(rows), [])
        assert {hit.id for hit in apart.keywords(["word3"], 200)[0]} < ids
        assert apart.missing == lacking.missing
        with pytest.raises(LostError):
            apart.similar(["d1"])


def test_a_worker_that_is_lost_between_two_steps_of_a_hybrid_search_is_told(folder):
    class Losing(Here):
        """The worker of the first rows is lost when it is asked for pools."""

        def call(self, function, arguments):
            if len(arguments) == 4 and arguments[2] is Part.pools and not arguments[1].numbers.start:
                raise LostError("gone")
            return super().call(function, arguments)

    with Losing(2) as engine:
        how = {"encoder": AxisEncoder(), "engine": engine, "workers": 2}
        with Index.open(folder, partial=True, **how) as apart:
            reader = apart.reader()
            hits = reader.hybrid(["aab"], 200)[0]
            ((rows, _),) = reader.missing
            assert hits and not {int(hit.id[1:]) for hit in hits} & set(rows)
        with Index.open(folder, **how) as apart, pytest.raises(LostError, match="out of reach"):
            apart.hybrid(["aab"])


def test_a_folder_that_a_machine_does_not_see_is_said(folder, tmp_path):
    moved = tmp_path / "index"
    with Index.build(tmp_path / "made", [Document("a", "a"), Document("b", "b")], AxisEncoder()) as made:
        path = made.folder

    class Elsewhere(Here):
        def call(self, function, arguments):
            path.rename(moved)
            try:
                return super().call(function, arguments)
            finally:
                moved.rename(path)

    with Elsewhere(1) as engine, pytest.raises(UsageError, match=r"does not see .*made"):
        Index.open(path, encoder=AxisEncoder(), engine=engine)


def test_what_an_engine_cannot_be_asked_for(folder):
    with pytest.raises(UsageError, match="engine=Pool"):
        Index.open(folder, encoder=AxisEncoder(), workers=2)
    with pytest.raises(UsageError, match="engine=Pool"):
        Index.open(folder, encoder=AxisEncoder(), partial=True)
    with Here(2) as engine:
        with pytest.raises(UsageError, match="room for 2"):
            Index.open(folder, encoder=AxisEncoder(), engine=engine, workers=3)
        with pytest.raises(UsageError, match="object store"):
            Index.open("s3://bucket/index", engine=engine)
        with Index.open(folder, encoder=AxisEncoder(), engine=engine) as apart:
            with pytest.raises(TypeError, match="engine"):
                pickle.dumps(apart)
            reader, writer = os.pipe()
            if not (process := os.fork()):
                try:
                    apart.query(["aab"])
                except UsageError as error:
                    os.write(writer, str(error).encode())
                finally:
                    os._exit(0)
            os.close(writer)
            os.waitpid(process, 0)
            with os.fdopen(reader, "rb") as pipe:
                assert b"forked process" in pipe.read()


def test_a_damaged_segment_is_found_by_the_worker_that_opens_it(tmp_path):
    with Index.build(tmp_path / "index", [Document("a", "a")], AxisEncoder()) as index:
        index.add([Document("b", "b")])
    path = next(iter(sorted((tmp_path / "index" / "segments").glob("*/vectors.npy"))))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with Here(2) as engine, pytest.raises(DamagedIndexError, match=r"vectors\.npy has sha256"):
        Index.open(tmp_path / "index", encoder=AxisEncoder(), engine=engine, workers=2)


def wait_for(held: object, path, write: bool) -> bool:
    """Writes a file, or waits until it is there."""
    if write:
        path.touch()
        return True
    until = time.monotonic() + SECONDS
    while not path.exists():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def test_a_worker_answers_several_at_a_time(tmp_path):
    with Pool(1) as engine:
        worker = engine.worker(dict, at_once=2)
        first = worker.submit(wait_for, tmp_path / "there", False)
        assert worker.submit(wait_for, tmp_path / "there", True).result(SECONDS)
        assert first.result(SECONDS)


def test_threads_may_ask_at_a_time_and_while_it_is_closed(folder):
    with Index.open(folder, encoder=AxisEncoder()) as index, Pool(2) as engine:
        apart = Index.open(folder, encoder=AxisEncoder(), engine=engine, workers=2)
        wanted, failures = index.query(["aab"], 9), []

        def ask() -> None:
            try:
                for _ in range(20):
                    assert apart.query(["aab"], 9) == wanted
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        apart.close()
        with pytest.raises(ValueError, match="closed"):
            apart.query(["aab"])
