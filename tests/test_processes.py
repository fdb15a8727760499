"""An index in forked and in other processes, as a pickle, and closed: it answers as it did, or says in a sentence why not."""

import inspect
import json
import multiprocessing
import os
import pickle
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import faiss
import numpy as np
import pytest
from conftest import AxisEncoder, documents, made_vectors
from word_files import glove_text

from vecsearch import ann, forks
from vecsearch.ann.threads import threads
from vecsearch.corpus.document import Document
from vecsearch.corpus.readers import read_corpus
from vecsearch.encoders import ConcatenatedEncoder, UlmfitEncoder, open_encoder
from vecsearch.errors import UsageError
from vecsearch.index.build import Options
from vecsearch.index.hits import Hit, Neighbors
from vecsearch.index.index import Index
from vecsearch.index.parts import Here as InProcess
from vecsearch.index.view import View
from vecsearch.store.duplicates import duplicates
from vecsearch.store.snapshot import open_snapshot

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

SECONDS = 60
"""After so long a process hangs."""
ROWS, DIM = 1200, 16
KINDS = ("exact", "IVF16,Flat", "HNSW8", "IVF16x2,PQ4x4fsr")
WORDS = ["the", "king", "queen", "bank", "river", "tomato", "film", "city"]
FEW, MANY = ["the king sat on the bank of the river ."], ["the queen is in the city , he is on the bank ."] * 30
"""Texts of fewer tokens than numpy computes, and of more, which torch does."""
START_METHODS = ("fork", "spawn", "forkserver")
FEWER_KINDS = [pytest.param(kind, marks=[pytest.mark.slow] * (kind not in ("exact", "IVF16,Flat"))) for kind in KINDS]
STARTS = [pytest.param(name, marks=[pytest.mark.slow] * (name != "fork")) for name in START_METHODS]


# -- what is asked, and processes that end -------------------------------------------------------------------------------


def in_child(work, *arguments):
    """What `work` returns in a process that is forked from this one. Fails where it raises, or has not ended in time."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        try:
            try:
                answer = True, work(*arguments)
            except BaseException as error:
                answer = False, f"{type(error).__name__}: {error}"
            with os.fdopen(writer, "wb") as file:
                pickle.dump(answer, file)
        finally:
            os._exit(0)
    os.close(writer)
    data, until = b"", time.monotonic() + SECONDS
    with os.fdopen(reader, "rb", buffering=0) as file:
        while select.select([file], [], [], max(0, until - time.monotonic()))[0]:
            if not (more := file.read(1 << 16)):
                break
            data += more
        else:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.fail(f"{getattr(work, '__name__', work)} hangs in a forked process")
    os.waitpid(child, 0)
    assert data, "the forked process crashed"
    well, answer = pickle.loads(data)
    assert well, answer
    return answer


def refused(work, *arguments):
    """What `work` raises, as the name of the exception and its message."""
    try:
        work(*arguments)
    except Exception as error:
        return type(error).__name__, str(error)
    return "nothing", ""


@contextmanager
def killed_at_the_end():
    """Processes of multiprocessing that are still there at the end are killed: nothing waits for them."""
    try:
        yield
    finally:
        for process in multiprocessing.active_children():
            process.kill()


def run_script(script, *arguments):
    """What a script prints in a Python of its own, as JSON, line by line."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=SECONDS)
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def plain(found):
    """What an index answered as names, and arrays of what may differ in the last bits."""
    if isinstance(found, Neighbors):
        return found.rows.tolist(), found.scores
    if isinstance(found, list) and found and isinstance(found[0], list) and all(isinstance(hit, Hit) for hit in found[0]):
        scores = np.array([hit.score for hits in found for hit in hits])
        return [[(hit.id, hit.text, hit.fields) for hit in hits] for hits in found], scores
    return (None, found) if isinstance(found, np.ndarray) else (found, np.zeros(0))


def assert_same(found, expected):
    assert found[0] == expected[0]
    np.testing.assert_allclose(found[1], expected[1], atol=1e-5)


