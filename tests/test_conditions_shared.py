"""Conditions of several threads: a slow one holds up nobody, the same one is computed once, and all opened files stay open."""

import gc
import json
import os
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from store_builds import QUICK_DISK, open_files

from vecsearch.corpus.document import Document
from vecsearch.errors import UsageError
from vecsearch.index.index import Index
from vecsearch.index.kept import Kept

ROWS = 60
SLOW = "exists (select 1 from " + ", ".join(f"json_each(text) j{i}" for i in range(9)) + " where j0.value + j8.value = -{})"
"""Takes years; each number makes it another one."""
SECONDS = 60
"""After so long a thread hangs."""


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory(dir=QUICK_DISK) as place:
        yield made(Path(place) / "index")


def made(folder):
    numbers = json.dumps(list(range(100)))
    documents = [Document(f"d{n}", numbers, {"year": n}) for n in range(ROWS)]
    with Index.build(folder, documents, vectors=[np.eye(ROWS, 8, dtype=np.float32)]) as index:
        for n in range(12):  # segments of less than a tenth
            index.add([Document(f"more {n}", "[1]", {"year": 100 + n})], vectors=[np.ones((1, 8), np.float32)])
    return folder


def asked_slowly(index, count, said):
    """So many threads, each of which asks by a condition that takes years, all of which have begun."""

    def ask(number):
        try:
            index.count(SLOW.format(number))
        except Exception as error:
            said.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, count + 1)]
    for thread in threads:
        thread.start()
    return threads


def test_slow_conditions_hold_up_neither_searches_nor_another_condition_and_end_when_the_index_is_closed(folder):
    said = []
    index = Index.open(folder, check=False, condition_seconds=SECONDS)
    threads = asked_slowly(index, 3, said)
    assert [hit.id for hit in index.nearest(np.eye(1, 8), 1)[0]] == ["d0"]
    assert [hit.id for hit in index.nearest(np.eye(1, 8), 3, where="year = 7")[0]] == ["d7"]
    assert index.count("year >= 50") == 22
    assert index.keywords(["99"], 1)[0] and index.browse("year = 105")[0].id == "more 5"
    assert index.fields()[0].documents == 72
    assert all(thread.is_alive() for thread in threads)
    index.close()
    for thread in threads:
        thread.join(SECONDS)
    assert len(said) == 3 and all(type(error) is not UsageError and "is closed" in str(error) for error in said)


def test_all_that_conditions_read_is_open_from_the_beginning(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "index")
    index = Index.open(tmp_path / "index", check=False)
    shutil.rmtree(tmp_path / "index")
    with index, ThreadPoolExecutor(6) as pool:
        found = pool.map(index.count, [f"year < {n} and length(text) > 0" for n in range(60)])
        assert list(found) == list(range(60))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not list open files")
def test_files_are_few_and_all_closed(folder):
    gc.collect()  # what an earlier test has read may still be mapped
    with Index.open(folder, check=False):
        assert 0 < open_files(folder) <= 13 * 4 + 3
    assert open_files(folder) == 0
    indexes = [Index.open(folder, check=False) for _ in range(3)]
    assert all(index.count("year >= 0") == 72 for index in indexes)
    del indexes  # as the generation before is forgotten by a refresh
    assert open_files(folder) == 0


def test_the_limit_is_one_for_all_segments_together(folder):
    with Index.open(folder, check=False, condition_seconds=0.02) as index:
        with pytest.raises(UsageError, match=r"longer than 0\.02 s"):
            index.count(SLOW.format(1))
        assert index.count("year = 3") == 1
    for seconds in (0, -1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="condition_seconds is"):
            Index.open(folder, check=False, condition_seconds=seconds)


# -- what is kept --------------------------------------------------------------------------------------------------------


def test_threads_that_ask_for_the_same_have_it_computed_once_and_hold_up_no_other():
    kept = Kept[int](10, 100, lambda value: 1)
    began, go_on, computed = threading.Event(), threading.Event(), Counter()

    def slowly():
        computed["slow"] += 1
        began.set()
        assert go_on.wait(SECONDS)
        return 7

    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(kept.get, "slow", slowly)
        assert began.wait(SECONDS)
        others = [pool.submit(kept.get, "slow", slowly) for _ in range(3)]
        assert kept.get("other", lambda: 3) == 3
        assert not first.done() and not any(other.done() for other in others)
        go_on.set()
        assert [future.result(SECONDS) for future in (first, *others)] == [7] * 4
    assert kept.get("slow", slowly) == 7 and computed["slow"] == 1


def test_those_who_wait_get_the_error_which_is_not_kept():
    kept = Kept[int](10, 100, lambda value: 1)
    began, go_on = threading.Event(), threading.Event()

    def fails():
        began.set()
        assert go_on.wait(SECONDS)
        raise UsageError("no")

    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(kept.get, "key", fails)]
        assert began.wait(SECONDS)
        futures += [pool.submit(kept.get, "key", fails) for _ in range(2)]
        time.sleep(0.02)
        go_on.set()
        assert [str(future.exception(SECONDS)) for future in futures] == ["no"] * 3
    assert kept.get("key", lambda: 5) == 5


def test_an_interrupted_thread_interrupts_no_other():
    kept = Kept[int](10, 100, lambda value: 1)
    began, go_on = threading.Event(), threading.Event()

    def interrupted():
        began.set()
        assert go_on.wait(SECONDS)
        raise KeyboardInterrupt

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(kept.get, "key", interrupted)
        assert began.wait(SECONDS)
        second = pool.submit(kept.get, "key", lambda: 5)
        time.sleep(0.02)
        go_on.set()
        assert isinstance(first.exception(SECONDS), KeyboardInterrupt) and second.result(SECONDS) == 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_computes_what_another_thread_of_its_parent_was_computing():
    kept = Kept[int](10, 100, lambda value: 1)
    began, go_on = threading.Event(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(kept.get, "key", lambda: (began.set(), go_on.wait(SECONDS), 7)[2])
        assert began.wait(SECONDS)
        child = os.fork()
        if child == 0:
            signal.alarm(SECONDS)  # where it hangs
            os._exit(kept.get("key", lambda: 5))
        status = os.waitpid(child, 0)[1]
        go_on.set()
        assert os.waitstatus_to_exitcode(status) == 5 and first.result(SECONDS) == 7


def test_what_was_asked_longest_ago_goes_first_by_number_and_by_bytes():
    computed = []

    def get(kept, key):
        return kept.get(key, lambda: computed.append(key) or key)

    few, small = Kept[int](3, 1000, lambda value: value), Kept[int](100, 10, lambda value: value)
    for key in (1, 2, 3, 1, 4, 1, 2):  # 4 takes the place of 2, and 2 that of 3
        assert get(few, key) == key
    assert computed == [1, 2, 3, 4, 2]
    computed.clear()
    for key in (4, 5, 4, 6, 4, 50, 50, 4):  # 6 takes the place of 5; what is too large stays until the next
        assert get(small, key) == key
    assert computed == [4, 5, 6, 50, 4]
