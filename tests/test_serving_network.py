"""A service on a port: hostile senders are refused, new generations cost no answer, and neither does its end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Semaphore
from urllib.parse import urlsplit

import httpx
import pytest
from serving import SLOW, films, listening, process, refusal

from vecsearch import Document, Index
from vecsearch.serving import shown

FULL = os.environ.get("SERVING") == "full"
SECONDS = 60
"""After so long something hangs."""


@pytest.fixture(scope="module")
def folder(served_folder):
    return served_folder


@pytest.fixture(scope="module")
def url(folder):
    with listening({"films": folder}, sending=0.5, condition=0.3) as address:
        yield address


def sent(url, data, *, more=()):
    """All that is answered to bytes, and to more that follow them one by one until the connection is closed."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), timeout=SECONDS) as connection:
        connection.sendall(data)
        for part in more:
            try:
                connection.sendall(part)
            except OSError:
                break
            time.sleep(0.05)
        got = b""
        try:
            while part := connection.recv(1 << 16):
                got += part
        except ConnectionResetError:
            pass
    return got


def status(got):
    return int(got.split(b" ", 2)[1]) if got else 0


# -- hostile senders -----------------------------------------------------------------------------------------------------


def chunks():
    for _ in range(800):
        yield b"x" * 65_536


@pytest.mark.parametrize("body", [b"x" * 50_000_000, chunks], ids=["50 MB", "50 MB without a length"])
def test_a_body_that_is_too_long_is_refused_with_the_option_that_bounds_it(url, body):
    content = body() if callable(body) else body
    got = httpx.post(f"{url}/v1/indexes/films/search", content=content, timeout=SECONDS)
    assert "--max-body" in refusal(got, 413, "body_too_large")
    assert httpx.get(f"{url}/healthz").status_code == 200


POST = b"POST /v1/indexes/films/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"


@pytest.mark.parametrize("data", [b"", b"GET /", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ", POST, POST + b'{"q"'], ids=repr)
def test_a_slow_sender_is_not_waited_for(url, data):
    began = time.monotonic()
    got = sent(url, data, more=[b"a"] * 60 if data else ())
    assert status(got) == 408 and b"request_timeout" in got
    assert time.monotonic() - began < SECONDS / 2


@pytest.mark.parametrize(
    "head",
    [b"".join(b"X-%d: %s\r\n" % (i, b"a" * 50) for i in range(20_000)), b"X: " + b"a" * 1_000_000],
    ids=["20,000 headers", "a header of 1 MB"],
)
def test_a_flood_of_headers_is_refused(url, head):
    got = sent(url, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + head)
    assert status(got) in (0, 431)  # 0 where the refusal is lost, since more was on its way
    assert httpx.get(f"{url}/healthz").status_code == 200


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00\x01\x00", b"hello\r\n\r\n", b"GET /healthz HTTP/9.9\r\n\r\n"])
def test_what_is_no_http_is_refused(url, data):
    assert status(sent(url, data)) == 400


def test_two_requests_in_one_breath_are_both_answered(url):
    one = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
    got = sent(url, one + b"\r\n" + one + b"Connection: close\r\n\r\n")
    assert got.count(b"HTTP/1.1 200") == 2


def test_hundreds_of_silent_connections_keep_nobody_waiting(url):
    place = urlsplit(url)
    silent = [socket.create_connection((place.hostname, place.port)) for _ in range(300)]
    try:
        assert httpx.post(f"{url}/v1/indexes/films/search", json={"q": "king"}).status_code == 200
    finally:
        for connection in silent:
            connection.close()


def test_a_client_that_has_gone_is_counted_and_not_answered(url):
    body = json.dumps({"where": SLOW}).encode()
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port)) as connection:
        connection.sendall(POST.replace(b"100", b"%d" % len(body)) + body)
        time.sleep(0.05)
    until = time.monotonic() + SECONDS
    while 'status="499"' not in httpx.get(f"{url}/metrics").text:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_overload_is_refused_at_once_and_nothing_fails(folder):
    with listening({"films": folder}, queue=8) as url, httpx.Client(timeout=SECONDS) as client, ThreadPoolExecutor(24) as pool:
        asked = {"queries": ["king", "storm"], "k": 20}
        got = list(pool.map(lambda _: client.post(f"{url}/v1/indexes/films/search", json=asked), range(200)))
    assert {each.status_code for each in got} == {200, 503}
    assert all(each.headers["retry-after"] == "1" for each in got if each.status_code == 503)


def test_what_cannot_be_taken_on_is_refused_before_it_is_read(folder):
    with listening({"films": folder}, queue=1) as url, ThreadPoolExecutor(1) as pool:
        search, until = f"{url}/v1/indexes/films/search", time.monotonic() + SECONDS
        slow = pool.submit(httpx.post, search, json={"where": SLOW}, timeout=SECONDS)
        while httpx.post(search, content=b"no JSON").status_code != 503:
            assert time.monotonic() < until
            assert not slow.done()
        assert slow.result().status_code == 422


