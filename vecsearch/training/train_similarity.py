"""An encoder whose vectors are near where texts are alike: trained on pairs, groups, a corpus, or a teacher's vectors."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch import checks
from vecsearch.corpus.pairs import kind_of, read_groups, read_pairs
from vecsearch.corpus.readers import read_corpora
from vecsearch.corpus.source import CorpusTally
from vecsearch.encoders import find_ulmfit
from vecsearch.errors import DataError, UsageError
from vecsearch.files import refuse_existing
from vecsearch.progress import SILENT, Progress, check_progress
from vecsearch.text.rules import BOS
from vecsearch.text.vocabulary import Vocabulary
from vecsearch.training.checkpoint import Checkpoint
from vecsearch.training.examples import Alike, Distilled, Ids, Scored, vectors_of
from vecsearch.training.loop import Plan, fit
from vecsearch.training.network import Network, layer_sizes
from vecsearch.training.new_words import NEW_WORDS, with_new_words
from vecsearch.training.start import Start, identity_of, new_start, start_from
from vecsearch.training.teacher import Teacher, turned

HELD_OUT, SHARE = 1000, 0.1
"""Examples that are kept aside to score by, at most, and the share of all that they are at most."""
LEAST = 20
"""Examples without which there is nothing to train on and to score by."""
ALIGNED = 20_000
"""Texts by which a teacher's vectors are turned towards the student's."""
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What to learn from: files of pairs, of groups, or corpora.

    Of a corpus: with a `teacher`, an encoder's folder or one file of vectors, its vectors of the texts; with `title` the field
    that goes with each text, and with a teacher also its vectors of these; with `neighbors` sentences that follow one another;
    else each text under two dropout masks.
    """

    files: Sequence[Path]
    columns: Sequence[str] = ()
    teacher: Path | None = None
    title: str | None = None
    neighbors: bool = False

    def __post_init__(self) -> None:
        """Raises: TypeError: no paths, or no names."""
        object.__setattr__(self, "files", checks.paths("files", self.files))
        object.__setattr__(self, "columns", checks.fields("columns", self.columns))
        if self.teacher is not None:
            object.__setattr__(self, "teacher", checks.path("teacher", self.teacher))
        if self.title is not None:
            object.__setattr__(self, "title", checks.field("title", self.title))
        object.__setattr__(self, "neighbors", checks.flag("neighbors", self.neighbors))


@dataclass(frozen=True, slots=True)
class New:
    """An encoder to begin with where there is none: at most `words` words and pieces of words, `dims` of the embedding and of
    each layer. In `words_first` epochs, before the plan's, only the words learn."""

    words: int = 30_000
    dims: Sequence[int] = (256, 256)
    words_first: int = 10

    def __post_init__(self) -> None:
        """Raises: TypeError: no whole numbers. UsageError: none above 0."""
        object.__setattr__(self, "words", checks.count("words", self.words, least=1, most=checks.MANY))
        object.__setattr__(self, "words_first", checks.count("words_first", self.words_first, most=checks.MANY))
        object.__setattr__(self, "dims", layer_sizes(self.dims))


@dataclass(frozen=True, slots=True)
class Trained:
    """The result of a training; it is `written` only if its held-out `score` is better than that of the start."""

    output: Path
    kind: str
    examples: int
    start: float
    score: float
    written: bool


def train_similarity(
    source: TrainingData,
    output: Path,
    *,
    start: str | Path | New,
    plan: Plan,
    max_tokens: int = 128,
    new_words: int = NEW_WORDS,
    half: bool = True,
    resume: bool = False,
    progress: Progress = SILENT,
) -> Trained:
    """Train an encoder by `plan` and write it to the folder `output`, if it is better than its start on held-out examples.

    An encoder that is there learns the commonest words of the texts that it does not know as well, `new_words` of them at most.
    Texts are read as far as `max_tokens`. `half` stores float16, and the words of a new encoder as 8-bit numbers. A checkpoint
    lies beside `output` until the end; `resume` continues from it. `progress` is called with the texts encoded by a teacher
    and the steps done, and notes the scores.

    Raises: UsageError: options that do not go together; DataError: too few examples, or a teacher that does not fit; errors of
    the files and of the encoder; ResourceError: the disk refuses.
    """
    checks.instance("source", source, TrainingData, give="TrainingData([path])")
    checks.instance("plan", plan, Plan, give="Plan()")
    output, start = checks.path("output", output), start if isinstance(start, New) else checks.path("start", start)
    max_tokens, new_words = checks.count("max_tokens", max_tokens, least=1), checks.count("new_words", new_words)
    half, resume = checks.flag("half", half), checks.flag("resume", resume)
    check_progress(progress)
    refuse_existing(output)
    kind, texts, labels = _read(source, progress.note)
    if isinstance(start, New) and not source.teacher:
        raise UsageError("a new encoder learns from a teacher: give --teacher, or --from an encoder that is there")
    teacher = Teacher(source.teacher) if source.teacher else None
    checkpoint = Checkpoint(output, _identity(teacher, start, plan, max_tokens, new_words, texts))
    plain = [text for group in texts for text in group]
    with checkpoint.preparing(resume=resume):
        if isinstance(start, New):
            begun = new_start(plain, teacher, words=start.words, dims=start.dims, seed=plan.seed)
        else:
            begun = with_new_words(start_from(find_ulmfit(start)), plain, new_words, progress.note)
        network = Network(begun.stacks, begun.depths, dropout=plan.dropout, sparse=isinstance(start, New)).eval()
        groups, order = _usable(texts, begun, max_tokens, plan.seed, progress.note)
        held_out = min(HELD_OUT, max(2, round(SHARE * len(groups))))
        if teacher:
            vectors = teacher.vectors(plain, checkpoint.folder / "teacher.f32", progress=progress)
            places = np.split(np.arange(len(plain)), np.cumsum([len(group) for group in texts[:-1]]))
            vectors = vectors[np.concatenate([places[i] for i in order])]
            examples = distilled(groups, vectors, begun, network, held_out, plan.batch)
        elif labels:
            examples = Scored([(a, b) for a, b in groups], np.array(labels)[order], held_out, plan.batch)
        else:
            examples = Alike(groups, held_out, plan.batch)
    words_first = start.words_first if isinstance(start, New) else 0
    fitted = fit(network, examples, plan, checkpoint, words_first=words_first, progress=progress)
    better = fitted.score > fitted.start
    if better:
        facts = {"training": kind, "score": round(fitted.score, 4), "start": round(fitted.start, 4)}
        begun.write(output, fitted.tensors, facts, half=half)
    checkpoint.remove()
    return Trained(output, kind, len(groups), fitted.start, fitted.score, better)


