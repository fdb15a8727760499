"""The page "Can ULMFiT be used for semantic similarity?", made in one run: encoders on data sets, a threshold, encoders fused.

    python benchmarks/semantic_similarity.py DATA NAME=FOLDER… [-o docs/semantic-similarity.md]

DATA holds sts/, words/, retrieval/ and corpora/ as benchmarks/similarity.py and benchmarks/catalogue_pairs.py want them;
encoders are named as for benchmarks/similarity.py, and WHAT says what the page calls each name. `plain`, `raw`, `ships` and
`minilm` must be among them: the text speaks of them. A sentence that the figures do not bear out is left out of the page, and
told. Pictures go beside the page.
"""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from catalogue_pairs import labelled_pairs
from report import machine, report
from similarity import MEAN, PAIRS, RETRIEVAL, opened, speeds

from vecsearch.evaluation.evaluate import Judged, compare, encode_pairs, evaluate
from vecsearch.evaluation.intervals import Drawn
from vecsearch.evaluation.picture import plot_measures
from vecsearch.evaluation.sets import read_set
from vecsearch.matching.calibrate import calibrate
from vecsearch.matching.calibration import CalibratedEncoder, Calibration
from vecsearch.matching.features import PairFeatures
from vecsearch.matching.fuse import FusionReport, fuse
from vecsearch.matching.fused_model import FusedEncoder
from vecsearch.matching.labelled import Labelled, grouped
from vecsearch.matching.picture import plot_fused
from vecsearch.metric import Metric, pair_scores

WHAT = {
    "ships": "the encoder that ships: an ULMFiT language model taught similarity by a teacher",
    "words": "the same one's word embeddings, their mean",
    "plain": "an ULMFiT language model as training leaves it, of 2.9 million words of films: the mean of its states",
    "raw": "the same one's word embeddings, their mean",
    "contrastive": "`plain`, taught by 10,000 pairs of paraphrases",
    "distilled": "`plain`, taught by a teacher on 20,000 sentences",
    "minilm": "all-MiniLM-L6-v2, a sentence transformer of 23 million parameters",
    "model2vec": "a static model distilled from all-MiniLM-L6-v2 by model2vec",
    "w2v": "word2vec (skip-gram) by gensim, of 15.8 million words of books and films",
    "ft": "fastText (skip-gram with subwords) of the same words",
}
FUSED = ("ships", "words", "w2v", "ft", "minilm")
"""Those of the encoders that are put together."""
ANALOGIES = "words/questions-words.txt"
SETS = (*(f"{part}.tsv" for part in PAIRS), ANALOGIES, *RETRIEVAL)
MEASURES = {"sts": "spearman", "words": "spearman", "retrieval": "ndcg@10"}
METRICS = {Metric.COSINE: "By cosine", Metric.INNER_PRODUCT: "By inner product"}
BLOCK = 1024
ROUNDS = 3
WIDTH = 140
"""Characters of a line."""
Judgements = dict[str, dict[str, Judged]]
"""For each set, what each encoder reaches."""


def main() -> None:
    parser = argparse.ArgumentParser(description="the page on semantic similarity")
    parser.add_argument("data", type=Path, help="a folder with sts/, words/, retrieval/ and corpora/")
    parser.add_argument("encoders", nargs="+", metavar="NAME=FOLDER[,OPTION=VALUE]")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/semantic-similarity.md"))
    options = parser.parse_args()
    encoders = dict(opened(argument) for argument in options.encoders)
    if missing := {"ships", "plain", "raw", "minilm"} - encoders.keys():
        parser.error(f"the page speaks of {', '.join(sorted(missing))} too: name the folder")
    if unknown := encoders.keys() - WHAT.keys():
        parser.error(f"WHAT does not say what {', '.join(sorted(unknown))} is")
    rates = speeds(encoders, options.data, ROUNDS)
    found = judge(options.data, encoders)
    pairs = catalogue(options.data)
    calibrations = {name: calibrated(pairs, encoder, name) for name, encoder in encoders.items()}
    fused = together(pairs, {name: encoders[name] for name in FUSED if name in encoders})
    pictures = [options.output.with_suffix(".png"), options.output.with_name(f"{options.output.stem}-fused.png")]
    plot_measures(pictures[0], list(rows_of(found)))
    plot_fused(pictures[1], fused)
    parts = [
        *answer(found, rates, fused),
        *(line for metric in METRICS for line in by_metric(found, metric)),
        *beside(found),
        f"![each encoder on each set, with 95 % intervals]({pictures[0].name})",
        *thresholds(pairs, calibrations),
        *fusion(fused),
        f"![average precision of encoders and models; the importance of features]({pictures[1].name})",
        *how(list(encoders)),
    ]
    options.output.write_text("\n\n".join(filter(None, parts)) + "\n", encoding="utf-8")
    rows = [{"encoder": name, "sts_mean": mean(found, name), "catalogue_ap": ap(calibrations[name])} for name in encoders]
    report("semantic_similarity", [row | {"texts_per_s": rates[row["encoder"]], "threads": os.cpu_count()} for row in rows])