# -- new generations -----------------------------------------------------------------------------------------------------


def test_generations_are_shown_under_load_without_a_failed_or_mixed_answer(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(shown, "EVERY", 0.02)
    shutil.copytree(folder, tmp_path / "films")
    ended = False
    generations = set()

    def ask(client):
        count = 0
        while not ended or count < 3:
            got = client.post(f"{url}/v1/indexes/films/search", json={"where": "made > 0", "k": 100, "facets": ["made"]})
            assert got.status_code == 200, got.text
            answer, (result,) = got.json(), got.json()["results"]
            made = answer["generation"] - first
            assert sorted(hit["fields"]["made"] for hit in result["hits"]) == list(range(made + 1))[1:]
            assert (result["total"], result["facets"]["made"]["documents"]) == (made, made)
            generations.add(answer["generation"])
            count += 1

    with Index.open(tmp_path / "films") as index:
        first = index.manifest.generation
        index.add([Document("m1", "the storm", {"made": 1})])
        with listening({"films": tmp_path / "films"}) as url, httpx.Client(timeout=SECONDS) as client:
            with ThreadPoolExecutor(4) as pool:
                asking = [pool.submit(ask, client) for _ in range(4)]
                for made in range(2, 22 if FULL else 5):
                    index.add([Document(f"m{made}", "the storm", {"made": made})])
                    index.collect(1)
                    until = time.monotonic() + SECONDS
                    while index.manifest.generation not in generations and not any(each.done() for each in asking):
                        assert time.monotonic() < until
                        time.sleep(0.01)
                ended = True
            for each in asking:
                each.result()
            assert re.search(r'reloads_total\{index="films"\} [1-9]', client.get(f"{url}/metrics").text)
    assert len(generations) >= (20 if FULL else 4)


def test_a_generation_that_cannot_be_opened_leaves_the_one_before_it(folder, tmp_path, monkeypatch, capsys):
    def told(line):
        until = time.monotonic() + SECONDS
        while not re.search(line, httpx.get(f"{url}/metrics").text):
            assert time.monotonic() < until, line
            time.sleep(0.02)

    monkeypatch.setattr(shown, "EVERY", 0.02)
    shutil.copytree(folder, tmp_path / "films")
    current = tmp_path / "films" / "CURRENT"
    with listening({"films": tmp_path / "films"}) as url:
        whole = current.read_bytes()
        current.write_bytes(b"nonsense")
        told(r'reload_failing\{index="films"\} 1')
        assert httpx.post(f"{url}/v1/indexes/films/search", json={"q": "king"}).status_code == 200
        current.write_bytes(whole)
        told(r'reload_failing\{index="films"\} 0')
    assert str(current) in capsys.readouterr().err


# -- the process ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_its_end_under_load_loses_no_answer(folder, number):
    def ask(_):
        answered = 0
        with httpx.Client(timeout=SECONDS) as client:
            while True:
                got = client.post(f"{url}/v1/indexes/films/search", json={"q": "the king", "k": 20})
                assert got.status_code == 200
                answered += 1
                if answered == 5:
                    begun.release()
                if got.headers.get("connection") == "close":
                    return answered

    begun = Semaphore(0)
    with process(f"films={folder}") as started, ThreadPoolExecutor(8) as pool:
        url = started.url
        asking = [pool.submit(ask, n) for n in range(8)]
        for _ in asking:
            assert begun.acquire(timeout=SECONDS)
        started.process.send_signal(number)
        assert all(each.result() for each in asking)
        code, said = started.end()
    assert (code, said) == (0, "")


def test_a_service_that_is_killed_harms_nothing(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with process(folder) as started:
        assert httpx.get(f"{started.url}/v1/indexes/films/documents/d1").json()["text"] == films()[1].text
        started.process.kill()
        assert started.end()[0] == -signal.SIGKILL
    assert Index.verify(folder).problems == []
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.slow
def test_memory_does_not_grow_with_requests(folder):
    import psutil

    count = 100_000 if FULL else 1_500
    asked = [{"q": f"the king {n % 97}", "k": 5, "where": f"year > {1950 + n % 50}"} for n in range(1000)]
    with process(f"films={folder}") as started, httpx.Client(timeout=SECONDS) as client, ThreadPoolExecutor(8) as pool:

        def ask(n):
            return client.post(f"{started.url}/v1/indexes/films/search", json=asked[n % len(asked)]).status_code

        assert set(pool.map(ask, range(count // 5))) == {200}
        before = psutil.Process(started.process.pid).memory_info().rss
        assert set(pool.map(ask, range(count))) == {200}
        after = psutil.Process(started.process.pid).memory_info().rss
    assert after <= 1.05 * before, (before, after)
