"""Indexes in an S3 server on this machine: writers that come at the same time, and pushes and pulls that end at any request."""

import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier

import numpy as np
import pytest
from faults import FULL
from s3_server import BUCKET, S3Server

from vecsearch import Document, Index, pull, push
from vecsearch.errors import ConflictError, ResourceError
from vecsearch.index.update import weigh
from vecsearch.remote.commits import Place

DIM = 8
ROUNDS = 1000 if FULL else 3
WRITERS = 16


@pytest.fixture(scope="module")
def server():
    with pytest.MonkeyPatch.context() as patch:
        started = S3Server()
        for name, value in started.environment().items():
            patch.setenv(name, value)
        started.make_bucket()
        yield started
        started.close()


@pytest.fixture
def url(request, server):
    """A place of the test's own, where nothing is."""
    return f"s3://{BUCKET}/{abs(hash(request.node.nodeid)):x}/films"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def made(folder):
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((5, DIM)).astype(np.float32)
    return Index.build(folder, [Document(f"d{i}", f"text {i}") for i in range(5)], vectors=[vectors])


@pytest.fixture
def old(tmp_path, url):
    """A folder whose index is at the place."""
    made(tmp_path / "old").close()
    push(tmp_path / "old", url)
    return tmp_path / "old"


@pytest.fixture
def new(tmp_path, old):
    """The same with a generation more."""
    shutil.copytree(old, tmp_path / "new")
    with Index.open(tmp_path / "new") as index:
        vectors = np.random.default_rng(1).standard_normal((1, DIM)).astype(np.float32)
        index.add([Document("new", "new")], vectors=[vectors])
    return tmp_path / "new"


# -- at the same time ----------------------------------------------------------------------------------------------------


def weights_of(url):
    """What each commit says that it was made for, and which manifest it follows, the oldest first."""
    return [(commit.manifest.weights, commit.sha256, commit.follows) for commit in Place(url).newest_first()][::-1]


def test_of_sixteen_writers_one_wins_and_nothing_is_lost(tmp_path, old, url):
    """`FAULTS=full` has a thousand rounds."""
    folders = [tmp_path / f"writer-{number}" for number in range(WRITERS)]
    for folder in folders:
        shutil.copytree(old, folder)
    won, start = [], Barrier(WRITERS)

    def write(folder):
        start.wait()
        try:
            push(folder, url)
        except ConflictError as refusal:
            return str(refusal)
        return ""

    for number in range(1, ROUNDS + 1):
        for writer, folder in enumerate(folders):
            weigh(folder, (float(number), float(writer)))
        with ThreadPoolExecutor(WRITERS) as pool:
            said = list(pool.map(write, folders))
        winners = [writer for writer, refusal in enumerate(said) if not refusal]
        assert len(winners) == 1, (number, winners)
        assert all(f"commit {number + 1}," in refusal for refusal in said if refusal)
        won.append([float(number), float(winners[0])])
        winner = folders[winners[0]]
        for folder in (folder for folder in folders if folder != winner):
            for path in [*winner.glob("manifest-*"), winner / "REMOTES", winner / "CURRENT"]:
                shutil.copy(path, folder)  # what losers are told to do, in short
    commits = weights_of(url)
    assert [weights for weights, _, _ in commits] == [None, *won]
    assert [follows for _, _, follows in commits] == [None, *(sha256 for _, sha256, _ in commits[:-1])]


def open_it(url, answers):
    with Index.open(url) as index:
        answers.put((len(index), index.search(np.ones((1, DIM), np.float32), 3).rows.tolist()))


def test_processes_that_open_an_index_at_the_same_time_share_what_comes(old, url, server):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["vecsearch.index.index"])
    answers = context.Queue()
    processes = [context.Process(target=open_it, args=(url, answers)) for _ in range(4)]
    with server.watched():
        for process in processes:
            process.start()
        found = [answers.get(timeout=60) for _ in processes]
        for process in processes:
            process.join()
    assert [found[0]] * 4 == found and found[0][0] == 5
    brought = [path for method, path in server.requests if "/objects/" in path]
    assert len(brought) == len(set(brought)) == 3


# -- ended at any request ------------------------------------------------------------------------------------------------


def steps(server, work):
    """How many requests some work makes."""
    with server.watched():
        work()
    return len(server.requests)


