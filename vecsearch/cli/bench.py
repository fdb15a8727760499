"""vecsearch bench"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vecsearch.cli.options import FOLDER, WholeNumber, WholeRange, metric_option, output_options
from vecsearch.cli.output import emit, note
from vecsearch.errors import UsageError, writing

if TYPE_CHECKING:
    from vecsearch.bench.bench import Cost, Point

SEED = 0
"""The same rows are held out each time, so that two runs can be compared."""

_COST_COLUMNS = ("kind", "build_s", "size_bytes", "resident_bytes", "open_cold_ms", "first_query_ms")
_POINT_COLUMNS = ("kind", "search_parameters", "recall", "low", "high", "p50_ms", "p95_ms", "p99_ms", "qps")


@click.command()
@click.argument("source", metavar="INDEX|VECTORS|HDF5", type=FOLDER)
@click.option("--spec", "specs", multiple=True, help="Build this kind and measure it; repeat it for more.")
@click.option("-k", type=WholeNumber(), default=10, show_default=True, help="Hits per query.")
@click.option("--queries", type=FOLDER, metavar="FILE", help="Query vectors (.npy, .h5). By default rows are held out.")
@click.option("--number", type=WholeNumber(), default=1000, show_default=True, help="Queries to ask, drawn at random.")
@click.option("--threads", type=WholeRange(1), default=1, show_default=True, help="Threads of a search.")
@metric_option
@click.option("-o", "--output", type=FOLDER, metavar="FOLDER", help="Write bench.jsonl, bench.png and bench.html there.")
@click.option("--export", type=FOLDER, metavar="FILE", help="Write base, queries and neighbors as ann-benchmarks HDF5.")
@output_options
def bench(
    source: str,
    specs: tuple[str, ...],
    k: int,
    queries: str | None,
    number: int,
    threads: int,
    metric: str | None,
    output: str | None,
    export: str | None,
    as_json: bool,
) -> None:
    """Measure recall, latency and throughput of kinds of index.

    That of an INDEX, or kinds of index over ready VECTORS or an ann-benchmarks HDF5 file; exact search is measured beside
    them. Times are of warm searches; memory and the time to open are those of a new process.

    \b
    vecsearch bench indexes/films
    vecsearch bench states.npy --spec HNSW32 --spec HNSW32,SQ8 -o bench
    vecsearch bench glove-100-angular.hdf5 --spec IVF1024,PQ50x4fs -k 10
    """
    import numpy as np

    from vecsearch.bench.bench import measure, record, run_facts
    from vecsearch.bench.curves import write_report
    from vecsearch.bench.workload import export_annbench, open_workload
    from vecsearch.metric import Metric

    with tempfile.TemporaryDirectory(prefix="vecsearch-bench-") as folder:
        workload = open_workload(
            source,
            Path(folder),
            k=k,
            number=number,
            queries=queries,
            metric=Metric(metric) if metric else None,
            rng=np.random.default_rng(SEED),
        )
        if not (specs or workload.built or export):
            raise UsageError(f"{source} holds vectors: say with --spec which kinds of index to build over them")
        measuring = measure(workload, specs, Path(folder), threads=threads)
        if output:  # made before what takes long, and not before it is known that there is something to measure
            with writing(output):
                Path(output).mkdir(parents=True, exist_ok=True)
        if len(workload.queries) < number:
            note(f"note: {len(workload.queries):,} queries, not the {number:,} of --number: there are no more")
        if export:
            export_annbench(export, workload)
        if workload.own_rows is not None and (specs or workload.built.path):
            note("note: the queries are rows of the index, and a graph finds rows more easily than what is new: see --queries")
        told = []
        for facts in chain([run_facts(workload, threads=threads)], measuring):
            told.append(facts)
            if as_json:  # at once: what is measured is not lost when the rest is stopped
                emit([record(facts)], as_json=True)
    run, *measured = told
    if not as_json:
        _emit_tables(measured)
    if output:
        write_report(Path(output), run, measured)


def _emit_tables(measured: Sequence[Cost | Point]) -> None:
    from vecsearch.ann.spec import parameters_text
    from vecsearch.bench.bench import Cost, record

    costs = [record(facts) for facts in measured if isinstance(facts, Cost)]
    points = [record(facts) for facts in measured if not isinstance(facts, Cost)]
    for point in points:
        # A narrow table cuts the end.
        point["search_parameters"] = "* " * point["stored"] + parameters_text(point["search_parameters"])
        point["low"], point["high"] = point["recall_low"], point["recall_high"]
        point["qps"] = round(point["qps"])
    emit(costs, as_json=False, columns=_COST_COLUMNS)
    emit(points, as_json=False, columns=_POINT_COLUMNS)
    if any(point["stored"] for point in points):
        note("* the search parameters of the index itself")
