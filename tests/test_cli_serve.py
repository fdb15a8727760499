"""vecsearch serve, as it is started: what cannot be served is refused in a sentence; the key is not seen by others."""

from __future__ import annotations

import socket
import time

import httpx
import psutil
import pytest
from conftest import refused
from serving import made_index, process, refusal

from vecsearch import Document, Index
from vecsearch.serving import answers

KEY = "a-key-of-enough-letters"


@pytest.fixture(scope="module")
def folder(served_folder):
    return served_folder


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv("VECSEARCH_API_KEY", raising=False)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere", "--port", "0"], 4, "nowhere"),
        (["films", "FILMS=films", "FILMS=other"], 2, "'FILMS'"),
        (["=films"], 2, "NAME=FOLDER"),
        (["a/b=films"], 2, "NAME=FOLDER"),
        (["films", "--host", "0.0.0.0"], 2, "--open"),
        (["films", "--api-key", "short"], 2, "16"),
        (["films", "--api-key", "é" * 20], 2, "16"),
        (["films", "--api-key-file", "nowhere"], 5, "nowhere"),
        (["films", "--api-key", KEY, "--open"], 2, "--open"),
        (["films", "--max-body", "0"], 2, "size"),
        (["films", "--batch", "65"], 2, "64"),
        (["films", "--partial"], 2, "--workers"),
        (["films", "--ray", "nowhere"], 2, "'nowhere'"),
    ],
)
def test_what_cannot_be_served_is_refused(vecsearch, arguments, code, said):
    refused(vecsearch("serve", *arguments), code, said)


def test_a_port_that_is_taken_is_said(vecsearch, folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused(vecsearch("serve", folder, "--port", port), 5, f"127.0.0.1:{port}")


@pytest.mark.parametrize("by", ["environment", "file"])
def test_the_key_comes_from_the_environment_or_a_file(folder, tmp_path, by):
    (tmp_path / "key").write_text(f"{KEY}\n")
    options = ["--api-key-file", tmp_path / "key"] if by == "file" else []
    environment = {"VECSEARCH_API_KEY": KEY} if by == "environment" else {}
    with process(f"one={folder}", f"two={folder}", "--host", "localhost", *options, env=environment) as started:
        assert httpx.get(f"{started.url}/v1/indexes").status_code == 401
        got = httpx.get(f"{started.url}/v1/indexes", headers={"authorization": f"Bearer {KEY}"})
        assert [index["name"] for index in got.json()["indexes"]] == ["one", "two"]


@pytest.mark.parametrize("partial", [True, False])
def test_workers_answer_and_what_a_lost_one_held_is_said_until_another_has_it(tmp_path, partial):
    path = made_index(tmp_path)
    with Index.open(path) as index:
        index.add([Document(f"late {n}", "king storm") for n in range(9)])
        wanted = [hit.id for hit in index.hybrid(["king"], 60)[0]]
    with process(f"films={path}", "--workers", 2, *(["--partial"] if partial else [])) as started:
        search = f"{started.url}/v1/indexes/films/search?q=king&k=60"
        assert [hit["id"] for hit in httpx.get(search).json()["results"][0]["hits"]] == wanted
        children = psutil.Process(started.process.pid).children(recursive=True)
        workers = [child for child in children if any("spawn_main" in part for part in child.cmdline())]
        assert len(workers) == 2
        workers[0].kill()
        got = httpx.get(search)
        if partial:
            answer = answers.Found.model_validate_json(got.content)
            assert answer.missing_documents in (9, 41)
            assert f"{answer.missing_documents} documents are out of reach" in answer.results[0].notes[0]
            assert {hit.id for hit in answer.results[0].hits} < set(wanted)
        else:
            assert "of 50 documents are out of reach" in refusal(got, 503, "out_of_reach")
            assert got.headers["retry-after"] == "1"
        until = time.monotonic() + 60
        while (got := httpx.get(search)).status_code == 503 or "missing_documents" in got.json():
            assert time.monotonic() < until
            time.sleep(0.1)
        assert [hit["id"] for hit in got.json()["results"][0]["hits"]] == wanted
        started.process.terminate()
        assert started.end() == (0, "")
