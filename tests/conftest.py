"""Small real things to test with: encoders of random weights, a demo encoder with exact vectors, and the command line."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from vecsearch.ann import Rows
from vecsearch.corpus.document import Document
from vecsearch.encoders import Encoder, UlmfitEncoder, open_encoder
from vecsearch.encoders.ulmfit.folder import write_encoder
from vecsearch.metric import Metric, norms
from vecsearch.progress import Progress
from vecsearch.text.rules import SPECIAL_TOKENS
from vecsearch.text.vocabulary import Vocabulary

# How fast a machine is decides no test; a fixture's folder may serve all examples of a property.
settings.register_profile(
    "vecsearch", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("vecsearch")

WORDS = (
    *SPECIAL_TOKENS,
    *[
        "the",
        "a",
        "of",
        "on",
        "in",
        "sat",
        "bank",
        "river",
        "king",
        "queen",
        "tomato",
        "he",
        "she",
        "it",
        "is",
        "film",
        "heist",
        "city",
        "war",
        "love",
        ".",
        ",",
        "!",
        "?",
    ],
)


class Told(Progress):
    """Keeps what it is told: how many of each thing were done, and the notes. `then` is called with each name and number."""

    def __init__(self, then: Callable[[str, int], object] = lambda name, done: None) -> None:
        self.steps: dict[str, list[int]] = defaultdict(list)
        self.notes: list[str] = []
        self._then = then

    def step(self, name: str, done: int, total: int | None = None) -> None:
        assert total is None or done <= total
        self.steps[name].append(done)
        self._then(name, done)

    def note(self, text: str) -> None:
        self.notes.append(text)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Has the longest tests begin first: where several run at a time, none is left alone at the end."""
    items.sort(key=lambda item: item.path.name != "test_docs.py")


def random_tensors(
    directions: tuple[str, ...], dims: tuple[int, ...], words: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Weights of an AWD-LSTM whose embedding and layers have the sizes `dims`."""

    def draw(*shape: int) -> np.ndarray:
        return rng.uniform(-0.6, 0.6, shape).astype(np.float32)

    tensors = {}
    for direction in directions:
        tensors[f"{direction}.embedding"] = draw(words, dims[0])
        for n, (i, h) in enumerate(pairwise(dims)):
            tensors[f"{direction}.lstm.{n}.weight_ih"] = draw(4 * h, i)
            tensors[f"{direction}.lstm.{n}.weight_hh"] = draw(4 * h, h)
            tensors[f"{direction}.lstm.{n}.bias"] = draw(4 * h)
    return tensors


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """No test pulls the plug: that what is synced is an open file is looked at, and the disk is not waited for. What is synced,
    and in which order, tests see that watch each step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: os.fstat(file) and None)
        yield


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test leaves anything in the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def tokenizer():
    """The shipped encoder's tokenizer: English, without importing spaCy."""
    return open_encoder()._opened.tokenizer


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer) -> Callable[..., Path]:
    """Makes an encoder folder of random weights, once for each set of arguments."""
    made: dict[tuple, Path] = {}

    def make(directions: tuple[str, ...] = ("forward",), dims: tuple[int, ...] = (6, 10, 7), seed: int = 0) -> Path:
        key = (directions, dims, seed)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("encoder")
            tensors = random_tensors(directions, dims, len(WORDS), np.random.default_rng(seed))
            write_encoder(made[key], tensors, Vocabulary(WORDS), tokenizer, source={"name": "random"})
        return made[key]

    return make


@pytest.fixture
def tiny(tiny_folder) -> UlmfitEncoder:
    return UlmfitEncoder(tiny_folder())


@pytest.fixture(scope="session")
def served_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index that services are tested with, which nobody changes."""
    from serving import made_index

    return made_index(tmp_path_factory.mktemp("served"))


class AxisEncoder(Encoder):
    """An encoder of your own in ten lines: component i of a text's vector counts its i-th letter of "abc"."""

    dim = 3
    fingerprint = "axis-1"

    def encode(self, texts):
        return np.array([[text.count(letter) for letter in "abc"] for text in texts], np.float32).reshape(-1, 3)


@pytest.fixture
def lstm_by(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has every ULMFiT model compute all texts by "torch", by "numpy" one at a time, or by "numpy in batches"."""

    def choose(engine: str) -> None:
        states = "vecsearch.encoders.ulmfit.states"
        monkeypatch.setattr(f"{states}.FEW_TOKENS", 1 << 40 if engine == "numpy" else 0)
        monkeypatch.setattr(f"{states}.FEW_PRODUCTS", 0 if engine == "torch" else 1 << 60)
        monkeypatch.setattr(f"{states}.has_cuda_driver", lambda: False)

    return choose


@pytest.fixture
def axis() -> AxisEncoder:
    return AxisEncoder()


def documents(*texts: str) -> list[Document]:
    """Documents d0, d1, … with these texts."""
    return [Document(f"d{i}", text, {"length": len(text)}) for i, text in enumerate(texts)]


def made_vectors(kind: str, n: int, dim: int, seed: int) -> np.ndarray:
    """Draws (n, dim) float32 from one of four distributions, which do not depend on the seed."""
    rng, shape = np.random.default_rng(seed), np.random.default_rng(0)
    rows = rng.standard_normal((n, dim))
    if kind == "clustered":
        rows = 0.3 * rows + shape.standard_normal((20, dim))[rng.integers(0, 20, n)]
    if kind == "lognormal":
        rows *= rng.lognormal(0, 0.7, (n, 1))
    if kind == "anisotropic":
        rows = rows * 0.8 ** np.arange(dim) @ np.linalg.qr(shape.standard_normal((dim, dim)))[0] + 0.3
    return rows.astype(np.float32)


def rows_of(vectors: np.ndarray, metric: Metric) -> Rows:
    """Vectors as an index is built over them."""
    return Rows(vectors, norms(vectors), metric)


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def vecsearch(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Runs the command line in this process, from parsing to exit code."""

    def run(*arguments: object) -> Ran:
        from vecsearch.cli.main import main

        capsys.readouterr()
        monkeypatch.setattr("sys.argv", ["vecsearch", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Ran(ended.value.code or 0, out, err)

    return run


def rows(ran: Ran) -> list[dict[str, Any]]:
    """The JSON lines of a command that has succeeded."""
    assert ran.code == 0, ran
    return [json.loads(line) for line in ran.out.splitlines()]


def refused(ran: Ran, code: int, *said: str) -> None:
    """It ended with this exit code and nothing on stdout; the last line of stderr has all that is to be said."""
    last = ran.err.splitlines()[-1]
    assert (ran.code, ran.out) == (code, "") and last.lower().startswith("error: "), ran
    assert [part for part in said if part not in last] == [], ran
