"""`vecsearch model`: encoders from fastai checkpoints and files of word vectors, and what is in an encoder folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from vecsearch.cli.encoders import open_named, parsed
from vecsearch.cli.options import Number, NumberRange, WholeNumber, WholeRange
from vecsearch.cli.output import note
from vecsearch.cli.progress import bars
from vecsearch.errors import UsageError

FILE = click.Path(path_type=Path)
SHOWN = 8
"""New words that are printed."""
SIF = "Of word vectors: weigh a text's words by A / (A + frequency), the frequency told by the word's rank: 0.001."


@click.group()
def model() -> None:
    """Make encoders, join several, and look into one."""


@model.command("import")
@click.argument("checkpoint", type=FILE, required=False)
@click.option("--vocab", type=FILE, help="Its words: .pkl, .json or .txt. Default: looked for beside the checkpoint.")
@click.option("--backward", type=FILE, help="A backward model of the same vocabulary; vectors are then concatenated.")
@click.option("--lang", default="en", show_default=True, help="spaCy language of the tokenizer it was trained with.")
@click.option("--sentencepiece", type=FILE, help="SentencePiece model, for a checkpoint trained with one.")
@click.option("--half", is_flag=True, help="Store float16: half the size.")
@click.option(
    "--unsafe", is_flag=True, help="Open an export.pkl. RUNS ANY CODE in that file, as you: only for files you trust."
)
@click.option(
    "--download",
    type=click.Choice(["wt103-fwd", "wt103-bwd"]),
    multiple=True,
    help="Fetch fast.ai's stock model (105 MB) and use it as the checkpoint (fwd) or as --backward (bwd).",
)
@click.option("--most", type=WholeRange(1), metavar="N", help="Of word vectors: the first N words only, the commonest.")
@click.option("--sif", type=NumberRange(0, min_open=True), metavar="A", help=SIF)
@click.option("--ngrams", is_flag=True, help="Of word vectors: learn character n-grams, by which unknown words get a vector.")
@click.option("-o", "--output", type=FILE, required=True, help="The encoder folder to make.")
def import_(
    checkpoint: Path | None,
    vocab: Path | None,
    backward: Path | None,
    lang: str,
    sentencepiece: Path | None,
    half: bool,
    unsafe: bool,
    download: tuple[str, ...],
    most: int | None,
    sif: float | None,
    ngrams: bool,
    output: Path,
) -> None:
    """Make an encoder folder from CHECKPOINT: a .pth of learn.save or save_encoder (fastai 1 or 2), a wt103 .tgz, a folder
    with one .pth and its vocabulary, or word vectors of word2vec, GloVe or fastText (.vec, .txt, .bin; also .gz and .xz).
    No code in the file is run, and nothing is downloaded without --download."""
    from vecsearch.encoders.ulmfit.folder import describe_sizes
    from vecsearch.encoders.ulmfit.importing import import_checkpoint
    from vecsearch.encoders.words.importing import is_words_file

    dtype = "float16" if half else "float32"
    if checkpoint and is_words_file(checkpoint):
        if vocab or backward or sentencepiece or unsafe or download or lang != "en":
            raise UsageError(
                f"{checkpoint} holds word vectors: of the options, --half, --most, --sif and --ngrams are for them"
            )
        _import_words(checkpoint, output, dtype=dtype, most=most, sif=sif, ngrams=ngrams)
        return
    if most or sif or ngrams:
        raise UsageError("--most, --sif and --ngrams are for word vectors (.vec, .txt, .bin); see vecsearch model postprocess")

    checkpoint, backward = _fetched(checkpoint, backward, download)
    choices = {"lang": lang, "sentencepiece": sentencepiece, "dtype": dtype, "unsafe": unsafe}
    report = import_checkpoint(checkpoint, vocab, output, backward=backward, **choices)
    _show(
        {
            "encoder": report.folder,
            "vocabulary": f"{report.words:,} words, from {report.vocabulary}",
            **{direction: describe_sizes(dims) for direction, dims in report.dims.items()},
            "stored": f"{report.dtype}, {report.size_bytes / 1e6:.1f} MB",
        }
    )
    if report.note:
        note(f"note: {report.note}")


@model.command()
@click.argument("encoder", metavar="NAME|FOLDER")
@click.argument("corpus", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="The encoder folder to make.")
@click.option("--sif", type=NumberRange(0, min_open=True), metavar="A", help="Weigh words by A / (A + frequency): 0.001.")
@click.option("--centre", is_flag=True, help="Move the mean of the texts' vectors to the origin.")
@click.option("--remove", type=WholeRange(0), default=0, metavar="N", help="Leave out the N directions that vary most.")
@click.option("--dims", type=WholeRange(1), metavar="N", help="Keep so many directions. By default all others.")
@click.option("--whiten", is_flag=True, help="Have the vectors vary in all directions alike.")
@click.option(
    "--pooling", type=click.Choice(["raw", "mean", "max", "last", "concat"]), help="Whose vectors. By default its own pooling."
)
@click.option("--layer", "layers", type=WholeNumber(), multiple=True, metavar="N", help="Of which layers; repeat it to add up.")
def postprocess(
    encoder: str,
    corpus: Path,
    output: Path,
    sif: float | None,
    centre: bool,
    remove: int,
    dims: int | None,
    whiten: bool,
    pooling: str | None,
    layers: tuple[int, ...],
) -> None:
    """Make an encoder whose vectors are those of another, weighed, moved and turned as fits the texts of CORPUS.

    No training: up to 50,000 of the texts are encoded. Which of it helps depends on the model: measure it.
    """
    from vecsearch.encoders.ulmfit.fitting import fit_postprocess

    if not (sif or centre or remove or dims or whiten):
        raise UsageError("nothing to do: give --sif, --centre, --remove, --dims or --whiten")
    turned = {"centre": centre, "remove": remove, "dim": dims, "whiten": whiten}
    made = fit_postprocess(encoder, corpus, output, sif=sif, **turned, pooling=pooling, layers=layers or None, note=note)
    _show({"encoder": output, "length": made.dim, "fitted on": f"{made.tally.texts:,} texts"})


@model.command()
@click.argument("encoder", metavar="NAME|FOLDER")
@click.argument("corpora", nargs=-1, required=True, type=FILE, metavar="CORPUS...")
@click.option("-o", "--output", type=FILE, required=True, help="The encoder folder to make.")
@click.option("--most", type=WholeRange(1), default=10_000, show_default=True, help="So many, the commonest.")
@click.option("--full", is_flag=True, help="Store float32 instead of float16.")
def words(encoder: str, corpora: tuple[Path, ...], output: Path, most: int, full: bool) -> None:
    """Make an encoder that knows the words of CORPUS as well that it has no vector for.

    No training: each word that occurs twice gets the vector that the words around it speak for. All others keep theirs.
    """
    from vecsearch.training.new_words import add_words

    new = add_words(encoder, corpora, output, most=most, half=not full, note=note)
    shown = ", ".join(new[:SHOWN]) + (" …" if len(new) > SHOWN else "")
    _show({"encoder": output, "new words": f"{len(new):,}: {shown}"})


@model.command()
@click.argument("encoders", nargs=-1, required=True, metavar="ENCODER[,OPTION=VALUE]...")
@click.option(
    "--weight", "weights", type=Number(), multiple=True, help="What each counts, in their order; by default all alike."
)
@click.option("-o", "--output", type=FILE, required=True, help="The encoder folder to make.")
def join(encoders: tuple[str, ...], weights: tuple[float, ...], output: Path) -> None:
    """Make one encoder of several: their vectors, concatenated, so that a cosine is the weighted mean of theirs.

    Each is given as `--encoder` names it elsewhere, and the folder holds a copy of it.

    \b
    vecsearch model join english my-model,pooling=raw --weight 1 --weight 3 -o both
    """
    from vecsearch.encoders import ConcatenatedEncoder
    from vecsearch.files import new_folder, refuse_existing

    refuse_existing(output)
    if len(encoders) < 2:
        raise UsageError(f"there is nothing to join to {encoders[0]}: give several encoders")
    made = ConcatenatedEncoder([open_named(parsed(text)) for text in encoders], weights or None)
    with new_folder(output) as folder:
        made.save(folder)
    _show({"encoder": output, **made.describe()})


@model.command()
@click.argument("encoder", metavar="NAME|FOLDER|FILE")
def info(encoder: str) -> None:
    """Show what is in an encoder of any kind: a folder, a model's file, or the one that ships under that name.

    A folder of `vecsearch model import` has every file's hash checked.
    """
    from vecsearch.encoders import find_encoder, kind_of, open_encoder

    facts = open_encoder(encoder).describe()
    _show({"encoder": encoder, "kind": kind_of(find_encoder(encoder)).name, **facts})


def _import_words(path: Path, output: Path, **options: Any) -> None:
    from vecsearch.encoders.words.encoder import WordsEncoder
    from vecsearch.encoders.words.importing import import_words

    with bars() as progress:
        report = import_words(path, output, progress=progress, **options)
    _show({"encoder": output, **WordsEncoder(output).describe()})
    if report.broken:
        note(f"note: {report.broken:,} words are no UTF-8; what is broken in them became \ufffd")


def _fetched(checkpoint: Path | None, backward: Path | None, download: tuple[str, ...]) -> tuple[Path, Path | None]:
    """The checkpoint and the backward model, those of `download` fetched. Raises UsageError for one that is named twice, and
    where there is none."""
    for name, given in (("wt103-fwd", checkpoint), ("wt103-bwd", backward)):
        if name in download and given:
            raise UsageError(f"both {given} and --download {name} are given; choose one of them")
    if not checkpoint and "wt103-fwd" not in download:
        raise UsageError("no checkpoint: give a file, or --download wt103-fwd for fast.ai's stock model")
    fetched = {name: _download(name) for name in download}
    return checkpoint or fetched["wt103-fwd"], backward or fetched.get("wt103-bwd")


def _download(name: str) -> Path:
    from vecsearch.encoders.ulmfit.download import PRETRAINED, download
    from vecsearch.files import cache_folder, caching

    bar = click.progressbar(length=PRETRAINED[name].size, label=name, file=click.get_text_stream("stderr"))
    with caching(), bar:
        return download(name, cache_folder(), progress=bar.update)


def _show(facts: dict[str, object]) -> None:
    for name, value in facts.items():
        click.echo(f"{name.replace('_', ' '):16} {value}")
