"""vecsearch demo"""

from __future__ import annotations

import time
from pathlib import Path

import click

from vecsearch.cli.hits import ShownFields, emit_hits
from vecsearch.cli.options import FOLDER
from vecsearch.cli.output import note
from vecsearch.cli.progress import progress_bar

QUESTIONS = (
    "read a compressed file",
    "choose a random element",
    "parse a web page",
)


@click.command()
@click.option("-o", "--output", type=FOLDER, default="indexes/python", show_default=True, help="Folder of the index.")
def demo(output: str) -> None:
    """Index the documentation of this machine's Python and ask it three questions. A second run only asks."""
    from vecsearch.corpus.pydocs import python_documentation
    from vecsearch.encoders import open_encoder
    from vecsearch.index import Index

    if not (Path(output) / "CURRENT").exists():
        documents = list(python_documentation())
        done = 0

        def fraction() -> float:
            return done / len(documents)

        started = time.perf_counter()
        with progress_bar("documents", fraction) as show:

            def progress(rows: int) -> None:
                nonlocal done
                done = rows
                show(rows)

            options = {
                "provenance": {"source": "the Python standard library"},
                "progress": progress,
                "resume": Path(output).exists(),
            }
            Index.build(output, documents, open_encoder(dtype="auto"), **options).close()
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