QUERIES = made_vectors("clustered", 40, DIM, seed=5)
ASKED = {
    "one vector": lambda index: index.search(QUERIES[:1], 5),
    "many vectors": lambda index: index.search(QUERIES, 5),
    "every vector": lambda index: index.search(QUERIES, 5, exact=True),
    "by the other metric": lambda index: index.search(QUERIES, 5, metric="ip"),
    "where": lambda index: index.search(QUERIES, 5, where="year > 300 and kind = 'b'"),
    "few that meet a condition": lambda index: index.nearest(QUERIES[:3], 5, where="year < 20"),
    "nearest": lambda index: index.nearest(QUERIES, 5),
    "keywords": lambda index: index.keywords(["storm river", '"text 77"'], 5, where="year < 900"),
    "similar": lambda index: index.similar(["d3", "d77", "d1000"], 5),
    "documents": lambda index: index.documents(range(0, ROWS, 7)),
    "vectors": lambda index: index.vectors(range(0, ROWS, 3)),
    "what it is": lambda index: (len(index), index.dim, str(index.metric), index.rows(["d7"]), index.manifest.generation),
}
BY_TEXT = {
    "few tokens": lambda index: index.query(FEW, 3),
    "many tokens": lambda index: index.query(MANY, 3),
    "many vectors": lambda index: index.encode(MANY),
    "hybrid": lambda index: index.hybrid([*FEW, *MANY], 3, where="length > 3"),
    "keywords": lambda index: index.keywords(FEW, 3),
}


def answers(index, asked=None):
    """All that is asked, answered: module-level, so that other processes find it."""
    return {name: plain(ask(index)) for name, ask in (ASKED if asked is None else asked).items()}


def answers_by_text(index):
    return answers(index, BY_TEXT)


def assert_all_same(found, expected):
    assert found.keys() == expected.keys()
    for name, answer in found.items():
        assert_same(answer, expected[name])


@pytest.fixture(autouse=True)
def several_threads():
    """FAISS and torch compute with two threads, whatever the environment says: that is what made children wait."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with threads(2):
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Makes an index over vectors of each kind, once."""
    made = {}

    def make(kind):
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp("kind") / "index"
            corpus = (
                Document(f"d{i}", f"text {i} of a {'storm' if i % 3 else 'river'}", {"year": i, "kind": "ab"[i % 2]})
                for i in range(ROWS)
            )
            vectors = [made_vectors("clustered", ROWS, DIM, seed=1)]
            goal = None if kind == "exact" else ann.Goal(0.9)
            Index.build(made[kind], corpus, vectors=vectors, options=Options(spec=kind, goal=goal)).close()
        return made[kind]

    return make


@pytest.fixture
def exact(folders):
    with Index.open(folders("exact")) as index:
        yield index


@pytest.fixture(scope="module")
def encoders(tiny_folder, tmp_path_factory):
    """Makes an encoder of each kind that needs no other library."""
    words = tmp_path_factory.mktemp("words") / "mini.txt"
    words.write_bytes(glove_text(WORDS, made_vectors("clustered", len(WORDS), 6, seed=2)))
    return {
        "ulmfit": lambda: UlmfitEncoder(tiny_folder(), pooling="concat", max_tokens=500),
        "words": lambda: open_encoder(words),
        "joined": lambda: ConcatenatedEncoder([UlmfitEncoder(tiny_folder()), open_encoder(words)], [2, 1]),
        "own": AxisEncoder,
    }


TEXTS = ["the king sat on the bank of the river .", "the queen is in the city .", "a tomato film .", "a cab", "war and love !"]


# -- forked ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("kind", KINDS)
def test_a_forked_child_finds_what_its_parent_found(folders, kind, asked):
    with Index.open(folders(kind)) as index:
        expected = plain(ASKED[asked](index))
        faiss.knn(QUERIES, QUERIES, 3)  # FAISS has its threads now, whoever made them
        assert_same(in_child(lambda: plain(ASKED[asked](index))), expected)
        assert_same(plain(ASKED[asked](index)), expected)


