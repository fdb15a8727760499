"""Threads that refresh, search and close one open index while another process commits: each answer is of one generation."""

import multiprocessing
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from store_builds import QUICK_DISK, open_files

from vecsearch.corpus.document import Document
from vecsearch.index.index import Index

DOCUMENTS, GENERATIONS, SECONDS = 4, 6, 60
VECTORS = np.eye(DOCUMENTS, dtype=np.float32) + 1


def documents(generation):
    return [Document(f"d{n}", f"word{generation} of all", {"generation": generation}) for n in range(DOCUMENTS)]


def commit(folder, generation):
    """The next generation, in which every document says so."""
    with Index.open(folder, check=False) as index:
        index.add(documents(generation), vectors=[VECTORS])


def commit_all(folder, first):
    for generation in range(first, first + GENERATIONS):
        commit(folder, generation)


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(dir=QUICK_DISK) as place:
        Index.build(Path(place) / "index", documents(1), vectors=[VECTORS]).close()
        yield Path(place) / "index"


def test_one_of_the_threads_that_refresh_at_once_shows_a_generation(folder):
    with Index.open(folder, check=False) as index, ThreadPoolExecutor(6) as pool:
        for generation in range(2, 6):
            commit(folder, generation)
            barrier = threading.Barrier(6)
            shown = list(pool.map(lambda _, barrier=barrier: (barrier.wait(SECONDS), index.refresh())[1], range(6)))
            assert sorted(shown) == [False] * 5 + [True]
            assert index.manifest.generation == generation


def answers(reader):
    """The generation that a reader says it is, and all that its documents say."""
    hits = [*reader.nearest(VECTORS[:1], DOCUMENTS)[0], *reader.browse("generation > 0"), *reader.keywords(["all"])[0]]
    facet = reader.facets(["generation"]).fields["generation"]
    said = {hit.fields["generation"] for hit in hits} | {value for value, _ in facet.values}
    assert len(hits) == 3 * DOCUMENTS == 3 * reader.count() == 3 * facet.documents
    return reader.manifest.generation, said


def test_each_answer_is_of_one_generation_and_none_is_older_than_the_one_before(folder):
    done = threading.Event()
    with Index.open(folder, check=False) as index:

        def use(refreshes):
            seen, shown = [], 0
            while not done.is_set():
                shown += refreshes and index.refresh()
                generation, said = answers(index.reader())
                assert said == {generation}
                hits = index.nearest(VECTORS[:1], DOCUMENTS)[0]
                assert len({hit.fields["generation"] for hit in hits}) == 1
                seen.append(generation)
            assert seen == sorted(seen)
            return shown

        with ThreadPoolExecutor(4) as pool:
            threads = [pool.submit(use, number < 2) for number in range(4)]
            process = multiprocessing.get_context("spawn").Process(target=commit_all, args=(folder, 2))
            process.start()
            process.join(SECONDS)
            done.set()
            shown = sum(thread.result(SECONDS) for thread in threads)
        assert process.exitcode == 0 and shown <= GENERATIONS
        index.refresh()
        assert answers(index.reader()) == (GENERATIONS + 1, {GENERATIONS + 1})


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not list open files")
def test_an_index_that_is_closed_while_it_is_refreshed_stays_closed_and_leaves_no_file_open(folder):
    for generation in range(2, 8):
        index = Index.open(folder, check=False)
        commit(folder, generation)
        barrier = threading.Barrier(4)

        def refresh(index=index, barrier=barrier):
            barrier.wait(SECONDS)
            try:
                while True:
                    index.refresh()
            except ValueError as error:
                return str(error)

        with ThreadPoolExecutor(3) as pool:
            threads = [pool.submit(refresh) for _ in range(3)]
            barrier.wait(SECONDS)
            index.close()
            assert all("is closed: open it again" in thread.result(SECONDS) for thread in threads)
        with pytest.raises(ValueError, match="is closed"):
            len(index)
    assert open_files(folder) == 0
