"""A small index of films, an encoder that needs no torch, and a service of it: in this process, or in one of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
from starlette.testclient import TestClient

import vecsearch
from vecsearch import Document, Index, clustering, open_encoder
from vecsearch.serving import answers
from vecsearch.serving.app import make_app
from vecsearch.serving.guard import Access
from vecsearch.serving.limits import Limits
from vecsearch.serving.metrics import Metrics
from vecsearch.serving.server import Server, listen
from vecsearch.serving.service import Service

DIM = 6
WORDS = ["the", "king", "queen", "bank", "river", "storm", "bread", "heist", "love", "war", "city", "ship", "dog", "night"]
EVIL = "<script>alert(1)</script> & \"quotes\" 'and' </textarea>"
_MANY = f"json_each('{list(range(60))}')"
SLOW = f"exists (select 1 from {', '.join(f'{_MANY} as j{i}' for i in range(6))} where j0.value + j5.value = -1)"
"""A condition that takes longer than it may."""
LOCAL = "http://127.0.0.1:8080"


def made_encoder(folder: Path) -> vecsearch.Encoder:
    """Word vectors of WORDS, which are explained and need no torch."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "mini.txt"
    path.write_text("".join(f"{word} {' '.join(map(str, rng.normal(size=DIM).round(3)))}\n" for word in WORDS))
    return open_encoder(str(path))


def films(count: int = 40) -> list[Document]:
    """Documents of a few words each, with a year, a genre, tags, and a title; one is full of markup."""
    rng = np.random.default_rng(1)
    made = [
        Document(
            f"d{i}",
            f"{' '.join(rng.choice(WORDS, 6))} . The {rng.choice(WORDS)} and the {rng.choice(WORDS)} .",
            {"title": f"Film {i}", "year": 1950 + i, "genre": ["noir", "comedy"][i % 2], "tags": ["a", "b", "c"][: 1 + i % 3]},
        )
        for i in range(count)
    ]
    return [*made, Document("a/b ü", f"the king {EVIL}", {"title": EVIL, "year": "unknown"})]


def made_index(folder: Path) -> Path:
    """An index of films with two clusters."""
    with Index.build(folder / "films", films(), made_encoder(folder)) as index:
        clustering.cluster(index, clustering.Settings(k=2))
    return folder / "films"


@contextmanager
def serving(folders: dict[str, Path], access: Access = Access(), cors: Sequence[str] = (), **limits: Any) -> Iterator[Served]:  # noqa: B008
    """A service in this process, with a client that asks it."""
    service = Service(folders, Limits(**limits), Metrics())
    try:
        client = TestClient(make_app(service, access, cors=cors), base_url=LOCAL)
        yield Served(client, service)
    finally:
        service.close()


class Served(NamedTuple):
    client: TestClient
    service: Service

    def search(self, name: str = "films", **asked: Any) -> dict[str, Any]:
        """The answer to a search, which is as it is described."""
        got = self.client.post(f"/v1/indexes/{name}/search", json=asked)
        assert got.status_code == 200, got.text
        answers.Found.model_validate_json(got.content)
        return got.json()

    def refused(self, status: int, code: str, path: str = "/v1/indexes/films/search", **asked: Any) -> str:
        """Message and hint of the refusal of a request, which is as it is described."""
        return refusal(self.client.post(path, json=asked), status, code)


def refusal(got: httpx.Response, status: int, code: str) -> str:
    """Message and hint of a refusal with this status and code."""
    assert got.status_code == status, (got.status_code, got.text[:300])
    error = answers.Refusal.model_validate_json(got.content).error
    assert (error.code, bool(error.message)) == (code, True), error
    return f"{error.message} {error.hint}"


class Process(NamedTuple):
    process: subprocess.Popen[str]
    url: str

    def end(self) -> tuple[int, str]:
        """Its exit code and what it has said, once it is over."""
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


@contextmanager
def process(*arguments: object, env: dict[str, str] | None = None) -> Iterator[Process]:
    """`vecsearch serve` in a process of its own, listening."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **(env or {})}
    command = [sys.executable, "-m", "vecsearch.cli", "serve", *map(str, arguments), "--port", "0"]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        line = started.stdout.readline()
        url = re.search(r"http://\S+", line)
        assert url, line + started.stderr.read()
        yield Process(started, url[0])
    finally:
        started.kill()
        started.communicate()


@contextmanager
def listening(folders: dict[str, Path], access: Access = Access(), **limits: Any) -> Iterator[str]:  # noqa: B008
    """The address of a service that a thread of this process runs."""
    service = Service(folders, Limits(**limits), Metrics())
    with listen("127.0.0.1", 0) as socket:
        server = Server(make_app(service, access), service)
        thread = threading.Thread(target=server.run, args=([socket],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{socket.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
            service.close()
