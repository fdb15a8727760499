"""A full disk or a kill while `vecsearch train` runs: what was kept stays, and --resume ends with the same weights."""

import errno
import json
import shutil
import signal
import subprocess
import sys
from contextlib import nullcontext

import numpy as np
import pytest
from conftest import WORDS
from faults import failing

from vecsearch.training import checkpoint
from vecsearch.training.checkpoint import Checkpoint

COMMANDS = {
    "similarity": ("--epochs", 2, "--batch", 16, "--rate", 0.02),
    "lm": ("--epochs", 2, "--batch", 8, "--length", 15, "--rate", 0.05, "--dims", "8,10,8", "--words", 60),
}
KILLED = """
import os, signal, sys
from vecsearch.cli.main import main
from vecsearch.training import checkpoint

checkpoint.SAVE_SECONDS = 0
kept, real = [], os.replace

def replace(source, target):
    kept.extend([target] * str(target).endswith(".safetensors"))
    if len(kept) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    real(source, target)

os.replace = replace
main()
"""
"""The command line, killed when it has written its fifth checkpoint, and the fourth is still in its place."""


@pytest.fixture
def train(vecsearch, tiny_folder, tmp_path, monkeypatch):
    """Runs a training on made-up texts towards a folder, which keeps a checkpoint after every step."""
    monkeypatch.setattr(checkpoint, "SAVE_SECONDS", 0)
    rng = np.random.default_rng(0)
    texts = [np.roll(WORDS[9:-4], rng.integers(20))[: rng.integers(10, 20)] for _ in range(150)]
    vectors = dict(zip(WORDS, rng.standard_normal((len(WORDS), 12)), strict=True))
    corpus, teacher = tmp_path / "corpus.txt", tmp_path / "teacher.npy"
    corpus.write_text("".join(f"{' '.join(text)}\n" for text in texts))
    np.save(teacher, np.array([sum(vectors[word] for word in text) for text in texts], np.float32))

    def run(command, output, *options, by=vecsearch):
        start = ("--teacher", teacher, "--from", tiny_folder(("forward",), (8, 10, 8))) if command == "similarity" else ()
        return by("train", command, corpus, "-o", tmp_path / output, *start, *COMMANDS[command], *options, "--json")

    return run


@pytest.fixture
def saves(monkeypatch):
    """The number of checkpoints so far; the disk is full from the first step of the one `saves.full_at` on."""
    save = Checkpoint.save

    def counted(self, *arguments):
        counted.number += 1
        with failing(errno.ENOSPC, 0) if counted.number == counted.full_at else nullcontext():
            save(self, *arguments)

    counted.number = counted.full_at = 0
    monkeypatch.setattr(Checkpoint, "save", counted)
    return counted


@pytest.mark.parametrize("command", COMMANDS)
def test_a_disk_that_is_full_at_a_checkpoint(train, saves, tmp_path, command):
    whole = train(command, "whole")
    assert whole.code == 0 and saves.number > 6, whole.err
    for full_at in (1, 6):
        saves.number, saves.full_at = 0, full_at
        ran = train(command, "parts")
        kept = tmp_path / ".parts.training"
        assert ran.code == 5 and not (tmp_path / "parts").exists()
        note, error = ran.err.splitlines()[-2:]
        assert error.startswith("error: ") and f"{kept}/state.safetensors" in error
        assert f"{kept}" in note and "--resume" in note
        assert (kept / "state.safetensors").exists() == (full_at > 1)
        saves.full_at = 0
        resumed = train(command, "parts", "--resume")
        assert resumed.code == 0 and json.loads(resumed.out) == json.loads(whole.out) | {"encoder": str(tmp_path / "parts")}
        weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts")]
        assert weights[0] == weights[1] and not kept.exists()
        shutil.rmtree(tmp_path / "parts")


@pytest.mark.parametrize("command", COMMANDS)
def test_killed_at_a_checkpoint(train, tmp_path, command):
    def killed(*arguments):
        return subprocess.run([sys.executable, "-c", KILLED, *map(str, arguments)], capture_output=True, check=False)

    assert train(command, "whole").code == 0
    assert train(command, "parts", by=killed).returncode == -signal.SIGKILL
    kept = tmp_path / ".parts.training"
    (unfinished,) = kept.glob(".state.safetensors.*.tmp")
    assert (kept / "state.safetensors").exists() and not (tmp_path / "parts").exists()
    other = train(command, "parts", "--resume", "--seed", 5)
    assert other.code == 2 and f"cannot resume: {kept} was started with seed 0, not 5" in other.err and unfinished.exists()
    resumed = train(command, "parts", "--resume")
    assert resumed.code == 0 and "resuming " in resumed.err
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert weights[0] == weights[1] and not kept.exists()
