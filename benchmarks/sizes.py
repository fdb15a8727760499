"""What a size buys: encoders of several sizes, each taught the same by the same teacher, and what they know, weigh and cost.

    python benchmarks/sizes.py TEXTS TEACHER DATA [--sizes 42000:256,256 …] [--texts 180000] [--epochs 1] [--plot sizes.png]
    python benchmarks/sizes.py --plot sizes.png

TEXTS holds a text in each line, of which `--texts` are drawn; TEACHER is an encoder's folder; DATA holds sts/*.tsv. A size is
WORDS:DIMS, of the vocabulary and of the embedding and each layer. Every encoder begins as `train similarity --words` has it and
reads the same texts, and its own words beside them, the same number of times. `sts_mean` is the mean of the four sets in
benchmarks/similarity.py, `texts_per_s` its speed, with the encoders taking turns; `mb` is the folder on disk, in float16;
`minutes` is the training without the teacher, whose vectors of the texts are made once. --plot draws the newest run.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from report import RESULTS, Printed, report
from similarity import MEAN, correlation, speeds

from vecsearch.encoders import open_encoder
from vecsearch.encoders.ulmfit.folder import write_encoder
from vecsearch.training.loop import Plan
from vecsearch.training.network import Network
from vecsearch.training.start import new_start
from vecsearch.training.teacher import Teacher
from vecsearch.training.train_similarity import TrainingData, train_similarity

SIZES = (
    *("10000:128,128", "10000:256,256", "20000:128,128", "20000:256,256"),
    *("42000:128,128", "42000:256,256", "42000:256,384,256", "42000:256,256,256"),
)


@dataclass(frozen=True)
class Size:
    words: int
    dims: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Size:
        words, _, dims = text.partition(":")
        return cls(int(words), tuple(int(dim) for dim in dims.split(",")))


def main() -> None:
    parser = argparse.ArgumentParser(description="what a size buys")
    parser.add_argument("inputs", nargs="*", type=Path, metavar="TEXTS TEACHER DATA")
    parser.add_argument("--sizes", nargs="+", type=Size.parse, default=[Size.parse(size) for size in SIZES])
    parser.add_argument("--texts", type=int, default=180_000, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--plot", type=Path, help="draw the newest run to a .png or .svg file")
    options = parser.parse_args()
    if len(options.inputs) not in ((0, 3) if options.plot else (3,)):
        parser.error("give TEXTS, TEACHER and DATA to measure, --plot to draw what was measured, or both")
    if options.inputs:
        measure(*options.inputs, options)
    if options.plot:
        plot(options.plot)


def measure(path: Path, folder: Path, data: Path, options: argparse.Namespace) -> None:
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    texts = [lines[i] for i in np.random.default_rng(0).permutation(len(lines))[: options.texts]]
    plan = Plan(epochs=options.epochs, rate=3e-3, dropout=0)
    with tempfile.TemporaryDirectory() as name:
        teacher = Teacher(folder)
        vectors = teacher.vectors(texts, Path(name) / "teacher.f32")
        rows = [trained(size, texts, vectors, teacher, Path(name) / str(n), plan) for n, size in enumerate(options.sizes)]
        encoders = {str(n): open_encoder(Path(name) / str(n), dtype="auto") for n in range(len(rows))}
        rates = speeds(encoders, data, rounds=3)
        for row, (number, encoder) in zip(rows, encoders.items(), strict=True):
            scores = {Path(part).name: correlation(encoder, data / f"{part}.tsv") for part in MEAN}
            row |= scores | {"sts_mean": round(float(np.mean(list(scores.values()))), 2), "texts_per_s": rates[number]}
    report("sizes", [row | {"texts": len(texts), "epochs": plan.epochs, "threads": os.cpu_count()} for row in rows])


def trained(size: Size, texts: list[str], vectors: np.ndarray, teacher: Teacher, output: Path, plan: Plan) -> dict[str, Any]:
    """Train an encoder of a size; what it is, and how long that took.

    A file of vectors is the teacher, so that the texts are not encoded again, and the start is a folder: the words that a new
    encoder learns beside its texts are therefore put behind them.
    """
    begun = new_start(texts, teacher, words=size.words, dims=size.dims, seed=plan.seed)
    start, file, taught = (output.with_suffix(suffix) for suffix in (".start", ".jsonl", ".npy"))
    start.mkdir()
    tensors = Network(begun.stacks, begun.depths, dropout=0).tensors()
    write_encoder(start, tensors, begun.vocabulary, begun.tokenizer, source={}, layers=begun.layers)
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in (*texts, *begun.taught)), encoding="utf-8")
    np.save(taught, np.concatenate([vectors, np.stack(list(begun.taught.values()))]))
    started = perf_counter()
    train_similarity(TrainingData([file], teacher=taught), output, start=start, plan=plan, progress=Printed())
    minutes = (perf_counter() - started) / 60
    taught.unlink()
    size_on_disk = sum(path.stat().st_size for path in output.iterdir())
    row = {"words": len(begun.vocabulary), "dims": ",".join(map(str, size.dims)), "mb": round(size_on_disk / 1e6, 2)}
    return row | {"minutes": round(minutes, 2)}


def plot(path: Path) -> None:
    """The mean over megabytes and over texts a second: a line for each shape, on it a point for each number of words."""
    from matplotlib.figure import Figure

    lines = [json.loads(line) for line in (RESULTS / "sizes.jsonl").read_text(encoding="utf-8").splitlines()]
    newest = [line for line in lines if line["date"] == lines[-1]["date"]]
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, column, title in ((left, "mb", "MB on disk"), (right, "texts_per_s", "texts a second")):
        for dims in dict.fromkeys(line["dims"] for line in newest):
            x, y, words = zip(
                *((line[column], line["sts_mean"], f"{line['words'] / 1000:.0f}k") for line in newest if line["dims"] == dims),
                strict=True,
            )
            axes.plot(x, y, "o-", label=f"{dims} ({', '.join(words)})")
            if len(words) > 1:
                for point in zip(words, zip(x, y, strict=True), strict=True):
                    axes.annotate(*point, (-6, 4), textcoords="offset points", ha="right")
        axes.set(xlabel=title)
        axes.set_xlim(left=0)
        axes.margins(0.08)
        axes.grid(alpha=0.3)
    left.set(ylabel="mean of four STS sets (Spearman × 100)")
    left.legend(title="embedding, layers (words)", loc="lower right")
    times = "once" if newest[-1]["epochs"] == 1 else f"{newest[-1]['epochs']} times"
    figure.suptitle(f"Encoders of several sizes, taught by the same teacher on {newest[-1]['texts']:,} texts, read {times}")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