@pytest.mark.parametrize("kind", FEWER_KINDS)
def test_so_do_its_threads_and_its_own_children(folders, kind):
    with Index.open(folders(kind)) as index:
        expected = answers(index)

        def by_threads():
            with ThreadPoolExecutor(3) as pool:
                return list(pool.map(lambda _: answers(index), range(3)))

        for found in in_child(by_threads):
            assert_all_same(found, expected)
        assert_all_same(in_child(in_child, answers, index), expected)


@pytest.mark.parametrize("kind", FEWER_KINDS)
def test_a_forked_child_builds_and_changes_indexes(folders, kind, tmp_path):
    with Index.open(folders(kind)) as index:
        expected = answers(index)

    def build():
        vectors, goal = made_vectors("clustered", ROWS, DIM, seed=1), None if kind == "exact" else ann.Goal(0.5)
        Index.build(
            tmp_path / "new", documents(*["x"] * ROWS), vectors=[vectors], options=Options(spec=kind, goal=goal)
        ).close()
        with Index.open(tmp_path / "new") as new:
            new.delete(["d0"])
            new.compact()
            return len(new), new.search(QUERIES, 5, exact=True).scores

    count, scores = in_child(build)
    assert count == ROWS - 1
    np.testing.assert_allclose(scores.max(axis=1), expected["every vector"][1].max(axis=1), atol=0.2)


@pytest.mark.parametrize("encoder", ["ulmfit", "words", "joined", "own"])
def test_texts_are_encoded_in_a_forked_child(encoders, encoder, tmp_path):
    with Index.build(tmp_path / "index", documents(*TEXTS), encoders[encoder]()) as index:
        expected = answers(index, BY_TEXT)
        for name, ask in BY_TEXT.items():
            assert_same(in_child(lambda ask=ask: plain(ask(index))), expected[name])


@pytest.mark.slow
def test_a_child_is_the_first_that_encodes_many_tokens_where_its_parent_used_torch_itself(encoders, tmp_path):
    Index.build(tmp_path / "index", documents(*TEXTS), encoders["ulmfit"]()).close()
    script = """
import json, os, sys, time, torch
from vecsearch.index.index import Index
torch.set_num_threads(2)
torch.mm(torch.ones(800, 800), torch.ones(800, 800)).exp().sum()
index = Index.open(sys.argv[1])
child = os.fork()
if child == 0:
    print(json.dumps([[hit.id for hit in hits] for hits in index.query(sys.argv[2:], 2)]), flush=True)
    os._exit(0)
until = time.monotonic() + 30
while os.waitpid(child, os.WNOHANG) == (0, 0):
    time.sleep(0.02)
    if time.monotonic() > until:
        os.kill(child, 9)
        sys.exit("the child hangs")
"""
    with Index.open(tmp_path / "index") as index:
        expected = [[hit.id for hit in hits] for hits in index.query(MANY, 2)]
    assert run_script(script, tmp_path / "index", *MANY) == [expected]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["transformer", "onnx", "onnx texts"])
