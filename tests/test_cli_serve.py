"""vecsearch serve, as it is started: what cannot be served is refused in a sentence; the key is not seen by others."""

from __future__ import annotations

import socket

import httpx
import pytest
from conftest import refused
from serving import process

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
