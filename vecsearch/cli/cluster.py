"""vecsearch cluster, assign and clusters"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from vecsearch.cli.hits import note_unknown
from vecsearch.cli.opening import open_index
from vecsearch.cli.options import FOLDER, INDEX, Number, WholeNumber, output_options
from vecsearch.cli.output import emit, note
from vecsearch.cli.progress import bars
from vecsearch.cli.rules import not_with
from vecsearch.errors import UsageError

if TYPE_CHECKING:
    from vecsearch.clustering import Pair
    from vecsearch.index.index import Index
    from vecsearch.store.clusters import Clustering

COLUMNS = ["cluster", "documents", "cohesion", "name", "medoid"]


@click.command()
@click.argument("index", type=FOLDER)
@click.option(
    "--by",
    "way",
    type=click.Choice(["kmeans", "communities", "density"]),
    help="kmeans: every document in one of K clusters. communities: documents around one that all are like. density: dense "
    "places (HDBSCAN). The last two leave documents out. By default kmeans, with --threshold communities.",
)
@click.option(
    "-k",
    "--k",
    "k",
    type=WholeNumber(),
    metavar="K",
    help="With kmeans: how many. By default what gives the highest silhouette.",
)
@click.option("--threshold", type=Number(), metavar="X", help="With communities: least cosine with the document in the middle.")
@click.option(
    "--min-size", type=WholeNumber(), metavar="N", help="With communities and density: documents of a cluster. By default 10."
)
@click.option("--seed", type=WholeNumber(), default=0, show_default=True, help="Start of the random numbers.")
@click.option("--labels", metavar="FIELD", help="Compare the clusters with this field's values: ARI and NMI.")
@click.option("--duplicates", type=Number(), metavar="X", help="Make no clusters: list the pairs whose cosine is X or more.")
@output_options
@not_with("--duplicates", "--by", "-k", "--threshold", "--min-size", "--seed", "--labels")
def cluster(
    index: str,
    way: str | None,
    k: int | None,
    threshold: float | None,
    min_size: int | None,
    seed: int,
    labels: str | None,
    duplicates: float | None,
    as_json: bool,
) -> None:
    """Put the documents of INDEX into clusters, and name them.

    The index keeps its clusters.

    \b
    vecsearch cluster indexes/films                    show what there is with: vecsearch clusters
    vecsearch query indexes/films --cluster 7 "..."    search in one
    vecsearch map indexes/films -o films.html          look at them
    """
    from vecsearch import clustering
    from vecsearch.index.index import Index

    way = way or ("communities" if threshold is not None else "kmeans")
    given = {"-k": k, "--threshold": threshold, "--min-size": min_size}
    belong = {"kmeans": {"-k"}, "communities": {"--threshold", "--min-size"}, "density": {"--min-size"}}
    for option, value in given.items():
        if value is not None and option not in belong[way]:
            raise UsageError(f"{option} cannot be combined with --by {way}")
    with Index.open(index) as opened:
        if duplicates is not None:
            with bars() as progress:
                pairs, crowded = clustering.duplicates(opened, duplicates, progress=progress)
            emit_pairs(pairs, crowded, as_json=as_json)
            return
        settings = clustering.Settings(way, k, threshold, min_size or clustering.Settings.size, seed)
        with bars() as progress:
            made = clustering.cluster(opened, settings, labels=labels, progress=progress)
        emit_clusters(opened, made, as_json=as_json)


@click.command()
@click.argument("index", type=INDEX)
@click.argument("texts", nargs=-1)
@output_options
def assign(index: str, texts: tuple[str, ...], as_json: bool) -> None:
    """Assign new documents of INDEX, or TEXTS, to its clusters.

    New are those that INDEX got since its clusters were made. Of TEXTS it is only said in which cluster each would be.
    """
    from vecsearch import clustering

    with open_index(index) as opened:
        if texts:
            found = clustering.nearest_clusters(opened, opened.encode(texts))
            names = [cluster.name for cluster in opened.clustering.clusters] if opened.clustering else []
            rows = [
                {"text": text, "cluster": int(number) if number >= 0 else None, "name": names[number] if number >= 0 else None}
                for text, number in zip(texts, found, strict=True)
            ]
            emit(rows, as_json=as_json)
            note_unknown(opened.encoder)
            return
        with bars() as progress:
            count = clustering.assign(opened, progress=progress)
        emit([{"index": index, "assigned": count, "generation": opened.manifest.generation}], as_json=as_json)


@click.command()
@click.argument("index", type=INDEX)
@output_options
def clusters(index: str, as_json: bool) -> None:
    """The clusters that INDEX keeps, largest first.

    Their names, their sizes, how alike their documents are, and the most typical of them.
    """

    with open_index(index) as opened:
        if opened.clustering is None:
            raise UsageError(f"{index} has no clusters: vecsearch cluster makes them")
        emit_clusters(opened, opened.clustering, as_json=as_json)


def emit_clusters(index: Index, clustering: Clustering, *, as_json: bool) -> None:
    """Print the clusters with their present sizes, and on stderr what is said of all together."""
    from vecsearch.clustering import sizes

    present, without, waiting = sizes(index)
    rows: list[dict[str, Any]] = [
        {"cluster": cluster.number, **asdict(cluster), "documents": present[cluster.number], "made_of": cluster.documents}
        for cluster in clustering.clusters
    ]
    for row in rows:
        del row["number"]
    emit(rows, as_json=as_json, columns=COLUMNS)
    figures = [f"silhouette {clustering.quality['silhouette']:.3f}"] if clustering.quality["silhouette"] is not None else []
    if "ari" in clustering.quality:
        figures += ["by {field} ARI {ari:.3f}, NMI {nmi:.3f}".format(**clustering.quality)]
    inside = sum(present)
    note(
        f"note: {len(rows):,} clusters by {clustering.way} of {inside:,} documents, {without:,} in none"
        + "".join(f"; {figure}" for figure in figures)
    )
    if waiting:
        note(f"note: {waiting:,} documents were added since: vecsearch assign gives them their cluster")


def emit_pairs(pairs: list[Pair], crowded: int, *, as_json: bool) -> None:
    """Print pairs of documents that are nearly the same."""
    rows = [
        {"score": pair.score, "a": pair.a.id, "b": pair.b.id, "text_a": pair.a.text, "text_b": pair.b.text} for pair in pairs
    ]
    emit(rows, as_json=as_json)
    if not rows:
        note("note: no two documents are so alike")
    if crowded:
        note(f"note: {crowded:,} documents have more such others than are looked for, and not all of them are listed")