def test_sentence_models_encode_in_a_forked_child_and_as_pickles(kind, tmp_path):
    if missing := [name for name in ("onnx", "onnxruntime", "transformers") if find_spec(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    import sentence_models

    folder = sentence_models.write_model(tmp_path / "model")
    place = folder
    if kind != "transformer":
        place = tmp_path / "model.onnx"
        if kind == "onnx":
            sentence_models.export(folder, folder / "model.onnx")
            (folder / "model.safetensors").unlink()
            place = folder
        else:
            sentence_models.words_graph(place, whole=True)
    encoder, texts = open_encoder(place), [*sentence_models.TEXTS] * 20
    with Index.build(tmp_path / "index", documents(*sentence_models.TEXTS), encoder) as index:
        expected = index.encode(texts)
        np.testing.assert_allclose(in_child(index.encode, texts), expected, atol=1e-5)
        np.testing.assert_allclose(in_child(index.encode, texts), expected, atol=1e-5)
        np.testing.assert_allclose(index.encode(texts), expected, atol=1e-5)
        with pickle.loads(pickle.dumps(index)) as other:
            np.testing.assert_allclose(other.encode(texts), expected, atol=1e-5)


@pytest.mark.parametrize("kind", FEWER_KINDS)
def test_a_child_is_forked_while_other_threads_search(folders, kind):
    with Index.open(folders(kind)) as index:
        expected, going = answers(index), True

        def search():
            while going:
                # Opened anew each time: what is made when it is first needed is made while the other thread forks.
                with Index.open(folders(kind), check=False) as another:
                    answers(another)
                answers(index)

        with ThreadPoolExecutor(2) as pool:
            busy = [pool.submit(search) for _ in range(2)]
            try:
                for _ in range(8):
                    assert_all_same(in_child(answers, index), expected)
            finally:
                going = False
        assert all(future.result() is None for future in busy)


def opens(folder):
    Index.open(folder, check=False).close()


def reads_documents(folder):
    with Index.open(folder, check=False) as index:
        index.documents(range(3))


def reads_a_table(folder):
    table = next((folder / "segments").glob("*/documents.sqlite"))
    assert sum(1 for _ in read_corpus(f"sqlite:{table}?table=documents")) == ROWS


def compares_ids(folder):
    segments = [path.parent for path in (folder / "segments").glob("*/documents.sqlite")]
    assert sum(1 for _ in duplicates(segments * 2)) == ROWS


def builds(folder):
    with TemporaryDirectory() as place:
        small(Path(place) / "index").close()


@pytest.mark.parametrize("busy", [opens, reads_documents, reads_a_table, compares_ids, builds])
def test_a_child_is_forked_while_another_thread(folders, busy):
    # SQLite has locks for all of its connections together, which are held for moments only: it takes many forks to see one.
    folder, going = folders("exact"), True

    def work():
        while going:
            busy(folder)

    with ThreadPoolExecutor(2) as pool:
        working = [pool.submit(work) for _ in range(2)]
        try:
            for _ in range(30):
                assert in_child(reads_documents, folder) is None
        finally:
            going = False
    assert all(future.result() is None for future in working)


def test_a_child_keeps_its_files_that_is_forked_while_another_thread_lets_go_of_the_lock(tmp_path, monkeypatch):
    closed, close = threading.Event(), os.close

    def closing_slowly(descriptor):
        lock = os.readlink(f"/proc/self/fd/{descriptor}").endswith("index/LOCK")
        close(descriptor)
        if lock:
            closed.set()
            time.sleep(0.3)

    monkeypatch.setattr(os, "close", closing_slowly)
    with ThreadPoolExecutor(1) as pool:
        built = pool.submit(small, tmp_path / "index")
        assert closed.wait(SECONDS)
        # These files have the number that the lock had; what the child answers comes through another.
        with ExitStack() as files:
            ours = [files.enter_context(open(__file__, "rb")) for _ in range(8)]
            assert in_child(lambda: [file.read(2) for file in ours]) == [b'""'] * 8
        built.result().close()


@pytest.mark.parametrize("encoder", [pytest.param("ulmfit", marks=pytest.mark.slow), "words"])
def test_a_child_is_forked_while_other_threads_encode(encoders, encoder, tmp_path):
    Index.build(tmp_path / "index", documents(*TEXTS), encoders[encoder]()).close()
    with Index.open(tmp_path / "index") as index:
        expected, going = answers(index, BY_TEXT), True

        def search():
            while going:
                with Index.open(tmp_path / "index", check=False) as another:
                    answers(another, BY_TEXT)

        with ThreadPoolExecutor(1) as pool:
            busy = pool.submit(search)
            try:
                for _ in range(8):
                    assert_all_same(in_child(answers_by_text, index), expected)
            finally:
                going = False
        assert busy.result() is None


def test_what_a_thread_was_in_the_middle_of_for_long_is_refused_in_the_child(folders, monkeypatch):
    monkeypatch.setattr(forks, "WAIT_S", 0.1)
    inside, leave = threading.Event(), threading.Event()
    snapshot = open_snapshot(folders("exact"))
    where = "year > 3"

    def read():
        with snapshot.segments[0].documents.reading():
            inside.set()
            leave.wait(SECONDS)

    with Index(View(snapshot, InProcess(snapshot), None)) as index, ThreadPoolExecutor(2) as pool:
        reader = pool.submit(read)
        assert inside.wait(SECONDS)
        waits = pool.submit(index.search, QUERIES, 5, where=where)
        while waits.running() is False:
            time.sleep(0.01)
        time.sleep(0.2)  # it waits for the first one, in the middle of what is made once

        def tried():
            found = plain(ASKED["many vectors"](index)), refused(index.documents, [0])
            index.close()  # neither waits
            with Index.open(folders("exact"), check=False) as again:
                return *found, again.documents([0])[0].id, again.search(QUERIES, 5, where=where).rows.tolist()

        try:
            found, (kind, said), id, rows = in_child(tried)
        finally:
            leave.set()
        reader.result(SECONDS)
        assert rows == waits.result(SECONDS).rows.tolist()
        assert_same(found, plain(ASKED["many vectors"](index)))
        assert kind == "UsageError" and "forked while another thread" in said and "open the index in it" in said
        assert id == "d0"


# -- writing -----------------------------------------------------------------------------------------------------------


def small(folder, **options):
    vectors = np.eye(6, 4, dtype=np.float32) + 1
    return Index.build(folder, documents("a", "b", "c", "d", "e", "f"), vectors=[vectors], options=Options(**options))


def test_a_child_writes_while_its_parent_has_the_index_open(tmp_path):
    with small(tmp_path / "index") as index:

        def add():
            changes = index.add([Document("new", "from the child")], vectors=[np.ones((1, 4), np.float32)])
            return changes.added, len(index), index.manifest.generation

        assert in_child(add) == (1, 7, 2)
        assert len(index) == 6 and index.manifest.generation == 1 and index.documents([5])[0].text == "f"
        assert index.refresh() and index.documents([6])[0].text == "from the child"
        assert index.delete(["new"]) == 1 and len(index) == 6


def test_a_child_that_closes_an_index_leaves_its_parents_open(exact):
    expected = answers(exact)
    assert in_child(exact.close) is None
    assert_all_same(answers(exact), expected)


def test_a_child_reads_on_where_the_files_have_been_removed(folders, tmp_path):
    shutil.copytree(folders("exact"), tmp_path / "index")
    with Index.open(tmp_path / "index") as index:
        expected = answers(index)
        shutil.rmtree(tmp_path / "index")
        assert_all_same(in_child(answers, index), expected)


FORKS_WHILE_IT_BUILDS = """
import json, os, subprocess, sys
import numpy as np
from vecsearch import Document, Encoder, Index, Options, Progress, VecsearchError, ann
from vecsearch.index import blocks
folder, place, ending = sys.argv[1:4]
blocks.BLOCK_DOCUMENTS = 100
first, child = os.getpid(), None
asks, tells = os.pipe(), os.pipe()

def fork():
    global child
    if child is not None:
        return
    sys.stdout.flush()
    child = os.fork()
    if child:
        if ending != "stays":
            os.waitpid(child, 0)
        return
    if ending == "sys.exit":
        sys.exit(0)
    if ending == "os._exit":
        os._exit(0)
    if ending == "raises":
        raise KeyboardInterrupt
    if ending == "stays":
        os.close(asks[1])
        os.read(asks[0], 1)
        os._exit(0)

class Letters(Encoder):
    dim, fingerprint = 4, "letters"
    def encode(self, texts):
        if place == "encode" and len(texts) and "250" in texts[0] + texts[-1]:
            fork()
        return np.array([[1 + text.count(letter) for letter in "1234"] for text in texts], np.float32)
    def save(self, path):
        if place == "save":
            fork()
        (path / "config.json").write_text("{}")

def corpus():
    for i in range(400):
        if i == 250 and place == "corpus":
            fork()
        yield Document(f"d{i}", f"text {i}" if i % 100 else "text 250", {"i": i})

class Told(Progress):
    def step(self, name, done, total=None):
        if place == name:
            fork()
    def note(self, text):
        if place == "note":
            fork()

try:
    options = Options(spec="IVF4,Flat", goal=ann.Goal(0.5))
    index = Index.build(folder, corpus(), Letters(), options, progress=Told())
except VecsearchError as error:
    assert os.getpid() != first, error
    print(json.dumps([type(error).__name__, str(error)]))
    sys.exit(0)
except KeyboardInterrupt:
    assert os.getpid() != first
    sys.exit(0)
assert child is not None, "nothing forked"
if os.getpid() == first:
    # Another process may write at once, and the child, where it is still there, holds nothing back.
    code = "import sys; from vecsearch import Index; print(Index.open(sys.argv[1], encoder=None).delete(['d399']))"
    other = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True)
    print(json.dumps([len(index), other.stdout.strip(), other.stderr[-300:]]))
    if ending == "stays":
        os.close(asks[0]), os.close(asks[1])
        os.waitpid(child, 0)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "ending"),
    [
        *((place, "os._exit") for place in ("corpus", "encode", "documents", "note", "vectors", "save")),
        *(("encode", ending) for ending in ("goes on", "sys.exit", "raises", "stays")),
        *(("save", ending) for ending in ("raises", "stays")),
    ],
)
def test_a_build_is_whole_that_forked_meanwhile(tmp_path, place, ending, vecsearch):
    check_a_build_that_forks(tmp_path, place, ending, vecsearch)


def test_a_build_is_whole_whose_corpus_forks(tmp_path, vecsearch):
    check_a_build_that_forks(tmp_path, "corpus", "goes on", vecsearch)


def check_a_build_that_forks(tmp_path, place, ending, vecsearch):
    said = run_script(FORKS_WHILE_IT_BUILDS, tmp_path / "index", place, ending)
    parents = [line for line in said if line[0] == 400]
    assert parents == [[400, "1", ""]]
    for kind, sentence in (line for line in said if line not in parents):
        assert kind == "LockedError" and "only the parent goes on" in sentence
    assert (len(said) == 2) == (ending == "goes on")
    assert vecsearch("verify", tmp_path / "index").code == 0
    with Index.open(tmp_path / "index", encoder=None) as index:
        assert [document.fields["i"] for document in index.documents(index.alive())] == list(range(399))
        assert index.search(index.vectors([7]), 3, exact=True).scores[0, 0] == pytest.approx(1)


@pytest.mark.parametrize("start", ["os.fork", *STARTS])
def test_a_lock_that_the_parent_holds_is_refused_in_the_child(tmp_path, start):
    index, said = small(tmp_path / "index"), []

    def corpus():
        yield Document("first", "by the parent")
        said.append(in_child(add_one, tmp_path / "index") if start == "os.fork" else in_process(start, tmp_path / "index"))
        yield Document("second", "by the parent")

    with index:
        assert index.add(corpus(), vectors=[np.ones((2, 4), np.float32)]).added == 2
        [(kind, sentence)] = said
        assert kind == "LockedError" and f"is being written by process {os.getpid()}" in sentence
        assert add_one(tmp_path / "index") == ("nothing", "")
        assert index.refresh() and len(index) == 9


def add_one(folder):
    with Index.open(folder) as index:
        return refused(lambda: index.add([Document("third", "by the child")], vectors=[np.ones((1, 4), np.float32)]))


def in_process(start, folder):
    with killed_at_the_end(), multiprocessing.get_context(start).Pool(1) as pool:
        return pool.apply_async(add_one, [folder]).get(SECONDS)


# -- multiprocessing ---------------------------------------------------------------------------------------------------

ours = None
"""An index that a pool's processes have as a global."""


def set_ours(index):
    global ours
    ours = index


def answers_of_ours(_):
    return answers(ours)


def send_answers(index, pipe):
    pipe.send(answers(index))


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("kind", ["exact", "HNSW8"])
def test_multiprocessing(folders, kind, start):
    context = multiprocessing.get_context(start)
    with Index.open(folders(kind)) as index, killed_at_the_end():
        expected = answers(index)
        receives, sends = context.Pipe(duplex=False)
        process = context.Process(target=send_answers, args=(index, sends))
        process.start()
        assert receives.poll(SECONDS), "the process hangs"
        assert_all_same(receives.recv(), expected)
        process.join(SECONDS)
        assert process.exitcode == 0
        with context.Pool(2, set_ours, [index]) as pool:
            found = pool.map_async(answers, [index] * 3).get(SECONDS) + pool.map_async(answers_of_ours, range(3)).get(SECONDS)
        executor = ProcessPoolExecutor(2, mp_context=context)
        found += [executor.submit(answers, index).result(SECONDS) for _ in range(2)]
        executor.shutdown()
        assert len(found) == 8
        for answer in found:
            assert_all_same(answer, expected)
        assert_all_same(answers(index), expected)


def test_a_pool_that_is_forked_has_the_index_as_a_global(exact):
    expected = answers(exact)
    set_ours(exact)
    try:
        with killed_at_the_end(), multiprocessing.get_context("fork").Pool(2) as pool:
            for found in pool.map_async(answers_of_ours, range(4)).get(SECONDS):
                assert_all_same(found, expected)
    finally:
        set_ours(None)


@pytest.mark.parametrize("start", STARTS)
def test_texts_are_encoded_in_a_pool(encoders, start, tmp_path):
    for name in ("ulmfit", "words", "joined", "own"):
        with Index.build(tmp_path / name, documents(*TEXTS), encoders[name]()) as index, killed_at_the_end():
            expected = answers_by_text(index)
            with multiprocessing.get_context(start).Pool(1) as pool:
                assert_all_same(pool.map_async(answers_by_text, [index]).get(SECONDS)[0], expected)


# -- pickles -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [0, pickle.HIGHEST_PROTOCOL])
@pytest.mark.parametrize("kind", KINDS)
def test_a_pickle_is_the_same_index_opened_again(folders, kind, protocol):
    with Index.open(folders(kind)) as index:
        data = pickle.dumps(index, protocol)
        assert len(data) < 1000
        with pickle.loads(data) as other:
            assert_all_same(answers(other), answers(index))
        with deepcopy(index) as other:
            assert other is not index and len(other) == len(index)
        assert len(index) == ROWS  # it has not been closed with the others


def test_a_pickle_keeps_its_generation_and_says_when_that_is_gone(tmp_path):
    with small(tmp_path / "index", keep=2) as index:
        data = pickle.dumps(index)
        index.delete(["d0"])
        newer = pickle.dumps(index)
        with pickle.loads(data) as other:
            assert (len(other), other.manifest.generation) == (6, 1)
            assert other.refresh() and len(other) == 5
        with pickle.loads(newer) as other:
            assert (len(other), other.manifest.generation) == (5, 2)
        index.delete(["d1"])
        with pytest.raises(UsageError, match="does not keep generation 1; it keeps 3, 2"):
            pickle.loads(data)


def test_a_pickle_finds_its_folder_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with small("index") as index:
        data = pickle.dumps(index)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pickle.loads(data) as other:
        assert len(other) == 6


@pytest.mark.parametrize("kind", ["ulmfit", "words", "joined", "own"])
def test_a_pickle_has_the_encoder_that_was_given_or_that_it_carries(encoders, kind, tmp_path):
    encoder = encoders[kind]()
    Index.build(tmp_path / "index", documents(*TEXTS), encoder).close()
    for given in [encoder] if kind == "own" else [encoder, None]:
        with Index.open(tmp_path / "index", encoder=given) as index:
            expected = plain(index.query(FEW, 3))
            with pickle.loads(pickle.dumps(index)) as other:
                assert other.encoder.fingerprint == encoder.fingerprint
                assert_same(plain(other.query(FEW, 3)), expected)
    again = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_allclose(again.encode(MANY), encoder.encode(MANY), atol=1e-6)


def test_an_encoder_of_your_own_that_cannot_be_pickled_is_named(tmp_path):
    class Inner(AxisEncoder):
        pass

    with Index.build(tmp_path / "index", documents(*TEXTS), Inner()) as index:
        with pytest.raises(TypeError, match="an encoder of your own, Inner, which cannot be pickled"):
            pickle.dumps(index)
        assert in_child(lambda: len(index.query(["a"])[0])) == len(TEXTS)  # a fork needs no pickle


# -- closed ------------------------------------------------------------------------------------------------------------

ARGUMENTS = {
    "keep": lambda: 3,
    "weights": lambda: (1, 2),
    "documents": lambda: [Document("x", "x")],
    "vectors": lambda: np.ones((1, 3), np.float32),
    "rows": lambda: [0],
    "ids": lambda: ["d0"],
    "names": lambda: ["length"],
    "texts": lambda: ["the king"],
    "where": lambda: "length > 1",
    "generation": lambda: 1,
    "paths": lambda: ["elsewhere"],
    "hit": lambda: Hit("d0", 1.0, "the king"),
    "neighbors": lambda: Neighbors(np.zeros((1, 1), np.int64), np.ones((1, 1), np.float32)),
}
"""An argument of each name that a method of an index needs."""
OPENS_OR_CLOSES = {"build", "from_segments", "open", "close", "folder", "repair", "verify"}
PUBLIC = sorted({name for name in dir(Index) if not name.startswith("_")} - OPENS_OR_CLOSES)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built") / "index"
    Index.build(folder, documents(*TEXTS), AxisEncoder()).close()
    return folder


@pytest.mark.parametrize("wrong", [False, True], ids=["called rightly", "called wrongly"])
@pytest.mark.parametrize("name", PUBLIC)
def test_every_member_of_a_closed_index_says_that_it_is_closed(built, axis, name, wrong):
    index = Index.open(built, encoder=axis)
    before = sorted(path.name for path in built.rglob("*"))
    member = inspect.getattr_static(Index, name)
    index.close()
    index.close()
    with pytest.raises(ValueError, match=f"the index at {built} is closed: open it again"):
        if isinstance(member, property):
            getattr(index, name)
        else:
            parameters = [*inspect.signature(member).parameters.values()][1:]
            needed = [parameter.name for parameter in parameters if wrong or parameter.default is parameter.empty]
            getattr(index, name)(**{name: object() if wrong else ARGUMENTS[name]() for name in needed})
    assert sorted(path.name for path in built.rglob("*")) == before
    assert index.folder == built


@pytest.mark.parametrize("use", [len, bool, pickle.dumps, deepcopy, lambda index: index.__enter__()])
def test_so_do_python_s_own_ways_to_use_it(tmp_path, use):
    with small(tmp_path / "index") as index:
        pass
    with pytest.raises(ValueError, match="is closed"):
        use(index)
    repr(index)


def test_leaving_the_with_closes_even_where_it_is_left_by_an_error(tmp_path):
    with pytest.raises(KeyError), small(tmp_path / "index") as index:
        raise KeyError
    with pytest.raises(ValueError, match="is closed"):
        len(index)
    with Index.open(tmp_path / "index") as index:
        assert len(index) == 6


CLOSES_MEANWHILE = """
import json, sys, threading, time
import numpy as np
from vecsearch.index.index import Index
folder, dim = sys.argv[1], int(sys.argv[2])
queries = np.random.default_rng(0).standard_normal((30, dim)).astype(np.float32)
ways = [lambda i: i.search(queries, 5), lambda i: i.search(queries[:1], 5), lambda i: i.nearest(queries, 5),
        lambda i: i.search(queries, 5, where="year > 7"), lambda i: i.vectors(range(0, 1200, 3)),
        lambda i: i.keywords(["storm river"], 5), lambda i: i.similar(["d3"], 5), lambda i: i.documents(range(300))]
said, until, rounds = set(), time.monotonic() + 3, 0

def use(index, way):
    try:
        while True:
            way(index)
    except Exception as error:
        said.add("closed" if isinstance(error, ValueError) and "is closed" in str(error) else repr(error))

while time.monotonic() < until:
    index = Index.open(folder, check=False)
    users = [threading.Thread(target=use, args=(index, ways[(rounds + n) % len(ways)])) for n in range(3)]
    for user in users:
        user.start()
    time.sleep(0.001 * (rounds % 7))
    index.close()
    for user in users:
        user.join(30)
        assert not user.is_alive(), "a search hangs"
    rounds += 1
print(json.dumps([sorted(said), rounds]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_index_may_be_closed_while_other_threads_use_it(folders, kind):
    [[said, rounds]] = run_script(CLOSES_MEANWHILE, folders(kind), DIM)
    assert said == ["closed"] and rounds >= 10
