"""vecsearch map"""

from __future__ import annotations

from pathlib import Path

import click

from vecsearch.cli.options import FOLDER, WholeNumber, output_options
from vecsearch.cli.output import emit, note
from vecsearch.errors import UsageError


@click.command("map")
@click.argument("index", type=FOLDER)
@click.option(
    "-o",
    "--output",
    "output",
    type=FOLDER,
    required=True,
    metavar="FILE",
    help="A page (.html), or a picture (.png, .svg, .pdf).",
)
@click.option("--umap", is_flag=True, help="Place documents by UMAP instead of their main components; needs vecsearch[umap].")
@click.option("--seed", type=WholeNumber(), default=0, show_default=True, help="Start of UMAP's random numbers.")
@click.option("--title", metavar="TEXT", help="By default the folder's name.")
@output_options
def map(index: str, output: str, umap: bool, seed: int, title: str | None, as_json: bool) -> None:
    """The documents of INDEX as a map, coloured by cluster.

    It is a page that works offline, or a picture, and clusters have their names. The page is one file: hover shows a text, a
    click opens it, the search box lights up the documents with a word.
    """
    from vecsearch.clustering.map import make_map, plot_map, write_page
    from vecsearch.index.index import Index

    path = Path(output)
    write = write_page if path.suffix.lower() in (".html", ".htm") else plot_map
    if path.suffix.lower() not in (".html", ".htm", ".png", ".svg", ".pdf"):
        raise UsageError(f"{output} is neither a page nor a picture; choose a name that ends in .html, .png, .svg or .pdf")
    with Index.open(index) as opened:
        made = make_map(opened, way="umap" if umap else "pca", seed=seed)
    write(path, made, title or Path(index).resolve().name)
    if not made.clusters:
        note("note: the index has no clusters, so all is of one colour: vecsearch cluster makes them")
    emit([{"map": output, "documents": len(made.documents), "clusters": len(made.clusters)}], as_json=as_json)
