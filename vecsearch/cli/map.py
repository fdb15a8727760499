"""vecsearch map"""

from __future__ import annotations

from pathlib import Path

import click

from vecsearch.cli.opening import open_index
from vecsearch.cli.options import FOLDER, INDEX, WholeNumber, output_options
from vecsearch.cli.output import emit, note
from vecsearch.cli.progress import bars
from vecsearch.errors import UsageError

PAGES, PICTURES = (".html", ".htm"), (".png", ".svg", ".pdf")


@click.command("map")
@click.argument("index", type=INDEX)
@click.option(
    "-o",
    "--output",
    "output",
    type=FOLDER,
    metavar="FILE",
    help="Write the map as a page (.html) or a picture (.png, .svg, .pdf), and keep nothing.",
)
@click.option(
    "--by",
    "way",
    type=click.Choice(["tsne", "pca"]),
    help="tsne: neighbors stay neighbors; needs vecsearch[map]. pca: by the two main components. By default tsne where it is "
    "installed.",
)
@click.option("--seed", type=WholeNumber(), help="Start of the random numbers.  [default: 0]")
@click.option("--title", metavar="TEXT", help="With -o: by default the folder's name.")
@output_options
def map(index: str, output: str | None, way: str | None, seed: int | None, title: str | None, as_json: bool) -> None:
    """The documents of INDEX as a map, coloured by cluster.

    Without -o the map is made and INDEX keeps it, for services and pages to show at once. With -o the one that it keeps is
    written; where it keeps none, or --by or --seed ask for another, it is made first. The page is one file that works offline.

    \b
    vecsearch map indexes/films                 make the map, and keep it
    vecsearch map indexes/films -o films.html   look at it
    """
    from vecsearch.clustering.map import kept_map, make_map

    path = None if output is None else Path(output)
    if path is not None and path.suffix.lower() not in (*PAGES, *PICTURES):
        raise UsageError(f"{output} is neither a page nor a picture; choose a name that ends in .html, .png, .svg or .pdf")
    if title is not None and path is None:
        raise UsageError("--title is that of a page or a picture: give -o FILE with it")
    with open_index(index) as opened:
        made = kept_map(opened) if path is not None and way is None and seed is None else None
        if made is None:
            with bars() as progress:
                made = make_map(opened, way=way, seed=seed or 0, keep=path is None, progress=progress)
        generation = opened.manifest.generation
    told = {"documents": len(made.documents), "clusters": len(made.clusters), "areas": len(made.areas), "way": made.way}
    if path is None:
        emit([{"index": index, **told, "generation": generation}], as_json=as_json)
    else:
        from vecsearch.clustering.page import write_page
        from vecsearch.clustering.picture import plot_map

        write = write_page if path.suffix.lower() in PAGES else plot_map
        write(path, made, title or Path(index).resolve().name)
        emit([{"map": output, **told}], as_json=as_json)
    if not made.clusters:
        note("note: the index has no clusters, so all is of one colour: vecsearch cluster makes them")
    if made.waiting:
        note(f"note: {made.waiting:,} documents came after the map was made and are not on it: vecsearch map makes it again")
