"""Files of word vectors damaged at random: each is refused with an error of ours, or read; none crashes, hangs or fills memory.

As a program, `python tests/test_words_fuzz.py COUNT SEED FORMAT...` reads COUNT damaged files of each, in a process whose
memory is limited, and prints what came of them.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
import word_files as made
from faults import FULL
from test_encoders_fuzz import damaged

from vecsearch.encoders.words.encoder import WordsEncoder
from vecsearch.encoders.words.importing import import_words, open_word_file
from vecsearch.errors import VecsearchError

COUNT = 100_000 if FULL else 400
SLOWEST_S, MOST_MB = 10, 250
"""What one damaged file may take: seconds on a busy machine; and what all of them may, in memory beyond the imports."""
WORDS = ["the", "king", "queen", "über", "日本語", "tomato", ". .", "x"]
VECTORS = np.random.default_rng(0).standard_normal((len(WORDS), 4)).astype(np.float32)
MATRIX = np.random.default_rng(1).standard_normal((len(WORDS) + 20, 4)).astype(np.float32)
SINGLE = [word.replace(" ", "") for word in WORDS]
FORMATS = {
    "word2vec text": (".vec", made.word2vec_text(WORDS, VECTORS)),
    "GloVe text": (".txt", made.glove_text(WORDS, VECTORS)),
    "word2vec binary": (".bin", made.word2vec_binary(SINGLE, VECTORS)),
    "fastText binary": (".bin", made.fasttext_binary(SINGLE, MATRIX, labels=["__label__a"])),
    "folder": ("", made.fasttext_binary(SINGLE, MATRIX)),
}
NUMBERS = (b"0", b"-1", b"1e39", b"nan", b"2147483647", b"99999999999999999999")


def numbers_changed(whole: bytes, rng: random.Random) -> bytes:
    """Damage that a parser meets where it matters: in the head, whose numbers say how much there is."""
    data = bytearray(whole)
    at = rng.randrange(min(len(data), 100))
    if whole[:1].isdigit():
        fields = whole.split(b" ", 2)
        fields[rng.randrange(2)] = rng.choice(NUMBERS)
        return b" ".join(fields)
    size = rng.choice((1, 2, 4, 8))
    data[at : at + size] = rng.choice((b"\0", b"\1", b"\x7f", b"\xff", b"\x80")) * size
    return bytes(data)


def run(format: str, count: int, seed: int, folder: Path) -> dict[str, float]:
    suffix, whole = FORMATS[format]
    path, output = folder / f"damaged{suffix or '.bin'}", folder / "made"
    found = {"read": 0, "refused": 0, "slowest_s": 0.0}
    names = []
    if format == "folder":
        path.write_bytes(whole)
        import_words(path, output)
        names = sorted(name.name for name in output.iterdir())
    for number in range(seed, seed + count):
        rng = random.Random(number)
        data = whole
        if names:
            path = output / rng.choice(names)
            data = path.read_bytes()
        broken = numbers_changed(data, rng) if rng.random() < 0.3 else damaged(data, rng)
        if names:
            path.unlink()  # a file that is mapped must not become shorter
        path.write_bytes(broken)
        started = perf_counter()
        try:
            if names:
                encoder = WordsEncoder(output)
                vectors = encoder.encode(["the king zzyzx", *encoder.words[:20]])
                assert vectors.shape[1] == encoder.dim
            elif number % 50 == 0:
                encoder = WordsEncoder(import_words(path, folder / str(number)).folder.path)
                assert encoder.encode(["the king"]).shape == (1, encoder.dim)
            else:
                for block in open_word_file(path).blocks():
                    assert block.vectors is None or np.isfinite(block.vectors).all()
            found["read"] += 1
        except VecsearchError as error:
            assert str(folder) in str(error) and len(str(error)) < 2000, (number, error)
            found["refused"] += 1
        except BaseException as error:
            error.add_note(f"damaged file {number} of {format}")
            raise
        found["slowest_s"] = max(found["slowest_s"], perf_counter() - started)
        if names:
            path.unlink()
            path.write_bytes(data)
    return found


@pytest.mark.parametrize("formats", [[name] for name in FORMATS] if FULL else [list(FORMATS)], ids=", ".join)
def test_damaged_files(formats):
    seed = random.randrange(1 << 40) if FULL else 1
    command = [sys.executable, __file__, str(COUNT), str(seed), *formats]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr[-4000:]
    for line in child.stdout.splitlines():
        print(line)
        found = json.loads(line)
        assert found["read"] > 0 < found["refused"] and found["slowest_s"] < SLOWEST_S, found


def main(count: int, seed: int, formats: list[str]) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (MOST_MB << 20),) * 2)
    for format in formats:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps({"format": format, "seed": seed} | run(format, count, seed, Path(folder))), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