# -- what is measured -----------------------------------------------------------------------------------------------------


def measure_of(part: str) -> str:
    return "accuracy" if part == ANALOGIES else MEASURES[part.split("/")[0]]


def judge(data: Path, encoders: dict[str, Any]) -> Judgements:
    found: Judgements = {}
    for part in SETS:
        test = read_set(data / part)
        found[part] = {name: evaluate(test, encoder) for name, encoder in encoders.items()}
        print(part, {name: round(its.drawn["", Metric.COSINE, measure_of(part)].value, 3) for name, its in found[part].items()})
    return found


def value(found: Judgements, part: str, name: str, metric: Metric = Metric.COSINE) -> float:
    """Times 100."""
    return 100 * found[part][name].drawn["", metric, measure_of(part)].value


def mean(found: Judgements, name: str, metric: Metric = Metric.COSINE) -> float:
    return float(np.mean([value(found, f"{part}.tsv", name, metric) for part in MEAN]))


def rows_of(found: Judgements) -> Iterator[dict[str, Any]]:
    """As `plot_measures` wants them, of the sets of pairs and of retrieval."""
    for part in SETS:
        measure = measure_of(part)
        for name, its in found[part].items():
            drawn = its.drawn["", Metric.COSINE, measure]
            low, high = drawn.interval
            row = {"set": Path(part).stem, "metric": "cosine", "measure": measure, "encoder": name}
            yield row | {"value": drawn.value, "low": low, "high": high}


def catalogue(data: Path) -> Labelled:
    records = labelled_pairs(data)
    a, b = ([record[side] for record in records] for side in "ab")
    return Labelled("catalogue", a, b, np.array([record["label"] == 1 for record in records]), grouped(a, b))


def calibrated(pairs: Labelled, encoder: Any, name: str) -> Calibration:
    scores = pair_scores(*encode_pairs(pairs.a, pairs.b, encoder), Metric.COSINE)
    made = calibrate(pairs, scores, Metric.COSINE, CalibratedEncoder(fingerprint="", names=[name], weights=[], options={}))
    print(name, made.figures["f1"], flush=True)
    return made


def ap(made: Calibration) -> float:
    return made.figures["average_precision"].value


def together(pairs: Labelled, encoders: dict[str, Any]) -> FusionReport:
    features = PairFeatures(encoders)
    blocks = [
        features.columns(pairs.a[first : first + BLOCK], pairs.b[first : first + BLOCK])
        for first in range(0, len(pairs.a), BLOCK)
    ]
    columns = {name: np.concatenate([block[name] for block in blocks]) for name in features.names}
    return fuse(pairs, columns, {name: FusedEncoder(name, "") for name in encoders})


# -- what the page says ---------------------------------------------------------------------------------------------------


def paragraph(*sentences: str) -> str:
    return textwrap.fill(" ".join(filter(None, sentences)), WIDTH, break_long_words=False, break_on_hyphens=False)


