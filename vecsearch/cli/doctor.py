"""vecsearch doctor"""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import click

PACKAGES = ("vecsearch", "faiss-cpu", "torch", "fastai", "numpy", "click", "h5py", "spacy", "safetensors")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
@click.pass_context
def doctor(context: click.Context, folder: Path) -> None:
    """Try all that vecsearch needs on this machine.

    An index is built in FOLDER, by default in this one. The exit code is 1 if anything fails.
    """
    failed = False
    for name, check in _CHECKS.items():
        try:
            answer = f"ok    {name}: {check(folder)}"
        except Exception as error:
            failed, answer = True, f"FAIL  {name}: {type(error).__name__}: {error}"
        click.echo(answer)
    if failed:
        context.exit(1)


def _versions(_: Path) -> str:
    return ", ".join(f"{name} {version(name)}" for name in PACKAGES)


def _machine(_: Path) -> str:
    import torch

    from vecsearch.encoders.torch_settings import fast_dtype

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"{torch.backends.cpu.get_cpu_capability()}, {gpu}, batches run in {fast_dtype()}"
    )


def _engines(_: Path) -> str:
    # torch and faiss each bring an OpenMP runtime; where the two clash, a product of matrices after both were loaded shows it.
    import faiss
    import numpy as np
    import torch

    rows = np.random.default_rng(0).standard_normal((2000, 64), dtype=np.float32)
    scores, found = faiss.knn(rows[:5], rows, 1, metric=faiss.METRIC_L2)
    if found.ravel().tolist() != list(range(5)) or not torch.isfinite(torch.from_numpy(rows) @ torch.from_numpy(rows).T).all():
        raise RuntimeError(f"exact search found rows {found.ravel().tolist()} with distances {scores.ravel().tolist()}")
    return "torch and faiss work beside each other"


def _model(_: Path) -> str:
    from vecsearch.encoders import open_encoder

    encoder = open_encoder()
    return f"{len(encoder.vocabulary):,} words, vectors of length {encoder.dim}, every file as it was shipped"


def _index(folder: Path) -> str:
    from vecsearch.corpus.document import Document
    from vecsearch.encoders import open_encoder
    from vecsearch.index.index import Index
    from vecsearch.store.verify import verify

    texts = ["a heist in a casino", "the history of bread", "a storm at sea"]
    with tempfile.TemporaryDirectory(dir=folder, prefix=".vecsearch-doctor-") as place:
        with Index.build(Path(place) / "index", (Document(text, text) for text in texts), open_encoder()) as index:
            best = index.query(["robbers"], k=1)[0][0].id
        if problems := verify(Path(place) / "index").problems:
            raise RuntimeError("; ".join(problems))
    return f"an index was built, synced, verified and asked in {folder.absolute()}: 'robbers' finds {best!r}"


_CHECKS: dict[str, Callable[[Path], str]] = {
    "packages": _versions,
    "machine": _machine,
    "engines": _engines,
    "model": _model,
    "index": _index,
}
