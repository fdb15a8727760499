"""`vecsearch train`: encoders trained on your texts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from vecsearch.cli.options import NumberRange, WholeNumber, WholeRange, output_options
from vecsearch.cli.output import emit, note
from vecsearch.cli.progress import Bars, bars
from vecsearch.cli.rules import not_with, only_with
from vecsearch.drawing import importing_matplotlib
from vecsearch.errors import ResourceError, UsageError

PATH = click.Path(path_type=Path)


@click.group()
def train() -> None:
    """Train an encoder on your texts."""


def _numbers(context: click.Context, option: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    try:
        return tuple(int(part) for part in value.split(",")) if value is not None else None
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a list of whole numbers such as 256,256") from None


@train.command()
@click.argument("corpora", nargs=-1, required=True, type=PATH, metavar="CORPUS...")
@click.option("--from", "start", metavar="NAME|FOLDER", help="An encoder to go on from; without it the model is new.")
@click.option("-o", "--output", type=PATH, required=True, help="The encoder folder to make.")
@click.option("--words", type=WholeRange(20), help="Words of a new model, at most. By default 30000.")
@click.option("--dims", callback=_numbers, help="A new model's embedding, then each layer. By default 256,640,256.")
@click.option("--new-words", type=WholeRange(0), help="Words that --from learns as well, at most. By default 10000.")
@click.option("--sampled", type=WholeRange(0), default=4000, show_default=True, help="Words drawn for the softmax; 0: all.")
@click.option("--epochs", type=WholeRange(1), default=4, show_default=True, help="Times that each text is read.")
@click.option("--batch", type=WholeRange(1), default=32, show_default=True, help="Streams of text in a step.")
@click.option("--length", type=WholeRange(2), default=72, show_default=True, help="Tokens of each stream in a step.")
@click.option(
    "--rate",
    type=NumberRange(0, min_open=True),
    help="Highest learning rate. By default 0.005, and 0.0005 from an encoder that was trained for similarity.",
)
@click.option("--dropout", type=NumberRange(0, 2), default=0.5, show_default=True, help="Share of fastai's own dropouts.")
@click.option("--seed", type=WholeNumber(), default=0, show_default=True, help="Another seed gives another model.")
@click.option("--full", is_flag=True, help="Store float32 instead of float16.")
@click.option("--resume", is_flag=True, help="Resume an interrupted training of the same texts and options.")
@output_options
@not_with("--from", "--words", "--dims")
@only_with("--new-words", needs="--from")
@click.pass_context
def lm(
    context: click.Context,
    corpora: tuple[Path, ...],
    start: str | None,
    output: Path,
    full: bool,
    resume: bool,
    as_json: bool,
    **plan: Any,
) -> None:
    """Train ULMFiT's language model on the texts of CORPUS, by fastai.

    With --from its words keep their vectors and new ones of CORPUS join them; the words are trained first and then all
    layers, the lower ones more slowly. A tenth of the text is held out; what has the lowest perplexity on it is written, if
    that is lower than before. It is an encoder like any other: give it to `build --encoder` or `train similarity --from`.
    """
    with importing_matplotlib():  # fastai does
        from vecsearch.training.language_model import LanguagePlan, train_language_model

    plan = {name: value for name, value in plan.items() if value is not None}
    dims = plan.get("dims")
    if dims and (len(dims) < 2 or min(dims) < 1 or dims[0] != dims[-1] or len(set(dims[1:-1])) > 1):
        raise UsageError("--dims has the embedding, layers of one size, and a last one of the embedding's: 256,640,256")
    with training_bars(output) as progress:
        spoken = train_language_model(
            corpora,
            output,
            start=start,
            plan=LanguagePlan(**plan),
            half=not full,
            resume=resume,
            progress=progress,
        )
    row = {"encoder": str(spoken.output), "tokens": spoken.tokens, "words": spoken.words}
    row |= {"perplexity_before": round(spoken.start, 1), "perplexity_after": round(spoken.perplexity, 1)}
    emit([row], as_json=as_json)
    if not spoken.written:
        note("note: the perplexity did not fall, so nothing was written; give more text, another --rate or more --epochs")
        context.exit(1)


@train.command()
@click.argument("data", nargs=-1, required=True, type=PATH)
@click.option("--from", "start", metavar="NAME|FOLDER", help="The encoder to start from. By default english.")
@click.option("-o", "--output", type=PATH, required=True, help="The encoder folder to make.")
@click.option("--teacher", type=PATH, help="An encoder's folder, such as a sentence transformer's, or vectors (.npy, .h5).")
@click.option("--title", metavar="FIELD", help="Learn which text goes with which title, the FIELD of its document.")
@click.option("--neighbors", is_flag=True, help="Learn which sentences follow one another.")
@click.option("--columns", metavar="A,B[,SCORE]", help="Columns of pairs. By default a,b or text1,text2, and score or label.")
@click.option("--words", type=WholeRange(20), help="With --teacher: a new encoder of so many words instead of --from.")
@click.option("--dims", callback=_numbers, help="With --words: size of the embedding, then of each layer. By default 256,256.")
@click.option(
    "--words-first", type=WholeRange(0), help="With --words: epochs before the others, of the words alone. By default 10."
)
@click.option("--new-words", type=WholeRange(0), help="Words that --from learns as well, at most. By default 10000.")
@click.option("--epochs", type=WholeRange(1), default=3, show_default=True, help="Times that each example is seen.")
@click.option("--batch", type=WholeRange(2), default=256, show_default=True, help="Examples of a step.")
@click.option("--rate", type=NumberRange(0, min_open=True), default=1e-3, show_default=True, help="Highest learning rate.")
@click.option("--dropout", type=NumberRange(0, 0.9), default=0.1, show_default=True, help="Share that is left out.")
@click.option("--max-tokens", type=WholeRange(2), default=128, show_default=True, help="Tokens of a text that are read.")
@click.option("--seed", type=WholeNumber(), default=0, show_default=True, help="Another seed gives another encoder.")
@click.option("--full", is_flag=True, help="Store float32 instead of float16.")
@click.option("--resume", is_flag=True, help="Resume an interrupted training of the same data and options.")
@output_options
@not_with("--words", "--from", "--new-words")
@only_with("--words-first", "--dims", needs="--words")
@click.pass_context
def similarity(
    context: click.Context,
    data: tuple[Path, ...],
    start: str | None,
    output: Path,
    teacher: Path | None,
    title: str | None,
    neighbors: bool,
    columns: str | None,
    words: int | None,
    dims: tuple[int, ...] | None,
    words_first: int | None,
    new_words: int | None,
    max_tokens: int,
    full: bool,
    resume: bool,
    as_json: bool,
    **plan: Any,
) -> None:
    """Train an encoder whose vectors are near where texts of DATA are alike.

    \b
    vecsearch train similarity pairs.tsv -o mine                 pairs (text1, text2), with or without a score
    vecsearch train similarity groups.jsonl -o mine              {"texts": [...]} that say the same
    vecsearch train similarity films.jsonl --title title -o mine a title and its text
    vecsearch train similarity films.jsonl --teacher FOLDER -o mine   what another encoder finds alike; --title goes with it
    vecsearch train similarity films.jsonl -o mine               the texts alone

    A part of the data is held out to score by. What scored best is written, if that is better than the start; if it is not,
    nothing is written, and the exit code is 1.
    """
    from vecsearch.encoders import DEFAULT
    from vecsearch.training.loop import Plan
    from vecsearch.training.new_words import NEW_WORDS
    from vecsearch.training.train_similarity import New, TrainingData, train_similarity

    if dims and (len(dims) < 2 or min(dims) < 1 or dims[0] != dims[-1]):
        raise UsageError("--dims has the embedding first, and a last layer of the same size, to which it is added: 256,256")
    names = () if columns is None else tuple(columns.split(","))
    if names and len(names) not in (2, 3):
        raise UsageError(f"--columns names two texts and perhaps a score, not {len(names)}: a,b,score")
    of_new = {name: value for name, value in (("dims", dims), ("words_first", words_first)) if value is not None}
    named = DEFAULT if start is None else start
    with training_bars(output) as progress:
        trained = train_similarity(
            TrainingData(data, names, teacher, title, neighbors),
            output,
            start=New(words, **of_new) if words else named,
            plan=Plan(**plan),
            max_tokens=max_tokens,
            new_words=NEW_WORDS if new_words is None else new_words,
            half=not full,
            resume=resume,
            progress=progress,
        )
    row = {"encoder": str(trained.output), "source": trained.kind, "examples": trained.examples}
    emit([row | {"before": round(trained.start, 4), "after": round(trained.score, 4)}], as_json=as_json)
    if not trained.written:
        note(
            "note: training made it no better on the examples that were held out, so nothing was written; "
            "give more data, another --rate or more --epochs"
        )
        context.exit(1)


@contextmanager
def training_bars(output: Path) -> Iterator[Bars]:
    """`bars` of a training towards `output`, which say where the last checkpoint is when it is stopped."""
    from vecsearch.training.checkpoint import checkpoint_folder

    try:
        with bars() as progress:
            yield progress
    except (KeyboardInterrupt, ResourceError):
        if (folder := checkpoint_folder(output)).is_dir():
            note(f"note: the last checkpoint is in {folder}: the same command with --resume continues")
        raise