def borne_out(claim: bool, sentence: str) -> str:
    """The sentence, if it is true."""
    if not claim:
        print(f"left out, for the figures do not bear it out: {sentence}", file=sys.stderr)
    return sentence if claim else ""


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns of numbers are aligned at the right."""
    texts = [[str(cell) for cell in row] for row in rows]
    numbers = [all(cell[0] in "+-0123456789" for cell in column) for column in zip(*texts, strict=True)]
    lines = [head, ["---:" if right else "---" for right in numbers], *texts]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def answer(found: Judgements, rates: dict[str, int], fused: FusionReport) -> Iterator[str]:
    ships, plain, raw, minilm = (mean(found, name) for name in ("ships", "plain", "raw", "minilm"))
    by_ip, faster = mean(found, "ships", Metric.INNER_PRODUCT), rates["ships"] / rates["minilm"]
    words = [np.mean([value(found, f"{part}.tsv", name) for part in PAIRS[4:]]) for name in ("ships", "minilm")]
    better = [value(found, part, "minilm") > value(found, part, "ships") for part in RETRIEVAL]
    yield "# Can ULMFiT be used for semantic similarity?"
    yield paragraph(
        borne_out(
            max(plain, raw) < ships - 20,
            "**Not as training leaves it.** A language model learns which word comes next, and words that can stand in the "
            "same place need not mean the same: over four sets of sentence pairs that people have scored, the mean of its "
            f"states correlates with them by {plain:.1f} (Spearman, times 100), the mean of its word embeddings by {raw:.1f}.",
        )
    )
    yield paragraph(
        borne_out(
            ships > 0.9 * minilm and faster > 2,
            "**Taught similarity, yes.** The same architecture, once a teacher has taught it which texts are alike, reaches "
            f"{ships:.1f}: {100 * ships / minilm:.0f} % of what the sentence transformer all-MiniLM-L6-v2 has ({minilm:.1f}), "
            f"at {faster:.0f} times its texts a second on the same cores.",
        ),
        borne_out(
            words[0] > words[1],
            f"On pairs of single words it is ahead of the transformer, {words[0]:.1f} to {words[1]:.1f} on average.",
        ),
        borne_out(all(better), "Where a question has to find its documents, the transformer is clearly better."),
        borne_out(
            by_ip < ships,
            f"Compare by cosine: by inner product, where long vectors win whatever they say, {ships:.1f} becomes {by_ip:.1f}.",
        ),
    )
    gain, best, kept = fused.gain("average_precision"), fused.best_single, fused.fusion.name
    single, together = (its.figures["average_precision"] for its in (fused.single[best], fused.models[kept]))
    yield paragraph(
        borne_out(
            gain.interval[0] > 0,
            f"**Several together are better than the best.** On pairs of a film catalogue a model of {len(fused.single)} "
            f"encoders' scores has an average precision of {together.value:.3f}, where the best single one, `{best}`, has "
            f"{single.value:.3f}: a difference of {of(gain)}.",
        )
    )
    yield "All of it is measured by one command, which is at the end. In brackets are 95 % intervals. The encoders:"
    yield table(["", "what it is", "texts/s"], [[f"`{name}`", WHAT[name], f"{rate:,}"] for name, rate in rates.items()])


def by_metric(found: Judgements, metric: Metric) -> Iterator[str]:
    yield f"## {METRICS[metric]}"
    if metric is Metric.COSINE:
        yield paragraph(
            "Sentence and word pairs: Spearman's correlation with people's scores. Analogies: the share of questions that are",
            "answered. Retrieval (Cranfield, Medline): nDCG@10. All times 100; in brackets how many pairs, questions or",
            "queries. *STS* is the mean of the four sets of sentences: by its figures on these `ships` was chosen; it was",
            "trained on none.",
        )
    first = next(iter(found.values()))
    counts = [f"{Path(part).stem} ({next(iter(found[part].values())).n['']:,})" for part in SETS]
    rows = [
        [f"`{name}`", f"{mean(found, name, metric):.1f}", *(f"{value(found, part, name, metric):.1f}" for part in SETS)]
        for name in first
    ]
    yield table(["", "STS", *counts], rows)


def beside(found: Judgements) -> Iterator[str]:
    yield "## Which is better"
    yield paragraph(
        "`ships` beside each other encoder, by cosine: one is better where the 95 % interval of the difference is on one side",
        "of 0, the same pairs, questions or queries being drawn for both.",
    )
    verdicts: dict[str, dict[str, list[str]]] = {}
    for part in SETS:
        judged = {"ships": found[part]["ships"], **found[part]}
        for its in compare(judged):
            if its.metric is Metric.COSINE and its.measure == measure_of(part):
                verdicts.setdefault(its.than, {}).setdefault(its.better, []).append(Path(part).stem)
    rows = [
        [f"`{name}`", *(", ".join(its.get(who, [])) or "–" for who in ("ships", name, "inconclusive"))]
        for name, its in verdicts.items()
    ]
    yield table(["", "`ships` is better on", "the other is better on", "inconclusive"], rows)


def thresholds(pairs: Labelled, calibrations: dict[str, Calibration]) -> Iterator[str]:
    matches, groups = int(pairs.matches.sum()), int(pairs.groups.max()) + 1
    yield "## A threshold for a catalogue"
    yield paragraph(
        f"{len(pairs.matches):,} pairs of descriptions from three streaming services and an encyclopaedia, {matches:,} of them",
        "of one title. Nobody labelled them: the same title, type and year (at most one apart) in two sources is a match, and",
        "for each match there are two others, the most alike by words and any (`benchmarks/catalogue_pairs.py`). They come in",
        f"{groups} parts that share no text. The threshold is that of the best F1; precision, recall and F1 are of pairs that",
        "it was not chosen on. *ECE* is how far the cosine, and the calibrated probability, is from the share of matches.",
    )
    rows = []
    for name, made in calibrations.items():
        threshold, f1 = made.figures["threshold"], made.figures["f1"]
        numbers = [made.figures[key].value for key in ("precision", "recall")]
        rows.append(
            [
                f"`{name}`",
                spanned(threshold.value, threshold.low, threshold.high),
                *(f"{number:.3f}" for number in numbers),
                spanned(f1.value, f1.low, f1.high),
                *(f"{made.figures[key].value:.3f}" for key in ("average_precision", "roc_auc")),
                f"{made.reliability['score'].ece:.3f}",
                f"{made.reliability[made.way].ece:.3f}",
            ]
        )
    heads = ["threshold", "precision", "recall", "F1", "average precision", "ROC AUC", "ECE, cosine", "ECE, calibrated"]
    yield table(["", *heads], rows)


def fusion(fused: FusionReport) -> Iterator[str]:
    yield "## Several encoders fused"
    yield paragraph(
        "The same pairs: each encoder's cosine alone, and models of all their scores, of lengths, unknown words, and the words",
        "and letters in common (`vecsearch fuse`), each learnt on four fifths and judged on the fifth.",
    )
    rows = []
    for name, its in (fused.single | fused.models).items():
        figures = its.figures
        rows.append(
            [
                f"`{name}`" if name in fused.single else name,
                of(figures["average_precision"]),
                *(f"{figures[key].value:.3f}" for key in ("roc_auc", "precision", "recall")),
                of(figures["f1"]),
            ]
        )
    yield table(["", "average precision", "ROC AUC", "precision", "recall", "F1"], rows)
    gains = [of(fused.gain(measure), sign="+") for measure in ("average_precision", "f1")]
    yield f"The {fused.fusion.name} model less `{fused.best_single}`: average precision {gains[0]}, F1 {gains[1]}."
    yield "What each feature is worth to it: how far average precision falls when the feature's values are shuffled."
    yield table(
        ["feature", "importance", "deviation"],
        [[its.feature, f"{its.mean:z.3f}", f"{its.deviation:.3f}"] for its in fused.importances],
    )


def how(encoders: Sequence[str]) -> Iterator[str]:
    facts = machine()
    own = {"ships": "english", "words": "english,pooling=raw", "raw": "FOLDER,pooling=raw"}
    command = " ".join(f"{name}={own.get(name, 'FOLDER')}" for name in encoders)
    yield "## How it was made"
    yield f"```\npython benchmarks/semantic_similarity.py DATA {command}\n```"
    yield paragraph(
        f"On {datetime.now(UTC):%d %B %Y}, with {facts['cores']} cores of an {facts['cpu']}, all used. Texts/s: the",
        f"sentences of STS-B's development set, the encoders taking turns, the median of {ROUNDS} rounds.",
        "`benchmarks/steps.py` makes `plain` and what is taught from it, `benchmarks/train_words.py` the word vectors.",
    )


def spanned(number: float, low: float, high: float, sign: str = "") -> str:
    return f"{number:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


def of(drawn: Drawn, sign: str = "") -> str:
    return spanned(drawn.value, *drawn.interval, sign)


if __name__ == "__main__":
    main()