def _read(source: TrainingData, note: Callable[[str], None]) -> tuple[str, list[list[str]], list[float]]:
    """What the files are, their texts in groups, and the groups' scores where they have any."""
    kinds = {kind_of(path, columns=source.columns) for path in source.files}
    if len(kinds) > 1:
        raise UsageError(f"{' and '.join(sorted(kinds))} are learnt from in different ways: give files of one kind")
    kind = kinds.pop()
    if kind != "corpus" and (source.teacher or source.title or source.neighbors):
        raise UsageError(f"a teacher, titles and neighbors go with a corpus, not with {kind}")
    if source.neighbors and (source.teacher or source.title):
        raise UsageError("choose one of neighbors and of what a teacher or titles say")
    if kind == "groups":
        return kind, [group for path in source.files for group in read_groups(path)], []
    if kind == "pairs":
        pairs = []
        for path in source.files:
            tally = CorpusTally()
            pairs += read_pairs(path, columns=source.columns, tally=tally)
            for remark in tally.remarks():
                note(remark)
        scores = [pair.score for pair in pairs if pair.score is not None]
        if scores and len(scores) < len(pairs):
            raise DataError("some of these files have scores and some have none: give files of one kind")
        return "scored pairs" if scores else "pairs", [[pair.a, pair.b] for pair in pairs], scores
    return _of_corpus(source), list(_groups(source, note)), []


def _of_corpus(source: TrainingData) -> str:
    if source.teacher:
        return "a teacher"
    return "titles" if source.title else "neighboring sentences" if source.neighbors else "dropout"


def _groups(source: TrainingData, note: Callable[[str], None]) -> Iterator[list[str]]:
    for document in read_corpora(source.files, note):
        if source.title:
            title = document.fields.get(source.title)
            if title is None and source.teacher:
                yield [document.text]  # the teacher says something of a text without a title too
                continue
            if isinstance(title, int | float) and not isinstance(title, bool):
                title = str(title)  # a film called 1917, as a CSV file has it
            if not isinstance(title, str):
                raise DataError(f"{document.where}: the field {source.title!r} is {title!r}, not a text")
            yield [title, document.text]
        elif source.neighbors:
            yield from map(list, pairwise(SENTENCE_END.split(document.text)))
        else:
            yield [document.text]


def _identity(
    teacher: Teacher | None, start: str | Path | New, plan: Plan, max_tokens: int, new_words: int, texts: list[list[str]]
) -> dict[str, Any]:
    """All that the result depends on, for a checkpoint to be known by."""
    digest = hashlib.sha256()
    for group in texts:
        digest.update("\0".join(group).encode() + b"\n")
    begun = asdict(start) if isinstance(start, New) else identity_of(start)
    words = {"max_tokens": max_tokens, "new_words": new_words}
    return {"texts": digest.hexdigest(), "from": begun, "teacher": teacher and teacher.fingerprint, **words, **asdict(plan)}


def _usable(
    texts: list[list[str]], start: Start, max_tokens: int, seed: int, note: Callable[[str], None]
) -> tuple[list[list[Ids]], np.ndarray]:
    """The examples whose texts all have a known word, as token ids in a random order, and the place of each in `texts` (m,).

    Raises: DataError: they are too few.
    """
    ids = [[start.ids(text, max_tokens) for text in group] for group in texts]
    usable = [i for i, group in enumerate(ids) if all(len(text) for text in group)]
    if len(usable) < len(texts):
        note(f"{len(texts) - len(usable):,} of {len(texts):,} examples have a text without a known word, and are left out")
    if len(usable) < LEAST:
        raise DataError(f"{len(usable)} examples are too few to train on and to score by: give at least {LEAST}")
    order = np.random.default_rng(seed).permutation(usable)
    return [ids[i] for i in order], order


def distilled(
    groups: list[list[Ids]], vectors: np.ndarray, start: Start, network: Network, held_out: int, batch: int
) -> Distilled:
    """Texts, some in one group with their titles, and a teacher's vectors of all, turned towards the student's. The words of a
    new encoder are learnt beside the texts, in which many are rare."""
    texts = [text for group in groups for text in group]
    aside = sum(map(len, groups[:held_out]))
    ends = np.cumsum([len(group) for group in groups])
    pairs = [(end - 2, end - 1) for end, group in zip(ends, groups, strict=True) if len(group) > 1 and end > aside]
    begin = start.vocabulary.index.get(BOS, Vocabulary.unknown)
    words = {word: np.array([begin, start.vocabulary.index[word]]) for word in start.taught}
    vectors = np.concatenate([vectors, *(start.taught[word][None] for word in words)])
    targets = turned(vectors, vectors_of(network, texts[:ALIGNED]))
    return Distilled([*texts, *words.values()], targets, aside, batch, np.array(pairs, np.int64).reshape(-1, 2))
