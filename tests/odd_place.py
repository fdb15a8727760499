"""A folder with all that the functions and commands work with, put back when one of them has changed it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np

import vecsearch
from vecsearch import Document, Index, Metric, clustering, open_encoder, read_files
from vecsearch.matching.calibrate import calibrate
from vecsearch.matching.calibration import CalibratedEncoder
from vecsearch.matching.labelled import read_labelled

DIM = 4
WORDS = ["the", "king", "queen", "man", "woman", "bread", "storm", "river"]


class Encoder(vecsearch.Encoder):
    """An encoder of a user's own: the letters a, b, c and all."""

    dim = DIM
    fingerprint = "letters"

    def encode(self, texts):
        return np.array([[*(text.count(letter) for letter in "abc"), len(text)] for text in texts], np.float32).reshape(-1, DIM)

    def save(self, folder):
        (folder / "config.json").write_text("{}")


class Place:
    """What the functions work with, in a folder that is put back when one of them has changed it."""

    def __init__(self, folder: Path, tiny: Path) -> None:
        self.folder, self.pristine = folder / "work", folder / "pristine"
        self.folder.mkdir()
        os.chdir(self.folder)
        self._make(tiny)
        shutil.copytree(self.folder, self.pristine)
        self.state = self.looked_at()
        self.open()

    def _make(self, tiny: Path) -> None:
        rng = np.random.default_rng(0)
        Path("mini.txt").write_text("".join(f"{word} {' '.join(map(str, rng.random(DIM).round(3)))}\n" for word in WORDS))
        shutil.copytree(tiny, "tiny")
        Path("corpus.jsonl").write_text('{"id": "1", "text": "the king", "title": "one"}\n{"id": "2", "text": "the storm"}\n')
        lines = [f"{a}\t{b}\t{(n + m) % 2}" for n, a in enumerate(WORDS) for m, b in enumerate(WORDS) if n != m]
        Path("pairs.tsv").write_text("a\tb\tlabel\n" + "\n".join(lines) + "\n")
        made = [f"{x} a{n}\t{x} b{n}\t{int(x == 'the')}" for n in range(12) for x in ("the", "storm")]
        Path("labelled.tsv").write_text("a\tb\tlabel\n" + "\n".join(made) + "\n")
        documents = [Document(word, f"the {word}", {"year": 1990 + i}) for i, word in enumerate(WORDS)]
        with Index.build("index", documents, open_encoder("mini.txt")) as index:
            clustering.cluster(index, clustering.Settings(k=2))
            index.delete(["man"])
        Index.build("own", documents, Encoder()).close()
        labelled = read_labelled("labelled.tsv")
        scores = np.where(labelled.matches, 0.9, 0.1).astype(np.float32)
        calibrate(labelled, scores, Metric.COSINE, CalibratedEncoder("letters", ["x"], [], {})).save("calibration.json")
        np.save("vectors.npy", np.ones((5, DIM), np.float32))
        Path("ids.txt").write_text("a\nb\nc\nd\ne\n")
        Index.build("own-words", documents, open_encoder("mini.txt")).close()
        Path("notes").mkdir()
        Path("notes/a.md").write_text("# The king\n\nthe storm\n")
        words = open_encoder("mini.txt")
        Index.build("noted", read_files(["notes"], tokens=words.tokens), words).close()
        Path("folder").mkdir()
        Path("binary.bin").write_bytes(bytes(range(256)) * 4)
        Path("bad.npy").write_bytes(b"\x93NUMPY\x01\x00 no array")
        for name in ("empty.txt", "empty.jsonl"):
            Path(name).touch()

    def open(self) -> None:
        self.index = Index.open("index", check=False)

    def looked_at(self) -> dict[str, tuple[int, int, int]]:
        """Every path with its size, when it was changed and which file it is; a folder only with which it is."""
        found: dict[str, tuple[int, int, int]] = {}
        folders = [str(self.folder)]
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    facts, is_folder = entry.stat(follow_symlinks=False), entry.is_dir(follow_symlinks=False)
                    # Who held the lock last is not part of an index.
                    unseen = is_folder or entry.name == "LOCK"
                    found[entry.path] = (0, 0, facts.st_ino) if unseen else (facts.st_size, facts.st_mtime_ns, facts.st_ino)
                    if is_folder:
                        folders.append(entry.path)
        return found

    def put_back(self) -> None:
        self.index.close()
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(self.pristine, self.folder, dirs_exist_ok=True)
        self.state = self.looked_at()
        self.open()