def some(number):
    """Which of so many requests to try; all of them with `FAULTS=full`."""
    return range(number) if FULL else (number // 2, number - 1)


def assert_old_or_new(url, folder):
    """What is at the place is whole, and one of the two."""
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)
    assert pull(url, folder).manifest.generation in (1, 2)
    Index.open(folder).close()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_push_that_is_refused_at_any_request_leaves_the_old_generation_or_the_new_one(tmp_path, new, url, server, moment):
    shutil.copytree(new, tmp_path / "counted")
    number = steps(server, lambda: push(tmp_path / "counted", f"{url}-counted"))
    for at in some(number):
        place = f"{url}-{at}"
        push(tmp_path / "old", place)
        shutil.copytree(new, tmp_path / f"at-{at}")
        refuse = {moment: lambda step, method, path, at=at: "403 Forbidden" if step == at else None}
        with server.watched(**refuse), suppress(ResourceError):
            push(tmp_path / f"at-{at}", place)
        assert_old_or_new(place, tmp_path / "there")
        with server.watched():
            push(tmp_path / f"at-{at}", place)
        assert [path for method, path in server.requests if method == "PUT" and path.endswith("000003.json")] == []
        assert pull(place, tmp_path / "there").manifest.generation == 2


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_push_goes_on_where_the_store_fails_now_and_then(tmp_path, new, url, server, moment):
    """The client asks again; the answer to a commit that was lost makes nobody lose."""
    failed = set()

    def fail(step, method, path):
        once = (method, path) not in failed and (FULL or step % 4 == 0 or path.endswith("000002.json"))
        failed.add((method, path))
        return "503 Service Unavailable" if once else None

    with server.watched(**{moment: fail}):
        pushed = push(new, url)
    commits = [path for method, path in server.requests if method == "PUT" and path.endswith("000002.json")]
    assert len(commits) == 2 and pushed.commit == 2
    assert pull(url, tmp_path / "there").manifest.generation == 2


def push_it(folder, url):
    push(folder, url)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_push_that_is_killed_at_any_request_leaves_the_old_generation_or_the_new_one(tmp_path, new, url, server, moment):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["vecsearch.index.index"])
    number = steps(server, lambda: push(shutil.copytree(new, tmp_path / "counted"), f"{url}-counted"))
    for at in some(number):
        place = f"{url}-{at}"
        push(tmp_path / "old", place)
        process = context.Process(target=push_it, args=(new, place))

        def kill(step, method, path, at=at, process=process):
            if step == at:
                os.kill(process.pid, signal.SIGKILL)

        with server.watched(**{moment: kill}):
            process.start()
            process.join()
        assert process.exitcode in (-signal.SIGKILL, 0)
        assert_old_or_new(place, tmp_path / "there")
        there = {f"{place.removeprefix('s3:/')}/{name}" for name in Place(place).store.objects() if "objects/" in name}
        with server.watched():
            push(new, place)
        assert not there & {path for method, path in server.requests if method == "PUT"}, "nothing goes up twice"
        assert pull(place, tmp_path / "there").manifest.generation == 2


def test_a_pull_that_is_refused_at_any_request_goes_on_the_next_time(tmp_path, old, url, server):
    number = steps(server, lambda: pull(url, tmp_path / "counted"))
    for at in range(number):
        folder = tmp_path / f"at-{at}"
        refuse = server.watched(before=lambda step, method, path, at=at: "403 Forbidden" if step == at else None)
        with refuse, pytest.raises(ResourceError, match=f"cannot .* {url}"):
            pull(url, folder)
        assert not (folder / "CURRENT").exists()
        here = list(folder.rglob("segments/*/*"))
        with server.watched():
            pulled = pull(url, folder)
        assert pulled.files == 3 - len(here)
        Index.open(folder).close()


def test_a_store_that_puts_over_what_is_there_is_not_used(old, url, server):
    with server.watched(careless=True), pytest.raises(ResourceError, match="If-None-Match"):
        push(old, f"{url}-careless")
    assert not [name for name in Place(f"{url}-careless").store.objects() if name.startswith("commits/")]


def test_http_is_used_only_where_it_is_allowed(tmp_path, old, url, monkeypatch):
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(ResourceError, match=url):
        pull(url, tmp_path / "there")


INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's jobs in the background are started without
from vecsearch.cli.main import main
main()
"""


def test_ctrl_c_does_not_wait_for_a_server_that_does_not_answer(tmp_path, server):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = {**os.environ, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        command = [sys.executable, "-c", INTERRUPTIBLE, "info", "s3://shared/films"]
        ran = subprocess.Popen(command, env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)}, stderr=subprocess.PIPE)
        connection, _ = silent.accept()
        for _ in range(60):  # one that comes while Python ends an object is lost, as in any program
            ran.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                ran.wait(1)
                break
        assert (ran.returncode, ran.stderr.read()) == (130, b"error: interrupted\n")
        connection.close()


def in_child(url, answers):
    try:
        Index.open(url)
    except Exception as error:
        answers.put((type(error).__name__, str(error)))


def test_a_forked_process_is_told_rather_than_left_to_hang(old, url):
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    process = context.Process(target=in_child, args=(url, answers))
    process.start()
    name, said = answers.get(timeout=30)
    process.join()
    assert name == "UsageError" and "spawn" in said
