"""Models damaged at random: each is refused with one of our errors, or still works; none crashes, hangs or eats memory.

As a program, `python tests/test_encoders_fuzz.py FOLDER COUNT SEED KIND...` opens and runs COUNT damaged models of each kind,
made from those in FOLDER, and prints what came of them: should onnxruntime or tokenizers kill the process, the tests go on.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
from faults import FULL

from vecsearch.encoders import ConcatenatedEncoder, open_encoder
from vecsearch.errors import VecsearchError

COUNT = 100_000 if FULL else 60
SLOWEST_S, MOST_MB = 20, 1000
"""What one damaged model may take: seconds on a busy machine; and what all of them may, in memory."""
TEXTS = ["a film about a bank", "the river", ""]
KINDS = {
    "onnx": ["model.onnx"],
    "onnx of texts": ["model.onnx"],
    "tokenizer": ["tokenizer.json"],
    "settings": ["config.json", "modules.json", "sentence_bert_config.json", "1_Pooling/config.json"],
    "joined": ["config.json"],
}
"""The files that are damaged."""


def damaged(whole: bytes, rng: random.Random) -> bytes:
    """Bits flipped, bytes replaced, taken out, put in or doubled, or the end cut off; once or several times."""
    data = bytearray(whole)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
        at, size, way = rng.randrange(len(data) + 1), rng.randrange(1, 9), rng.randrange(8)
        if way < 3:
            data[at : at + 1] = bytes(byte ^ 1 << rng.randrange(8) for byte in data[at : at + 1])
        elif way == 3:
            data[at : at + 1] = rng.choice((b"\0", b"\1", b"\x7f", b"\x80", b"\xff", b"9", b'"', b"[", b"}"))
        elif way == 4:
            del data[at : at + size]
        elif way == 5:
            data[at:at] = rng.randbytes(size)
        elif way == 6:
            other = rng.randrange(len(data) + 1)
            data[at:at] = data[other : other + 5 * size]
        elif rng.random() < 0.3:
            del data[at:]
    return bytes(data)


def run(folder: Path, kind: str, count: int, seed: int) -> dict[str, float]:
    wholes = {name: (folder / name).read_bytes() for name in KINDS[kind]}
    found = {"worked": 0, "refused": 0, "slowest_s": 0.0}
    for number in range(seed, seed + count):
        rng = random.Random(number)
        name = rng.choice(KINDS[kind])
        (folder / name).write_bytes(damaged(wholes[name], rng))
        started = perf_counter()
        try:
            vectors = open_encoder(folder).encode(TEXTS)
            assert vectors.shape[0] == len(TEXTS) and np.isfinite(vectors).all()
            found["worked"] += 1
        except VecsearchError as error:
            assert str(folder) in str(error) and len(str(error)) < 5000, (number, error)
            found["refused"] += 1
        except BaseException as error:
            error.add_note(f"damaged model {number} of kind {kind}")
            raise
        found["slowest_s"] = max(found["slowest_s"], perf_counter() - started)
        (folder / name).write_bytes(wholes[name])
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())  # getrusage counts the parent's as well
    return found | {"memory_mb": int(peak[1]) / 1000}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small model of each kind."""
    if missing := [name for name in ("onnx", "onnxruntime", "transformers") if find_spec(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    from sentence_models import export, lookup, words_graph, write_beside, write_model

    top = tmp_path_factory.mktemp("whole")
    for kind in KINDS:
        (top / kind).mkdir()
    write_model(top / "onnx")
    export(top / "onnx", top / "onnx/model.onnx")
    (top / "onnx/model.safetensors").unlink()
    words_graph(top / "onnx of texts/model.onnx", whole=False)
    write_beside(top / "tokenizer")
    lookup(top / "tokenizer/model.onnx")
    shutil.copytree(top / "tokenizer", top / "settings", dirs_exist_ok=True)
    shutil.copyfile(top / "onnx/config.json", top / "settings/config.json")
    ConcatenatedEncoder([open_encoder(top / "tokenizer"), open_encoder(top / "onnx of texts")], [1, 2.5]).save(top / "joined")
    return top


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.skipif(not FULL, reason="FAULTS=full has each kind damaged 100,000 times")
def test_damaged_many_times(whole, kind):
    check(whole, [kind])


def test_damaged(whole):
    check(whole, list(KINDS))


def check(whole: Path, kinds: list[str]) -> None:
    child = subprocess.run(
        [sys.executable, __file__, str(whole), str(COUNT), str(random.randrange(1 << 40) if FULL else 1), *kinds],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr[-4000:]
    for line in child.stdout.splitlines():
        found = json.loads(line)
        print(line)
        assert found["worked"] > 0 < found["refused"], found
        assert found["slowest_s"] < SLOWEST_S and found["memory_mb"] < MOST_MB, found


def main(top: Path, count: int, seed: int, kinds: list[str]) -> None:
    for kind in kinds:
        print(json.dumps({"kind": kind, "seed": seed} | run(top / kind, kind, count, seed)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
