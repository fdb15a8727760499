"""vecsearch demo"""

from __future__ import annotations

import time
from pathlib import Path

import click

from vecsearch.cli.hits import ShownFields, emit_hits
from vecsearch.cli.options import FOLDER
from vecsearch.cli.output import note
from vecsearch.cli.progress import bars

QUESTIONS = (
    "read a compressed file",
    "choose a random element",
    "parse a web page",
)


@click.command()
@click.option("-o", "--output", type=FOLDER, default="indexes/python", show_default=True, help="Folder of the index.")
def demo(output: str) -> None:
    """Index the documentation of this Python, and ask it. It is asked three questions; a second run only asks."""
    from vecsearch.cli.pydocs import python_documentation
    from vecsearch.corpus.corpus import Corpus
    from vecsearch.encoders import open_encoder
    from vecsearch.index.index import Index

    if not (Path(output) / "CURRENT").exists():
        documents = list(python_documentation())
        started = time.perf_counter()
        with bars() as progress:
            corpus = Corpus(documents, "the Python standard library", total=len(documents))
            Index.build(output, corpus, open_encoder(dtype="auto"), resume=Path(output).exists(), progress=progress).close()
        seconds = time.perf_counter() - started
        note(f"{len(documents):,} documents in {seconds:.1f} s ({len(documents) / seconds:,.0f}/s) -> {output}")
    with Index.open(output) as index:
        for question in QUESTIONS:
            started = time.perf_counter()
            hits = index.query([question], k=5)
            click.echo(f"\n{question}? (by meaning, {1000 * (time.perf_counter() - started):.0f} ms)")
            emit_hits([(question, hits[0])], None, ShownFields(), as_json=False)
    click.echo("\nNow try:")
    suggestions = {
        f'query {output} "sort a list of numbers"': "your own question",
        f"similar {output} json.loads": "what is like this function",
        "build --vocabulary -o indexes/words": "the model's own words",
        "build films.jsonl -o indexes/films": "your own texts",
        "model import my-model.pth -o my-model": "your own language model",
    }
    width = max(map(len, suggestions))
    for command, purpose in suggestions.items():
        click.echo(f"  vecsearch {command.ljust(width)}  {purpose}")
